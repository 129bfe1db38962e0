//! Which session a user was last seen with, for the in-process live store: a user who is then seen without a
//! session is that visitor, and no other. (With Redis, hashes hold the same.)
//!
//! There are two generations, since a link that nobody uses has to go: the newer takes links in, and after
//! [`LINKS_KEPT`] it becomes the older, whose links go all at once. So a link stays for at least so long
//! after its last use, and for twice as long at most. Where there is no room for more, a generation ends
//! earlier, and a user may then count beside the session.

use hashbrown::HashMap;

use crate::domain::{
    delta::Visitor,
    time::{HOUR, Millis},
};

/// How long (ms) a link stays at least after its last use; never less than visitors are active.
pub(super) const LINKS_KEPT: Millis = HOUR;

/// Bytes of one link in a generation, at most: a table that has just doubled, with the one before.
const LINK: u64 = 128;

/// The sessions of users.
#[derive(Debug)]
pub(super) struct SessionLinks {
    /// The newer generation, by user.
    now: HashMap<Visitor, Visitor>,
    /// The older generation.
    before: HashMap<Visitor, Visitor>,
    /// When the newer generation began, Unix ms.
    since: Millis,
    /// How long a generation takes links in, in ms.
    kept: Millis,
    /// How many links a generation may have.
    most: usize,
}

impl SessionLinks {
    /// None yet. Two generations of them take no more than `bytes`; visitors are active for `window` ms.
    pub(super) fn within(bytes: u64, window: Millis) -> SessionLinks {
        SessionLinks {
            now: HashMap::new(),
            before: HashMap::new(),
            since: Millis::MIN,
            kept: LINKS_KEPT.max(window),
            most: ((bytes / (2 * LINK)) as usize).max(1),
        }
    }

    /// Notes that a user was seen with a session at `at` (Unix ms).
    pub(super) fn link(&mut self, user: Visitor, session: Visitor, at: Millis) {
        let is_new = !self.now.contains_key(&user);
        if at >= self.since.saturating_add(self.kept) || (is_new && self.now.len() >= self.most) {
            self.before = std::mem::take(&mut self.now);
            self.since = at;
        }
        self.now.insert(user, session);
    }

    /// The session that a user was last seen with, who is seen at `at` (Unix ms).
    pub(super) fn session_of(&mut self, user: Visitor, at: Millis) -> Option<Visitor> {
        if let Some(session) = self.now.get(&user) {
            return Some(*session);
        }
        let session = *self.before.get(&user)?;
        self.link(user, session, at);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_used_stays_and_another_goes() {
        let mut links = SessionLinks::within(u64::MAX, 0);
        links.link(1, 10, 0);
        links.link(2, 20, 0);
        links.link(3, 30, HOUR);
        assert_eq!(links.session_of(1, HOUR + 1), Some(10));
        links.link(4, 40, 2 * HOUR);
        assert_eq!(links.session_of(1, 2 * HOUR), Some(10));
        assert_eq!(links.session_of(2, 2 * HOUR), None);
        links.link(1, 11, 2 * HOUR);
        assert_eq!(links.session_of(1, 2 * HOUR), Some(11));
    }

    #[test]
    fn memory_is_bounded() {
        let mut links = SessionLinks::within(2 * LINK * 1000, 0);
        (0..5000).for_each(|user| links.link(user, user, 0));
        assert!(links.now.len() <= 1000 && links.before.len() <= 1000);
        assert_eq!(links.session_of(4999, 0), Some(4999));
    }
}
