//! A payment gateway is misconfigured in a shop that has been open for a while: the alert is
//! out within 30 seconds, names the gateway, and clears after the fix.

use std::time::{Duration, Instant};

use floodmark::{
    demo::{event::ShopEvent, shop::Shop, traffic::Incidents},
    domain::time::{MINUTE, Millis, now_ms},
};

use crate::{
    receiver::Receiver,
    support::{program::floodmark_output, server::Server},
};

/// Events a second: about 600 orders a minute, so that nothing here is left to chance.
const RATE: f64 = 240.0;
/// How long the shop has been open: long enough for a baseline, and sent in some seconds.
const HISTORY: Millis = 20 * MINUTE;
/// Events of one request.
const REQUEST: usize = 2_000;
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// The shipped rule, but that its `clear_for` is not waited for in full.
fn rule() -> String {
    let shipped = include_str!("../../config/default.toml");
    let from = shipped.find("[[alert]]\nname = \"checkout_errors\"").expect("it is shipped");
    let rule = shipped[from..].split("\n\n").next().expect("there is always a first");
    assert!(!rule.contains("clear_for"), "{rule}");
    format!("{rule}\nclear_for = \"20s\"\n")
}

/// A shop whose events are sent as their time comes.
struct Live<'a> {
    shop: std::iter::Peekable<Box<dyn Iterator<Item = ShopEvent>>>,
    server: &'a Server,
}

/// A shop that changes while it is open.
struct Changing(std::rc::Rc<std::cell::RefCell<Option<Shop>>>);

impl Iterator for Changing {
    type Item = ShopEvent;

    fn next(&mut self) -> Option<ShopEvent> {
        self.0.borrow_mut().as_mut()?.next()
    }
}

impl Live<'_> {
    /// Sends all that has happened by now.
    fn catch_up(&mut self) {
        let mut lines = Vec::new();
        let mut events = 0;
        while let Some(event) = self.shop.next_if(|event| event.timestamp <= now_ms()) {
            event.write_line(&mut lines);
            events += 1;
            if events == REQUEST {
                self.send(&mut lines);
                events = 0;
            }
        }
        if events > 0 {
            self.send(&mut lines);
        }
    }

    fn send(&self, lines: &mut Vec<u8>) {
        let headers = "Content-Type: application/x-ndjson\r\n";
        let answer = self.server.request("POST", "/v1/events", headers, lines).unwrap();
        assert_eq!(answer.0, 202, "{}", answer.1);
        lines.clear();
    }

    fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            self.catch_up();
            if let Some(found) = look() {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "never: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_misconfigured_gateway_is_told_within_30_seconds_by_name_and_cleared_after_the_fix() {
    let receiver = Receiver::start();
    let server = Server::with_config(&format!("{}{}", rule(), receiver.webhook()));
    let opened = now_ms() - HISTORY;
    let shop = Shop::new(14, opened, RATE, "USD").with_incidents(Incidents::None);
    let shop = std::rc::Rc::new(std::cell::RefCell::new(Some(shop)));
    let change = |incidents| {
        let was = shop.borrow_mut().take().expect("it is open");
        *shop.borrow_mut() = Some(was.with_incidents(incidents));
    };
    let events: Box<dyn Iterator<Item = ShopEvent>> = Box::new(Changing(shop.clone()));
    let mut live = Live { shop: events.peekable(), server: &server };
    // What was before, sent at once; then in real time, and nothing fires.
    live.catch_up();
    let quiet_until = Instant::now() + Duration::from_secs(3);
    live.until("some quiet seconds", || (Instant::now() > quiet_until).then_some(()));
    assert_eq!(receiver.changes(), []);

    // "14:00"
    let (from, began) = (now_ms(), Instant::now());
    change(Incidents::Gateway { gateway: "stripe", from, until: Millis::MAX });
    let fired = live.until("it fires", || receiver.requests().into_iter().next());
    let after = fired.at - began;
    assert!(after < Duration::from_secs(30), "told after {after:?}: {}", fired.body);
    println!("told {:.1} s after the gateway began to fail", after.as_secs_f64());
    assert_eq!(
        (fired.text("change"), fired.text("name")),
        ("fired".into(), "checkout_errors".into())
    );
    assert!(fired.is_signed());
    let explains = &fired.json()["explains"][0];
    assert!(explains["share"].as_f64().unwrap() > 0.6, "{explains}");
    assert!(fired.text("summary").contains("gateway=stripe: "), "{}", fired.body);
    let shown = server.get("/api/analytics/alerts");
    assert_eq!(shown["firing"][0]["name"], "checkout_errors");
    assert_eq!(shown["firing"][0]["id"], fired.json()["id"]);
    assert!(
        server.get_text("/metrics").contains("floodmark_alerts_firing{name=\"checkout_errors\"} 1")
    );

    change(Incidents::None);
    let fixed = Instant::now();
    let cleared = live.until("it clears", || receiver.requests().into_iter().nth(1));
    println!("cleared {:.1} s after the fix", (cleared.at - fixed).as_secs_f64());
    assert_eq!(cleared.text("change"), "cleared");
    assert_eq!(cleared.json()["id"], fired.json()["id"]);
    assert_eq!(receiver.requests().len(), 2, "{:?}", receiver.changes());
    let shown = server.get("/api/analytics/alerts");
    assert_eq!(shown["firing"], serde_json::json!([]));
    assert_eq!(shown["history"][0]["name"], "checkout_errors");
}

/// The rules over history: an hour and a half of a smaller shop whose gateway failed for ten minutes.
#[test]
fn the_rollups_tell_when_a_rule_would_have_fired() {
    let server = Server::start();
    let opened = now_ms() - 100 * MINUTE;
    let (from, until) = (opened + 70 * MINUTE, opened + 80 * MINUTE);
    let shop = Shop::new(14, opened, RATE / 3.0, "USD").with_incidents(Incidents::Gateway {
        gateway: "stripe",
        from,
        until,
    });
    let events: Box<dyn Iterator<Item = ShopEvent>> = Box::new(shop);
    let mut live = Live { shop: events.peekable(), server: &server };
    live.catch_up();
    let moment = |at: Millis| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let (data, begin) = (server.data(), moment(opened + 65 * MINUTE));
    let told = live.until("the rollups have it", || {
        let to = moment(now_ms());
        let data = data.to_str().unwrap();
        let args = ["alerts", "test", "--data-dir", data, "--from", &begin, "--to", &to];
        let output = floodmark_output(&args);
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        told.contains("checkout_errors cleared").then_some(told)
    });
    assert!(told.contains("checkout_errors: fired 1 times"), "{told}");
    // A minute is seen once it is over.
    let fired = from_ms(&told);
    assert!((from..=from + 4 * MINUTE).contains(&fired), "{told}");
}

/// The moment of the line that says "fired".
fn from_ms(told: &str) -> Millis {
    let line = told.lines().find(|line| line.contains(" fired: ")).expect("it fired");
    let mut words = line.split(' ');
    let (day, time) = (words.next().unwrap(), words.next().unwrap());
    let at: jiff::civil::DateTime = format!("{day}T{time}").parse().unwrap();
    // The command was run without the server's variables, so in UTC.
    at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond()
}
