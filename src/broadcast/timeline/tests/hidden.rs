//! What those get who may not see money does not depend on it: two shops that differ in nothing but
//! amounts show them the same bytes.

use bytes::Bytes;

use super::*;
use crate::domain::{alert::Firing, delta::Series, metric::Unit};

/// What a viewer without money gets at each step, in both forms of the wire.
fn shown(stage: &mut Stage, steps: &[Step], amounts: &mut impl Iterator<Item = i64>) -> Vec<Bytes> {
    let mut got = Vec::new();
    let mut take = |text: &WireFrame| got.extend([text.bytes(false), text.bytes(true)]);
    let mut seq = 0;
    for step in steps {
        match step {
            Step::Events(kind, offsets) => pay(stage, kind, offsets, amounts),
            Step::Pass(ms) => stage.pass(*ms),
            Step::Tick => {
                let frame = stage.tick_for_all();
                let text = frame.and_then(|frame| frame.texts[Sight::NoMoney].clone());
                text.iter().for_each(&mut take);
            }
            Step::Join => {
                stage.timeline.join(Sight::NoMoney, stage.now() as u64);
                stage.snapshot_for(Sight::NoMoney).iter().for_each(&mut take);
                let missed = stage.timeline.resume(Sight::NoMoney, "e.1", seq);
                missed.iter().flatten().for_each(&mut take);
                seq = stage.timeline.seq;
            }
            Step::Reset => {
                let counters = stage.mirror.counters().clone();
                stage.reset(counters);
            }
        }
    }
    got
}

/// Orders and refunds with amounts, and an alert on money with one.
fn pay(stage: &mut Stage, kind: &str, offsets: &[Millis], amounts: &mut impl Iterator<Item = i64>) {
    let now = stage.now();
    let mut sum = DeltaSum::default();
    for offset in offsets {
        let amount = amounts.next().unwrap();
        let at = now + offset;
        sum.count(kind, at);
        sum.count("purchase", at);
        sum.sum(&Series::revenue(), at, amount);
        sum.sum(&Series::Sum("refunds".into()), at, amount / 3);
        sum.money("revenue", "JPY", at, amount / 7);
    }
    let delta = sum.finish();
    stage.mirror.apply(0, &delta, now, now);
    stage.timeline.add(&delta, now, now);
    let amount = amounts.next().unwrap() as f64;
    let firing = Firing {
        name: "money".into(),
        title: format!("below {amount}"),
        metric: "revenue".into(),
        unit: Unit::Money,
        value: amount,
        threshold: amount * 2.0,
        baseline: Some(amount * 3.0),
        volume: amount,
        summary: format!("revenue is {amount}"),
        ..Firing::default()
    };
    let ended = Firing { cleared_at: Some(now), since: now, ..firing.clone() };
    stage.mirror.alerts().show(vec![firing], vec![ended]);
}

proptest! {
    #[test]
    fn no_byte_depends_on_an_amount(
        steps in steps(),
        minute in 50..60,
        one in proptest::collection::vec(1..1_000_000_000_000i64, 8),
        other in proptest::collection::vec(1..1_000_000_000_000i64, 8),
    ) {
        let steps: Vec<Step> =
            std::iter::once(Step::Join).chain(steps).chain([Step::Tick, Step::Join]).collect();
        let [one, other] = [one, other].map(|amounts| {
            let mut stage = Stage::new(&format!("2026-11-27T22:{minute}:58.700Z"));
            shown(&mut stage, &steps, &mut amounts.into_iter().cycle())
        });
        prop_assert!(!one.is_empty());
        prop_assert_eq!(one, other);
    }

    /// What is left out is money, and nothing else.
    #[test]
    fn all_else_is_what_others_see(sizes in proptest::collection::vec(1..4usize, 1..12)) {
        let mut stage = Stage::new("2026-11-27T12:00:00Z");
        stage.timeline.join(Sight::NoMoney, 0);
        let (mut full, mut veiled) = (Screen::default(), Screen::default());
        full.take(&stage.snapshot().unwrap());
        veiled.take(&stage.snapshot_for(Sight::NoMoney).unwrap());
        for size in sizes {
            stage.pass(200);
            stage.events("a", &vec![0; size]);
            let texts = stage.tick_for_all().unwrap().texts;
            full.take(texts[Sight::Everything].as_ref().unwrap());
            veiled.take(texts[Sight::NoMoney].as_ref().unwrap());
        }
        prop_assert_ne!(full.revenue, 0);
        prop_assert_eq!(veiled.revenue, 0);
        prop_assert_eq!((full.seq, full.day, full.counts), (veiled.seq, veiled.day, veiled.counts));
    }
}

