//! Marks: moments at which somebody did something that the numbers may show, such as a deploy, a release
//! or the start of a campaign. Charts have them as flags, and alerts name the one that came before.

pub mod cited;
pub mod effect;
pub mod trial;
pub mod words;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::time::{DAY, LATEST, Millis};

/// The longest title, source, link and key, in characters.
pub const MAX_TITLE: usize = 200;
/// The longest stretch of time that one mark may take. It bounds how far back a reader looks for marks that
/// reach into its span.
pub const MAX_MARK_LENGTH: Millis = 31 * DAY;
/// How far ahead of now a mark may lie.
pub const MAX_MARK_AHEAD: Millis = 366 * DAY;

/// A moment, or a stretch of time, at which somebody did something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// A random id.
    pub id: String,
    /// When it was, or began, Unix ms.
    pub time: Millis,
    /// When it ended, Unix ms; `None` for a moment.
    pub until: Option<Millis>,
    /// What people read: `deploy 4f2c`.
    pub title: String,
    /// Who made it: `user alice`, `token ci`, `github shop/web`.
    pub source: String,
    /// A page that says more.
    #[serde(default)]
    pub link: Option<String>,
}

/// A mark that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMark {
    /// The mark, with an id that it gets unless it is there already.
    pub mark: Mark,
    /// What all repetitions of it have, as the deliveries of one webhook: they are one mark.
    pub key: Option<String>,
    /// When it was made, Unix ms.
    pub made_at: Millis,
}

impl NewMark {
    /// A mark at `time` (Unix ms), which is made at `now`.
    ///
    /// # Errors
    /// In words, with the name of what is wrong: a text is empty, too long or has control characters; a
    /// time is out of bounds; the link is no link.
    pub fn checked(
        (time, until): (Millis, Option<Millis>),
        (title, source): (&str, &str),
        (link, key): (Option<String>, Option<String>),
        now: Millis,
    ) -> Result<NewMark, String> {
        let title = text("title", title)?;
        let source = text("source", source)?;
        if !(0..=LATEST.min(now + MAX_MARK_AHEAD)).contains(&time) {
            return Err("time: must be after 1970 and at most a year ahead".to_owned());
        }
        if until.is_some_and(|until| until <= time || until - time > MAX_MARK_LENGTH) {
            let days = MAX_MARK_LENGTH / DAY;
            return Err(format!("until: must be after time, by {days} days at most"));
        }
        if let Some(link) = &link {
            text("link", link)?;
            // It becomes a link of the dashboard, where any other scheme might run a script.
            if !["https://", "http://"].iter().any(|scheme| link.starts_with(scheme)) {
                return Err("link: must begin with https:// or http://".to_owned());
            }
        }
        if let Some(key) = &key {
            text("key", key)?;
        }
        let id = Uuid::now_v7().to_string();
        let mark = Mark { id, time, until, title, source, link };
        Ok(NewMark { mark, key, made_at: now })
    }
}

/// A text without the white space around it.
fn text(name: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 || chars > MAX_TITLE || text.chars().any(char::is_control) {
        return Err(format!(
            "{name}: must be 1 to {MAX_TITLE} characters, without control characters"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_795_521_600_000;

    fn made(
        times: (Millis, Option<Millis>),
        title: &str,
        link: Option<&str>,
    ) -> Result<NewMark, String> {
        let link = link.map(str::to_owned);
        NewMark::checked(times, (title, "token ci"), (link, None), NOW)
    }

    #[test]
    fn a_mark_is_a_moment_or_a_stretch_with_a_title() {
        let mark = made((NOW, None), " deploy 4f2c ", Some("https://ci.example/1")).unwrap().mark;
        assert_eq!((mark.title.as_str(), mark.until), ("deploy 4f2c", None));
        let again = made((NOW, None), "deploy 4f2c", None).unwrap().mark;
        assert_ne!(mark.id, again.id);
        assert!(made((NOW - DAY, Some(NOW)), "sale", None).is_ok());
        assert!(made((NOW + MAX_MARK_AHEAD, None), "next sale", None).is_ok());
    }

    #[test]
    fn what_no_chart_could_show_is_refused_by_its_name() {
        let long = "x".repeat(MAX_TITLE + 1);
        for (times, title, link, name) in [
            ((NOW, None), "  ", None, "title"),
            ((NOW, None), "two\nlines", None, "title"),
            ((NOW, None), long.as_str(), None, "title"),
            ((-1, None), "a", None, "time"),
            ((NOW + MAX_MARK_AHEAD + 1, None), "a", None, "time"),
            ((NOW, Some(NOW)), "a", None, "until"),
            ((NOW, Some(NOW + MAX_MARK_LENGTH + 1)), "a", None, "until"),
            ((NOW, None), "a", Some("javascript:alert(1)"), "link"),
            ((NOW, None), "a", Some(" "), "link"),
        ] {
            let refused = made(times, title, link).unwrap_err();
            assert!(refused.starts_with(&format!("{name}: ")), "{refused}");
        }
    }
}
