//! What is wrong with a part that alerts need, and when the log says so.

use std::time::{Duration, Instant};

/// How long a trouble that comes back is not logged again. A server that answers every other second
/// would otherwise fill the log with two lines a second.
const QUIET_FOR: Duration = Duration::from_secs(60);

/// The trouble of one part. The log names it when it begins and when it is over.
#[derive(Debug, Default)]
pub struct Trouble {
    /// What was logged last, and when.
    said: Option<(&'static str, Instant)>,
    /// Whether the last line in the log says that something is wrong.
    is_open: bool,
}

impl Trouble {
    /// Notes that something is wrong, and logs it unless the log says so already.
    pub fn is(&mut self, what: &'static str, why: &str) {
        if self.begins(what, Instant::now()) {
            tracing::warn!(why, "{what}");
        }
    }

    /// Notes that nothing is wrong any more, and logs `words` if the log says otherwise.
    pub fn is_over(&mut self, words: &str) {
        if std::mem::take(&mut self.is_open) {
            tracing::info!("{words}");
        }
    }

    /// Whether the log is to name this trouble.
    fn begins(&mut self, what: &'static str, at: Instant) -> bool {
        let is_same = self.said.is_some_and(|(said, _)| said == what);
        let is_recent = self.said.is_some_and(|(_, when)| at - when < QUIET_FOR);
        if is_same && (self.is_open || is_recent) || self.is_open && is_recent {
            return false;
        }
        (self.said, self.is_open) = (Some((what, at)), true);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_every_other_second_is_named_once_a_minute() {
        let (began, mut trouble) = (Instant::now(), Trouble::default());
        let mut lines = 0;
        for second in 0..600 {
            lines += u32::from(trouble.begins("away", began + Duration::from_secs(second)));
            trouble.is_over("well again");
        }
        assert_eq!(lines, 10);
    }

    #[test]
    fn a_trouble_that_lasts_is_named_once_and_a_new_one_at_once() {
        let (now, mut trouble) = (Instant::now(), Trouble::default());
        assert!(trouble.begins("away", now));
        assert!(!trouble.begins("away", now + 10 * QUIET_FOR));
        assert!(trouble.begins("refused", now + 10 * QUIET_FOR));
        trouble.is_over("well again");
        assert!(trouble.begins("away", now + 10 * QUIET_FOR), "another one than the last");
    }
}
