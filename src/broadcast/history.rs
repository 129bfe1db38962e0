//! The last frames, for viewers that come back after a short disconnect.

use std::collections::VecDeque;

use crate::broadcast::wire_frame::WireFrame;

/// The newest delta frames, without a gap up to the newest frame. A viewer that missed more
/// than this holds gets a snapshot, which is then smaller than the frames that it missed.
pub struct FrameHistory {
    /// Oldest first; the last one is frame `newest`.
    frames: VecDeque<WireFrame>,
    /// The number of the newest frame.
    newest: u64,
    /// Bytes of all these frames.
    bytes: usize,
    limits: HistoryLimits,
}

/// How much is kept at most. Whichever limit is reached first counts.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// `stream.resume_frames`
    pub frames: usize,
    /// `stream.resume_bytes`
    pub bytes: usize,
}

impl FrameHistory {
    /// An empty history: the first frame that is pushed is number `newest` + 1.
    pub fn new(limits: HistoryLimits, newest: u64) -> FrameHistory {
        FrameHistory { frames: VecDeque::new(), newest, bytes: 0, limits }
    }

    /// Adds the frame after the newest.
    pub fn push(&mut self, frame: WireFrame) {
        self.newest += 1;
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.limits.frames || self.bytes > self.limits.bytes {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// Notes that frame `newest` + 1 was a snapshot. Earlier frames are forgotten, since adding
    /// them up does not lead to its state.
    pub fn start_over(&mut self) {
        self.newest += 1;
        self.frames.clear();
        self.bytes = 0;
    }

    /// The frames that a viewer missed which saw everything up to frame `seq`. Empty if it
    /// missed nothing; `None` if some of these frames are gone, or if there is no frame `seq` yet.
    pub fn after(&self, seq: u64) -> Option<Vec<WireFrame>> {
        let missed = usize::try_from(self.newest.checked_sub(seq)?).ok()?;
        let first = self.frames.len().checked_sub(missed)?;
        Some(self.frames.range(first..).cloned().collect())
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
            let limits = HistoryLimits { frames: max, bytes: 1000 };
            let mut history = FrameHistory::new(limits, start);
            let mut last_snapshot = start;
            let mut newest = start;
            for is_snapshot in snapshots {
                newest += 1;
                if is_snapshot {
                    history.start_over();
                    last_snapshot = newest;
                } else {
                    history.push(WireFrame::new(&newest.to_string()));
                }
            }
            let known = (last_snapshot..=newest).contains(&seq) && newest - seq <= max as u64;
            let expected = known.then(|| {
                (seq + 1..=newest).map(|n| WireFrame::new(&n.to_string())).collect::<Vec<_>>()
            });
            prop_assert_eq!(history.after(seq), expected);
        }
    }

    #[test]
    fn too_much_to_catch_up_with_is_not_resumed() {
        let mut history = FrameHistory::new(HistoryLimits { frames: 100, bytes: 64_000 }, 0);
        (0..3).for_each(|_| history.push(WireFrame::new(&"x".repeat(30_000))));
        assert_eq!(history.after(1).unwrap().len(), 2);
        assert_eq!(history.after(0), None);
        history.push(WireFrame::new(&"x".repeat(70_000)));
        assert_eq!(history.after(3), None, "not even one that is too large");
        history.push(WireFrame::new("x"));
        assert_eq!(history.after(4).unwrap().len(), 1);
    }
}
