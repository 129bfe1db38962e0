//! Marks are told once, to everybody.

use super::*;
use crate::domain::mark::Mark;

#[test]
fn a_change_of_the_marks_is_in_the_next_frame_and_in_no_other() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    let titles = |text: &WireFrame| -> Option<Vec<String>> {
        let frame: Value = serde_json::from_str(text).unwrap();
        let recent = frame["marks"]["recent"].as_array()?.iter();
        Some(recent.map(|it| it["title"].as_str().unwrap().to_owned()).collect())
    };
    assert_eq!(titles(&stage.snapshot().unwrap()), Some(vec![]));
    stage.events("page_view", &[0]);
    assert_eq!(titles(&stage.tick().unwrap().text), None);
    stage.pass(200);
    assert!(stage.tick().is_none());

    // Nothing else has happened, so the frame is sent for the mark alone.
    let deploy = Mark { title: "deploy 4f2c".into(), ..Mark::default() };
    stage.mirror.marks().show(vec![deploy.clone()]);
    let told = stage.tick().expect("it is told at once").text;
    assert_eq!(titles(&told), Some(vec!["deploy 4f2c".to_owned()]));
    stage.mirror.marks().show(vec![deploy]);
    stage.events("page_view", &[0]);
    assert_eq!(titles(&stage.tick().unwrap().text), None, "once is enough");

    // A new viewer has the mark from the snapshot, and one that comes back from the frames that it missed.
    stage.pass(200);
    assert_eq!(titles(&stage.snapshot().unwrap()), titles(&told));
    let missed = stage.resume("e", 1).unwrap();
    assert_eq!(missed.iter().filter_map(titles).count(), 1);

    stage.mirror.marks().show(vec![]);
    assert_eq!(titles(&stage.tick().unwrap().text), Some(vec![]), "it was taken back");
}
