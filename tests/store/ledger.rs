//! The ledger as those read it who count anew: in parts, so that it never has to be in memory as a
//! whole, and by lane.

use floodmark::{
    domain::{
        batch::LANES,
        delta::{Delta, DeltaSum},
    },
    store::{LedgerHeads, LedgerSpan, Stores},
};
use tokio::sync::mpsc;

use crate::{
    backend::{Backend, node},
    contract::contract,
    support::{
        batches::{Event, START, seal},
        ledger::sum_of,
    },
};

contract!(the_ledger_comes_in_parts_that_add_up_to_the_whole, nobody_has_to_read_to_the_end);

/// Batches in each lane, and events in each batch, of as many visitors.
const BATCHES: u64 = 7;
const EVENTS: u64 = 4000;

async fn filled(backend: &Backend) -> Stores {
    let store = backend.open().await;
    for seq in 1..=BATCHES * LANES {
        let event = |n: u64| {
            let mut event = Event::at(START + n as i64, format!("{seq}-{n}"));
            event.session = Some(format!("{seq}-{n}"));
            event
        };
        let events: Vec<Event> = (0..EVENTS).map(event).collect();
        store.batches.write(&seal(node(1), seq, &events)).await.unwrap();
    }
    store
}

/// All parts, one after the other.
async fn parts_of(store: &Stores, lane: Option<u64>) -> (LedgerHeads, Vec<(u64, Delta)>) {
    let (sender, mut read) = mpsc::channel(1);
    let asked = LedgerSpan { since: 0, visitors_since: 0, lane };
    let mut parts = Vec::new();
    let taken = async {
        while let Some(part) = read.recv().await {
            parts.push(part);
        }
    };
    let (heads, ()) = tokio::join!(store.ledger.read(asked, sender), taken);
    (heads.unwrap(), parts)
}

async fn the_ledger_comes_in_parts_that_add_up_to_the_whole(backend: Backend) {
    let store = filled(&backend).await;
    let whole = sum_of(&*store.ledger, 0, 0).await.unwrap();
    let (heads, parts) = parts_of(&store, None).await;
    assert!(parts.len() > LANES as usize, "no lane fits into one part");
    for lane in 0..LANES {
        let (of_lane, alone) = parts_of(&store, Some(lane)).await;
        assert!(alone.len() > 1 && alone.iter().all(|(of, _)| *of == lane));
        let mut sums = [DeltaSum::default(), DeltaSum::default()];
        parts.iter().filter(|(of, _)| *of == lane).for_each(|(_, part)| sums[0].merge(part));
        alone.iter().for_each(|(_, part)| sums[1].merge(part));
        let whole = &whole.lanes[lane as usize];
        for mut sum in sums {
            assert_eq!(sum.finish(), whole.delta);
        }
        assert_eq!(whole.delta.events, BATCHES * EVENTS);
        assert_eq!(whole.delta.visitors().len() as u64, BATCHES * EVENTS);
        for heads in [&heads, &of_lane] {
            assert_eq!(heads[lane as usize], whole.last);
        }
    }
}

async fn nobody_has_to_read_to_the_end(backend: Backend) {
    let store = filled(&backend).await;
    let (sender, mut read) = mpsc::channel(1);
    let asked = LedgerSpan { since: 0, visitors_since: 0, lane: None };
    let first = async {
        let first = read.recv().await;
        drop(read);
        first
    };
    let (answer, first) = tokio::join!(store.ledger.read(asked, sender), first);
    assert!(first.is_some());
    assert!(answer.unwrap_err().message.contains("not taken up any more"));
    // The connection that was read from serves the next one.
    assert!(sum_of(&*store.ledger, 0, 0).await.is_ok());
}
