//! The last frames, for viewers that come back after a short disconnect.

use std::collections::VecDeque;

use bytestring::ByteString;

/// A viewer that missed more bytes than this gets a snapshot instead, which is smaller and
/// keeps its write buffer small.
const MAX_RESUME_BYTES: usize = 64 * 1024;

/// A ring of delta frames without a gap, ending with the newest frame.
pub struct History {
    /// At most `stream.resume_frames`; the newest is frame `newest`.
    frames: VecDeque<ByteString>,
    newest: u64,
    max_frames: usize,
}

impl History {
    /// Keeps up to `max_frames` frames after frame `newest`.
    pub fn new(max_frames: usize, newest: u64) -> History {
        History {
            frames: VecDeque::new(),
            newest,
            max_frames,
        }
    }

    /// Adds the frame after the newest.
    pub fn push(&mut self, frame: ByteString) {
        self.newest += 1;
        self.frames.push_back(frame);
        if self.frames.len() > self.max_frames {
            self.frames.pop_front();
        }
    }

    /// Frame `newest + 1` was a snapshot: what came before no longer leads to it.
    pub fn start_over(&mut self) {
        self.newest += 1;
        self.frames.clear();
    }

    /// What a viewer missed that saw everything up to frame `seq`: empty when it missed
    /// nothing, `None` when that is no longer (or not yet) known, or too much.
    pub fn after(&self, seq: u64) -> Option<Vec<ByteString>> {
        let missed = usize::try_from(self.newest.checked_sub(seq)?).ok()?;
        let first = self.frames.len().checked_sub(missed)?;
        let bytes: usize = self.frames.range(first..).map(|frame| frame.len()).sum();
        (bytes <= MAX_RESUME_BYTES).then(|| self.frames.range(first..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_resume_never_skips_or_doubles(
            start in 0..5u64,
            snapshots in proptest::collection::vec(proptest::bool::weighted(0.1), 0..60),
            max in 1..20usize,
            seq in 0..80u64,
        ) {
            let mut history = History::new(max, start);
            let mut last_snapshot = start;
            let mut newest = start;
            for is_snapshot in snapshots {
                newest += 1;
                if is_snapshot {
                    history.start_over();
                    last_snapshot = newest;
                } else {
                    history.push(newest.to_string().into());
                }
            }
            let known = (last_snapshot..=newest).contains(&seq) && newest - seq <= max as u64;
            let expected = known.then(|| {
                (seq + 1..=newest).map(|n| ByteString::from(n.to_string())).collect::<Vec<_>>()
            });
            prop_assert_eq!(history.after(seq), expected);
        }
    }

    #[test]
    fn too_much_to_catch_up_with_is_not_resumed() {
        let mut history = History::new(100, 0);
        (0..3).for_each(|_| history.push("x".repeat(30_000).into()));
        assert_eq!(history.after(1).unwrap().len(), 2);
        assert_eq!(history.after(0), None);
    }
}
