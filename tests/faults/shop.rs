//! A node together with the servers that it uses.

use futures_util::TryStreamExt;

use crate::{
    node::Node,
    support::{
        postgres::{PASSWORD, Postgres, USER},
        redis::RedisServer,
    },
};

/// A node with a Postgres and a Redis of its own, or with neither (SQLite and counters in the
/// process).
pub struct Shop {
    // The first field is dropped first: the node must end before its servers do.
    pub node: Node,
    pub servers: Option<Servers>,
}

pub struct Servers {
    pub postgres: Postgres,
    pub redis: RedisServer,
}

/// Everything that the store holds, for a comparison with what was sent.
#[derive(Debug, Default)]
pub struct Stored {
    /// The numbers of the stored events, sorted.
    pub events: Vec<u64>,
    /// The number of events in the batches of the ledger.
    pub ledger: u64,
    /// The number of rows of each event type.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// The sum of the purchases' amounts, in 1/10,000.
    pub revenue: i64,
}

/// Small segments and short pauses, so that a short test rolls, retires and retries a lot.
pub const BRISK: [(&str, &str); 6] = [
    ("FLOODMARK_SPOOL__SEGMENT_BYTES", "262144"),
    ("FLOODMARK_BATCH__MAX_BYTES", "131072"),
    ("FLOODMARK_BATCH__MAX_EVENTS", "500"),
    ("FLOODMARK_BATCH__FLUSH_INTERVAL_MS", "20"),
    ("FLOODMARK_SPOOL__CURSOR_INTERVAL_MS", "50"),
    ("FLOODMARK_RETRY__MAX_MS", "500"),
];

impl Servers {
    pub fn start() -> Servers {
        Servers { postgres: Postgres::start(), redis: RedisServer::start() }
    }

    /// The settings by which a node finds these servers.
    pub fn settings(&self) -> [(String, String); 2] {
        [
            ("FLOODMARK_POSTGRES__URL".to_owned(), self.postgres.url()),
            ("FLOODMARK_REDIS__URLS".to_owned(), self.redis.url()),
        ]
    }

    /// Runs SQL directly, without Floodmark.
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        runtime().block_on(self.postgres.sql(sql))
    }

    /// Reads everything that Postgres holds.
    pub fn stored(&self) -> Stored {
        self.stored_where("true")
    }

    /// Reads everything that Postgres holds; `counts` and `revenue` are of the rows that meet the
    /// condition.
    pub fn stored_where(&self, condition: &str) -> Stored {
        let mut stored = Stored::default();
        runtime().block_on(async {
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(self.postgres.port()).user(USER).password(PASSWORD);
            let (client, connection) =
                config.dbname("postgres").connect(tokio_postgres::NoTls).await.expect("Postgres");
            tokio::spawn(connection);
            let copy = "COPY (SELECT properties->>'n' FROM events) TO STDOUT";
            let rows = client.copy_out(copy).await.expect("the rows");
            let mut rows = std::pin::pin!(rows);
            let mut rest = String::new();
            while let Some(chunk) = rows.try_next().await.expect("the rows") {
                rest.push_str(std::str::from_utf8(&chunk).expect("digits"));
                let whole = rest.rfind('\n').map_or(0, |at| at + 1);
                let numbers = rest[..whole].lines().map(number);
                stored.events.extend(numbers);
                rest.drain(..whole);
            }
        });
        stored.events.sort_unstable();
        stored.ledger = number(&self.sql("SELECT coalesce(sum(events), 0) FROM ledger")[0][0]);
        let by_type = format!(
            "SELECT type, count(*), coalesce(sum((properties->>'amount')::numeric), 0) \
             FROM events WHERE {condition} GROUP BY type"
        );
        for row in self.sql(&by_type) {
            stored.counts.insert(row[0].clone(), number(&row[1]));
            stored.revenue += ten_thousandths(&row[2]);
        }
        stored
    }
}

/// Reads a decimal number with at most four decimals, as 1/10,000. `Money` can't be used for it: a
/// sum may be larger than any single amount is allowed to be.
pub fn ten_thousandths(text: &str) -> i64 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    assert!(decimals.len() <= 4, "{text} has more than four decimals");
    let digits = format!("{whole}{decimals:0<4}");
    digits.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl Shop {
    /// Starts a node on Postgres and Redis, with the settings of short tests, which `settings` may
    /// override.
    pub fn on_servers(settings: &[(&str, &str)]) -> Shop {
        Shop::armed(settings, &[])
    }

    /// Starts the same with variables that hold for the node's first run only.
    pub fn armed(settings: &[(&str, &str)], once: &[(&str, &str)]) -> Shop {
        let servers = Servers::start();
        let places = servers.settings();
        let mut all: Vec<(&str, &str)> = BRISK.to_vec();
        all.extend(places.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        all.extend(settings);
        let node = Node::armed(&all, once);
        Shop { node, servers: Some(servers) }
    }

    /// Starts a node without servers: SQLite, and counters in the process.
    pub fn embedded(settings: &[(&str, &str)]) -> Shop {
        let all: Vec<(&str, &str)> = BRISK.iter().chain(settings).copied().collect();
        Shop { node: Node::start(&all), servers: None }
    }

    pub fn postgres(&mut self) -> &mut Postgres {
        &mut self.servers.as_mut().expect("it has servers").postgres
    }

    pub fn redis(&mut self) -> &mut RedisServer {
        &mut self.servers.as_mut().expect("it has servers").redis
    }

    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.servers.as_ref().expect("it has servers").sql(sql)
    }

    /// Waits until the node is ready.
    pub fn is_ready(&self) {
        self.node.until("it is ready", |node| node.reasons().is_empty());
    }

    /// Reads everything that the store holds.
    pub fn stored(&self) -> Stored {
        match &self.servers {
            Some(servers) => servers.stored(),
            None => Stored::embedded(self.node.data()),
        }
    }
}

impl Stored {
    /// Reads everything that the SQLite file of this data folder holds.
    pub fn embedded(data: &std::path::Path) -> Stored {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let file = data.join("floodmark.db");
        let database = rusqlite::Connection::open_with_flags(file, flags).expect("the store");
        let mut stored = Stored::default();
        let mut query = database.prepare("SELECT type, properties FROM events").expect("events");
        let mut rows = query.query([]).expect("events");
        while let Some(row) = rows.next().expect("a row") {
            let (kind, properties): (String, String) =
                (row.get(0).expect("a type"), row.get(1).expect("properties"));
            let values: serde_json::Value = serde_json::from_str(&properties).expect("JSON");
            stored.events.push(values["n"].as_u64().expect("a number"));
            if let Some(amount) = values.get("amount") {
                stored.revenue += ten_thousandths(&amount.to_string());
            }
            *stored.counts.entry(kind).or_default() += 1;
        }
        stored.events.sort_unstable();
        let sum = "SELECT coalesce(sum(events), 0) FROM ledger";
        let ledger: i64 = database.query_row(sum, [], |row| row.get(0)).expect("the ledger");
        stored.ledger = ledger as u64;
        stored
    }
}
