//! Time series of several metrics at once, compared with other days, and as CSV; on both stores.

use floodmark::domain::time::{HOUR, MINUTE, Millis, bucket, now_ms};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{postgres::Postgres, server::Server},
};

/// A date that some orders are from.
const DATE: &str = "2025-03-14";
/// How many orders there are of each day: today, the year before, and the date.
const ORDERS: [i64; 3] = [2, 3, 5];

/// A shop with orders of this hour, of the same hour a year ago, and of that on a date.
struct Shop {
    server: Server,
    /// The hour of today.
    hour: Millis,
    _postgres: Option<Postgres>,
}

impl Shop {
    fn on_both() -> [Shop; 2] {
        let postgres = Postgres::start();
        let fold = ("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20");
        let of_postgres = Server::with(&[("FLOODMARK_POSTGRES__URL", &postgres.url()), fold]);
        [Shop::new(Server::with(&[fold]), None), Shop::new(of_postgres, Some(postgres))]
    }

    fn new(server: Server, postgres: Option<Postgres>) -> Shop {
        let zone = server.get("/api/analytics/current")["timezone"].clone();
        let zone = TimeZone::get(zone.as_str().expect("a zone")).expect("a zone");
        // An hour that is over, so that nothing of it is in progress.
        let hour = bucket(now_ms(), HOUR) - HOUR;
        let today =
            Timestamp::from_millisecond(hour).expect("a moment").to_zoned_datetime(zone.clone());
        let year_ago = today.checked_sub(1.year()).expect("a date");
        let date: jiff::civil::Date = DATE.parse().expect("a date");
        let on_date = date.to_datetime(today.time()).to_zoned_datetime(zone).expect("a moment");
        for (then, orders) in [today, year_ago, on_date].iter().zip(ORDERS) {
            let then = then.timestamp().as_millisecond();
            let order = |n: i64| {
                json!({
                    "type": "purchase",
                    "timestamp": then + n * MINUTE,
                    "properties": {"amount": 10, "currency": "USD"},
                })
            };
            let all: Vec<Value> = (0..orders).map(order).collect();
            assert_eq!(post_json(&server, &json!(all).to_string()).0, 202);
        }
        let shop = Shop { server, hour, _postgres: postgres };
        shop.server.until("all is folded", |_| {
            let year = shop.get("metric=purchases&interval=1mo&from=2025-01-01");
            let counts = year.as_array().expect("a list").iter().map(|it| it["count"].as_i64());
            counts.sum::<Option<i64>>() == Some(ORDERS.iter().sum())
        });
        shop
    }

    fn get(&self, query: &str) -> Value {
        self.server.get(&format!("/api/analytics/timeseries?{query}"))
    }

    /// The span of the hour.
    fn span(&self) -> String {
        format!("interval=1h&from={}&to={}", self.hour, self.hour + HOUR)
    }
}

#[test]
fn a_series_is_compared_with_the_year_before_and_with_a_date() {
    for shop in Shop::on_both() {
        for (baseline, orders) in [("", ORDERS[0]), ("&baseline=last_year", ORDERS[1])] {
            let found = shop.get(&format!("metric=purchases&{}{baseline}", shop.span()));
            assert_eq!(found, json!([{"timestamp": shop.hour, "count": orders}]), "{baseline}");
        }
        let query = format!("metric=revenue&{}&baseline={DATE}", shop.span());
        let revenue = json!([{"timestamp": shop.hour, "count": 10 * ORDERS[2]}]);
        assert_eq!(shop.get(&query), revenue);
        // By the minute, only where something was.
        let by_minute = format!("from={}&to={}&baseline={DATE}", shop.hour, shop.hour + 3 * MINUTE);
        let found = shop.get(&format!("type=purchase&{by_minute}"));
        let counts: Vec<_> =
            found.as_array().expect("a list").iter().map(|it| &it["count"]).collect();
        assert_eq!(counts, [&json!(1); 3]);
    }
}

#[test]
fn several_metrics_are_answered_together() {
    for shop in Shop::on_both() {
        let names = ["purchases", "revenue", "average_order_value"];
        let both = shop.get(&format!("metric={}&{}", names.join(","), shop.span()));
        for name in names {
            let single = shop.get(&format!("metric={name}&{}", shop.span()));
            let points = both["metrics"][name].as_array().expect("a list");
            assert_eq!(points.len(), 1);
            assert_eq!(points[0]["value"], single[0]["count"], "{name}");
            assert_eq!(points[0]["timestamp"], shop.hour);
        }
        assert_eq!(both["metrics"]["revenue"][0]["value"], 10 * ORDERS[0]);
        let query = format!("/api/analytics/timeseries?metric=purchases,revenue&{}", shop.span());
        let csv = shop.server.request("GET", &query).header("Accept", "text/csv").send().unwrap();
        let table = format!("timestamp,purchases,revenue\r\n{},2,20\r\n", shop.hour);
        assert_eq!(csv.text(), table);
    }
}
