//! What the answer of a webhook says about another try.

use awc::http::StatusCode;

use crate::domain::time::{HOUR, Millis, parse_rfc3339};

/// The longest pause that a webhook can ask for with `Retry-After`, in ms.
const MAX_RETRY_AFTER: Millis = HOUR;

/// Whether the status says that this request will never be taken (4xx, RFC 9110, 15.5). Timeout,
/// too early and too many requests are the 4xx that ask for another try.
pub(super) fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
}

/// The moment that `Retry-After` gives (Unix ms), as seconds or as a date (RFC 9110, 10.2.3), and
/// at most [`MAX_RETRY_AFTER`] from `now`.
pub(super) fn retry_at(text: &str, now: Millis) -> Option<Millis> {
    let at = match text.trim().parse::<Millis>() {
        Ok(seconds) => now.saturating_add(seconds.max(0).saturating_mul(1000)),
        Err(_) => jiff::fmt::rfc2822::parse(text)
            .map(|date| date.timestamp().as_millisecond())
            .ok()
            .or_else(|| parse_rfc3339(text))?,
    };
    Some(at.clamp(now, now + MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = 1_795_420_800_000;
        assert_eq!(retry_at("120", now), Some(now + 120_000));
        assert_eq!(retry_at("999999", now), Some(now + MAX_RETRY_AFTER));
        assert_eq!(retry_at("Mon, 23 Nov 2026 08:01:00 GMT", now), Some(now + 60_000));
        assert_eq!(retry_at("Mon, 23 Nov 2020 08:01:00 GMT", now), Some(now));
        assert_eq!(retry_at("soon", now), None);
    }
}
