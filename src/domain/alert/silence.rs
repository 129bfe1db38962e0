//! `silence`: a stretch of the day in which an alert does not begin to fire.

use crate::domain::time::{HOUR, MINUTE, Millis};

/// A stretch of the day, perhaps over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Both in ms since midnight, and never the same: that could mean always or never.
    from: Millis,
    to: Millis,
}

impl Silence {
    /// Reads `22:00-06:00`.
    pub fn parse(text: &str) -> Option<Silence> {
        let moment = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let number = |text: &str, below: Millis| {
                let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
                text.parse::<Millis>().ok().filter(|number| digits && *number < below)
            };
            Some(number(hour, 24)? * HOUR + number(minute, 60)? * MINUTE)
        };
        let (from, to) = text.split_once('-')?;
        let silence = Silence { from: moment(from)?, to: moment(to)? };
        (silence.from != silence.to).then_some(silence)
    }

    /// Whether this time of day (ms since midnight) lies in the stretch.
    pub fn covers(&self, time_of_day: Millis) -> bool {
        let after = time_of_day >= self.from;
        let before = time_of_day < self.to;
        if self.from < self.to { after && before } else { after || before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_may_go_over_midnight() {
        let covers = |text: &str, hour| Silence::parse(text).unwrap().covers(hour * HOUR);
        let silent = |text: &str| (0..24).filter(|hour| covers(text, *hour)).collect::<Vec<_>>();
        assert_eq!(silent("22:00-06:00"), [0, 1, 2, 3, 4, 5, 22, 23]);
        assert_eq!(silent("01:30 - 03:00"), [2], "it ends when its end begins");
    }

    #[test]
    fn what_is_no_stretch_of_the_day_is_refused() {
        for text in ["", "22:00", "22:00-22:00", "22:00-24:00", "2:00-03:00", "01:60-02:00"] {
            assert_eq!(Silence::parse(text), None, "{text:?}");
        }
    }
}
