//! A whole server in this process, and a bug in one of its actors.

use actix::{Context, Handler, Message};

use super::*;

/// A message that the ingest actor can't take.
#[derive(Message)]
#[rtype(result = "()")]
struct Poison;

impl Handler<Poison> for IngestActor {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Context<Self>) {
        panic!("for the test");
    }
}

async fn post(addr: SocketAddr) -> u16 {
    let body = r#"{"type":"page_view"}"#;
    let request = awc::Client::default().post(format!("http://{addr}/v1/events"));
    request.send_body(body).await.expect("an answer").status().as_u16()
}

async fn page_views(addr: SocketAddr) -> u64 {
    let request = awc::Client::default().get(format!("http://{addr}/api/analytics/current"));
    let body = request.send().await.expect("an answer").body().await.expect("a body");
    let current: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    current["pageViews"].as_u64().expect("a count")
}

#[actix::test]
async fn a_panic_in_the_ingest_actor_ends_the_server_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let config = || Config {
        listen: "127.0.0.1:0".to_owned(),
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    let running = start(config()).await.unwrap();
    assert_eq!(post(running.addr).await, 202);
    running.ingest.do_send(Poison);
    let said = running.broken().await.to_string();
    assert!(said.starts_with("the ingest actor panicked"), "{said}");
    assert!(post(running.addr).await >= 500, "nothing is taken in any more");
    running.stop().await;

    let running = start(config()).await.unwrap();
    let counted = async {
        while page_views(running.addr).await != 1 {
            actix::clock::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), counted).await.expect("it is counted");
    running.stop().await;
}
