//! An event of the shop, and how it is written: Floodmark's native JSON.

use serde::Serialize;

use crate::domain::{money::Amount, time::Millis};

/// One event, ready to be sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When, Unix ms.
    pub timestamp: Millis,
    /// What belongs to it.
    pub properties: Properties,
    /// Who, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// In which visit.
    pub session_id: String,
    /// Unique, so that sending it twice counts it once.
    pub id: String,
}

/// The properties of each type of event.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
#[allow(missing_docs)] // the names are those of the JSON
pub enum Properties {
    PageView {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        referrer: Option<&'static str>,
        device: &'static str,
        country: &'static str,
    },
    AddToCart {
        sku: &'static str,
        name: &'static str,
        category: &'static str,
        price: Amount,
        quantity: u32,
        device: &'static str,
        country: &'static str,
    },
    BeginCheckout {
        value: Amount,
        currency: String,
        quantity: u32,
        device: &'static str,
        country: &'static str,
    },
    Purchase {
        order_id: String,
        amount: Amount,
        currency: String,
        quantity: u32,
        items: Vec<CartLine>,
        gateway: &'static str,
        device: &'static str,
        country: &'static str,
    },
    Error {
        code: &'static str,
        message: &'static str,
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        gateway: Option<&'static str>,
        device: &'static str,
        country: &'static str,
    },
    Signup {
        method: &'static str,
        device: &'static str,
        country: &'static str,
    },
}

/// A line of a cart or an order.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct CartLine {
    pub sku: &'static str,
    pub price: Amount,
    pub quantity: u32,
}

impl ShopEvent {
    /// Appends the event as one line of NDJSON.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self).expect("writing to memory does not fail");
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_native_json_with_exact_amounts() {
        let event = ShopEvent {
            kind: "purchase",
            timestamp: 1_795_420_800_000,
            properties: Properties::Purchase {
                order_id: "o-1".to_owned(),
                amount: Amount(698_000),
                currency: "EUR".to_owned(),
                quantity: 2,
                items: vec![CartLine { sku: "HW-101", price: Amount(349_000), quantity: 2 }],
                gateway: "stripe",
                device: "mobile",
                country: "DE",
            },
            user_id: None,
            session_id: "s".to_owned(),
            id: "e".to_owned(),
        };
        let mut line = Vec::new();
        event.write_line(&mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"type\":\"purchase\",\"timestamp\":1795420800000,\"properties\":{\
             \"orderId\":\"o-1\",\"amount\":69.8,\"currency\":\"EUR\",\"quantity\":2,\
             \"items\":[{\"sku\":\"HW-101\",\"price\":34.9,\"quantity\":2}],\
             \"gateway\":\"stripe\",\"device\":\"mobile\",\"country\":\"DE\"},\
             \"sessionId\":\"s\",\"id\":\"e\"}\n"
        );
    }
}
