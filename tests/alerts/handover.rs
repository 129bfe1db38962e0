//! Which node leads the alerts after the leader is stopped, also on a Redis Cluster; and what
//! happens after a panic.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::{
    nodes::{rules, ten},
    receiver::Receiver,
    support::{
        postgres::Postgres,
        program::wait_until,
        redis::{RedisCluster, RedisServer},
        server::Server,
    },
};

/// A lease lasts for 9 seconds from its last renewal, which is 2 seconds ago at most, and an alert
/// takes 2 seconds to reach the webhook. If the alert comes sooner than this, the lease was handed
/// over and did not run out.
const HANDED_OVER: Duration = Duration::from_secs(7);

fn changed(change: &str, alert: &str) -> (String, String) {
    (change.to_owned(), alert.to_owned())
}

/// Runs two nodes on these stores and stops the one that leads: the other leads at once.
fn is_handed_over(stores: &str) {
    let receiver = Receiver::start();
    let config = format!("{stores}\n{}", rules(&receiver));
    let node = || {
        let node = Server::with_config(&config);
        wait_until("it is ready", || match node.request("GET", "/readyz?sinks").send() {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        node
    };
    // The node is alone, so it leads.
    let mut leader = node();
    ten(&leader, "error");
    wait_until("the webhook is told", || match receiver.changes() {
        told if told == [changed("fired", "many_errors")] => Ok(()),
        told => Err(told),
    });
    let next = node();
    wait_until(
        "the other knows what fires",
        || match next.get("/api/analytics/alerts")["firing"][0]["name"].as_str() {
            Some("many_errors") => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );

    leader.signal(Signal::SIGTERM);
    let stopped = Instant::now();
    let told = loop {
        ten(&next, "signup");
        if let Some(told) = receiver.requests().into_iter().find(|it| it.at > stopped) {
            break told;
        }
        assert!(stopped.elapsed() < Duration::from_secs(60), "nobody takes over");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!((told.text("change"), told.text("name")), changed("fired", "many_signups"));
    let after = told.at - stopped;
    println!("the next leader told the next alert {:.1} s after SIGTERM", after.as_secs_f64());
    assert!(after < HANDED_OVER, "{after:?}");
    assert!(leader.wait().success());
    // The alert fired at the first node and clears at the second; the webhook hears of each change
    // once.
    wait_until("both are over", || match receiver.changes() {
        told if told.len() == 4 => Ok(()),
        told => Err(told),
    });
    let mut told = receiver.changes();
    told[2..].sort();
    assert_eq!(told[2..], [changed("cleared", "many_errors"), changed("cleared", "many_signups")]);
}

fn stores(postgres: &Postgres, redis: &[String]) -> String {
    format!("postgres.url = \"{}\"\nredis.urls = {redis:?}", postgres.url())
}

#[test]
fn a_node_that_is_stopped_hands_the_lease_over_at_once() {
    let redis = RedisServer::start();
    is_handed_over(&stores(&Postgres::start(), &[redis.url()]));
}

#[test]
fn a_node_that_is_stopped_hands_the_lease_over_in_postgres_too() {
    is_handed_over(&stores(&Postgres::start(), &[]));
}

#[test]
fn in_a_redis_cluster_one_node_leads_and_hands_over() {
    let cluster = RedisCluster::start();
    is_handed_over(&stores(&Postgres::start(), &cluster.urls()));
}

/// The first panic comes just after the alert fired, and the second just after it cleared; both
/// come before the change is written or sent.
#[test]
fn a_panic_of_the_alert_actor_loses_no_change_and_tells_none_twice() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("floodmark.toml"));
    std::fs::write(&file, rules(&receiver)).unwrap();
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--config", file];
    let panics = "alert-changed=1*panic->1*off->1*panic->off";
    let server = Server::spawn(&args, &[("FAILPOINTS", panics)]);
    ten(&server, "error");
    server.until("its end is told", |_| receiver.requests().len() == 2);
    let told = [changed("fired", "many_errors"), changed("cleared", "many_errors")];
    assert_eq!(receiver.changes(), told);
    let ids: Vec<_> = receiver.requests().iter().map(|it| it.text("id")).collect();
    assert_eq!(ids[0], ids[1], "it is the same incident");
    assert!(server.has_metric("floodmark_panics_total 2"));
}
