//! An import through one of several nodes: nothing counts twice, whichever node dies and takes it up again.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use crate::{
    shop::Shop,
    support::{
        program::{floodmark, scratch, wait_until},
        server::Server,
    },
};

fn import(node: &Server, file: &Path, flags: &[&str]) -> Output {
    let mut command = floodmark();
    command.args(["import", file.to_str().unwrap(), "--to", &node.url(), "--yes"]).args(flags);
    command.stdin(Stdio::null()).output().expect("the program was built")
}

fn rows(shop: &Shop) -> (u64, u64) {
    let sql = "SELECT count(*), count(DISTINCT id) FROM events WHERE type = 'purchase'";
    let row = &shop.sql(sql)[0];
    (row[0].parse().unwrap(), row[1].parse().unwrap())
}

#[test]
fn another_node_imports_once_the_first_has_come_back_and_nothing_counts_twice() {
    let mut shop = Shop::open();
    let (_folder, file) = scratch("orders.ndjson");
    let order = |n: i64| {
        let time = 1_764_331_200_000 + n * 20_000;
        format!(
            r#"{{"type":"purchase","timestamp":{time},"id":"order:{n}","properties":{{"amount":"0.01","currency":"USD"}}}}"#
        )
    };
    let orders: Vec<String> = (0..3_000).map(order).collect();
    std::fs::write(&file, orders.join("\n")).unwrap();

    let first = import(&shop.nodes[0], &file, &["--batch", "100"]);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(rows(&shop), (3_000, 3_000));
    // It dies before it has let go, so nobody knows what it may have on its disk.
    shop.nodes[0].kill();
    let refused = import(&shop.nodes[1], &file, &["--patience", "0"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("503") && said.contains("node"), "{said}");
    shop.nodes[0].restart();
    wait_until("the other node may import", || {
        let again = import(&shop.nodes[1], &file, &["--patience", "20"]);
        match again.status.code() {
            Some(0) => Ok(()),
            _ => Err(String::from_utf8_lossy(&again.stdout).into_owned()),
        }
    });
    assert_eq!(rows(&shop), (3_000, 3_000));
}
