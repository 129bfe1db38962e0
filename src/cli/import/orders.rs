//! Exports of orders: Shopify, WooCommerce, Stripe. The columns are those of the vendors' documentation.

use serde_json::{Map, Value};

use super::{
    format::ExportFormat,
    moments,
    record::{ImportRecord, ImportRules},
    table::{BrokenRow, Table, TableRow},
};
use crate::domain::{
    event::{Field, Incoming},
    money::Amount,
};

/// An amount as exports write it: `1,234.50` has a comma between thousands, which stands for nothing.
pub fn amount(text: &str) -> Result<String, String> {
    let (whole, _) = text.split_once('.').unwrap_or((text, ""));
    let groups: Vec<&str> = whole.trim_start_matches('-').split(',').collect();
    let are_thousands = groups.len() > 1
        && (1..=3).contains(&groups[0].len())
        && groups[1..].iter().all(|group| group.len() == 3);
    let plain = if are_thousands { text.replace(',', "") } else { text.to_owned() };
    match Amount::parse(&plain) {
        Ok(_) => Ok(plain),
        Err(e) => Err(format!("the amount {text:?} {e}")),
    }
}

/// Properties that are put together; what is absent is left out.
#[derive(Default)]
pub struct PropertyList(Map<String, Value>);

impl PropertyList {
    /// Adds a text.
    pub fn text(mut self, name: &str, text: Option<&str>) -> PropertyList {
        if let Some(text) = text {
            self.0.insert(name.to_owned(), Value::from(text));
        }
        self
    }

    /// The event with these properties.
    pub fn event(self, kind: &str, id: String, time: Option<&str>) -> Incoming<'static> {
        let text = |text: &str| Field::Text(text.to_owned().into());
        Incoming {
            kind: text(kind),
            id: Field::Text(id.into()),
            timestamp: time.map_or(Field::Absent, text),
            properties: Some(Value::Object(self.0).to_string().into()),
            ..Incoming::default()
        }
    }
}

/// An order that was not paid is no purchase.
fn not_paid(status: &str) -> ImportRecord {
    ImportRecord::LeftOut { why: format!("not paid: {status}") }
}

fn broken((line, why): BrokenRow) -> ImportRecord {
    ImportRecord::Broken { line, why }
}

/// Shopify's export. An order has a row for each of its products; all but the first say little of the order.
pub struct ShopifyOrders {
    table: Table,
    columns: ShopifyColumns,
    /// The first row of the order that is being read, and how many items it has so far.
    open: Option<(TableRow, i64)>,
}

struct ShopifyColumns {
    name: usize,
    status: usize,
    total: usize,
    created: usize,
    id: usize,
    currency: Option<usize>,
    quantity: Option<usize>,
    refunded: Option<usize>,
    country: [Option<usize>; 2],
    gateway: Option<usize>,
    discount: Option<usize>,
    channel: Option<usize>,
}

impl ShopifyOrders {
    /// # Errors
    /// A column is missing that is needed.
    pub fn new(table: Table) -> Result<ShopifyOrders, String> {
        let columns = ShopifyColumns {
            name: table.needed(&["Name"])?,
            status: table.needed(&["Financial Status"])?,
            total: table.needed(&["Total"])?,
            created: table.needed(&["Created at"])?,
            id: table.needed(&["Id"])?,
            currency: table.column(&["Currency"]),
            quantity: table.column(&["Lineitem quantity"]),
            refunded: table.column(&["Refunded Amount"]),
            country: [table.column(&["Shipping Country"]), table.column(&["Billing Country"])],
            gateway: table.column(&["Payment Method"]),
            discount: table.column(&["Discount Amount"]),
            channel: table.column(&["Source"]),
        };
        Ok(ShopifyOrders { table, columns, open: None })
    }

    /// Reads up to the next order; `false` at the end.
    pub fn next(&mut self, rules: &ImportRules, out: &mut Vec<ImportRecord>) -> bool {
        let columns = &self.columns;
        let Some(row) = self.table.next() else {
            let last = self.open.take();
            out.extend(last.into_iter().flat_map(|open| columns.order(rules, &open)));
            return false;
        };
        let row = match row {
            Ok(row) => row,
            Err(row) => {
                out.push(broken(row));
                return true;
            }
        };
        let items = row.get(columns.quantity).and_then(|text| text.parse().ok()).unwrap_or(0);
        match &mut self.open {
            Some((first, sum)) if columns.continues(first, &row) => *sum += items,
            open => {
                let before = open.replace((row, items));
                out.extend(before.into_iter().flat_map(|open| columns.order(rules, &open)));
            }
        }
        true
    }
}

