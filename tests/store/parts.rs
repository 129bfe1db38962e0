//! A batch that comes in parts, since copies of one data dir have sealed its beginning: part of the
//! behaviour that every store must have (`contract.rs`).

use floodmark::{
    domain::batch::{Batch, BatchId, RestOf},
    store::{LaneHead, Missing, Written},
};

use crate::{
    backend::{Backend, node},
    contract::{of_run, stored},
    support::batches::batch,
};

pub(crate) async fn a_batch_that_comes_in_parts_is_whole_before_the_next(backend: Backend) {
    let store = backend.open().await;
    let write = async |batch: &Batch| store.batches.write(batch).await.unwrap();
    let id = BatchId { run: node(1), seq: 1 };
    let events = async || store.batches.events_of(id).await.unwrap();
    // A copy of the data dir has sealed 10 events; the process itself goes on to 25.
    assert_eq!(events().await, None);
    assert_eq!(write(&batch(node(1), 1, 10)).await, stored(10));
    let next = Batch { after_events: 25, ..of_run(1, 5, Some((1, 1))) };
    assert_eq!(write(&next).await, Written::Gap, "15 events of the batch before are missing");
    let of_other_run = Batch { after_events: 25, ..of_run(2, 5, Some((1, 1))) };
    assert_eq!(write(&of_other_run).await, Written::Gap);
    let rest = |run: u128, known, size| Batch {
        rest_of: Some(RestOf { id, known }),
        after: None,
        ..batch(node(run), 1, size)
    };
    assert_eq!(write(&rest(7, 9, 16)).await, Written::Gap, "the store has 10 events and not 9");
    assert_eq!(write(&rest(7, 10, 5)).await, stored(5));
    assert_eq!(events().await, Some(15));
    assert_eq!(write(&rest(7, 10, 5)).await, Written::Gap, "it has these");
    assert_eq!(write(&next).await, Written::Gap, "10 are missing still");
    assert_eq!(write(&rest(8, 15, 10)).await, stored(10));
    let heads = store.batches.heads(node(1)).await.unwrap();
    assert_eq!(heads[1], LaneHead { seq: 1, events: Some(25) });
    let delta = batch(node(1), 1, 10).delta.encode_cells();
    let differs = Written::Differs { events: 10, whole_events: 25, delta };
    assert_eq!(write(&batch(node(1), 1, 25)).await, differs, "a replay hears what is there");
    assert_eq!(write(&next).await, stored(10));
    assert_eq!(write(&of_other_run).await, stored(10));
    assert_eq!(store.info.totals().await.unwrap().events, 45);
    // What nobody has any more is noted, and the next batch follows.
    let id = BatchId { run: node(3), seq: 1 };
    assert_eq!(write(&batch(node(3), 1, 10)).await, stored(10));
    let missing = Missing { node: node(9), first: id, last: id, events: Some(2) };
    for _ in 0..2 {
        store.batches.skip(&missing, None, 12).await.unwrap();
    }
    let next = Batch { after_events: 12, ..of_run(3, 5, Some((3, 1))) };
    assert_eq!(write(&next).await, stored(10));
    assert_eq!(store.batches.missing(node(9)).await.unwrap(), [missing]);
}
