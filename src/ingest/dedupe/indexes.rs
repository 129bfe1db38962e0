//! The indexes of all classes of ids. An event is a duplicate by one of them, or is added to one.

use super::Dedupe;
use crate::{
    domain::{
        ids::{IdClass, IdQueue, Key, Page},
        time::Millis,
    },
    spool::IdWindows,
};

/// An index for each [`IdClass`].
#[derive(Debug)]
pub struct IdIndexes([Dedupe; 3]);

/// How many ids were added to the index of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedIds([usize; 3]);

impl AddedIds {
    /// Counts one more.
    pub fn add(&mut self, class: IdClass) {
        self.0[class as usize] += 1;
    }

    /// Both together.
    pub fn and(self, other: AddedIds) -> AddedIds {
        AddedIds(IdClass::ALL.map(|class| self.0[class as usize] + other.0[class as usize]))
    }
}

/// Where in a position its class stands: the topmost two bits. No index comes near to 2^62 ids.
const CLASS_AT: u32 = 62;

impl IdIndexes {
    /// Empty indexes, each as long and as large as its window says.
    pub fn new(windows: &IdWindows) -> IdIndexes {
        IdIndexes(IdClass::ALL.map(|class| {
            let window = windows.of(class);
            Dedupe::within(window.window_ms, window.max_ids, window.max_bytes)
        }))
    }

    /// Takes over what the spool has: a queue for each class, with times in order, at `now` (Unix ms).
    pub fn recover(&mut self, ids: [IdQueue; 3], now: Millis) {
        for (index, ids) in self.0.iter_mut().zip(ids) {
            index.recover(ids, now);
        }
    }

    /// Notes an id that was received at `at` (Unix ms), and says where. `None` says that it was there
    /// already: the event is then a duplicate, and nothing has changed.
    pub fn insert(&mut self, id: &str, at: Millis) -> Option<IdClass> {
        let key = Key::new(id);
        // What the shop has sent, a page can't send once more.
        if let Some(of_shop) = key.of_shop()
            && self.of_mut(of_shop.class()).knows(of_shop, at)
        {
            return None;
        }
        // Ids without types are all in one index. The index of their own class looks there itself.
        let class = key.class();
        if class != IdClass::Short && self.of_mut(IdClass::Short).knows_untyped(key, at) {
            return None;
        }
        self.of_mut(class).insert_key(key, at).then_some(class)
    }

    /// Whether an id was noted within its window that ends at `at` (Unix ms). Nothing is added.
    pub fn knows(&mut self, id: &str, at: Millis) -> bool {
        let key = Key::new(id);
        self.of_mut(key.class()).knows(key, at)
            || self.of_mut(IdClass::Short).knows_untyped(key, at)
    }

    /// Removes the newest ids, whose group did not reach the disk.
    pub fn take_back(&mut self, added: AddedIds) {
        for (index, added) in self.0.iter_mut().zip(added.0) {
            index.take_back(added);
        }
    }

    /// A page of up to `limit` ids from position `from` on, each with how much longer (ms) it is
    /// remembered at `now`, and the position after them. The `newest` last ids are left out. `None`
    /// behind the last.
    pub fn page(&self, from: u64, limit: usize, newest: AddedIds, now: Millis) -> Option<Page> {
        let first = (from >> CLASS_AT) as usize;
        (first..self.0.len()).find_map(|class| {
            let begin = if class == first { from & ((1 << CLASS_AT) - 1) } else { 0 };
            let (page, next) = self.0[class].page(begin, limit, newest.0[class], now)?;
            Some((page, (class as u64) << CLASS_AT | next))
        })
    }

    /// Forgets ids that have left their window at `now` (Unix ms).
    pub fn expire(&mut self, now: Millis) {
        self.0.iter_mut().for_each(|index| index.expire(now));
    }

    /// How many ids there are in all.
    pub fn count(&self) -> usize {
        self.0.iter().map(Dedupe::len).sum()
    }

    /// How far back, in ms at `now`, duplicates of this class are recognised.
    pub fn window_in_force(&self, class: IdClass, now: Millis) -> Millis {
        self.0[class as usize].window_in_force(now)
    }

