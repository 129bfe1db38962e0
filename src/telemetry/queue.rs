//! How much waits for each actor: `floodmark_queue_depth`. An actor that falls behind shows there first,
//! before anything is refused or late.
//!
//! Nothing is counted for a metric alone where a part knows its queue anyway: it is asked when somebody
//! reads the metrics. Mailboxes of actix don't tell their length, so what waits in one holds a [`QueuePlace`],
//! which costs two additions to an atomic.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

/// What waits for a part, over all of its mailboxes and channels.
pub const DEPTH: &str = "floodmark_queue_depth";
/// What waits for the one actor of a part that is furthest behind.
pub const LONGEST: &str = "floodmark_queue_longest";

/// All queues of the process. There is one of a part for each server, and a process of tests has several.
static QUEUES: Mutex<Vec<Queue>> = Mutex::new(Vec::new());

struct Queue {
    name: &'static str,
    part: String,
    /// `None` once the queue is gone.
    depth: Box<dyn Fn() -> Option<usize> + Send>,
}

/// Shows `depth` as what waits for `part` whenever the metrics are read; until it is `None`.
pub fn watch(part: impl Into<String>, depth: impl Fn() -> Option<usize> + Send + 'static) {
    enlist(DEPTH, part.into(), depth);
}

fn enlist(name: &'static str, part: String, depth: impl Fn() -> Option<usize> + Send + 'static) {
    QUEUES.lock().push(Queue { name, part, depth: Box::new(depth) });
}

/// Sets the gauges to what waits now. Queues that are gone are forgotten; what shows them stays at 0.
pub fn report() {
    let mut waiting: Vec<(&'static str, String, usize)> = Vec::new();
    QUEUES.lock().retain(|queue| {
        let depth = (queue.depth)();
        let n = depth.unwrap_or(0);
        match waiting.iter_mut().find(|it| it.0 == queue.name && it.1 == queue.part) {
            Some(known) if queue.name == LONGEST => known.2 = known.2.max(n),
            Some(known) => known.2 += n,
            None => waiting.push((queue.name, queue.part.clone(), n)),
        }
        depth.is_some()
    });
    for (name, part, depth) in waiting {
        metrics::gauge!(name, "part" => part).set(depth as f64);
    }
}

/// A count of what waits, for a part that has no better way to know. A clone is the same count.
#[derive(Clone, Debug)]
pub struct Depth(Arc<AtomicUsize>);

impl Depth {
    /// A queue of `part`, in which nothing waits.
    pub fn of(part: &'static str) -> Depth {
        Depth::shown(DEPTH, part)
    }

    /// The longest queue of a part that has many actors.
    pub fn longest(part: &'static str) -> Depth {
        Depth::shown(LONGEST, part)
    }

    fn shown(name: &'static str, part: &'static str) -> Depth {
        let count = Arc::new(AtomicUsize::new(0));
        let seen: Weak<AtomicUsize> = Arc::downgrade(&count);
        enlist(name, part.to_owned(), move || Some(seen.upgrade()?.load(Ordering::Relaxed)));
        Depth(count)
    }

    /// Says how much waits.
    pub fn set(&self, waiting: usize) {
        self.0.store(waiting, Ordering::Relaxed);
    }

    /// One more waits, until the place is dropped: with the message that it stands in, wherever that ends.
    pub fn enter(&self) -> QueuePlace {
        self.0.fetch_add(1, Ordering::Relaxed);
        QueuePlace(self.0.clone())
    }
}

/// The place of one message in a queue.
#[derive(Debug)]
pub struct QueuePlace(Arc<AtomicUsize>);

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is enlisted of a part, without the gauges, which other tests of this process set too.
    fn waits(part: &str) -> Option<usize> {
        let queues = QUEUES.lock();
        let of_part: Vec<_> = queues.iter().filter(|queue| queue.part == part).collect();
        (!of_part.is_empty()).then(|| of_part.iter().filter_map(|queue| (queue.depth)()).sum())
    }

    #[test]
    fn what_waits_is_counted_until_it_is_dropped_and_servers_are_added_up() {
        let (one, other) = (Depth::of("a test"), Depth::of("a test"));
        let places = [one.enter(), one.enter(), other.enter()];
        report();
        assert_eq!(waits("a test"), Some(3));
        drop(places);
        assert_eq!(waits("a test"), Some(0));
        other.set(7);
        drop(one);
        report();
        assert_eq!(waits("a test"), Some(7));
        drop(other);
        report();
        assert_eq!(waits("a test"), None);
    }

    #[test]
    fn a_queue_that_knows_its_length_is_asked() {
        let length = Arc::new(AtomicUsize::new(5));
        let asked = Arc::downgrade(&length);
        watch("a test of asking", move || Some(asked.upgrade()?.load(Ordering::Relaxed)));
        assert_eq!(waits("a test of asking"), Some(5));
        drop(length);
        report();
        assert_eq!(waits("a test of asking"), None);
    }
}
