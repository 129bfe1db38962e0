//! An event of the shop, and how it is written: Floodmark's native JSON.

use serde::Serialize;

use crate::domain::{money::Amount, time::Millis};

/// One event, ready to be sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopEvent {
    /// The type of the event.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When it happened, Unix ms.
    pub timestamp: Millis,
    /// What else there is to say of it, by its type.
    pub properties: Properties,
    /// The visitor's account, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The visit that it belongs to.
    pub session_id: String,
    /// A unique id, so that the event is counted once even if it is sent twice.
    pub id: String,
}

/// The properties of each type of event.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Properties {
    /// A page was viewed.
    PageView {
        /// The page's path.
        path: String,
        /// The site that the visitor came from, on the first page.
        #[serde(skip_serializing_if = "Option::is_none")]
        referrer: Option<&'static str>,
        /// The visitor's kind of device.
        device: &'static str,
        /// The visitor's country, ISO 3166.
        country: &'static str,
        /// Whether a crawler has looked at it.
        #[serde(rename = "$bot", skip_serializing_if = "std::ops::Not::not")]
        bot: bool,
    },
    /// A product was put into the cart.
    AddToCart {
        /// The product's stock keeping unit.
        sku: &'static str,
        /// The product's name.
        name: &'static str,
        /// The product's category.
        category: &'static str,
        /// The price of one.
        price: Amount,
        /// How many pieces.
        quantity: u32,
        /// The visitor's kind of device.
        device: &'static str,
        /// The visitor's country, ISO 3166.
        country: &'static str,
    },
    /// A visitor went to the checkout.
    BeginCheckout {
        /// The sum of the cart.
        value: Amount,
        /// The currency of amounts, ISO 4217.
        currency: String,
        /// How many pieces.
        quantity: u32,
        /// The visitor's kind of device.
        device: &'static str,
        /// The visitor's country, ISO 3166.
        country: &'static str,
    },
    /// An order was paid.
    Purchase {
        /// The order's number.
        order_id: String,
        /// The sum of the order.
        amount: Amount,
        /// The currency of amounts, ISO 4217.
        currency: String,
        /// How many pieces.
        quantity: u32,
        /// The lines of the order.
        items: Vec<CartLine>,
        /// The gateway that took or refused the payment.
        gateway: &'static str,
        /// The visitor's kind of device.
        device: &'static str,
        /// The visitor's country, ISO 3166.
        country: &'static str,
    },
    /// Something failed.
    Error {
        /// The error's code.
        code: &'static str,
        /// The error in words.
        message: &'static str,
        /// The page's path.
        path: String,
        /// The gateway that took or refused the payment.
        #[serde(skip_serializing_if = "Option::is_none")]
        gateway: Option<&'static str>,
        /// The visitor's kind of device.
        device: &'static str,
        /// The visitor's country, ISO 3166.
        country: &'static str,
    },
    /// A visitor made an account.
    Signup {
        /// How the visitor signed up.
        method: &'static str,
        /// The visitor's kind of device.
        device: &'static str,
        /// The visitor's country, ISO 3166.
        country: &'static str,
    },
}

/// A line of a cart or an order.
#[derive(Clone, Debug, Serialize)]
pub struct CartLine {
    /// The product's stock keeping unit.
    pub sku: &'static str,
    /// The price of one.
    pub price: Amount,
    /// How many of it.
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
