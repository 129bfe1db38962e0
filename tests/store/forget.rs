//! A person is forgotten to the row, and nobody else is touched: on both stores.

use std::collections::BTreeMap;

use floodmark::{
    domain::{
        batch::DeadLetter,
        time::{DAY, MINUTE, Millis, now_ms},
    },
    store::{
        Stores,
        forget::{DataSubject, ForgetCounts, forget},
        retention::{RemovalReason, date_of},
    },
};

use crate::{
    backend::{Backend, ledger_total, node},
    contract::contract,
    support::batches::{Event, event, seal},
};

contract!(
    a_user_is_forgotten_to_the_row,
    a_session_is_forgotten_whoever_was_in_it,
    a_request_that_is_done_is_begun_anew_for_what_came_later,
);

/// Sixty events of each of the last four days: of ten users in sessions of their own, some of them without
/// the user; a session that three users share; and events of nobody.
async fn plant(store: &Stores) -> Vec<Event> {
    let mut all = Vec::new();
    for (seq, back) in (0..4).rev().enumerate() {
        let day = now_ms().div_euclid(DAY) - back;
        let events: Vec<Event> = (0..60u64)
            .map(|n| {
                let who = n % 10;
                let named = |text: String| Some(text);
                let (user, session) = match n % 6 {
                    0 => (named(format!("user-{who}")), named(format!("own-{who}"))),
                    1 => (None, named(format!("own-{}", (n - 1) % 10))),
                    2 => (named(format!("user-{}", n / 6 % 3)), named("shared".to_owned())),
                    3 => (None, named("shared".to_owned())),
                    4 => (named(format!("user-{who}")), None),
                    _ => (None, None),
                };
                let time = day * DAY + n as Millis * MINUTE;
                let base = event(seq as u64 * 60 + n);
                Event { time, user, session, ..base }
            })
            .collect();
        let mut batch = seal(node(1), seq as u64 + 1, &events);
        if back == 0 {
            batch.dead_letters = letters();
        }
        store.batches.write(&batch).await.unwrap();
        all.extend(events);
    }
    all
}

fn letters() -> Vec<DeadLetter> {
    let letter = |n: usize, raw: &str, event: &str| DeadLetter {
        received_at: now_ms() + n as Millis,
        code: "invalid_type".to_owned(),
        message: "no type".to_owned(),
        raw: raw.to_owned(),
        event: event.to_owned(),
        ..DeadLetter::default()
    };
    vec![
        letter(0, r#"{"type":7,"userId":"user-0"}"#, ""),
        letter(1, r#"{"type":7,"userId":"user-00"}"#, ""),
        letter(2, "e=x&uid=encoded", r#"{"userId":"user-0","type":7}"#),
        letter(3, r#"{"type":7,"properties":{"name":"user-0"}}"#, ""),
    ]
}

async fn done(store: &Stores, person: &DataSubject) -> ForgetCounts {
    let (request, counts) = forget(store, person, now_ms()).await.unwrap().expect("nobody else");
    assert_eq!(request.person, person.hash(&request.salt));
    store.forget.end_forgetting(&request, "{}", now_ms()).await.unwrap();
    counts
}

fn by_day(events: &[&Event]) -> Vec<(String, u64)> {
    let mut days = BTreeMap::new();
    for event in events {
        *days.entry(date_of(event.time.div_euclid(DAY))).or_default() += 1;
    }
    days.into_iter().collect()
}

fn ids<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<String> {
    let mut ids: Vec<String> = events.into_iter().map(|event| event.id.clone()).collect();
    ids.sort();
    ids
}

async fn a_user_is_forgotten_to_the_row(backend: Backend) {
    let store = backend.open().await;
    let all = plant(&store).await;
    let ledger = ledger_total(&store).await;
    let own = |event: &&Event| {
        event.user.as_deref() == Some("user-0")
            || (event.user.is_none() && event.session.as_deref() == Some("own-0"))
    };
    let (gone, rest): (Vec<&Event>, Vec<&Event>) = all.iter().partition(own);
    let with_user = gone.iter().filter(|event| event.user.is_some()).count();
    assert!(with_user > 8 && gone.len() > with_user, "{with_user} of {}", gone.len());
    let counts = done(&store, &DataSubject::User("user-0".to_owned())).await;
    assert_eq!(counts.days, by_day(&gone));
    assert_eq!((counts.sessions, counts.dead_letters), (1, 2), "not the shared session");
    let rows = backend.events().await;
    assert_eq!(ids(&rows), ids(rest.iter().copied()));
    assert_eq!(ledger_total(&store).await, ledger, "what was counted stays");
    let raw: Vec<String> =
        backend.dead_letters().await.into_iter().map(|(_, _, raw)| raw).collect();
    let kept = [r#"{"type":7,"properties":{"name":"user-0"}}"#, r#"{"type":7,"userId":"user-00"}"#];
    assert_eq!(raw, kept);
    let removed = store.retention.removed(0, Millis::MAX).await.unwrap();
    assert!(removed.iter().all(|it| it.reason == RemovalReason::Person));
    assert_eq!(removed.iter().map(|it| it.rows).sum::<u64>(), gone.len() as u64);
}

async fn a_session_is_forgotten_whoever_was_in_it(backend: Backend) {
    let store = backend.open().await;
    let all = plant(&store).await;
    let shared = |event: &&Event| event.session.as_deref() == Some("shared");
    let (gone, rest): (Vec<&Event>, Vec<&Event>) = all.iter().partition(shared);
    let counts = done(&store, &DataSubject::Session("shared".to_owned())).await;
    assert_eq!((counts.days, counts.sessions), (by_day(&gone), 0));
    assert_eq!(ids(&backend.events().await), ids(rest));
}

async fn a_request_that_is_done_is_begun_anew_for_what_came_later(backend: Backend) {
    let store = backend.open().await;
    plant(&store).await;
    let person = DataSubject::User("user-2".to_owned());
    let first: u64 = done(&store, &person).await.days.iter().map(|(_, rows)| rows).sum();
    assert!(first > 0);
    assert_eq!(done(&store, &person).await, ForgetCounts::default(), "nothing is left");
    let late = Event { user: Some("user-2".to_owned()), time: now_ms(), ..event(9_000) };
    store.batches.write(&seal(node(2), 1, &[late])).await.unwrap();
    assert_eq!(done(&store, &person).await.days, [(date_of(now_ms().div_euclid(DAY)), 1)]);
    assert!(store.forget.open_requests().await.unwrap().is_empty());
}
