//! JSON numbers as text: one text for each number, however it was written. `100`, `100.0` and `1E2`
//! are the same number, as they are in PostgreSQL's jsonb, so they must not be counted as three values.

use std::borrow::Cow;

/// The longest text without an exponent, in bytes. Longer numbers are written with one, since `1e999999`
/// would else be a text of a million digits.
const MAX_PLAIN: usize = 40;

/// The text of a JSON number that all equal numbers share. Most numbers are integers and short, and are
/// given back as they came.
pub fn canonical(number: &str) -> Cow<'_, str> {
    if number.len() <= MAX_PLAIN && !number.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        let shortest = match number.contains('.') {
            true => number.trim_end_matches('0').trim_end_matches('.'),
            false => number,
        };
        return Cow::Borrowed(if shortest == "-0" { "0" } else { shortest });
    }
    rewritten(number).map_or(Cow::Borrowed(number), Cow::Owned)
}

/// The text anew, from the digits and the place of the point; `None` where that place is beyond all bounds.
fn rewritten(number: &str) -> Option<String> {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    // The number is `digits` times ten to this power.
    let dropped = (all.len() - digits.len()) as i64;
    let power = exponent.checked_add(dropped)?.checked_sub(fraction.len() as i64)?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let count = digits.len() as i64;
    let plain = match power {
        0.. if power <= MAX_PLAIN as i64 => format!("{sign}{digits}{}", "0".repeat(power as usize)),
        // The point stands within the digits.
        ..0 if power > -count => {
            let (whole, fraction) = digits.split_at((count + power) as usize);
            format!("{sign}{whole}.{fraction}")
        }
        ..0 if power >= -(MAX_PLAIN as i64) => {
            format!("{sign}0.{}{digits}", "0".repeat((-power - count) as usize))
        }
        _ => return Some(format!("{sign}{digits}e{power}")),
    };
    match plain.len() {
        ..=MAX_PLAIN => Some(plain),
        _ => Some(format!("{sign}{digits}e{power}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_numbers_are_one_text() {
        for (text, same) in [
            ("100", &["100.0", "1E2", "1e+2", "1000e-1", "0.1e3", "100.000e0"][..]),
            ("0", &["-0", "0.0", "-0.00", "0e5", "0e-99"]),
            ("-1.5", &["-1.50", "-15e-1", "-0.15E1"]),
            ("0.001", &["1e-3", "0.0010", "0.1e-2"]),
            ("1e400", &["10e399", "1.0E+400"]),
            ("1e99999999999999999999", &["1e99999999999999999999"]),
        ] {
            assert_eq!(canonical(text), text);
            same.iter().for_each(|same| assert_eq!(canonical(same), text, "{same}"));
        }
    }

    proptest! {
        /// However many zeros stand at the end, and wherever an exponent puts the point.
        #[test]
        fn a_number_is_one_text(
            digits in "[1-9][0-9]{0,30}", power in -60..60i64, zeros in 0..9usize, moved in -9..9i64,
        ) {
            let one = canonical(&format!("{digits}e{power}")).into_owned();
            let padded = format!("{digits}{}e{}", "0".repeat(zeros), power - zeros as i64);
            prop_assert_eq!(&canonical(&padded), &one);
            let (first, rest) = digits.split_at(1);
            let pointed = format!("{first}.{rest}0e{}", power + digits.len() as i64 - 1);
            prop_assert_eq!(&canonical(&pointed), &one);
            prop_assert_eq!(&canonical(&one), &one, "it stays as it is");
            let other = format!("{digits}e{}", power + moved);
            prop_assert_eq!(canonical(&other) == one.as_str(), moved == 0);
        }
    }
}
