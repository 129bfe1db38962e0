//! How large what is kept is, by the day.

use floodmark::{config::Config, store::sqlite};
use tokio_postgres::NoTls;

use crate::filled::ROWS;

/// Tables with what is kept of the past, and the rows themselves.
const TABLES: [&str; 4] = ["rollups", "breakdown_rollups", "sketch_rollups", "events"];
/// Events of a day that is compared with.
const EVENTS_OF_A_DAY: f64 = 10e6;

/// Prints the bytes of each table, with its indexes, for a day.
pub async fn print(config: &Config, days: i64) {
    let sizes = match config.postgres.url.is_empty() {
        true => of_sqlite(config),
        false => of_postgres(&config.postgres.url).await,
    };
    for (table, bytes) in TABLES.iter().zip(sizes) {
        let megabytes = match *table {
            "events" => bytes as f64 / ROWS as f64 * EVENTS_OF_A_DAY / 1e6,
            _ => bytes as f64 / days as f64 / 1e6,
        };
        let of = if *table == "events" { " (10 million events)" } else { "" };
        println!("  {table}: {megabytes:.2} MB a day{of}");
    }
}

fn of_sqlite(config: &Config) -> Vec<i64> {
    let path = config.data_dir.join(sqlite::FILE);
    let db = rusqlite::Connection::open(path).expect("the file can be opened");
    let of = |table: &&str| {
        let sql = "SELECT coalesce(sum(s.pgsize), 0) FROM dbstat s
                   JOIN sqlite_master m ON m.name = s.name WHERE m.tbl_name = ?";
        db.query_row(sql, [table], |row| row.get(0)).expect("dbstat is compiled in")
    };
    TABLES.iter().map(of).collect()
}

async fn of_postgres(url: &str) -> Vec<i64> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("Postgres can be reached");
    tokio::spawn(connection);
    let mut sizes = Vec::new();
    for table in TABLES {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
                   WHERE c.oid = to_regclass($1)
                      OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($1))";
        let row = client.query_one(sql, &[&table]).await.expect("sizes can be read");
        sizes.push(row.get(0));
    }
    sizes
}
