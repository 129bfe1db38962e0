//! What is left to chance: one seed decides all of it, so a run can be had again.

use std::{future::poll_fn, sync::Arc, task::Poll};

use parking_lot::Mutex;

/// A source of numbers that follow from a seed (splitmix64). A clone is the same source.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<u64>>);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(Arc::new(Mutex::new(seed)))
    }

    /// Any number.
    pub fn any(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        self.any() % end.max(1)
    }

    /// Whether something happens that happens `percent` times of a hundred.
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Lets everything else have a turn: the simulation goes on with this work when it likes.
pub async fn pass() {
    let mut has_passed = false;
    poll_fn(|_| match std::mem::replace(&mut has_passed, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
