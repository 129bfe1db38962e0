//! The active visitors, for the in-process live store, within bounds: exact while there is room for
//! each of them, and an estimate while there is not.
//!
//! ```text
//!            exact           too many: all of them           few again: a new set
//!  set     ──────────────────┤go into the sketch             ├──────────┬───────────
//!  sketch                    ├───────────────────────────────────────────┤
//!  says      exact           estimate                                    exact
//!                                                 whatever the set lacks has left the window
//! ```

use super::{
    links::SessionLinks,
    sessions::ActiveSessions,
    sliding::{SKETCH, SlidingSketch},
};
use crate::domain::{
    delta::{UserLink, Visitor},
    time::Millis,
};

/// Bytes of one visitor in the set, at most: a table that has just doubled with the one before, and
/// a list that has just doubled.
const VISITOR: u64 = 144;
/// The set is worth having with so many at least.
const LEAST: usize = 1000;

/// The active visitors.
#[derive(Debug)]
pub(super) struct ActiveVisitors {
    set: ActiveSessions,
    /// The sessions of users.
    links: SessionLinks,
    /// How many the set may have.
    most: usize,
    /// Has all that were seen, from the moment on at which the set was full.
    sketch: Option<SlidingSketch>,
    /// Whether the set takes visitors in.
    gathers: bool,
    /// The newest sighting so far, Unix ms.
    newest: Millis,
    /// Sightings up to this time (Unix ms) may be missing in the set.
    lacks_until: Millis,
}

impl ActiveVisitors {
    /// Nobody yet; they never take more than `bytes`, a quarter of it for the sessions of users. Visitors are
    /// active for `window` ms.
    pub(super) fn within(bytes: u64, window: Millis) -> ActiveVisitors {
        let of_visitors = (bytes - bytes / 4).saturating_sub(SKETCH as u64);
        let most = (of_visitors / VISITOR) as usize;
        ActiveVisitors {
            set: ActiveSessions::default(),
            links: SessionLinks::within(bytes / 4, window),
            most: most.max(LEAST),
            sketch: None,
            gathers: true,
            newest: Millis::MIN,
            lacks_until: Millis::MIN,
        }
    }

    /// Notes that a visitor was seen at `at` (Unix ms).
    pub(super) fn touch(&mut self, visitor: Visitor, at: Millis) {
        self.newest = self.newest.max(at);
        if let Some(sketch) = &mut self.sketch {
            sketch.touch(visitor, at);
        }
        if self.gathers {
            self.set.touch(visitor, at);
            if self.set.len() > self.most {
                self.give_up_the_set();
            }
        }
    }

    /// Notes that a user was seen with a session at `at` (Unix ms). Where the user is there already, the
    /// session takes that place; the sketch can't forget anybody, so there both count until the user
    /// leaves the window.
    pub(super) fn link(&mut self, link: UserLink) {
        let UserLink { user, session, at } = link;
        self.links.link(user, session, at);
        if let Some(seen) = self.set.remove(user) {
            self.touch(session, seen);
        }
    }

    /// Notes that a user was seen at `at` (Unix ms) without a session. Where a session of the user is known,
    /// that is the visitor.
    pub(super) fn touch_user(&mut self, user: Visitor, at: Millis) {
        let visitor = self.links.session_of(user, at).unwrap_or(user);
        self.touch(visitor, at);
    }

    /// Goes on with an estimate.
    fn give_up_the_set(&mut self) {
        let set = std::mem::take(&mut self.set);
        self.gathers = false;
        if self.sketch.is_none() {
            let mut sketch = SlidingSketch::new();
            set.iter().for_each(|(visitor, at)| sketch.touch(visitor, at));
            self.sketch = Some(sketch);
        }
    }

    /// Forgets visitors that were last seen before `since` (Unix ms), and says how many others there
    /// are, and whether that is an estimate.
    pub(super) fn active(&mut self, since: Millis) -> (u64, bool) {
        let Some(sketch) = &self.sketch else { return (self.set.active(since), false) };
        if self.gathers {
            let exact = self.set.active(since);
            if since > self.lacks_until {
                self.sketch = None;
                return (exact, false);
            }
        }
        let estimate = sketch.active(since);
        // At half of the room, so that it doesn't begin anew again and again.
        if !self.gathers && estimate < self.most as u64 / 2 {
            self.gathers = true;
            self.lacks_until = self.newest;
        }
        (estimate, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{aggregate::visitor_of, time::SECOND};

    const NOW: Millis = 1_795_420_800_000;
    const WINDOW: Millis = 300 * SECOND;

    fn near(estimated: u64, exact: u64) {
        let off = estimated as f64 / exact as f64 - 1.0;
        assert!(off.abs() < 0.03, "{estimated} for {exact}");
    }

    #[test]
    fn a_user_and_a_session_are_one_visitor_once_they_were_seen_together() {
        let mut visitors = ActiveVisitors::within(1 << 20, WINDOW);
        let (user, phone, laptop) = (visitor_of("u"), visitor_of("phone"), visitor_of("laptop"));
        let link = |session, at| UserLink { user, session, at };
        visitors.touch_user(user, NOW + SECOND);
        visitors.touch(phone, NOW);
        assert_eq!(visitors.active(NOW - WINDOW), (2, false));
        visitors.link(link(phone, NOW));
        assert_eq!(visitors.active(NOW - WINDOW), (1, false));
        assert_eq!(visitors.active(NOW + SECOND), (1, false), "seen when the user was seen");
        visitors.touch_user(user, NOW + WINDOW);
        assert_eq!(visitors.active(NOW + WINDOW), (1, false));
        // Two sessions are two visitors, as they are where nobody knows the user.
        visitors.touch(laptop, NOW + WINDOW);
        visitors.link(link(laptop, NOW + WINDOW));
        visitors.touch_user(user, NOW + WINDOW + SECOND);
        assert_eq!(visitors.active(NOW + WINDOW), (2, false));
        assert_eq!(visitors.active(NOW + WINDOW + SECOND), (1, false));
    }

    #[test]
    fn more_than_there_is_room_for_are_estimated_until_the_rush_is_over() {
        let mut visitors = ActiveVisitors::within(0, WINDOW);
        let most = visitors.most as u64;
        (0..most).for_each(|n| visitors.touch(visitor_of(&n.to_string()), NOW));
        assert_eq!(visitors.active(NOW - WINDOW), (most, false));
        (0..20 * most).for_each(|n| visitors.touch(visitor_of(&n.to_string()), NOW));
        let (estimate, approximate) = visitors.active(NOW - WINDOW);
        near(estimate, 20 * most);
        assert!(approximate && visitors.set.len() == 0, "the set takes no room meanwhile");

        // Those of the rush go, and a few new ones come each second.
        let mut exact_from = None;
        for second in 1..800 {
            let now = NOW + second * SECOND;
            visitors.touch(visitor_of(&format!("late {second}")), now);
            let (count, approximate) = visitors.active(now - WINDOW);
            let exact = match second {
                // They were all seen at the first moment, which the window has until then.
                ..=300 => 20 * most + second as u64,
                _ => 301,
            };
            near(count, exact);
            if !approximate {
                assert_eq!(count, exact);
                exact_from.get_or_insert(second);
            }
            assert_eq!(exact_from.is_some(), !approximate, "it does not go to and fro");
        }
        // Once the window has left the rush, the set gathers for one window.
        assert_eq!(exact_from, Some(602));
    }
}
