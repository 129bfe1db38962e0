//! Runs `floodmark replay` and `floodmark demo` against the real server. The server must count
//! exactly what the file holds, to the last 1/10,000.

use std::path::Path;

use crate::support::{
    amount_of,
    program::{floodmark_output, scratch, wait_until},
    server::Server,
};
use floodmark::domain::money::Amount;
use serde::Deserialize;
use serde_json::value::RawValue;

const EVENTS: u64 = 20_000;

/// The sums of a file of events, which the server must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    page_views: u64,
    purchases: u64,
    errors: u64,
    revenue: Amount,
}

fn sums_of(file: &Path) -> Sums {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(borrow)]
        properties: &'a RawValue,
    }
    let mut sums = Sums::default();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let event: Event = serde_json::from_str(line).unwrap();
        match event.kind {
            "page_view" => sums.page_views += 1,
            "error" => sums.errors += 1,
            "purchase" => {
                sums.purchases += 1;
                sums.revenue.0 += amount_of(&serde_json::from_str(event.properties.get()).unwrap());
            }
            _ => {}
        }
    }
    sums
}

fn current(server: &Server) -> Sums {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Current<'a> {
        page_views: u64,
        purchases: u64,
        errors: u64,
        // The number is read as text, since a float would round it.
        #[serde(borrow)]
        revenue: &'a RawValue,
    }
    let body = server.get_text("/api/analytics/current");
    let current: Current = serde_json::from_str(&body).unwrap();
    Sums {
        page_views: current.page_views,
        purchases: current.purchases,
        errors: current.errors,
        revenue: exact(current.revenue.get()),
    }
}

/// A sum may be larger than the amount of one event, which `Amount::parse` refuses.
fn exact(number: &str) -> Amount {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    assert!(fraction.len() <= 4, "{number} has more than four decimals");
    Amount(format!("{whole}{fraction:0<4}").parse().unwrap())
}

fn write_events(file: &Path) {
    let events = EVENTS.to_string();
    let path = file.to_str().unwrap();
    let args = ["demo", "--write", path, "--events", &events, "--hours", "0.2", "--seed", "7"];
    let written = floodmark_output(&args);
    assert!(written.status.success(), "{written:?}");
}

fn wait_for(server: &Server, sums: Sums) {
    wait_until("the server counts what the file holds", || {
        let seen = current(server);
        if seen == sums { Ok(()) } else { Err((seen, sums)) }
    });
}

/// Replays the file; returns how many accepted and duplicate events the command reports.
fn replay(file: &Path, server: &Server, flags: &[&str]) -> (String, String) {
    let url = server.url();
    let mut args = vec!["replay", file.to_str().unwrap(), "--to", &url];
    args.extend(flags);
    let output = floodmark_output(&args);
    assert!(output.status.success(), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    let count = |name: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {report}")).trim().to_owned()
    };
    (count("accepted"), count("duplicates"))
}

#[test]
fn the_server_counts_exactly_what_a_replayed_file_holds() {
    let (_folder, file) = scratch("events.ndjson");
    write_events(&file);
    let sums = sums_of(&file);
    assert!(sums.purchases > 100 && sums.errors > 100, "{sums:?}");

    let data = tempfile::tempdir().unwrap();
    let mut server = Server::on(data.path(), &[]);
    let first = replay(&file, &server, &["--connections", "8"]);
    assert_eq!(first, ("20,000".to_owned(), "0".to_owned()));
    wait_for(&server, sums);

    // Every event has an id, so none counts when the file is replayed again.
    let again = replay(&file, &server, &["--rate", "40000", "--batch", "500"]);
    assert_eq!(again, ("0".to_owned(), "20,000".to_owned()));
    assert!(server.terminate().success());

    let server = Server::on(data.path(), &[]);
    wait_for(&server, sums);
}

#[test]
fn a_killed_server_has_what_it_answered_for() {
    let (_folder, file) = scratch("events.ndjson");
    write_events(&file);
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::on(data.path(), &[]);
    replay(&file, &server, &[]);
    server.kill();
    let server = Server::on(data.path(), &[]);
    wait_for(&server, sums_of(&file));
}

#[test]
fn the_demo_fills_the_last_hour_and_goes_on() {
    let args = ["demo", "--listen", "127.0.0.1:0", "--ephemeral", "--rate", "20"];
    let mut server = Server::spawn(&args, &[]);
    wait_until("every minute of the last hour has page views", || {
        #[derive(Debug, Deserialize)]
        struct Point {
            count: u64,
        }
        let body = server.get_text("/api/analytics/timeseries?type=page_view&hours=1");
        let points: Vec<Point> = serde_json::from_str(&body).unwrap();
        let busy = points.iter().filter(|point| point.count > 0).count();
        if busy >= 58 { Ok(()) } else { Err(points) }
    });
    let before = current(&server);
    wait_until("more events come", || {
        let now = current(&server);
        if now.page_views > before.page_views { Ok(()) } else { Err(now) }
    });
    assert!(server.terminate().success());
}
