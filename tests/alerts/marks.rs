//! A mark that one node takes is in the frames of every node, until any node takes it back.

use serde_json::{Value, json};

use crate::{
    nodes::{Shop, rules, ten},
    receiver::Receiver,
    support::{
        client::WebSocket,
        program::wait_until,
        server::Server,
        viewer::{frame, watch},
    },
};

/// Reads frames up to the next one that has marks, and returns these.
fn next_marks(socket: &mut WebSocket) -> Value {
    loop {
        let mut frame = frame(socket);
        if frame["marks"].is_object() {
            return frame["marks"]["recent"].take();
        }
    }
}

fn send(node: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = node.request(method, &format!("/api/analytics/marks{path}"));
    let request = request.header("Content-Type", "application/json").body(body);
    let answer = request.send().expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn a_mark_of_one_node_is_in_the_frames_of_all() {
    let shop = Shop::open();
    let nodes = [shop.node(), shop.node()];
    let mut viewers = [0, 1].map(|at| watch(&nodes[at], ""));
    assert!(viewers.iter_mut().all(|viewer| next_marks(viewer) == json!([])));
    let body = json!({"title": "deploy 4f2c", "key": "pipeline 7"}).to_string();
    let (status, mark) = send(&nodes[0], "POST", "", &body);
    assert_eq!(status, 201, "{mark}");
    // Frames have what everybody may see.
    let mut shown = mark.clone();
    shown.as_object_mut().unwrap().retain(|name, _| !["source", "link"].contains(&name.as_str()));
    for viewer in &mut viewers {
        assert_eq!(next_marks(viewer), json!([shown]));
    }
    // The same job asks the other node again.
    assert_eq!(send(&nodes[1], "POST", "", &body), (200, mark.clone()));
    let id = format!("?id={}", mark["id"].as_str().unwrap());
    assert_eq!(send(&nodes[1], "DELETE", &id, "").0, 204);
    for viewer in &mut viewers {
        assert_eq!(next_marks(viewer), json!([]));
    }
}

#[test]
fn an_alert_names_the_mark_before_it_wherever_it_is_told() {
    let receiver = Receiver::start();
    let server = Server::with_config(&rules(&receiver));
    let (status, mark) = send(&server, "POST", "", &json!({"title": "deploy 4f2c"}).to_string());
    assert_eq!(status, 201, "{mark}");
    ten(&server, "error");
    wait_until("it fires", || match server.get("/api/analytics/alerts")["firing"][0].clone() {
        Value::Null => Err(()),
        _ => Ok(()),
    });
    let fired = server.get("/api/analytics/alerts")["firing"][0].clone();
    let cited = json!({"id": mark["id"], "time": mark["time"], "title": "deploy 4f2c"});
    assert_eq!(fired["mark"], cited);
    let summary = fired["summary"].as_str().unwrap();
    assert!(summary.ends_with(" s after deploy 4f2c."), "{summary}");
    wait_until("the webhook is told", || match receiver.requests().len() {
        0 => Err(0),
        _ => Ok(()),
    });
    assert_eq!(receiver.requests()[0].json()["mark"], cited, "and so is the webhook");
}
