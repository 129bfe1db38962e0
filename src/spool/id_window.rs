//! How long, and how many, client ids are kept for the indexes of the ingest actor.

use crate::domain::{ids::IdClass, time::Millis};

/// Which client ids of one class are kept for the dedupe index.
#[derive(Clone, Copy, Debug)]
pub struct IdWindow {
    /// Ids that arrived longer ago than this are dropped, in ms.
    pub window_ms: i64,
    /// At most this many ids are kept; the oldest go first.
    pub max_ids: usize,
    /// The most bytes that they may take in memory.
    pub max_bytes: usize,
}

/// Which client ids are kept, for each class of them.
#[derive(Clone, Copy, Debug)]
pub struct IdWindows {
    /// For [`IdClass::Short`].
    pub short: IdWindow,
    /// For [`IdClass::Long`].
    pub long: IdWindow,
    /// For [`IdClass::LongPublic`].
    pub long_public: IdWindow,
}

impl IdWindows {
    /// The window of a class.
    pub fn of(&self, class: IdClass) -> IdWindow {
        match class {
            IdClass::Short => self.short,
            IdClass::Long => self.long,
            IdClass::LongPublic => self.long_public,
        }
    }

    /// For each class the moment before which ids are dropped at `now` (Unix ms).
    pub(super) fn since(&self, now: Millis) -> [Millis; 3] {
        IdClass::ALL.map(|class| now.saturating_sub(self.of(class).window_ms))
    }
}

impl From<IdWindow> for IdWindows {
    /// The same window for all classes.
    fn from(window: IdWindow) -> IdWindows {
        IdWindows { short: window, long: window, long_public: window }
    }
}
