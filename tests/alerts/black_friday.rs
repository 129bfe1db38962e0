//! A whole Black Friday with the profile of the load tests, from midnight until 14:00, which is the
//! present moment. Then a payment gateway is misconfigured. A second shop has the same day without
//! that.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use floodmark::{
    demo::{
        shop::Shop,
        traffic::{Incidents, Rhythm},
    },
    domain::time::{HOUR, MINUTE, Millis, bucket, now_ms},
};

use crate::{
    open_shop::OpenShop,
    receiver::{Receiver, Request},
    support::{program::floodmark_output, server::Server},
};

/// Events a second at 14:00, with about 1,500 orders a minute, of which 200 are paid by the
/// gateway. With 400 events a second the alert fires after 28 seconds, which is too near the limit
/// of the test.
const RATE_AT_TWO: f64 = 600.0;
const TWO: usize = 14 * 60;
/// How long it may take to send the day until now. The rest of the day passes in real time.
const LEAD: Millis = 10 * MINUTE;
/// How long after the alert the gateway is mended.
const MENDING: Duration = Duration::from_secs(120);

/// The traffic of each minute of the day, as a multiple of that at 14:00.
fn profile() -> Vec<f64> {
    let text = include_str!("../../load-tests/profile.json");
    let profile: serde_json::Value = serde_json::from_str(text).unwrap();
    let rates = profile["rates"].as_array().unwrap().iter();
    let rates: Vec<f64> = rates.map(|rate| rate.as_f64().unwrap()).collect();
    assert_eq!(rates.len(), 24 * 60);
    rates.iter().map(|rate| rate / rates[TWO]).collect()
}

/// Marks the day as over when it is dropped, also after a panic.
struct Closing<'a>(&'a AtomicBool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `floodmark alerts test` over the day.
fn tested(server: &Server, midnight: Millis) -> String {
    let moment = |at: Millis| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let (data, from, to) = (server.data().join("data"), moment(midnight), moment(now_ms()));
    let data = data.to_str().unwrap();
    let output =
        floodmark_output(&["alerts", "test", "--data-dir", data, "--from", &from, "--to", &to]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether this minute is in the rollups.
fn is_folded(server: &Server, minute: Millis) -> bool {
    let sql = "SELECT coalesce(max(minute), 0) FROM rollups";
    let database = rusqlite::Connection::open(server.data().join("data/floodmark.db")).unwrap();
    let last: Millis = database.query_row(sql, [], |row| row.get(0)).unwrap();
    last >= minute
}

/// Checks that `floodmark alerts test` finds the incident once on the first server, and none on the
/// second.
fn the_rules_over_what_was_kept_say_the_same(servers: &[Server; 2], midnight: Millis) {
    let told = tested(&servers[0], midnight);
    println!("{told}");
    assert!(told.contains("checkout_errors: fired 1 times"), "{told}");
    assert_eq!(told.matches(" fired: ").count(), 1, "{told}");
    assert_eq!(told.matches(" cleared after ").count(), 1, "{told}");
    let quiet = tested(&servers[1], midnight);
    assert_eq!(quiet.matches(" fired: ").count(), 0, "{quiet}");
    assert_eq!(quiet.matches(": fired 0 times").count(), 3, "{quiet}");
}

/// Checks that the alert names payments through this gateway as the cause.
fn names_the_gateway(fired: &Request) {
    let named = (fired.text("change"), fired.text("name"));
    assert_eq!(named, ("fired".to_owned(), "checkout_errors".to_owned()));
    let explains = fired.json()["explains"].as_array().unwrap().clone();
    let gateway = explains.iter().find(|it| it["property"] == "gateway").unwrap();
    assert_eq!(gateway["value"], "adyen", "{explains:?}");
    assert!(fired.text("summary").contains("gateway=adyen: "), "{}", fired.body);
}

#[test]
#[ignore = "long: ./test --soak"]
fn a_gateway_misconfigured_at_two_on_black_friday_is_told_within_30_seconds_and_once() {
    let receivers = [Receiver::start(), Receiver::start()];
    let servers = receivers.each_ref().map(|it| Server::with_config(&it.webhook()));
    let two = bucket(now_ms() + LEAD + MINUTE, MINUTE);
    let midnight = two - 14 * HOUR;
    let opens = |incidents| {
        let rhythm = Rhythm::Day { midnight, minutes: profile().into() };
        Shop::new(14, midnight, RATE_AT_TWO, "USD").with_rhythm(rhythm).with_incidents(incidents)
    };
    let misconfigured = |until| {
        // The gateway's key is wrong, so all of its payments fail.
        Incidents::Gateway { gateway: "adyen", failing: 1.0, from: two, until }
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let closing = Closing(&is_over);
        let quiet = scope.spawn(|| {
            let mut shop = OpenShop::new(opens(Incidents::None), &servers[1]);
            while !is_over.load(Ordering::SeqCst) {
                shop.catch_up();
                thread::sleep(Duration::from_millis(100));
            }
            shop.sent
        });

        let begin = Instant::now();
        let mut shop = OpenShop::new(opens(misconfigured(Millis::MAX)), &servers[0]);
        shop.catch_up();
        println!("{} events of the day sent in {:.0?}", shop.sent, begin.elapsed());
        let left = two - now_ms();
        assert!(left > 60_000, "too slow a machine: 14:00 is in {left} ms");
        let at_two = Instant::now() + Duration::from_millis(left as u64);
        shop.go_on_until(at_two);
        for receiver in &receivers {
            assert_eq!(receiver.changes(), [], "before 14:00");
        }

        let fired = shop.until("it fires", || receivers[0].requests().into_iter().next());
        let after = fired.at - at_two;
        println!("told {:.1} s after 14:00: {}", after.as_secs_f64(), fired.text("summary"));
        assert!(after < Duration::from_secs(30), "told after {after:?}: {}", fired.body);
        names_the_gateway(&fired);

        shop.go_on_until(Instant::now() + MENDING);
        let mended = now_ms();
        shop.change(misconfigured(mended));
        let fixed = Instant::now();
        let cleared = shop.until("it clears", || receivers[0].requests().into_iter().nth(1));
        println!("cleared {:.1} s after the fix", (cleared.at - fixed).as_secs_f64());
        assert_eq!(cleared.text("change"), "cleared");
        assert_eq!(cleared.json()["id"], fired.json()["id"]);

        // `alerts test` reads whole minutes, so the minute in which the alert cleared must be over
        // and folded.
        let last = bucket(now_ms(), MINUTE) + MINUTE;
        for server in &servers {
            shop.until("the rollups have it", || is_folded(server, last).then_some(()));
        }
        let sent = shop.sent;
        drop(closing);
        println!("{sent} events sent, and {} without incident", quiet.join().unwrap());
        the_rules_over_what_was_kept_say_the_same(&servers, midnight);
    });
    assert_eq!(receivers[0].changes().len(), 2, "{:?}", receivers[0].changes());
    assert_eq!(receivers[1].changes(), []);
}
