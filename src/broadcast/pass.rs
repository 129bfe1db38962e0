//! By what right a viewer watches, and what it may see.

use std::{fmt, sync::Arc};

use crate::domain::access::Sight;

/// What a viewer was let in by. It is asked again while the viewer watches, since a session ends and a
/// token may be revoked.
#[derive(Clone)]
pub struct Pass {
    /// What the viewer sees.
    pub sight: Sight,
    holds: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Pass {
    /// A pass that is good for as long as `holds` says so.
    pub fn new(sight: Sight, holds: impl Fn() -> bool + Send + Sync + 'static) -> Pass {
        Pass { sight, holds: Arc::new(holds) }
    }

    /// Whether it is good now.
    pub fn holds(&self) -> bool {
        (self.holds)()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("sight", &self.sight).finish_non_exhaustive()
    }
}
