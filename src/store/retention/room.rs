//! When the store is full, at the pace of the last days.

use crate::domain::time::{DAY, HOUR, Millis};

/// A pace over a shorter time says little.
const LEAST_SPAN: Millis = 6 * HOUR;

/// In how many days `free` bytes are taken, by what was noted of the store's size (moments in Unix ms, with
/// bytes, from the oldest on) and what it is now. `None` where it does not grow, or too little is known.
pub fn full_in_days(noted: &[(Millis, u64)], now: (Millis, u64), free: u64) -> Option<f64> {
    let &(since, bytes) = noted.first()?;
    let (span, grown) = (now.0 - since, now.1.checked_sub(bytes)?);
    if span < LEAST_SPAN || grown == 0 {
        return None;
    }
    let a_day = grown as f64 / (span as f64 / DAY as f64);
    Some(free as f64 / a_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_the_last_days_says_when_the_disk_is_full() {
        let noted = [(0, 1_000), (DAY, 1_800)];
        assert_eq!(full_in_days(&noted, (2 * DAY, 3_000), 5_000), Some(5.0));
        assert_eq!(full_in_days(&noted, (2 * DAY, 1_000), 5_000), None, "it does not grow");
        assert_eq!(full_in_days(&noted, (2 * DAY, 900), 5_000), None, "it shrinks");
        assert_eq!(full_in_days(&[(DAY, 1)], (DAY + HOUR, 900), 5_000), None, "too short");
        assert_eq!(full_in_days(&[], (DAY, 900), 5_000), None);
    }
}
