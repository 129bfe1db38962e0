//! Who was seen in a span, from SQLite.

use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, params};

use super::events::CLOCK_EVERY;
use crate::{
    domain::{
        bot,
        time::{Millis, SECOND},
    },
    sink::SinkError,
    store::events::visitors::{MOST, SeenVisitor, VisitorsAsked, WITHIN},
};

/// See [`EventReader::visitors`](crate::store::events::EventReader::visitors).
pub(super) fn read(
    conn: &Connection,
    asked: &VisitorsAsked,
) -> Result<Option<Vec<SeenVisitor>>, SinkError> {
    let started = Instant::now();
    let wanted: Option<HashSet<&str>> =
        asked.users.as_ref().map(|users| users.iter().map(String::as_str).collect());
    let mut select = conn.prepare_cached(&format!(
        "SELECT time, type, user_id, session_id, properties FROM events_near
         WHERE last_second > ?1 - {SECOND} AND first_second < ?2
         AND time >= ?1 AND time < ?2 AND (user_id IS NOT NULL OR session_id IS NOT NULL)"
    ))?;
    let mut rows = select.query(params![asked.from, asked.until])?;
    let mut found: HashMap<(Option<String>, Option<String>), Millis> = HashMap::new();
    let mut looked_at = 0usize;
    while let Some(row) = rows.next()? {
        looked_at += 1;
        if looked_at.is_multiple_of(CLOCK_EVERY) && started.elapsed() > WITHIN {
            return Ok(None);
        }
        let (kind, properties) = (row.get_ref(1)?.as_str(), row.get_ref(4)?.as_str());
        if bot::is_labelled(kind.unwrap_or_default(), properties.unwrap_or_default()) {
            continue;
        }
        let (user, session): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        if let Some(wanted) = &wanted
            && !(session.is_some() && user.as_deref().is_some_and(|user| wanted.contains(user)))
        {
            continue;
        }
        let at: Millis = row.get(0)?;
        let last = found.entry((user, session)).or_insert(at);
        *last = at.max(*last);
        if found.len() > MOST {
            return Ok(None);
        }
    }
    let seen = found.into_iter().map(|((user, session), at)| SeenVisitor { user, session, at });
    Ok(Some(seen.collect()))
}
