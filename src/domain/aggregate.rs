//! What a row adds to the counters: a pure function of the row. The ingest actor runs it
//! once over every batch, before the batch is sealed.

use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{
    delta::{DeltaSum, Series, Visitor},
    money::{Amount, AmountError},
    row::Row,
};

/// Adds one row to a sum.
pub fn add_row(sum: &mut DeltaSum, row: &Row<'_>) {
    sum.count(row.kind, row.time);
    if row.kind == PURCHASE
        && let Ok(amount) = purchase_amount(row.properties)
    {
        sum.sum(Series::revenue(), row.time, amount.0);
    }
    if let Some(visitor) = row.visitor() {
        sum.seen(visitor_of(visitor), row.time);
    }
}

/// The event type whose `properties.amount` is revenue.
pub const PURCHASE: &str = "purchase";

/// The visitor that a session id or user id stands for. The same on every node.
pub fn visitor_of(id: &str) -> Visitor {
    xxh3_128(id.as_bytes())
}

/// Why a purchase's amount can't be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PurchaseError {
    /// `properties.amount` is not there (or null).
    #[error("a purchase needs properties.amount")]
    Missing,
    /// It is there and is no amount.
    #[error("properties.amount {0}")]
    Invalid(#[from] AmountError),
    /// It is below zero.
    #[error("properties.amount is negative")]
    Negative,
}

/// The amount of a purchase: a JSON number, or a string that holds a decimal number.
pub fn purchase_amount(properties: &str) -> Result<Amount, PurchaseError> {
    #[derive(Deserialize)]
    struct Purchase<'a> {
        #[serde(borrow)]
        amount: Option<&'a RawValue>,
    }
    let purchase: Purchase =
        serde_json::from_str(properties).map_err(|_| AmountError::NotANumber)?;
    let raw = purchase.amount.ok_or(PurchaseError::Missing)?.get();
    let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
    let amount = Amount::parse(text.trim())?;
    if amount < Amount(0) {
        return Err(PurchaseError::Negative);
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purchase_needs_an_exact_amount() {
        assert_eq!(purchase_amount(r#"{"amount":19.99}"#), Ok(Amount(199_900)));
        assert_eq!(purchase_amount(r#"{"amount":"19.99"}"#), Ok(Amount(199_900)));
        assert_eq!(purchase_amount(r#"{}"#), Err(PurchaseError::Missing));
        assert_eq!(purchase_amount(r#"{"amount":null}"#), Err(PurchaseError::Missing));
        assert_eq!(purchase_amount(r#"{"amount":-1}"#), Err(PurchaseError::Negative));
        assert!(purchase_amount(r#"{"amount":[]}"#).is_err());
        assert!(purchase_amount(r#"{"amount":"12 €"}"#).is_err());
    }

    #[test]
    fn a_row_adds_its_count_its_revenue_and_its_visitor() {
        let mut sum = DeltaSum::default();
        let row = Row {
            time: 61_500,
            received_at: 62_000,
            id: "1",
            kind: PURCHASE,
            user_id: Some("u"),
            session_id: Some("s"),
            properties: r#"{"amount":5}"#,
        };
        add_row(&mut sum, &row);
        let delta = sum.finish();
        let cells: Vec<_> = delta.cells().collect();
        assert_eq!(
            cells,
            [(61_000, &Series::Count(PURCHASE.into()), 1), (61_000, &Series::revenue(), 50_000),]
        );
        assert_eq!(delta.visitors(), [(visitor_of("s"), 61_500)]);
    }
}
