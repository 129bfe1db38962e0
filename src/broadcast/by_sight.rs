//! One of something for each sight.

use std::ops::{Index, IndexMut};

use crate::domain::access::Sight;

/// A frame is written once for each sight, not for each viewer, so there must not be many.
const MOST_SIGHTS: usize = 4;
const _: () = assert!(Sight::ALL.len() <= MOST_SIGHTS);

/// One of something for each [`Sight`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BySight<T>([T; Sight::ALL.len()]);

impl<T> BySight<T> {
    /// What `make` makes for each sight.
    pub fn from_fn(mut make: impl FnMut(Sight) -> T) -> BySight<T> {
        BySight(Sight::ALL.map(&mut make))
    }

    /// What `make` makes of each.
    pub fn map<U>(&mut self, mut make: impl FnMut(Sight, &mut T) -> U) -> BySight<U> {
        BySight::from_fn(|sight| make(sight, &mut self[sight]))
    }
}

impl<T> Index<Sight> for BySight<T> {
    type Output = T;

    fn index(&self, sight: Sight) -> &T {
        &self.0[sight as usize]
    }
}

impl<T> IndexMut<Sight> for BySight<T> {
    fn index_mut(&mut self, sight: Sight) -> &mut T {
        &mut self.0[sight as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sight_has_a_place_of_its_own() {
        let own = BySight::from_fn(|sight| sight);
        assert!(Sight::ALL.iter().all(|sight| own[*sight] == *sight));
    }
}
