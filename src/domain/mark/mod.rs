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
    /// Who made it: `user alice`, `token ci`, `github shop/web`. It is empty where a server does not say so.
    #[serde(default)]
    pub source: String,
    /// A page that says more.
    #[serde(default)]
    pub link: Option<String>,
}

/// What everybody who sees numbers sees of a mark. Who made it, and a link into a shop's own tools, are for those
/// only who make marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicMark<'a> {
    /// As [`Mark::id`].
    pub id: &'a str,
    /// As [`Mark::time`], Unix ms.
    pub time: Millis,
    /// As [`Mark::until`], Unix ms.
    pub until: Option<Millis>,
    /// As [`Mark::title`].
    pub title: &'a str,
}

impl<'a> From<&'a Mark> for PublicMark<'a> {
    fn from(mark: &'a Mark) -> PublicMark<'a> {
        let Mark { id, time, until, title, .. } = mark;
        PublicMark { id, time: *time, until: *until, title }
    }
}

/// A mark that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMark {
    /// The mark, with an id that it gets unless it is there already.
    pub mark: Mark,
    /// What all repetitions of it have, as the deliveries of one webhook: they are one mark. It begins with its
    /// maker, so the same key of somebody else is another.
    pub key: Option<String>,
    /// When it was made, Unix ms.
    pub made_at: Millis,
}

impl NewMark {
    /// A mark at `time` (Unix ms), which is made at `now`. A key is given with its maker, whose other keys it
    /// differs from.
    ///
    /// # Errors
    /// In words, with the name of what is wrong: a text is empty, too long or not plain ([`is_plain`]); a
    /// time is out of bounds; the link is no link.
    pub fn checked(
        (time, until): (Millis, Option<Millis>),
        (title, source): (&str, &str),
        (link, key): (Option<String>, Option<(&str, String)>),
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
        let link = link.map(|link| text("link", &link)).transpose()?;
        // It becomes a link of the dashboard, where any other scheme might run a script.
        if link.as_deref().is_some_and(|link| !is_link(link)) {
            return Err("link: must begin with https:// or http://".to_owned());
        }
        let in_names_of = |(maker, key): (&str, String)| {
            let key = text("key", &key)?;
            // No key has a line break, so no maker and key are together what others are.
            Ok::<String, String>(format!("{maker}\n{key}"))
        };
        let key = key.map(in_names_of).transpose()?;
        let id = Uuid::now_v7().to_string();
        let mark = Mark { id, time, until, title, source, link };
        Ok(NewMark { mark, key, made_at: now })
    }
}

/// Whether a character is one that people see where it stands, or white space: no control character, no line
/// break, and none that has no width or turns the direction of what follows. By such ones a text would pass for
/// another.
pub fn is_plain(c: char) -> bool {
    let is_hidden = matches!(
        c,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    );
    !c.is_control() && !is_hidden
}

/// Whether a text may be the link of a mark.
pub fn is_link(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    is_web && text.chars().count() <= MAX_TITLE && text.chars().all(is_plain)
}

/// As much of a text as a title or source may have.
pub fn shortened(text: &str) -> String {
    text.chars().filter(|c| is_plain(*c)).take(MAX_TITLE).collect()
}

/// A text without the white space around it.
fn text(name: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 || chars > MAX_TITLE || !text.chars().all(is_plain) {
        return Err(format!(
            "{name}: must be 1 to {MAX_TITLE} characters, without control characters and hidden ones"
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
    fn a_key_is_its_makers() {
        let keyed = |maker: &str, key: &str| {
            let key = Some((maker, key.to_owned()));
            NewMark::checked((NOW, None), ("deploy", "x"), (None, key), NOW).map(|new| new.key)
        };
        assert_eq!(keyed("token ci", "7"), keyed("token ci", "7"));
        assert_ne!(keyed("token ci", "7"), keyed("token other", "7"));
        assert_eq!(keyed("token ci", " 7\n"), keyed("token ci", "7"));
        assert!(keyed("token ci", "7\n8").is_err());
    }

    #[test]
    fn what_no_chart_could_show_is_refused_by_its_name() {
        let long = "x".repeat(MAX_TITLE + 1);
        for (times, title, link, name) in [
            ((NOW, None), "  ", None, "title"),
            ((NOW, None), "two\nlines", None, "title"),
            ((NOW, None), long.as_str(), None, "title"),
            ((NOW, None), "deploy \u{202e}c2f4", None, "title"),
            ((NOW, None), "\u{200b}deploy", None, "title"),
            ((NOW, None), "deploy\u{2028}c2f4", None, "title"),
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
