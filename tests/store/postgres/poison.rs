//! Rows that Postgres refuses become dead letters, and the rest of their batch is stored.

use floodmark::{
    domain::time::now_ms,
    store::{StoreTotals, Written, poison},
};

use super::open;
use crate::{
    backend::{Backend, node},
    support::{
        batches::{Event, batch, dead_letter, event, seal},
        postgres::Postgres,
    },
};

#[tokio::test]
async fn poisoned_rows_go_to_the_dead_letters_and_block_nothing() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    let mut events: Vec<Event> = (0..300).map(event).collect();
    let poison = [
        (0, r#"{"number":1e200000}"#),
        (141, r#"{"nul":"a\u0000b"}"#),
        (142, r#"{"surrogate":"\ud800"}"#),
        (299, "no json"),
    ];
    for (n, properties) in poison {
        events[n].kind = "page_view".to_owned();
        events[n].properties = properties.to_owned();
    }
    events[77].id = "n\0l".to_owned();
    let mut sealed = seal(node(1), 1, &events);
    sealed.dead_letters.push(dead_letter(1));
    let written = store.batches.write(&sealed).await.unwrap();
    assert_eq!(written, Written::Stored { events: 295, poisoned: 5 });
    assert_eq!(store.batches.write(&sealed).await.unwrap(), Written::AlreadyStored);
    store.batches.write(&batch(node(1), 5, 10)).await.unwrap();

    assert_eq!(
        store.info.totals().await.unwrap(),
        StoreTotals { events: 305, dead_letters: 6, ledger_events: 310 }
    );
    let reasons = postgres
        .sql("SELECT message, raw FROM dead_letters WHERE code = 'refused_by_store' ORDER BY received_at")
        .await;
    let reason = |n: usize, part: &str| assert!(reasons[n][0].contains(part), "{reasons:?}");
    reason(0, "overflow");
    reason(1, "22021");
    reason(2, "22P05");
    reason(3, "surrogate");
    reason(4, "json");
    assert!(reasons[2][1].contains(r#"{"nul":"a\u0000b"}"#), "{reasons:?}");
    // The ledger has the whole batch, since the live counters have counted the refused rows too.
    let mut delta = (*sealed.delta).clone();
    assert_eq!(store.ledger.delta(sealed.id).await.unwrap(), Some(delta.clone()));
    delta.events = 0;
    let poisoned = postgres.sql("SELECT sum(poisoned) FROM ledger").await;
    assert_eq!(poisoned, [["5"]]);
}

#[tokio::test]
async fn a_batch_of_nothing_but_poison_passes() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    // A constraint that an operator has added refuses all page views, and one row consists of
    // invalid bytes.
    let events: Vec<Event> = (0..20).map(|n| Event::at(now_ms(), format!("{n}"))).collect();
    store.batches.write(&batch(node(1), 1, 5)).await.unwrap();
    postgres
        .sql("ALTER TABLE events ADD CONSTRAINT no_views CHECK (type <> 'page_view') NOT VALID")
        .await;
    let mut sealed = seal(node(1), 2, &events);
    sealed.rows.push(bytes::Bytes::from_static(&[7; 30]));
    sealed.events += 1;
    let written = store.batches.write(&sealed).await.unwrap();
    assert_eq!(written, Written::Stored { events: 0, poisoned: 21 });
    let letters = Backend::Postgres(postgres).dead_letters().await;
    assert_eq!(letters.len(), 21);
    assert!(letters.iter().any(|letter| letter.1 == poison::MALFORMED));
}
