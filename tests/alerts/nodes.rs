//! Several nodes act as one: the webhook hears of each change once, whichever node leads. It also
//! does if the store is down.

use std::time::{Duration, Instant};

use crate::{
    receiver::Receiver,
    support::{postgres::Postgres, program::wait_until, redis::RedisServer, server::Server},
};

const RULES: &str = r#"
[[alert]]
name = "many_errors"
metric = "errors"
window = "10s"
above = 5
for = "1s"
clear_for = "1s"

[[alert]]
name = "many_signups"
metric = "signups"
severity = "critical"
window = "10s"
above = 5
for = "1s"
clear_for = "1s"
"#;

pub fn rules(receiver: &Receiver) -> String {
    format!("{RULES}{}", receiver.webhook())
}

/// Sends ten events of this type that happen now.
pub fn ten(server: &Server, kind: &str) {
    let events: Vec<_> = (0..10).map(|_| serde_json::json!({"type": kind})).collect();
    let body = serde_json::to_vec(&events).unwrap();
    assert_eq!(server.post(body).status, 202);
}

fn changed(change: &str, alert: &str) -> (String, String) {
    (change.to_owned(), alert.to_owned())
}

pub struct Shop {
    receiver: Receiver,
    postgres: Postgres,
    redis: RedisServer,
}

impl Shop {
    pub fn open() -> Shop {
        Shop {
            receiver: Receiver::start(),
            postgres: Postgres::start(),
            redis: RedisServer::start(),
        }
    }

    pub fn node(&self) -> Server {
        let stores = format!(
            "postgres.url = \"{}\"\nredis.urls = [\"{}\"]\n",
            self.postgres.url(),
            self.redis.url()
        );
        let node = Server::with_config(&format!("{stores}{}", rules(&self.receiver)));
        wait_until("it is ready", || match node.request("GET", "/readyz?sinks").send() {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        node
    }

    fn told(&self, changes: &[(String, String)]) {
        wait_until("the webhook is told", || match self.receiver.changes() {
            told if told == changes => Ok(()),
            told => Err(told),
        });
    }
}

fn firing(node: &Server) -> Vec<String> {
    let alerts = node.get("/api/analytics/alerts");
    let firing = alerts["firing"].as_array().unwrap().iter();
    firing.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_nodes_send_one_webhook_a_change_and_show_the_same() {
    let shop = Shop::open();
    let nodes = [shop.node(), shop.node()];
    ten(&nodes[0], "error");
    shop.told(&[changed("fired", "many_errors")]);
    for node in &nodes {
        wait_until("each node shows it", || match firing(node) {
            names if names == ["many_errors"] => Ok(()),
            names => Err(names),
        });
    }
    // Ten seconds later the errors have left the window.
    shop.told(&[changed("fired", "many_errors"), changed("cleared", "many_errors")]);
    for node in &nodes {
        wait_until("each node shows that it is over", || {
            let alerts = node.get("/api/analytics/alerts");
            let over = alerts["firing"].as_array().unwrap().is_empty()
                && alerts["history"][0]["name"] == "many_errors";
            if over { Ok(()) } else { Err(alerts) }
        });
    }
    let ids: Vec<_> = shop.receiver.requests().iter().map(|it| it.text("id")).collect();
    assert_eq!(ids[0], ids[1]);
    assert!(shop.receiver.requests().iter().all(|it| it.is_signed()));
}

#[test]
fn when_the_leader_is_killed_the_next_takes_over_within_15_seconds_and_tells_nothing_twice() {
    let shop = Shop::open();
    // The node is alone, so it leads.
    let mut leader = shop.node();
    ten(&leader, "error");
    shop.told(&[changed("fired", "many_errors")]);
    let next = shop.node();
    wait_until("the other shows it", || match firing(&next) {
        names if names == ["many_errors"] => Ok(()),
        names => Err(names),
    });
    leader.kill();
    let killed = Instant::now();
    // One alert goes on firing, and another begins.
    let told = loop {
        ten(&next, "error");
        ten(&next, "signup");
        if let Some(second) = shop.receiver.requests().into_iter().nth(1) {
            break second;
        }
        assert!(killed.elapsed() < Duration::from_secs(60), "nobody takes over");
        std::thread::sleep(Duration::from_millis(300));
    };
    assert_eq!(told.text("name"), "many_signups", "{}", told.body);
    let after = told.at - killed;
    println!("the next leader told the next alert {:.1} s after the kill", after.as_secs_f64());
    assert!(after < Duration::from_secs(15), "{after:?}");
    // The alert that fired at the dead leader clears at the next one.
    wait_until("both are over", || match shop.receiver.changes() {
        told if told.len() == 4 => Ok(()),
        told => Err(told),
    });
    let mut told = shop.receiver.changes();
    told[2..].sort();
    let expected = [
        changed("fired", "many_errors"),
        changed("fired", "many_signups"),
        changed("cleared", "many_errors"),
        changed("cleared", "many_signups"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_alert_is_told_while_the_store_is_down_and_recorded_afterwards() {
    let mut shop = Shop::open();
    let node = shop.node();
    // After the first evaluation the tables exist and this node leads.
    wait_until("it leads", || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let rows = runtime.block_on(shop.postgres.sql("SELECT to_regclass('alerts')"));
        if rows[0][0] == "alerts" { Ok(()) } else { Err(rows) }
    });
    shop.postgres.stop_immediate();
    ten(&node, "error");
    shop.told(&[changed("fired", "many_errors")]);
    assert_eq!(firing(&node), ["many_errors"]);
    shop.postgres.start_again();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    wait_until("the store knows it, and that it was told", || {
        let sql =
            "SELECT name, change, outcome FROM alerts JOIN notifications n ON n.alert = alerts.id";
        let mut rows = runtime.block_on(shop.postgres.sql(sql));
        rows.sort();
        match rows.last() {
            Some(row) if row == &["many_errors", "fired", "delivered"] => Ok(()),
            _ => Err(rows),
        }
    });
    shop.told(&[changed("fired", "many_errors"), changed("cleared", "many_errors")]);
}
