//! Marks, on both stores: each once, by their time, until they are taken back.

use floodmark::{
    domain::{
        mark::{MAX_MARK_LENGTH, Mark, NewMark},
        time::{DAY, HOUR, Millis},
    },
    store::{
        Stores,
        marks::{MadeMark, MarksAsked},
    },
};

use crate::{backend::Backend, contract::contract, support::batches::START};

contract!(
    a_mark_is_kept_once_and_found_by_its_time,
    deliveries_of_one_webhook_at_once_are_one_mark,
    a_mark_that_was_taken_back_does_not_come_back,
);

fn new(title: &str, (time, until): (Millis, Option<Millis>), key: Option<&str>) -> NewMark {
    let link = Some("https://ci.example/1".to_owned());
    let key = key.map(|key| ("token ci", key.to_owned()));
    NewMark::checked((time, until), (title, "token ci"), (link, key), START).unwrap()
}

async fn add(store: &Stores, new: NewMark) -> Mark {
    match store.marks.add_mark(&new).await.unwrap() {
        MadeMark::New(mark) => mark,
        known => panic!("{known:?}"),
    }
}

async fn titles(store: &Stores, from: Millis, to: Millis, limit: usize) -> Vec<String> {
    let marks = store.marks.marks(MarksAsked { from, to, limit }).await.unwrap();
    marks.into_iter().map(|mark| mark.title).collect()
}

async fn a_mark_is_kept_once_and_found_by_its_time(backend: Backend) {
    let store = backend.open().await;
    let first = add(&store, new("first", (START, None), None)).await;
    let long = (START - MAX_MARK_LENGTH, Some(START));
    add(&store, new("sale", long, None)).await;
    // Two marks without a key are two, whatever they say.
    add(&store, new("second", (START + HOUR, None), None)).await;
    add(&store, new("second", (START + HOUR, None), None)).await;
    assert_eq!(titles(&store, 0, START + DAY, 10).await, ["second", "second", "first", "sale"]);
    assert_eq!(titles(&store, 0, START + DAY, 2).await, ["second", "second"]);
    // One that began before the span is found while it lasts; one that begins at its end is not in it.
    assert_eq!(titles(&store, START, START + HOUR, 10).await, ["first", "sale"]);
    assert_eq!(titles(&store, START + 1, START + HOUR, 10).await, [""; 0]);
    let again = backend.open().await;
    let marks = again.marks.marks(MarksAsked { from: START, to: START + 1, limit: 1 });
    assert_eq!(marks.await.unwrap(), [first]);
}

async fn deliveries_of_one_webhook_at_once_are_one_mark(backend: Backend) {
    let store = backend.open().await;
    let news: Vec<NewMark> =
        (0..8).map(|n| new(&format!("deploy {n}"), (START + n, None), Some("github:1"))).collect();
    let made = futures_util::future::join_all(news.iter().map(|new| store.marks.add_mark(new)));
    let made: Vec<MadeMark> = made.await.into_iter().map(Result::unwrap).collect();
    let fresh: Vec<&MadeMark> = made.iter().filter(|it| matches!(it, MadeMark::New(_))).collect();
    assert_eq!(fresh.len(), 1, "{made:?}");
    assert!(made.iter().all(|it| it.mark() == fresh[0].mark()), "{made:?}");
    assert_eq!(titles(&store, 0, START + DAY, 10).await, [fresh[0].mark().title.as_str()]);
}

async fn a_mark_that_was_taken_back_does_not_come_back(backend: Backend) {
    let store = backend.open().await;
    let mark = add(&store, new("deploy", (START, None), Some("k"))).await;
    let other = add(&store, new("other", (START, None), None)).await;
    let theirs = add(&store, new("theirs", (START, None), None)).await;
    assert!(!store.marks.remove_mark("nothing", ("user alice", None), START).await.unwrap());
    let of_another = ("token other", Some("token other"));
    assert!(!store.marks.remove_mark(&mark.id, of_another, START).await.unwrap());
    let of_its_own = ("token ci", Some("token ci"));
    assert!(store.marks.remove_mark(&theirs.id, of_its_own, START).await.unwrap());
    assert!(store.marks.remove_mark(&mark.id, ("user alice", None), START).await.unwrap());
    assert!(!store.marks.remove_mark(&mark.id, ("user alice", None), START).await.unwrap());
    let again = store.marks.add_mark(&new("deploy", (START, None), Some("k"))).await.unwrap();
    assert_eq!(again, MadeMark::Known(mark));
    assert_eq!(titles(&store, 0, START + DAY, 10).await, [other.title]);
}
