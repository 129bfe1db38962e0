//! Values that are held once, however many buckets name them.

use std::{collections::HashSet, hash::Hash, sync::Arc};

/// A pool holds at most twice as many values as are in use, and so many more. So sweeping costs
/// little for each value, and a small pool is never swept.
const SPARE: usize = 1024;

/// Shared values. Those that nobody else holds are dropped when the pool would grow too large.
#[derive(Debug)]
pub struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Clone for Pool<T> {
    fn clone(&self) -> Pool<T> {
        Pool { values: self.values.clone(), sweep_at: self.sweep_at }
    }
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool { values: HashSet::new(), sweep_at: SPARE }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    /// The shared value that equals `value`; `make` makes it where there is none yet.
    pub fn share(&mut self, value: &T, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(value) {
            return known.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = 2 * self.values.len() + SPARE;
        }
        let value = make();
        self.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut pool: Pool<str> = Pool::default();
        let first = pool.share("a", || "a".into());
        assert!(Arc::ptr_eq(&first, &pool.share("a", || unreachable!("it is there"))));
        for n in 0..10 * SPARE {
            let value = n.to_string();
            pool.share(&value, || value.as_str().into());
            assert!(pool.values.len() <= SPARE + 2);
        }
        assert!(Arc::ptr_eq(&first, &pool.share("a", || unreachable!("it is in use"))));
    }
}
