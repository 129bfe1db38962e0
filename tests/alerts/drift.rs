//! A deployment of the shop leaves a property out. The webhook is told which, of what, since when, once,
//! also over a restart; and that it is back.

use floodmark::domain::time::{MINUTE, Millis, bucket, now_ms};
use serde_json::json;

use crate::{
    receiver::Receiver,
    support::{
        program::{noon_zone, wait_until},
        server::Server,
    },
};

/// Posts forty sign-ups for each of the minutes that begin in `[from, to)`.
fn sign_ups(server: &Server, from: Millis, to: Millis, properties: &serde_json::Value) {
    let minutes = (bucket(from, MINUTE)..to).step_by(MINUTE as usize);
    let events: Vec<_> = minutes
        .flat_map(|minute| (0..40).map(move |n| minute + n * 1_000))
        .map(|at| json!({"type": "signup", "timestamp": at, "properties": properties}))
        .collect();
    for some in events.chunks(1_000) {
        let answer = server.post(serde_json::to_vec(&some).unwrap());
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

#[test]
fn a_property_that_a_deployment_leaves_out_is_told_with_its_time_and_when_it_is_back() {
    let receiver = Receiver::start();
    let settings = format!("ledger.fold_interval_ms = 200\ntimezone = \"{}\"\n", noon_zone());
    let mut server = Server::with_config(&format!("{settings}{}", receiver.webhook()));
    let now = now_ms();
    let deployed = bucket(now, MINUTE) - 12 * MINUTE;
    let whole = json!({"plan": "pro", "seats": 5, "coupon": null});
    let broken = json!({"seats": "5", "coupon": null});
    sign_ups(&server, now - 70 * MINUTE, deployed, &whole);
    sign_ups(&server, deployed, now - 3 * MINUTE, &broken);
    let told = |change: &str| {
        let find = || receiver.requests().into_iter().find(|it| it.text("change") == change);
        wait_until("the webhook is told", || find().map(drop).ok_or_else(|| receiver.changes()));
        find().expect("it was there")
    };
    let fired = told("fired");
    assert!(fired.is_signed());
    assert_eq!(fired.text("name"), "schema_drift:signup:http:plan");
    assert_eq!(fired.text("title"), "plan has vanished from signup of source http");
    // Zones by which it is about noon are whole hours from Greenwich, so the minutes are the same.
    let minute = format!(":{:02}. ", deployed / MINUTE % 60);
    let summary = fired.text("summary");
    for part in [
        "plan has vanished from signup of source http, since ",
        "Also, seats is string instead of number in them, since ",
    ] {
        let (_, rest) = summary.split_once(part).unwrap_or_else(|| panic!("{summary}"));
        assert_eq!(rest.get(2..7), Some(minute.as_str()), "{summary}");
    }
    assert!(!summary.contains("coupon"), "{summary}");
    let shown = server.get("/api/analytics/alerts");
    assert_eq!(shown["firing"][0]["id"], fired.json()["id"]);
    let metric = "floodmark_alerts_firing{name=\"schema_drift\"} 1";
    assert!(server.get_text("/metrics").contains(metric));
    let schema = server.get("/api/analytics/schema?type=signup");
    let properties = schema["schemas"][0]["properties"].as_array().unwrap();
    let plan = properties.iter().find(|it| it["property"] == "plan").unwrap();
    assert!(plan["share"].as_f64().unwrap() < 1.0, "{plan}");

    // The next start goes on with it, and tells the end of the same one.
    server.restart();
    sign_ups(&server, now - 3 * MINUTE, now_ms(), &whole);
    let cleared = told("cleared");
    assert_eq!(cleared.json()["id"], fired.json()["id"]);
    let expected = ["fired", "cleared"].map(|it| (it.to_owned(), fired.text("name")));
    assert_eq!(receiver.changes(), expected);
    assert_eq!(server.get("/api/analytics/alerts")["firing"], json!([]));
}
