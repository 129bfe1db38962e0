//! Who was seen in a span of the past, and how many visitors they are.

use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use crate::domain::time::Millis;

/// The most users and sessions that are told apart.
pub const MOST: usize = 200_000;
/// How long it may take to read them.
pub const WITHIN: Duration = Duration::from_millis(500);

/// Who is asked for.
#[derive(Clone, Debug)]
pub struct VisitorsAsked {
    /// The first moment of event time, Unix ms.
    pub from: Millis,
    /// Where it ends; this moment does not belong to it.
    pub until: Millis,
    /// Only these users, where they came with a session.
    pub users: Option<Vec<String>>,
}

/// A user, a session, or both in one event. Bots are left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeenVisitor {
    /// The user.
    pub user: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// When they were last seen so, Unix ms.
    pub at: Millis,
}

/// The users who came without a session.
pub fn lone_users(seen: &[SeenVisitor]) -> Vec<String> {
    let lone = seen.iter().filter(|it| it.session.is_none());
    lone.filter_map(|it| it.user.clone()).collect()
}

/// How many visitors these are. Each session is one. A user without a session is the session with which that
/// user came last, now or `before`, and else one more.
pub fn count(seen: &[SeenVisitor], before: &[SeenVisitor]) -> u64 {
    let mut sessions: HashMap<&str, (Millis, &str)> = HashMap::new();
    for it in seen.iter().chain(before) {
        if let (Some(user), Some(session)) = (&it.user, &it.session) {
            let known = sessions.entry(user).or_insert((it.at, session));
            if known.0 < it.at {
                *known = (it.at, session);
            }
        }
    }
    let one = |it: &SeenVisitor| match (&it.session, &it.user) {
        (Some(session), _) => Some(session.clone()),
        (None, Some(user)) => {
            Some(sessions.get(user.as_str()).map_or(user.as_str(), |known| known.1).to_owned())
        }
        (None, None) => None,
    };
    seen.iter().filter_map(one).collect::<HashSet<String>>().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(user: &str, session: &str, at: Millis) -> SeenVisitor {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        SeenVisitor { user: some(user), session: some(session), at }
    }

    #[test]
    fn a_user_without_a_session_is_the_session_that_came_last() {
        let now = [seen("", "s1", 9), seen("ann", "", 8), seen("", "s1", 7), seen("bob", "", 9)];
        assert_eq!(lone_users(&now), ["ann", "bob"]);
        assert_eq!(count(&now, &[]), 3);
        assert_eq!(count(&now, &[seen("ann", "s1", 2)]), 2);
        assert_eq!(count(&now, &[seen("ann", "s1", 2), seen("ann", "s2", 3)]), 3);
        assert_eq!(count(&now, &[seen("ann", "s1", 2), seen("bob", "s1", 3)]), 1);
    }
}
