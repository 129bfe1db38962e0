//! A system clock that jumps. libfaketime stands between the program and the clock; timers
//! run on the monotonic clock, which it leaves alone.

use std::path::{Path, PathBuf};

use crate::{
    load::{Load, Plan},
    node::Node,
    shop::{BRISK, Shop},
    support::client::Request,
    verdict::Row,
    viewer::Viewer,
};

const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

pub fn library() -> &'static str {
    let found = PLACES.iter().find(|place| Path::new(place).exists());
    found.expect("libfaketime is not installed: apt-get install libfaketime")
}

/// A node whose system clock is moved by writing to a file, which libfaketime reads.
struct Moved {
    shop: Shop,
    clock: PathBuf,
}

impl Moved {
    fn start(settings: &[(&str, &str)]) -> Moved {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let clock = scratch.path().join("clock");
        std::fs::write(&clock, "+0\n").expect("a clock");
        let name = clock.to_str().expect("a plain name").to_owned();
        let data = scratch.path().join("data");
        std::fs::create_dir(&data).expect("a data dir");
        let faked = [
            ("LD_PRELOAD", library()),
            ("FAKETIME_TIMESTAMP_FILE", &name),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let all: Vec<(&str, &str)> = BRISK.iter().chain(&faked).chain(settings).copied().collect();
        let node = Node::on(scratch, data, &all, &[]);
        Moved { shop: Shop { node, servers: None }, clock }
    }

    /// Moves the node's clock away from the real one, by this much.
    fn jump(&self, to: &str) {
        let next = self.clock.with_extension("next");
        std::fs::write(&next, format!("{to}\n")).expect("a clock");
        std::fs::rename(next, &self.clock).expect("a clock");
        let real = floodmark::domain::time::now_ms();
        let offset: i64 = match to.split_at(to.len() - 1) {
            (number, "h") => number.parse::<i64>().expect("hours") * 3_600_000,
            (number, "d") => number.parse::<i64>().expect("days") * 86_400_000,
            _ => 0,
        };
        self.shop.node.until("its clock has jumped", |node| {
            let shown = node.current()["timestamp"].as_i64().expect("a time");
            (shown - real - offset).abs() < 60_000
        });
    }
}

#[test]
fn clock_jumps_back_an_hour() {
    let row = Row::new(
        "clock_jumps_back_an_hour",
        "the system clock jumps back an hour under load, and on again",
        "nothing waits for the hour to pass; an id counts once across both jumps",
    );
    let mut moved = Moved::start(&[]);
    let viewer = Viewer::watch(moved.shop.node.addr(), None);
    let plan = Plan { ids: true, twice: true, ..Plan::PLAIN };
    let load = Load::start(moved.shop.node.addr(), 0, plan);
    load.goes_on(1000);
    moved.jump("-1h");
    load.goes_on(2000);
    moved.jump("+0");
    load.goes_on(1000);
    let account = load.stop();
    row.close(&mut moved.shop, &account, Some(&viewer));
}

#[test]
fn clock_jumps_forward_a_day() {
    let row = Row::new(
        "clock_jumps_forward_a_day",
        "the system clock jumps forward a day under load, and back again",
        "the day of each event keeps its totals; an id counts once across both jumps",
    );
    let mut moved = Moved::start(&[]);
    let node = &moved.shop.node;
    let addr = node.addr();
    let known =
        move |n: u64| format!(r#"{{"type":"page_view","id":"{n}","properties":{{"n":{n}}}}}"#);
    let send =
        move |n: u64| Request::post(addr, "/v1/events", known(n)).send().expect("an answer").json();
    // These two events are sent again after each jump. Their numbers are so high that no load
    // reaches them.
    let (first, second) = (1 << 60, (1 << 60) + 1);
    assert_eq!(send(first)["accepted"], 1);
    node.settled();
    let load = Load::start(node.addr(), 0, Plan::PLAIN);
    load.goes_on(1000);
    let viewer = Viewer::watch(node.addr(), None);
    moved.jump("+1d");
    load.goes_on(1000);
    assert_eq!(send(first)["duplicates"], 1, "the window is 15 minutes of real time");
    assert_eq!(send(second)["accepted"], 1);
    viewer.until("the next day", |screen| screen.events() > 0);
    moved.jump("+0");
    load.goes_on(1000);
    assert_eq!(send(first)["duplicates"], 1);
    assert_eq!(send(second)["duplicates"], 1);
    let mut account = load.stop();
    account.answered(first);
    account.answered(second);
    moved.shop.node.restart();
    assert_eq!(send(first)["duplicates"], 1, "after a restart as well");
    assert_eq!(send(second)["duplicates"], 1, "though it was received tomorrow");
    let (stored, found) = moved.shop.compared(&account, 0);
    assert_eq!((found.lost, found.doubled, found.alien), (0, 0, 0), "{found:?}");
    assert_eq!(stored.ledger, found.stored, "the ledger agrees with the rows");
    // Each event is counted on the day that the clock showed, so both days together have all
    // events.
    let today = |node: &Node| node.current()["events"].as_u64().expect("a number");
    let here = today(&moved.shop.node);
    moved.jump("+1d");
    let there = today(&moved.shop.node);
    assert_eq!(here + there, found.stored, "both days together");
    let peak = moved.shop.node.peak_mib();
    row.write(peak, &account, &found, 0);
}
