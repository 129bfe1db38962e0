//! Orders and refunds as the shop system or the payment provider has them: what their webhooks say, for
//! the books. They are kept whatever the revenue source is.

use serde::{Deserialize, Serialize};

use crate::domain::{money::Amount, time::Millis};

/// The property of a webhook's event that holds its entry.
pub const ENTRY: &str = "order_entry";

/// The dialects whose events may hold an entry. What others have under that name is a property like any
/// other.
pub const DIALECTS: [&str; 2] = ["shopify", "stripe"];

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// An order, or the charge that pays for it.
    Order,
    /// A refund.
    Refund,
}

impl EntryKind {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::Order => "order",
            EntryKind::Refund => "refund",
        }
    }
}

/// An order or a refund, in the state that one webhook tells. A later state takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEntry {
    /// What it is.
    pub kind: EntryKind,
    /// Its id at the vendor.
    pub id: String,
    /// The order that it belongs to: `ORDER` of the event id `order:ORDER`.
    pub order_id: String,
    /// Its amount, a decimal number of whole units of the currency.
    pub total: String,
    /// The code of its currency, in capital letters.
    pub currency: String,
    /// Its state, in the vendor's word: `paid`, `pending`, `succeeded`, …
    pub status: String,
    /// When it was made, Unix ms.
    pub placed_at: Millis,
    /// When it came into this state, Unix ms.
    pub changed_at: Millis,
    /// Whether it is a trial of the shop or its provider, for which nobody pays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

impl OrderEntry {
    /// The entry among the properties of an event. `None` where there is none that can be kept.
    pub fn of_properties(properties: &str) -> Option<OrderEntry> {
        #[derive(Deserialize)]
        struct WithEntry {
            order_entry: Option<OrderEntry>,
        }
        let entry = serde_json::from_str::<WithEntry>(properties).ok()?.order_entry?;
        Amount::parse(&entry.total).is_ok().then_some(entry)
    }
}
