//! An id counts once, wherever the first event with it is: in the same request, in another batch,
//! before a restart, or in a segment that has been deleted.

use serde_json::{Value, json};

use crate::{load::Account, node::Node, shop::Shop, support::client::Request, verdict::Row};

fn send(node: &Node, events: &[Value]) -> Value {
    let body = serde_json::to_vec(events).expect("JSON");
    let answer = Request::post(node.addr(), "/v1/events", body).send().expect("an answer");
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn event(n: u64) -> Value {
    json!({"type": "purchase", "id": format!("id-{n}"), "properties": {"n": n, "amount": 1.5}})
}

#[test]
fn duplicate_ids_anywhere() {
    let row = Row::new(
        "duplicate_ids_anywhere",
        "the same id in one request, in later batches, after kill -9 and after SIGTERM, also \
         when its segment has left the spool",
        "each id counts once within the window",
    );
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let mut account = Account::default();
    let all: Vec<Value> = (0..400).map(event).collect();

    let twice = [event(0), event(0), event(1), event(0)];
    let told = send(&shop.node, &twice);
    assert_eq!((&told["accepted"], &told["duplicates"]), (&json!(2), &json!(2)), "one request");
    let told = send(&shop.node, &all);
    assert_eq!((&told["accepted"], &told["duplicates"]), (&json!(398), &json!(2)), "batches");
    shop.node.kill();
    shop.node.restart();
    assert_eq!(send(&shop.node, &all)["duplicates"], 400, "after kill -9");

    // So many other events follow that the segment with these ids is deleted from the spool.
    let oldest = shop.node.segments()[0].clone();
    let mut n = 400;
    while oldest.exists() {
        let more: Vec<Value> = (n..n + 400).map(event).collect();
        assert_eq!(send(&shop.node, &more)["accepted"], 400);
        n += 400;
    }
    shop.node.settled();
    assert!(shop.node.terminate().success());
    shop.node.restart();
    assert_eq!(send(&shop.node, &all)["duplicates"], 400, "their segment is gone");
    (0..n).for_each(|n| account.answered(n));
    row.close(&mut shop, &account, None);
}
