//! The configuration says something else than before, or than that of another node.

use super::{installation::Installation, judge::Cell};

/// What a node is started with that differs, and the word by which it says so.
struct Changed {
    set: (&'static str, &'static str),
    names: &'static str,
}

/// A node starts again with another setting, which it must refuse, and then with the old one.
fn changed(mut cell: Cell, embedded: bool, changed: Changed) {
    let mut shop = match embedded {
        true => Installation::embedded(0, &[]),
        false => Installation::on_servers(0, &[]),
    };
    shop.sends(400);
    shop.settles();
    shop.node().terminate();
    let before = shop.nodes[0].log().len();
    if shop.node().attempt(&[changed.set]).is_ok() {
        if !says(&mut cell, &shop, &changed) {
            shop.sends(200);
        }
        shop.node().terminate();
    } else if !shop.nodes[0].log()[before..].contains(changed.names) {
        cell.complain(format!("it refuses to start and does not name {}", changed.names));
    }
    shop.node().restart();
    shop.sends(200);
    cell.close(&mut [&mut shop]);
}

/// Whether the last node, which has started all the same, says which setting differs.
fn says(cell: &mut Cell, shop: &Installation, changed: &Changed) -> bool {
    let node = shop.nodes.last().expect("a node");
    let (name, value) = changed.set;
    let says = node.reasons().iter().any(|reason| reason.contains(changed.names));
    if !says {
        let current = node.current();
        cell.complain(format!(
            "it starts with {name}={value} without a word, and shows {} events and a revenue of {}",
            current["events"], current["revenue"]
        ));
    }
    says
}

const EURO: Changed = Changed { set: ("FLOODMARK_CURRENCY", "EUR"), names: "currency" };
const ZONE: Changed = Changed { set: ("FLOODMARK_TIMEZONE", "Asia/Kolkata"), names: "rebuild" };

#[test]
fn another_currency() {
    let cell = Cell::new(
        ["configuration", "older copy"],
        "another_currency",
        "a node starts again with another `currency`",
        "it refuses: its sums were made in the old one",
    );
    changed(cell, false, EURO);
}

#[test]
fn another_currency_on_sqlite() {
    let cell = Cell::new(
        ["configuration", "older copy"],
        "another_currency_on_sqlite",
        "a node without servers starts again with another `currency`",
        "it refuses: its sums were made in the old one",
    );
    changed(cell, true, EURO);
}

#[test]
fn another_time_zone() {
    let cell = Cell::new(
        ["configuration", "older copy"],
        "another_time_zone",
        "a node starts again with another `timezone`",
        "it refuses, and names the command by which the days are made anew",
    );
    changed(cell, false, ZONE);
}

/// A second node starts with another setting than the first, and must refuse.
fn differs(mut cell: Cell, changed: Changed) {
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    match shop.attempt_node(&[changed.set]) {
        Ok(()) if says(&mut cell, &shop, &changed) => shop.nodes[1].kill(),
        Ok(()) => shop.sends(400),
        Err(log) if log.contains(changed.names) => {}
        Err(log) => cell.complain(format!("it does not name {}: {log}", changed.names)),
    }
    shop.sends(200);
    cell.close(&mut [&mut shop]);
}

#[test]
fn nodes_with_two_currencies() {
    let cell = Cell::new(
        ["configuration", "clone"],
        "nodes_with_two_currencies",
        "a second node starts with another `currency` than the first",
        "it refuses",
    );
    differs(cell, EURO);
}

#[test]
fn nodes_with_two_time_zones() {
    let cell = Cell::new(
        ["configuration", "clone"],
        "nodes_with_two_time_zones",
        "a second node starts with another `timezone` than the first",
        "it refuses",
    );
    differs(cell, ZONE);
}

#[test]
fn nodes_with_two_prefixes() {
    let cell = Cell::new(
        ["configuration", "clone"],
        "nodes_with_two_prefixes",
        "a second node starts with another `redis.prefix` than the first, on the same Postgres",
        "it refuses, or both show all events",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    let _ = shop.attempt_node(&[("FLOODMARK_REDIS__PREFIX", "other")]);
    shop.sends(400);
    cell.close(&mut [&mut shop]);
}

#[test]
fn two_shops_with_one_prefix() {
    let mut cell = Cell::new(
        ["configuration", "foreign"],
        "two_shops_with_one_prefix",
        "a node of another shop, with its own Postgres, uses the same Redis and prefix",
        "it refuses; the shops don't mix",
    );
    let mut shop = Installation::on_servers(0, &[]);
    let mut other = Installation::on_servers(100, &[]);
    shop.sends(400);
    other.sends(400);
    other.settles();
    other.node().terminate();
    let [_, redis] = shop.servers().settings();
    if other.node().attempt(&[(&redis.0, &redis.1)]).is_ok() {
        if other.nodes[0].reasons().is_empty() {
            other.sends(200);
        }
        shop.sends(200);
        let mixed = |shop: &Installation| {
            let shown = shop.nodes[0].current()["events"].as_u64().expect("a number");
            let rows = shop.stored().events.len() as u64;
            (shop.nodes[0].reasons().is_empty() && shown > rows).then_some((shown, rows))
        };
        std::thread::sleep(std::time::Duration::from_secs(1));
        for (name, shop) in [("this", &shop), ("the other", &other)] {
            if let Some((shown, rows)) = mixed(shop) {
                cell.complain(format!("{name} shop shows {shown} events and has {rows}"));
            }
        }
        other.node().terminate();
    }
    other.node().restart();
    cell.close(&mut [&mut shop, &mut other]);
}
