//! Asks a running server over HTTP, for the commands that look at one.

use std::{fs, path::Path, time::Duration};

use awc::{Client, http::StatusCode};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Longer answers are not read. The metrics of a node with many types are some MB.
const MAX_BYTES: usize = 64 << 20;

/// The status and the body of an answer. Needs a running actix system.
///
/// # Errors
/// The server can't be reached, or its answer takes too long; in words.
pub async fn get(url: &str, token: Option<&str>) -> Result<(StatusCode, Vec<u8>), String> {
    // A token must not follow a redirect to another server.
    let client = Client::builder().timeout(WITHIN).disable_redirects().finish();
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let mut answer = request.send().await.map_err(|e| format!("{url}: {e}"))?;
    let body = answer.body().limit(MAX_BYTES).await.map_err(|e| format!("{url}: {e}"))?;
    Ok((answer.status(), body.to_vec()))
}

/// The secret that a file has, without the line's end.
///
/// # Errors
/// The file can't be read; in words.
pub fn secret_in(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(text.trim().to_owned())
}
