//! Currencies, and what an amount is worth in the base currency.

use hashbrown::HashMap;
use iso_currency::Currency;

use crate::domain::money::{Amount, parse_decimal};

/// How many decimals a rate has.
const DECIMALS: i32 = 8;
const UNITS: i128 = 100_000_000;
/// The largest rate, in whole units of the base currency.
const MAX_RATE: i64 = 1_000_000;

/// The code of ISO 4217 for "no currency". It stands for any code that is neither in `[rates]` nor
/// in ISO 4217, so that a client can't make up currencies without end.
pub const NO_CURRENCY: &str = "XXX";

/// How many codes ISO 4217 has, rounded up: in so many currencies may a client send amounts.
pub const CODES: usize = 192;

/// The base currency and what others are worth in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    base: String,
    /// One unit of the currency, in 1/100,000,000 of the base currency.
    rates: HashMap<String, i64>,
}

impl Rates {
    /// Begins with a base currency and no rate.
    pub fn new(base: &str) -> Rates {
        Rates { base: base.to_owned(), rates: HashMap::new() }
    }

    /// Adds what one unit of `code` is worth, a decimal number of base units.
    ///
    /// # Errors
    /// In words: the code is no code, or the rate is no rate.
    pub fn add(&mut self, code: &str, rate: &str) -> Result<(), String> {
        if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("{code:?} is not a code of three letters such as EUR"));
        }
        if code == self.base {
            return Err(format!("{code} is the base currency (currency = {code:?})"));
        }
        match parse_decimal(rate, DECIMALS, MAX_RATE) {
            Ok(units) if units > 0 => {
                self.rates.insert(code.to_owned(), units);
                Ok(())
            }
            _ => Err(format!("{rate:?} is no rate: a decimal number above 0, up to {MAX_RATE}")),
        }
    }

    /// The base currency's code.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The code under which an amount is kept, from `properties.currency` as a client sent it.
    /// Without one it is the base currency's.
    pub fn code<'a>(&'a self, sent: Option<&str>) -> &'a str {
        let Some(sent) = sent.map(str::trim).filter(|sent| !sent.is_empty()) else {
            return &self.base;
        };
        let sent = sent.to_ascii_uppercase();
        if sent == self.base {
            return &self.base;
        }
        if let Some((known, _)) = self.rates.get_key_value(sent.as_str()) {
            return known;
        }
        Currency::from_code(&sent).map_or(NO_CURRENCY, |currency| currency.code())
    }

    /// What an amount in the currency `code` is worth in the base currency, rounded half
    /// away from zero to 1/10,000; `None` without a rate.
    pub fn to_base(&self, amount: Amount, code: &str) -> Option<Amount> {
        if code == self.base {
            return Some(amount);
        }
        let product = i128::from(amount.0) * i128::from(*self.rates.get(code)?);
        let rounded = (product + UNITS / 2 * product.signum()) / UNITS;
        Some(Amount(i64::try_from(rounded).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_converted_and_rounded_once() {
        let mut rates = Rates::new("USD");
        rates.add("EUR", "1.0837").unwrap();
        rates.add("JPY", "0.00664321").unwrap();
        assert_eq!(rates.to_base(Amount(199_900), "USD"), Some(Amount(199_900)));
        assert_eq!(rates.to_base(Amount(199_900), "EUR"), Some(Amount(216_632)));
        assert_eq!(rates.to_base(Amount(-199_900), "EUR"), Some(Amount(-216_632)));
        assert_eq!(rates.to_base(Amount(123_450_000), "JPY"), Some(Amount(820_104)));
        assert_eq!(rates.to_base(Amount(1), "GBP"), None);
        assert!(rates.add("USD", "1").is_err());
        assert!(rates.add("euro", "1").is_err());
        assert!(rates.add("GBP", "0").is_err());
        assert!(rates.add("GBP", "a lot").is_err());
    }

    #[test]
    fn a_client_can_not_make_up_currencies() {
        let mut rates = Rates::new("USD");
        rates.add("BTC", "60000").unwrap();
        assert_eq!(rates.code(None), "USD");
        assert_eq!(rates.code(Some(" ")), "USD");
        assert_eq!(rates.code(Some("eur")), "EUR");
        assert_eq!(rates.code(Some("btc")), "BTC");
        assert_eq!(rates.code(Some("DOGE")), NO_CURRENCY);
        assert_eq!(rates.code(Some("ZZZ")), NO_CURRENCY);
    }
}