impl ShopifyColumns {
    /// Whether a row is of the same order as the one before.
    fn continues(&self, first: &TableRow, row: &TableRow) -> bool {
        row.get(Some(self.name)) == first.get(Some(self.name))
            && row.get(Some(self.status)).is_none()
    }

    fn order(&self, rules: &ImportRules, (row, items): &(TableRow, i64)) -> Vec<ImportRecord> {
        let status = row.get(Some(self.status)).unwrap_or_default().to_ascii_lowercase();
        if !["paid", "partially_refunded", "refunded"].contains(&status.as_str()) {
            return vec![match status.is_empty() {
                true => broken((row.line, "it has no Financial Status".to_owned())),
                false => not_paid(&status),
            }];
        }
        let name = row.get(Some(self.name));
        // Only by this do webhooks name the order.
        let Some(id) = row.get(Some(self.id)) else {
            return vec![broken((row.line, "it has no Id".to_owned()))];
        };
        let total =
            match row.get(Some(self.total)).ok_or("it has no Total".to_owned()).and_then(amount) {
                Ok(total) => total,
                Err(why) => return vec![broken((row.line, why))],
            };
        let items = (*items > 0).then(|| items.to_string());
        let properties = PropertyList::default()
            .text("imported_from", Some("shopify"))
            .text("order_id", Some(id))
            .text("order_name", name)
            .text("amount", Some(&total))
            .text("currency", row.get(self.currency))
            .text("country", self.country.iter().find_map(|column| row.get(*column)))
            .text("gateway", row.get(self.gateway))
            .text("discounts", row.get(self.discount))
            .text("source_name", row.get(self.channel))
            .text("items", items.as_deref())
            .text("status", Some(&status));
        let event =
            properties.event("purchase", format!("order:{id}"), row.get(Some(self.created)));
        let mut out = vec![rules.judge(ExportFormat::Shopify, (row.line, &[]), &event)];
        let refunded = row.get(self.refunded).and_then(|text| Amount::parse(text).ok());
        if refunded.is_some_and(|refunded| refunded.0 > 0) {
            let why = "a refund, of which this export does not say when it was".to_owned();
            out.push(ImportRecord::LeftOut { why });
        }
        out
    }
}

/// Stripe's export of payments.
pub struct StripePayments {
    table: Table,
    columns: StripeColumns,
}

struct StripeColumns {
    id: usize,
    created: usize,
    amount: usize,
    currency: usize,
    status: Option<usize>,
    captured: Option<usize>,
    refunded: Option<usize>,
    refunded_at: Option<usize>,
    customer: Option<usize>,
    order: [Option<usize>; 2],
}

impl StripePayments {
    /// # Errors
    /// A column is missing that is needed.
    pub fn new(table: Table) -> Result<StripePayments, String> {
        let columns = StripeColumns {
            id: table.needed(&["id"])?,
            created: table.needed(&["Created date (UTC)", "Created (UTC)"])?,
            amount: table.needed(&["Amount"])?,
            currency: table.needed(&["Currency"])?,
            status: table.column(&["Status"]),
            captured: table.column(&["Captured"]),
            refunded: table.column(&["Amount Refunded"]),
            refunded_at: table.column(&["Refunded date (UTC)"]),
            customer: table.column(&["Customer ID"]),
            order: [table.column(&["order_id (metadata)"]), table.column(&["PaymentIntent ID"])],
        };
        Ok(StripePayments { table, columns })
    }

    /// Reads the next payment; `false` at the end.
    pub fn next(&mut self, rules: &ImportRules, out: &mut Vec<ImportRecord>) -> bool {
        match self.table.next() {
            None => return false,
            Some(Err(row)) => out.push(broken(row)),
            Some(Ok(row)) => {
                let line = row.line;
                match self.columns.payment(rules, &row) {
                    Ok(records) => out.extend(records),
                    Err(why) => out.push(broken((line, why))),
                }
            }
        }
        true
    }
}

