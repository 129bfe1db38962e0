//! What a store keeps of alerts: a rule fires once at a time, a notification is taken from the
//! outbox once, and one node has the lease.

use std::time::Duration;

use floodmark::{
    config::Config,
    domain::alert::Firing,
    store::{
        self, Stores,
        alerts::{Notice, NoticeOutcome, Recorded},
    },
};

use crate::support::postgres::Postgres;

fn firing(id: &str, name: &str, since: i64) -> Firing {
    let summary = "more than usual".into();
    Firing { id: id.into(), name: name.into(), since, value: 12.5, summary, ..Firing::default() }
}

fn notice(id: &str, alert: &str, change: &str, at: i64) -> Notice {
    Notice {
        id: id.into(),
        alert: alert.into(),
        change: change.into(),
        webhook: "test".into(),
        body: "{}".into(),
        created_at: at,
        due_at: at,
        attempts: 0,
        outcome: None,
    }
}

async fn contract(store: Stores) {
    let first = firing("1", "a", 1_000);
    let fired = notice("n1", "1", "fired", 1_000);
    for _ in 0..2 {
        let recorded =
            store.alerts.record_alert(&first, std::slice::from_ref(&fired)).await.unwrap();
        assert_eq!(recorded, Recorded::Done, "again is harmless");
    }
    // Another leader writes the same a little later.
    let late = firing("2", "a", 1_001);
    let recorded =
        store.alerts.record_alert(&late, &[notice("n2", "2", "fired", 1_001)]).await.unwrap();
    assert_eq!(recorded, Recorded::Known(Box::new(first.clone())));
    assert_eq!(store.alerts.alert_history().await.unwrap().firing, vec![first.clone()]);

    let over = Firing { cleared_at: Some(9_000), ..first };
    let cleared = notice("n3", "1", "cleared", 9_000);
    let again = notice("n4", "1", "cleared", 9_001);
    store.alerts.record_alert(&over, std::slice::from_ref(&cleared)).await.unwrap();
    store.alerts.record_alert(&over, &[again]).await.unwrap();
    let history = store.alerts.alert_history().await.unwrap();
    assert_eq!((history.firing, history.over), (vec![], vec![over]));
    // This alert fired and cleared while the store was down.
    let missed = Firing { cleared_at: Some(9_500), ..firing("3", "b", 9_400) };
    store.alerts.record_alert(&missed, &[]).await.unwrap();
    assert_eq!(store.alerts.alert_history().await.unwrap().over[0], missed);

    // The notification of the beginning comes before that of the end, each once.
    let due = store.alerts.due_notices(10_000, 10).await.unwrap();
    assert_eq!(due, std::slice::from_ref(&fired));
    assert!(store.alerts.due_notices(999, 10).await.unwrap().is_empty());
    assert!(store.alerts.claim_notice(&fired, 20_000).await.unwrap());
    assert!(!store.alerts.claim_notice(&fired, 20_000).await.unwrap(), "somebody was quicker");
    assert!(store.alerts.due_notices(10_000, 10).await.unwrap().is_empty());
    store.alerts.postpone_notice("n1", 12_000).await.unwrap();
    let due = store.alerts.due_notices(12_000, 10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 1));
    store.alerts.settle_notice("n1", NoticeOutcome::Delivered, 12_500).await.unwrap();
    assert_eq!(store.alerts.due_notices(13_000, 10).await.unwrap(), [cleared]);
}

#[tokio::test]
async fn sqlite_keeps_alerts_and_their_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    contract(store::open(&config).await.unwrap()).await;
}

#[tokio::test]
async fn postgres_keeps_alerts_and_their_outbox() {
    let postgres = Postgres::start();
    let mut config = Config::default();
    config.postgres.url = postgres.url();
    contract(store::open(&config).await.unwrap()).await;
}

#[tokio::test]
async fn a_lease_in_postgres_has_one_holder_until_it_runs_out_or_is_given_up() {
    let postgres = Postgres::start();
    let mut config = Config::default();
    config.postgres.url = postgres.url();
    let store = store::open(&config).await.unwrap();
    let long = Duration::from_secs(60);
    assert!(store.lease.lead("a", long).await.unwrap());
    assert!(!store.lease.lead("b", long).await.unwrap());
    store.lease.resign("b").await.unwrap();
    assert!(store.lease.lead("a", Duration::from_millis(50)).await.unwrap(), "renewed");
    let begin = std::time::Instant::now();
    while !store.lease.lead("b", long).await.unwrap() {
        assert!(begin.elapsed() < long, "it never runs out");
    }
    assert!(!store.lease.lead("a", long).await.unwrap());
    store.lease.resign("b").await.unwrap();
    assert!(store.lease.lead("a", long).await.unwrap());
}
