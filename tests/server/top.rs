//! `floodmark top` in a real pseudo-terminal: what stands on the screen, and how it leaves the terminal.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    program::{floodmark_output, scratch},
    server::Server,
    terminal::Terminal,
};

fn purchases(count: usize) -> Vec<u8> {
    let one = |n| json!({"type": "purchase", "id": format!("p{n}"), "properties": {"amount": 1.5}});
    serde_json::to_vec(&(0..count).map(one).collect::<Vec<_>>()).unwrap()
}

/// The value that stands behind a name in some panel: what comes up to the panel's edge.
fn value_of(screen: &str, name: &str) -> Option<String> {
    let cells = screen.lines().flat_map(|line| line.split('│'));
    let mut values = cells.filter_map(|cell| cell.strip_prefix(name)?.strip_prefix(' '));
    Some(values.next()?.trim().to_owned())
}

#[test]
fn a_server_is_seen_to_take_events_to_be_away_and_to_come_back() {
    let mut server = Server::start();
    let mut top = Terminal::run(&["top", &server.url(), "--every", "0.1"]);
    // Nothing has happened yet: noughts, and no numbers of what has not been measured.
    top.until("an empty server", |screen| {
        screen.contains("ready  version 0.")
            && value_of(screen, "in all").as_deref() == Some("0")
            && value_of(screen, "accepted").as_deref() == Some("0.0/s")
            && value_of(screen, "purchases").as_deref() == Some("0")
            && value_of(screen, "request p99").is_some()
            && screen.contains("all parts are well")
            && screen.contains("none of ")
    });
    // Every row has its whole value, on 80 columns.
    let screen = top.screen();
    for name in ["spool", "disk free", "fsync p99", "store writes", "store waits", "live errors"] {
        let value = value_of(&screen, name);
        assert!(value.is_some_and(|value| !value.is_empty()), "{name}\n{screen}");
    }
    assert_eq!(screen.lines().last().map(str::trim_end), Some("q ends"), "{screen}");

    assert_eq!(server.post(purchases(40)).status, 202);
    top.until("the sums of what was sent", |screen| {
        value_of(screen, "in all").as_deref() == Some("40")
            && value_of(screen, "purchases").as_deref() == Some("40")
            && value_of(screen, "revenue").as_deref() == Some("60")
    });
    println!("{}", top.screen());

    // A terminal that is too small is told so; one that is large again shows everything.
    top.resize(10, 60);
    top.shows("This terminal has 60 columns and 10 rows");
    top.resize(24, 80);
    top.shows("queue and sinks");

    server.kill();
    top.until("a server that is away", |screen| {
        screen.contains("no answer for ") && screen.contains("Connection refused")
    });
    println!("{}", top.screen());
    server.restart();
    top.until("the server is back, and what it has stored is there", |screen| {
        screen.contains("ready  version 0.")
            && value_of(screen, "purchases").as_deref() == Some("40")
    });
    top.press("q");
    assert!(top.ended_whole().success());
}

#[test]
fn who_never_gets_an_answer_reads_why_and_can_leave() {
    // A port on which nobody listens, and whose number nobody else gets meanwhile.
    let port = crate::support::port::Port::free();
    let mut top = Terminal::run(&["top", &format!("http://127.0.0.1:{}", port.number())]);
    top.shows("Connection refused");
    top.shows("Another server is named by floodmark top URL");
    // Control and C: a terminal in raw mode sends it as a key.
    top.press("\u{3}");
    assert!(top.ended_whole().success());
}

#[test]
fn a_server_that_wants_a_token_gets_it_from_a_file() {
    let server = Server::with(&[("FLOODMARK_AUTH__VIEWER_TOKENS", "let-me-see")]);
    let mut top = Terminal::run(&["top", &server.url(), "--every", "0.1"]);
    top.shows("--token-file");
    top.signal(Signal::SIGTERM);
    assert!(top.ended_whole().success());

    let (_folder, file) = scratch("token");
    std::fs::write(&file, "let-me-see\n").unwrap();
    let file = file.to_str().unwrap();
    let mut top = Terminal::run(&["top", &server.url(), "--token-file", file]);
    top.shows("all parts are well");
    top.signal(Signal::SIGINT);
    assert!(top.ended_whole().success());
}

#[test]
fn programs_are_told_that_it_needs_a_terminal() {
    let output = floodmark_output(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("programs read /metrics"));
}
