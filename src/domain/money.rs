//! Exact money. A decimal comes in, a fixed-point integer in 1/10,000 of the currency is kept, and
//! the exact digits go out. No float is involved, since floats can't hold 0.1.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// Units in one whole: amounts are kept in 1/10,000 of the currency.
pub const UNITS_PER_WHOLE: i64 = 10_000;

/// The largest amount of one event, in whole currency units. Beyond it an amount is
/// taken for a mistake and the event is refused. It has room for a large order in any currency:
/// 100 million dollars are some 2.6 * 10^12 in Vietnamese dong.
pub const MAX_WHOLE_PER_EVENT: i64 = 10_000_000_000_000;

const DECIMALS: i32 = 4;

/// An amount of money in 1/10,000 of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub i64);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number such as `19.99`, `-3` or `1.5e2`.
    #[error("is not a decimal number")]
    NotANumber,
    /// Larger than [`MAX_WHOLE_PER_EVENT`].
    #[error("is beyond {MAX_WHOLE_PER_EVENT}, the largest amount of one event")]
    TooLarge,
}

impl Amount {
    /// Reads a decimal number, as JSON writes it or inside a JSON string.
    ///
    /// Digits past the fourth decimal are rounded half away from zero: a cart summed in
    /// JavaScript arrives as `59.97000000000001` and means `59.97`.
    pub fn parse(text: &str) -> Result<Amount, AmountError> {
        parse_decimal(text, DECIMALS, MAX_WHOLE_PER_EVENT).map(Amount)
    }
}

/// Reads a decimal number into units of 10^-`decimals`, rounded half away from zero;
/// [`AmountError::TooLarge`] beyond `max_whole`.
pub(crate) fn parse_decimal(text: &str, decimals: i32, max_whole: i64) -> Result<i64, AmountError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => {
            let exponent = text[at + 1..].parse::<i32>().map_err(|_| AmountError::NotANumber)?;
            (&text[..at], exponent)
        }
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(AmountError::NotANumber);
    }
    if digits.ends_with('.') {
        return Err(AmountError::NotANumber);
    }

    // Walk the digits with the power of ten that each stands for.
    let mut power = i64::from(exponent) + whole.len() as i64 - 1 + i64::from(decimals);
    let mut units: i64 = 0;
    let mut rounds_up = false;
    for digit in whole.bytes().chain(fraction.bytes()).map(|b| b - b'0') {
        if power >= 0 {
            units = units
                .checked_mul(10)
                .and_then(|u| u.checked_add(i64::from(digit)))
                .ok_or(AmountError::TooLarge)?;
        } else if power == -1 {
            rounds_up = digit >= 5;
        }
        power -= 1;
    }
    // A positive exponent asks for zeros behind the digits that were written.
    while power >= 0 && units != 0 {
        units = units.checked_mul(10).ok_or(AmountError::TooLarge)?;
        power -= 1;
    }
    units += i64::from(rounds_up);
    if units > max_whole * 10i64.pow(decimals as u32) {
        return Err(AmountError::TooLarge);
    }
    Ok(if negative { -units } else { units })
}

impl fmt::Display for Amount {
    /// The shortest exact decimal: `812.35`, `-0.5`, `7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let whole = magnitude / UNITS_PER_WHOLE as u64;
        let fraction = magnitude % UNITS_PER_WHOLE as u64;
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:04}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Amount {
    /// JSON: a plain number with the exact digits (so only for JSON, never for the
    /// binary encodings, which keep the units).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_shops_send() {
        for (text, units) in [
            ("19.99", 199_900),
            ("0", 0),
            ("-3", -30_000),
            ("1.5e2", 1_500_000),
            ("12e-1", 12_000),
            ("0.00005", 1),
            ("0.00004", 0),
            ("59.97000000000001", 599_700),
            ("10000000000000", 100_000_000_000_000_000),
            ("0e999999999", 0),
            ("1e-999999999", 0),
        ] {
            assert_eq!(Amount::parse(text), Ok(Amount(units)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["", "-", ".5", "5.", "1,5", "NaN", "1e", "0x10", "--1", "1 "] {
            assert_eq!(Amount::parse(text), Err(AmountError::NotANumber), "{text:?}");
        }
        for text in ["10000000000000.01", "1e14", "1e999999999", "99999999999999999999999"] {
            assert_eq!(Amount::parse(text), Err(AmountError::TooLarge), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn prints_and_reads_back(units in -1_000_000_000_000i64..=1_000_000_000_000) {
            let amount = Amount(units);
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(json, amount.to_string());
        }
    }
}
