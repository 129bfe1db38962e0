//! A payment gateway is misconfigured in a shop that has been open for a while. The alert reaches
//! the webhook within 30 seconds, names the gateway, and clears after the fix.

use std::time::{Duration, Instant};

use floodmark::{
    demo::{shop::Shop, traffic::Incidents},
    domain::time::{MINUTE, Millis, now_ms},
};

use crate::{
    open_shop::OpenShop,
    receiver::Receiver,
    support::{program::floodmark_output, server::Server},
};

/// Events a second. They have about 600 orders a minute, so that the result does not depend on
/// chance.
const RATE: f64 = 240.0;
/// How long the shop has been open. That is long enough for a baseline, and can be sent within
/// seconds.
const HISTORY: Millis = 20 * MINUTE;

/// The shipped rule with a shorter `clear_for`, so that the test takes less time.
fn rule() -> String {
    let shipped = include_str!("../../config/default.toml");
    let from = shipped.find("[[alert]]\nname = \"checkout_errors\"").expect("it is shipped");
    let rule = shipped[from..].split("\n\n").next().expect("there is always a first");
    assert!(!rule.contains("clear_for"), "{rule}");
    format!("{rule}\nclear_for = \"20s\"\n")
}

#[test]
fn a_misconfigured_gateway_is_told_within_30_seconds_by_name_and_cleared_after_the_fix() {
    let receiver = Receiver::start();
    let server = Server::with_config(&format!("{}{}", rule(), receiver.webhook()));
    let opened = now_ms() - HISTORY;
    let shop = Shop::new(14, opened, RATE, "USD").with_incidents(Incidents::None);
    let mut live = OpenShop::new(shop, &server);
    // The events of the past are sent at once and the following ones in real time; nothing fires.
    live.catch_up();
    let quiet_until = Instant::now() + Duration::from_secs(3);
    live.until("some quiet seconds", || (Instant::now() > quiet_until).then_some(()));
    assert_eq!(receiver.changes(), []);

    // The incident begins here; on the simulated day it is 14:00.
    let (from, began) = (now_ms(), Instant::now());
    live.change(Incidents::Gateway { gateway: "stripe", failing: 0.75, from, until: Millis::MAX });
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
    // The search through all properties says the same.
    let causes = &fired.json()["causes"];
    assert_eq!(causes[0]["where"], serde_json::json!({"gateway": "stripe"}), "{}", fired.body);
    assert!(fired.text("summary").contains("Cause: gateway=stripe, "), "{}", fired.body);
    let shown = server.get("/api/analytics/alerts");
    assert_eq!(shown["firing"][0]["name"], "checkout_errors");
    assert_eq!(shown["firing"][0]["id"], fired.json()["id"]);
    assert!(
        server.get_text("/metrics").contains("floodmark_alerts_firing{name=\"checkout_errors\"} 1")
    );

    live.change(Incidents::None);
    let fixed = Instant::now();
    let cleared = live.until("it clears", || receiver.requests().into_iter().nth(1));
    println!("cleared {:.1} s after the fix", (cleared.at - fixed).as_secs_f64());
    assert_eq!(cleared.text("change"), "cleared");
    assert_eq!(cleared.json()["id"], fired.json()["id"]);
    assert_eq!(&cleared.json()["causes"], causes);
    assert_eq!(receiver.requests().len(), 2, "{:?}", receiver.changes());
    let shown = server.get("/api/analytics/alerts");
    assert_eq!(shown["firing"], serde_json::json!([]));
    assert_eq!(shown["history"][0]["name"], "checkout_errors");
}

/// Tries the rules against the past: an hour and a half of a smaller shop whose gateway failed for
/// ten minutes.
#[test]
fn the_rollups_tell_when_a_rule_would_have_fired() {
    let server = Server::start();
    let opened = now_ms() - 100 * MINUTE;
    let (from, until) = (opened + 70 * MINUTE, opened + 80 * MINUTE);
    let shop = Shop::new(14, opened, RATE / 3.0, "USD").with_incidents(Incidents::Gateway {
        gateway: "stripe",
        failing: 0.75,
        from,
        until,
    });
    let mut live = OpenShop::new(shop, &server);
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
    // `alerts test` reads whole minutes, so it sees an incident when its minute is over.
    let fired = from_ms(&told);
    assert!((from..=from + 4 * MINUTE).contains(&fired), "{told}");
}

/// The moment of the line that says "fired".
fn from_ms(told: &str) -> Millis {
    let line = told.lines().find(|line| line.contains(" fired: ")).expect("it fired");
    let mut words = line.split(' ');
    let (day, time) = (words.next().unwrap(), words.next().unwrap());
    let at: jiff::civil::DateTime = format!("{day}T{time}").parse().unwrap();
    // The command ran without the server's variables, so it prints UTC.
    at.to_zoned_datetime(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond()
}