    fn of_mut(&mut self, class: IdClass) -> &mut Dedupe {
        &mut self.0[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ids::{IdSpace, known_as},
        spool::IdWindow,
    };

    fn indexes(max_ids: usize) -> IdIndexes {
        let short = IdWindow { window_ms: 100, max_ids, max_bytes: usize::MAX };
        let long = IdWindow { window_ms: 1_000, ..short };
        IdIndexes::new(&IdWindows { short, long, long_public: long })
    }

    fn order(space: IdSpace) -> String {
        known_as("order:1001", "purchase", space)
    }

    #[test]
    fn a_page_can_not_take_an_id_from_the_shop() {
        let mut ids = indexes(10);
        assert_eq!(ids.insert(&order(IdSpace::Public), 1), Some(IdClass::LongPublic));
        assert_eq!(ids.insert(&order(IdSpace::Public), 1), None);
        assert_eq!(ids.insert(&order(IdSpace::Shop), 2), Some(IdClass::Long));
        assert_eq!(ids.insert(&order(IdSpace::Shop), 2), None);

        let mut ids = indexes(10);
        assert!(ids.insert(&order(IdSpace::Shop), 1).is_some());
        assert_eq!(ids.insert(&order(IdSpace::Public), 2), None, "the shop has sent it");
        let view = |space| known_as("v", "page_view", space);
        assert!(ids.insert(&view(IdSpace::Shop), 1).is_some());
        assert_eq!(ids.insert(&view(IdSpace::Public), 2), None);
    }

    #[test]
    fn orders_are_known_for_longer_and_pages_can_not_push_them_out() {
        let mut ids = indexes(2);
        assert!(ids.insert(&order(IdSpace::Shop), 1).is_some());
        for n in 0..50 {
            for kind in ["purchase", "page_view"] {
                assert!(ids.insert(&known_as(&n.to_string(), kind, IdSpace::Public), 2).is_some());
            }
        }
        assert_eq!(ids.insert(&order(IdSpace::Shop), 999), None);
        assert!(ids.insert(&order(IdSpace::Shop), 1_001).is_some());
    }

    #[test]
    fn an_id_of_the_past_is_looked_up_and_not_added() {
        let mut ids = indexes(10);
        assert!(!ids.knows(&order(IdSpace::Shop), 1) && !ids.knows(&order(IdSpace::Shop), 1));
        assert!(ids.insert(&order(IdSpace::Shop), 1).is_some());
        assert!(ids.knows(&order(IdSpace::Shop), 999));
        assert!(!ids.knows(&order(IdSpace::Shop), 1_001));
        let mut before = IdQueue::default();
        before.push_back(Key::new("order:1001"), 1);
        let mut ids = indexes(10);
        ids.recover([before, IdQueue::default(), IdQueue::default()], 5);
        assert!(ids.knows(&order(IdSpace::Shop), 50));
    }

    #[test]
    fn an_id_without_a_type_stands_for_orders_too() {
        let mut before = IdQueue::default();
        before.push_back(Key::new("order:1001"), 1);
        let mut ids = indexes(10);
        ids.recover([before, IdQueue::default(), IdQueue::default()], 5);
        assert_eq!(ids.insert(&order(IdSpace::Shop), 50), None);
        assert!(ids.insert(&order(IdSpace::Shop), 101).is_some());
    }

    #[test]
    fn pages_have_the_ids_of_all_classes_and_what_is_taken_back_is_gone() {
        let mut ids = indexes(10);
        let (mut added, mut all) = (AddedIds::default(), Vec::new());
        for (n, kind) in ["a", "purchase", "b", "refund", "purchase"].into_iter().enumerate() {
            for space in [IdSpace::Shop, IdSpace::Public] {
                let text = known_as(&format!("{n}{space:?}"), kind, space);
                let class = ids.insert(&text, 7).unwrap();
                match n {
                    4 => added.add(class),
                    _ => all.push(text),
                }
            }
        }
        let pages = |ids: &IdIndexes, newest| {
            let (mut from, mut told) = (0, Vec::new());
            while let Some((page, next)) = ids.page(from, 2, newest, 10) {
                told.extend(page.into_iter().map(|(_, text)| text));
                from = next;
            }
            told.sort();
            told
        };
        all.sort();
        assert_eq!(pages(&ids, added), all);
        assert_eq!(pages(&ids, AddedIds::default()).len(), all.len() + 2);
        ids.take_back(added);
        assert_eq!(pages(&ids, AddedIds::default()), all);
    }
}
