//! The table of events stays one that Citus can distribute by id. Citus is not run here: this holds the schema, as
//! the migrations leave it and while partitions come, to what Citus 12.1 refuses of a distributed table.
//! Source: Citus 12.1 documentation, "Creating and Modifying Distributed Objects (DDL)".

use super::open;
use crate::{
    backend::node,
    support::{batches::batch, postgres::Postgres},
};

/// What Citus refuses, and the query that finds it in `events` and its partitions.
const REFUSED: [(&str, &str); 6] = [
    (
        "a unique constraint or index without the column by which the table is distributed",
        "SELECT i.indexrelid::regclass FROM pg_index i JOIN theirs t ON t.oid = i.indrelid
         WHERE i.indisunique AND NOT EXISTS (
             SELECT 1 FROM pg_attribute a
             WHERE a.attrelid = i.indrelid AND a.attname = 'id' AND a.attnum = ANY (i.indkey))",
    ),
    (
        "a foreign key from or to a table that is not distributed with it, or an exclusion constraint",
        "SELECT c.conname FROM pg_constraint c JOIN theirs t ON t.oid IN (c.conrelid, c.confrelid)
         WHERE c.contype IN ('f', 'x')",
    ),
    (
        "a trigger",
        "SELECT g.tgname FROM pg_trigger g JOIN theirs t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal",
    ),
    ("a rule", "SELECT r.rulename FROM pg_rewrite r JOIN theirs t ON t.oid = r.ev_class"),
    (
        "an identity column, or a default that counts",
        "SELECT a.attname FROM pg_attribute a JOIN theirs t ON t.oid = a.attrelid
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval%'",
    ),
    (
        "an unlogged table, or one that inherits without being a partition",
        "SELECT t.oid::regclass FROM theirs t JOIN pg_class c ON c.oid = t.oid
         WHERE c.relpersistence <> 'p' OR (NOT c.relispartition AND c.oid <> 'events'::regclass)",
    ),
];

/// `events` and its partitions.
const THEIRS: &str = "WITH theirs AS (
    SELECT 'events'::regclass::oid AS oid
    UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass)";

async fn refused(postgres: &Postgres) -> Vec<String> {
    let mut found = Vec::new();
    for (what, sql) in REFUSED {
        let rows = postgres.sql(&format!("{THEIRS} {sql}")).await;
        found.extend(rows.iter().map(|row| format!("{what}: {}", row[0])));
    }
    found
}

#[tokio::test]
async fn nothing_of_the_table_of_events_is_what_citus_refuses() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    store.batches.write(&batch(node(1), 1, 200)).await.unwrap();
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    assert!(postgres.sql(partitions).await[0][0].parse::<u32>().unwrap() > 2);
    assert_eq!(refused(&postgres).await, [""; 0]);
    let column = "SELECT attnotnull FROM pg_attribute
                  WHERE attrelid = 'events'::regclass AND attname = 'id'";
    assert_eq!(postgres.sql(column).await, [["t"]], "events are distributed by their id");
    // The queries do find what they are for.
    postgres
        .sql(
            "CREATE SEQUENCE odd_numbers;
             ALTER TABLE events ADD COLUMN n bigint DEFAULT nextval('odd_numbers');
             CREATE UNLOGGED TABLE odd (LIKE events INCLUDING DEFAULTS);
             ALTER TABLE events ATTACH PARTITION odd FOR VALUES FROM ('2001-01-01') TO ('2001-01-02');
             CREATE TABLE other (id text PRIMARY KEY REFERENCES other);
             CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER odd AFTER INSERT ON events_default FOR EACH ROW EXECUTE FUNCTION nothing();
             CREATE UNIQUE INDEX odd_time ON events_default (time);
             CREATE RULE odd_rule AS ON DELETE TO events_default DO ALSO SELECT 1;
             ALTER TABLE events_default ADD CONSTRAINT odd_type FOREIGN KEY (type) REFERENCES other (id)",
        )
        .await;
    let found = refused(&postgres).await;
    for (what, _) in REFUSED {
        assert!(found.iter().any(|it| it.starts_with(what)), "{what}: {found:?}");
    }
}
