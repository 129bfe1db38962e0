//! The header `traceparent` (W3C Trace Context): the trace that a request is part of, as whoever sent it says.
//!
//! ```text
//!  00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!  version    trace                    span of the caller   flags (1: sampled)
//! ```

use opentelemetry::trace::{SpanId, TraceFlags, TraceId};

/// The length of the header in version 00; a later version may add to it.
const LENGTH: usize = 55;

/// The span of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace that goes on.
    pub trace: TraceId,
    /// The caller's span in it.
    pub span: SpanId,
    /// Whether the caller has taken the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header; `None` for whatever the specification calls invalid, which is to be ignored.
    pub fn read(header: &[u8]) -> Option<TraceParent> {
        let text = str::from_utf8(header).ok()?;
        let (known, later) = text.split_at_checked(LENGTH)?;
        let parts: Vec<&str> = known.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return None };
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let has = |part: &str, length| part.len() == length && part.bytes().all(is_hex);
        let fits = has(version, 2) && has(trace, 32) && has(span, 16) && has(flags, 2);
        // Version ff is forbidden, and 00 has nothing behind the flags.
        let ends_well = later.is_empty() || (version != "00" && later.starts_with('-'));
        if !fits || version == "ff" || !ends_well {
            return None;
        }
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let sampled = flags & TraceFlags::SAMPLED.to_u8() != 0;
        let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        is_valid.then_some(TraceParent { trace, span, sampled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(text: &str) -> Option<TraceParent> {
        TraceParent::read(text.as_bytes())
    }

    #[test]
    fn a_caller_is_read_with_its_decision() {
        for (flags, sampled) in [("01", true), ("00", false), ("03", true), ("fe", false)] {
            let found = read(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
            assert_eq!(
                (found.trace.to_string(), found.span.to_string()),
                (TRACE.into(), SPAN.into())
            );
            assert_eq!(found.sampled, sampled, "{flags}");
        }
        let whole = read(&format!("00-{TRACE}-{SPAN}-01"));
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-01")), whole, "a later version");
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-01-what-comes-then")), whole);
    }

    #[test]
    fn what_the_specification_calls_invalid_is_ignored() {
        for text in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("cc-{TRACE}-{SPAN}-01more"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("0-{TRACE}-{SPAN}-011"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{}-01", "g".repeat(16)),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-0\u{e9}"),
        ] {
            assert_eq!(read(&text), None, "{text:?}");
        }
        assert_eq!(TraceParent::read(&[0xff; 55]), None);
    }
}
