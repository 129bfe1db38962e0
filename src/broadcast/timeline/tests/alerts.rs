//! What fires is told once, to everybody.

use super::*;
use crate::domain::alert::Firing;

fn firing(name: &str) -> Firing {
    Firing { name: name.into(), ..Firing::default() }
}

#[test]
fn a_change_of_the_alerts_is_in_the_next_frame_and_in_no_other() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    let read = |text: &WireFrame| serde_json::from_str::<Value>(text).unwrap();
    let names = |frame: &Value| -> Option<Vec<String>> {
        let firing = frame["alerts"]["firing"].as_array()?.iter();
        Some(firing.map(|it| it["name"].as_str().unwrap().to_owned()).collect())
    };
    assert_eq!(names(&read(&stage.snapshot().unwrap())), Some(vec![]));
    stage.events("page_view", &[0]);
    assert_eq!(names(&read(&stage.tick().unwrap().text)), None);

    // Nothing else has happened, so the frame is sent for the alert alone.
    stage.pass(200);
    assert!(stage.tick().is_none());
    stage.mirror.alerts().show(vec![firing("checkout_errors")], vec![]);
    let fired = read(&stage.tick().expect("it is told at once").text);
    assert_eq!(names(&fired), Some(vec!["checkout_errors".to_owned()]));
    assert_eq!(fired["counts"], serde_json::json!({}));
    stage.events("page_view", &[0]);
    let after = stage.tick().unwrap();
    assert_eq!(names(&read(&after.text)), None, "once is enough");

    // A new viewer has the alert from the snapshot, and one that comes back from the frames that it
    // missed.
    stage.pass(200);
    let snapshot = read(&stage.snapshot().unwrap());
    assert_eq!(snapshot["alerts"], fired["alerts"]);
    let missed = stage.resume("e", fired["seq"].as_u64().unwrap() - 1).unwrap();
    assert_eq!(missed.iter().filter_map(|text| names(&read(text))).count(), 1);

    stage.mirror.alerts().show(vec![], vec![firing("checkout_errors")]);
    let cleared = read(&stage.tick().unwrap().text);
    assert_eq!(names(&cleared), Some(vec![]));
    assert!(cleared["alerts"]["version"].as_u64() > fired["alerts"]["version"].as_u64());
}
