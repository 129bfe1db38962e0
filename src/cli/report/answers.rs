//! What the running server answers, where there is one.

use serde_json::json;

use crate::{
    cli::{ask, health::reachable},
    config::Config,
};

/// What `/readyz` and `/metrics` answer, or why they do not.
pub fn ask(config: &Config, token: Option<&str>) -> (String, String) {
    let ops = config.http.ops_listen.as_str();
    let listen = config.listen_addresses().ok().and_then(|all| all.first().copied());
    let Some(listen) = listen.map(reachable) else {
        let why = "listen is no address\n".to_owned();
        return (why.clone(), why);
    };
    let ops = ops.parse().map(reachable).unwrap_or(listen);
    let scheme = match config.tls.cert.is_empty() && config.tls.acme_domains.is_empty() {
        true => "http",
        false => "https",
    };
    actix::System::new().block_on(async {
        let ready = get(&format!("{scheme}://{listen}/readyz"), None).await;
        let metrics = get(&format!("{scheme}://{ops}/metrics"), token).await;
        let unanswered = |why| json!({"notAnswered": why}).to_string() + "\n";
        (ready.unwrap_or_else(unanswered), metrics.unwrap_or_else(|why| format!("# {why}\n")))
    })
}

async fn get(url: &str, token: Option<&str>) -> Result<String, String> {
    let (status, body) = ask::get(url, token).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    // /readyz says 503 in the same form.
    match status.is_success() || text.starts_with("{\"status\"") {
        true => Ok(text),
        false => Err(format!("{url}: {status}: {}", text.lines().next().unwrap_or_default())),
    }
}