impl StripeColumns {
    fn payment(&self, rules: &ImportRules, row: &TableRow) -> Result<Vec<ImportRecord>, String> {
        let status = row.get(self.status).unwrap_or("Paid");
        let is_paid = ["paid", "refunded", "partially refunded", "partial refund", "succeeded"]
            .contains(&status.to_ascii_lowercase().as_str());
        if !is_paid || row.get(self.captured).is_some_and(|it| it.eq_ignore_ascii_case("false")) {
            return Ok(vec![not_paid(if is_paid { "not captured" } else { status })]);
        }
        let id = row.get(Some(self.id)).ok_or("it has no id")?;
        let order = self.order.iter().find_map(|column| row.get(*column)).unwrap_or(id);
        let currency = row.get(Some(self.currency)).map(str::to_ascii_uppercase);
        let properties = |amount: &str| {
            PropertyList::default()
                .text("imported_from", Some("stripe"))
                .text("gateway", Some("stripe"))
                .text("object_id", Some(id))
                .text("order_id", Some(order))
                .text("amount", Some(amount))
                .text("currency", currency.as_deref())
                .text("status", Some(status))
        };
        let judged = |event: Incoming<'static>| {
            let user_id = row
                .get(self.customer)
                .map_or(Field::Absent, |id| Field::Text(id.to_owned().into()));
            rules.judge(ExportFormat::Stripe, (row.line, &[]), &Incoming { user_id, ..event })
        };
        // The columns say that they are in UTC.
        let utc = |column| row.get(column).map(|text| format!("{text} UTC"));
        let total = amount(row.get(Some(self.amount)).ok_or("it has no Amount")?)?;
        let event = properties(&total).event(
            "purchase",
            format!("order:{order}"),
            utc(Some(self.created)).as_deref(),
        );
        let mut out = vec![judged(event)];
        let refunded = row.get(self.refunded).map(amount).transpose()?;
        let refunded = refunded.filter(|text| Amount::parse(text).is_ok_and(|amount| amount.0 > 0));
        if let Some(refunded) = refunded {
            out.push(match utc(self.refunded_at) {
                Some(at) => {
                    judged(properties(&refunded).event("refund", format!("refund:{id}"), Some(&at)))
                }
                None => ImportRecord::LeftOut {
                    why: "a refund, of which this export does not say when it was".to_owned(),
                },
            });
        }
        Ok(out)
    }
}

/// The orders of WooCommerce: of an export extension (`order_total`), or of Analytics (`N. Revenue`).
pub struct WooOrders {
    table: Table,
    order: usize,
    time: usize,
    status: usize,
    total: usize,
    currency: Option<usize>,
    gateway: Option<usize>,
    country: Option<usize>,
    customer: Option<usize>,
}

impl WooOrders {
    /// # Errors
    /// A column is missing that is needed.
    pub fn new(table: Table) -> Result<WooOrders, String> {
        Ok(WooOrders {
            order: table.needed(&["order_id", "order_number", "Order #"])?,
            time: table.needed(&["order_date", "date", "Date", "paid_date"])?,
            status: table.needed(&["status", "order_status", "Status"])?,
            total: table.needed(&["order_total", "N. Revenue"])?,
            currency: table.column(&["order_currency", "currency"]),
            gateway: table.column(&["payment_method"]),
            country: table.column(&["shipping_country", "billing_country"]),
            customer: table.column(&["customer_id", "customer_user"]),
            table,
        })
    }

    /// Reads the next order; `false` at the end.
    pub fn next(&mut self, rules: &ImportRules, out: &mut Vec<ImportRecord>) -> bool {
        match self.table.next() {
            None => return false,
            Some(Err(row)) => out.push(broken(row)),
            Some(Ok(row)) => {
                let record = self.record(rules, &row);
                out.push(record.unwrap_or_else(|why| broken((row.line, why))));
            }
        }
        true
    }

    fn record(&self, rules: &ImportRules, row: &TableRow) -> Result<ImportRecord, String> {
        let status = row.get(Some(self.status)).ok_or("it has no status")?.to_ascii_lowercase();
        let status = status.trim_start_matches("wc-");
        if !["completed", "processing", "refunded"].contains(&status) {
            return Ok(not_paid(status));
        }
        let order = row.get(Some(self.order)).ok_or("it has no order_id")?;
        let total = amount(row.get(Some(self.total)).ok_or("it has no total")?)?;
        let time = row.get(Some(self.time)).and_then(|text| moments::read(text, &rules.zone));
        let time = time.ok_or("it has no date that can be read")?.to_string();
        let properties = PropertyList::default()
            .text("imported_from", Some("woocommerce"))
            .text("order_id", Some(order))
            .text("amount", Some(&total))
            .text("currency", Some(row.get(self.currency).unwrap_or(&rules.currency)))
            .text("country", row.get(self.country))
            .text("gateway", row.get(self.gateway))
            .text("status", Some(status));
        let event = properties.event("purchase", format!("order:{order}"), Some(&time));
        // The customer 0 is a guest.
        let user = row.get(self.customer).filter(|id| *id != "0");
        let user_id = user.map_or(Field::Absent, |id| Field::Text(id.to_owned().into()));
        Ok(rules.judge(ExportFormat::Woocommerce, (row.line, &[]), &Incoming { user_id, ..event }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_between_thousands_stand_for_nothing() {
        assert_eq!(amount("1,234.50").as_deref(), Ok("1234.50"));
        assert_eq!(amount("-12,345,678").as_deref(), Ok("-12345678"));
        assert_eq!(amount("19.99").as_deref(), Ok("19.99"));
        for wrong in ["19,99", "1,23.4", "abc", "", "1,2345"] {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
    }
}
