//! A database of a test's own, and reads of it that do not go through the store.

use floodmark::{
    config::Config,
    domain::{batch::NodeId, delta::Delta, delta::DeltaSum, row::Row},
    store::{self, Stores},
};

use crate::support::{
    batches::{Event, add_row},
    ledger::sum_of,
    postgres::Postgres,
};

pub enum Backend {
    Sqlite(tempfile::TempDir),
    Postgres(Postgres),
}

impl Backend {
    pub fn sqlite() -> Backend {
        Backend::Sqlite(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn postgres() -> Backend {
        Backend::Postgres(Postgres::start())
    }

    pub fn config(&self) -> Config {
        let mut config = Config { data_dir: "/nonexistent".into(), ..Config::default() };
        match self {
            Backend::Sqlite(dir) => config.data_dir = dir.path().to_owned(),
            Backend::Postgres(postgres) => config.postgres.url = postgres.url(),
        }
        config
    }

    /// Opens the store as a server does when it starts.
    pub async fn open(&self) -> Stores {
        store::open(&self.config()).await.expect("the store opens")
    }

    /// Runs statements beside the store.
    pub async fn run(&self, sql: &str) {
        match self {
            Backend::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
                db.execute_batch(sql).unwrap();
            }
            Backend::Postgres(postgres) => {
                postgres.sql(sql).await;
            }
        }
    }

    /// All rows of `events`, ordered by time and id.
    pub async fn events(&self) -> Vec<Event> {
        match self {
            Backend::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
                let sql = "SELECT time, id, type, user_id, session_id, properties, received_at
                           FROM events ORDER BY time, id";
                let mut select = db.prepare(sql).unwrap();
                let rows = select.query_map([], |row| {
                    assert_eq!(row.get::<_, i64>(6)?, row.get::<_, i64>(0)? + 20);
                    Ok(Event {
                        time: row.get(0)?,
                        id: row.get(1)?,
                        kind: row.get(2)?,
                        user: row.get(3)?,
                        session: row.get(4)?,
                        properties: row.get(5)?,
                    })
                });
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            Backend::Postgres(postgres) => {
                let sql = "SELECT (extract(epoch FROM time) * 1000)::bigint, id, type, user_id,
                                  session_id, properties,
                                  (extract(epoch FROM received_at - time) * 1000)::bigint
                           FROM events ORDER BY time, id";
                let rows = postgres.sql(sql).await.into_iter().map(|row| {
                    assert_eq!(row[6], "20");
                    let optional = |i: usize| Some(row[i].clone()).filter(|it| it != "NULL");
                    Event {
                        time: row[0].parse().unwrap(),
                        id: row[1].clone(),
                        kind: row[2].clone(),
                        user: optional(3),
                        session: optional(4),
                        properties: row[5].clone(),
                    }
                });
                rows.collect()
            }
        }
    }

    /// How many events there are of each source and dialect ("SOURCE DIALECT", "-" where unknown), the
    /// fewest first.
    pub async fn sources(&self) -> Vec<(String, u64)> {
        let sql = "SELECT coalesce(source, '-') || ' ' || coalesce(dialect, '-') AS name, count(*)
                   FROM events GROUP BY 1 ORDER BY 2";
        match self {
            Backend::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
                let mut select = db.prepare(sql).unwrap();
                let rows =
                    select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)));
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            Backend::Postgres(postgres) => {
                let rows = postgres.sql(sql).await.into_iter();
                rows.map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
            }
        }
    }

    /// The table of orders, each as one text: source, kind, id, order, total, currency, status, when it
    /// was placed and changed (Unix ms).
    pub async fn orders(&self) -> Vec<String> {
        let of = |placed: &str, changed: &str, total: &str| {
            format!(
                "SELECT source || ' ' || kind || ' ' || id || ' ' || order_id || ' ' || {total} || ' ' ||
                        currency || ' ' || status || ' ' || {placed} || ' ' || {changed}
                 FROM orders ORDER BY source, kind, id"
            )
        };
        match self {
            Backend::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
                let mut select = db.prepare(&of("placed_at", "changed_at", "total")).unwrap();
                let rows = select.query_map([], |row| row.get(0));
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            Backend::Postgres(postgres) => {
                let ms = |name: &str| format!("(extract(epoch FROM {name}) * 1000)::bigint");
                let sql = of(&ms("placed_at"), &ms("changed_at"), "total::text");
                postgres.sql(&sql).await.into_iter().map(|row| row[0].clone()).collect()
            }
        }
    }

    /// All dead letters as (seq, code, raw), ordered by seq and raw.
    pub async fn dead_letters(&self) -> Vec<(u64, String, String)> {
        match self {
            Backend::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
                let sql = "SELECT seq, code, raw FROM dead_letters ORDER BY seq, raw";
                let mut select = db.prepare(sql).unwrap();
                let rows = select.query_map([], |row| {
                    Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?))
                });
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            Backend::Postgres(postgres) => {
                let sql = "SELECT seq, code, raw FROM dead_letters ORDER BY seq, raw";
                let rows = postgres.sql(sql).await.into_iter();
                rows.map(|row| (row[0].parse().unwrap(), row[1].clone(), row[2].clone())).collect()
            }
        }
    }
}

/// The sums that the rows of the store add up to.
pub fn delta_of(events: &[Event]) -> Delta {
    let mut sum = DeltaSum::default();
    for event in events {
        let row: Row<'_> = event.row();
        add_row(&mut sum, &row);
    }
    sum.finish()
}

/// The sum of the whole ledger, over all lanes.
pub async fn ledger_total(store: &Stores) -> Delta {
    let ledger = sum_of(&*store.ledger, 0, 0).await.expect("the ledger is read");
    let mut sum = DeltaSum::default();
    ledger.lanes.iter().for_each(|lane| sum.merge(&lane.delta));
    sum.finish()
}

pub fn node(n: u128) -> NodeId {
    NodeId::from_u128(n)
}
