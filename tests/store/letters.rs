//! Dead letters as both stores group them, page through them and remember what was sent again.

use floodmark::{
    domain::batch::DeadLetter,
    store::letters::{EventWithId, LetterFilter, LetterState},
};
use uuid::Uuid;

use crate::{
    backend::{Backend, node},
    contract::contract,
    support::batches::{START, batch, dead_letter},
};

contract!(
    letters_are_grouped_with_their_newest,
    letters_are_paged_and_their_state_is_kept,
    events_are_found_by_id_within_a_time,
);

fn all() -> LetterFilter {
    LetterFilter { to: i64::MAX >> 10, ..LetterFilter::default() }
}

/// Ten letters of two sources; the first three came at once.
fn letters() -> Vec<DeadLetter> {
    let letter = |n: u64| DeadLetter {
        received_at: START + n.saturating_sub(2) as i64,
        source: if n < 7 { "shop" } else { "" }.to_owned(),
        key: "1a2b3c4d".to_owned(),
        dialect: "segment".to_owned(),
        event: if n == 6 { r#"{"type":"native"}"#.to_owned() } else { String::new() },
        cut: n == 5,
        time: (n == 4).then_some(77),
        ..dead_letter(n)
    };
    (0..10).map(letter).collect()
}

async fn letters_are_grouped_with_their_newest(backend: Backend) {
    let store = backend.open().await;
    let mut first = batch(node(1), 1, 1);
    first.dead_letters = letters();
    store.batches.write(&first).await.unwrap();
    let groups = store.letters.letter_groups(&all(), 2).await.unwrap();
    let found: Vec<_> = groups
        .iter()
        .map(|it| (it.source.as_str(), it.waiting, it.sent, it.first - START, it.last - START))
        .collect();
    assert_eq!(found, [("shop", 7, 0, 0, 4), ("", 3, 0, 5, 7)]);
    let samples = &groups[0].samples;
    let places: Vec<_> = samples.iter().map(|sample| sample.received_at - START).collect();
    assert_eq!(places, [4, 3], "the newest");
    assert_eq!((&*samples[0].text, &*samples[0].dialect), (r#"{"type":"native"}"#, "segment"));

    let filter = |code: Option<&str>, source: Option<&str>, key: Option<&str>| LetterFilter {
        code: code.map(str::to_owned),
        source: source.map(str::to_owned),
        key: key.map(str::to_owned),
        ..all()
    };
    for (filter, expected) in [
        (filter(None, Some(""), None), 1),
        (filter(Some("invalid_type"), None, Some("1a2b3c4d")), 2),
        (filter(Some("other"), None, None), 0),
        (filter(None, None, Some("")), 0),
        (LetterFilter { from: START + 5, ..all() }, 1),
        (LetterFilter { to: START, ..all() }, 0),
    ] {
        let groups = store.letters.letter_groups(&filter, 0).await.unwrap();
        assert_eq!(groups.len(), expected, "{filter:?}");
        assert!(groups.iter().all(|group| group.samples.is_empty()));
    }
}

async fn letters_are_paged_and_their_state_is_kept(backend: Backend) {
    let store = backend.open().await;
    let mut first = batch(node(1), 1, 1);
    first.dead_letters = letters();
    store.batches.write(&first).await.unwrap();
    let (mut found, mut after) = (Vec::new(), (-1, Uuid::nil()));
    loop {
        let page = store.letters.letters(&all(), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = (last.received_at, last.letter);
        found.extend(page);
    }
    assert_eq!(found.len(), 10, "each once, also those that came at the same time");
    let cut: Vec<_> = found.iter().map(|it| it.cut).collect();
    assert_eq!(cut.iter().position(|cut| *cut), Some(5));
    assert_eq!((found[4].time, found[3].time), (Some(77), None));
    assert_eq!(found[6].event, r#"{"type":"native"}"#);

    let named = |range: std::ops::Range<usize>| -> Vec<Uuid> {
        found[range].iter().map(|it| it.letter).collect()
    };
    let mark = async |range, state| {
        store.letters.mark_letters(&named(range), state, START).await.unwrap();
    };
    mark(0..4, LetterState::Sending).await;
    mark(2..4, LetterState::Sent).await;
    mark(1..2, LetterState::Waiting).await;
    let left = store.letters.letters(&all(), (-1, Uuid::nil()), 99).await.unwrap();
    assert_eq!(left.len(), 8);
    let groups = store.letters.letter_groups(&all(), 0).await.unwrap();
    assert_eq!((groups[0].waiting, groups[0].sent), (5, 2));
}

async fn events_are_found_by_id_within_a_time(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&batch(node(1), 1, 10)).await.unwrap();
    let events = backend.events().await;
    let (some, other) = (&events[3], &events[8]);
    let ids = [some.id.clone(), other.id.clone(), "nobody's".to_owned()];
    let at = |from, to| store.letters.events_with_ids(&ids, from, to);
    let mut found = at(some.time.min(other.time), some.time.max(other.time)).await.unwrap();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    let mut expected = [some, other].map(|event| EventWithId {
        id: event.id.clone(),
        kind: event.kind.clone(),
        source: None,
    });
    expected.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(found, expected);
    assert_eq!(at(0, 1_000).await.unwrap(), []);
}