#[test]
fn what_is_hidden_is_named() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    stage.timeline.join(Sight::NoMoney, 0);
    pay(&mut stage, "purchase", &[0], &mut std::iter::repeat(199_900));
    stage.pass(200);
    let read = |text: &WireFrame| serde_json::from_str::<Value>(text).unwrap();
    let delta = read(stage.tick_for_all().unwrap().texts[Sight::NoMoney].as_ref().unwrap());
    assert_eq!((&delta["revenue"], &delta["hidden"]), (&0.into(), &serde_json::json!(["revenue"])));
    let alert = &delta["alerts"]["firing"][0];
    assert_eq!((&alert["title"], &alert["value"]), (&"money".into(), &0.0.into()));
    assert_eq!(alert["hidden"][0], "title");
    let snapshot = read(&stage.snapshot_for(Sight::NoMoney).unwrap());
    assert_eq!(snapshot["hidden"], delta["hidden"]);
    let state = &snapshot["snapshot"];
    assert_eq!(
        state["hidden"],
        serde_json::json!(["revenue", "refunds", "net_revenue", "average_order_value"])
    );
    assert_eq!((&state["revenue"], &state["currencies"]), (&0.into(), &serde_json::json!({})));
    assert_eq!(state["metrics"]["average_order_value"], Value::Null);
    assert_eq!(state["metrics"]["purchases"], 2);
}

#[test]
fn a_sight_has_texts_from_its_first_viewer_to_some_time_after_its_last() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    let texts = |stage: &mut Stage| {
        stage.pass(200);
        stage.events("a", &[0]);
        stage.tick_for_all().unwrap().texts
    };
    assert_eq!(texts(&mut stage)[Sight::NoMoney], None, "nobody would read it");
    let now = stage.now() as u64;
    stage.timeline.join(Sight::NoMoney, now);
    // Who saw everything, or saw it before, can't go on from there.
    assert_eq!(stage.timeline.resume(Sight::NoMoney, "e", 0), None);
    assert_eq!(stage.timeline.resume(Sight::NoMoney, "e.1", 0), None);
    let epoch = |stage: &mut Stage| {
        let snapshot: Value =
            serde_json::from_str(&stage.snapshot_for(Sight::NoMoney).unwrap()).unwrap();
        snapshot["epoch"].as_str().unwrap().to_owned()
    };
    assert_eq!(epoch(&mut stage), "e.1");
    let seq = stage.timeline.seq;
    assert!(texts(&mut stage)[Sight::NoMoney].is_some());
    assert_eq!(stage.timeline.resume(Sight::NoMoney, "e.1", seq).map(|it| it.len()), Some(1));
    assert_eq!(stage.resume("e.1", seq), None, "nor the other way round");

    let nobody = BySight::default();
    stage.timeline.watched(&nobody, now + 1_000_000);
    assert!(texts(&mut stage)[Sight::NoMoney].is_some(), "its viewers may come back");
    stage.timeline.watched(&nobody, now + 1_000_001);
    let frame = texts(&mut stage);
    assert!(frame[Sight::NoMoney].is_none() && frame[Sight::Everything].is_some());
    stage.timeline.join(Sight::NoMoney, now + 2_000_000);
    assert_eq!(epoch(&mut stage), "e.2", "there is a gap");
}
