//! How the provider is asked: over the HTTP client of webhooks, within bounds, and by TLS with whom `oidc.ca`
//! says is trusted.

use std::{sync::Arc, time::Duration};

use awc::{Client, Connector};
use futures_util::future::BoxFuture;
use openidconnect::{HttpRequest, HttpResponse};
use rustls::ClientConfig;

use crate::trust;

/// How long one request to the provider may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The most that an answer of the provider may have.
const MAX_ANSWER: usize = 512 * 1024;

/// Why a request to the provider failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProviderSilence(String);

/// What sends requests to the provider. `trusts` is TLS where the public authorities are not those to trust.
/// The client of awc stays on the thread of the worker, so it is asked there.
pub(super) fn asker(
    trusts: Option<Arc<ClientConfig>>,
) -> impl Fn(HttpRequest) -> BoxFuture<'static, Result<HttpResponse, ProviderSilence>> {
    move |request| {
        let (tell, told) = tokio::sync::oneshot::channel();
        let asked = ask(request, trusts.clone());
        actix::spawn(async move { tell.send(asked.await) });
        let given_up = |_| Err(ProviderSilence("the request was given up".to_owned()));
        Box::pin(async move { told.await.unwrap_or_else(given_up) })
    }
}

/// It follows no redirect: nobody but the provider is asked.
async fn ask(
    request: HttpRequest,
    trusts: Option<Arc<ClientConfig>>,
) -> Result<HttpResponse, ProviderSilence> {
    let silence = |e: &dyn std::fmt::Display| ProviderSilence(trust::in_words(e, "oidc.ca"));
    let (parts, body) = request.into_parts();
    let mut connector = Connector::new().timeout(WITHIN);
    if let Some(trusts) = trusts {
        connector = connector.rustls_0_23(trusts);
    }
    let client = Client::builder().connector(connector).disable_redirects().timeout(WITHIN);
    let client = client.finish();
    let method = awc::http::Method::from_bytes(parts.method.as_str().as_bytes());
    let method = method.map_err(|e| silence(&e))?;
    let mut sent = client.request(method, parts.uri.to_string());
    for (name, value) in &parts.headers {
        sent = sent.insert_header((name.as_str(), value.as_bytes()));
    }
    let mut answer = sent.send_body(body).await.map_err(|e| silence(&e))?;
    let body = answer.body().limit(MAX_ANSWER).await.map_err(|e| silence(&e))?;
    let mut made = HttpResponse::new(body.to_vec());
    let status = openidconnect::http::StatusCode::from_u16(answer.status().as_u16());
    *made.status_mut() = status.map_err(|e| silence(&e))?;
    for (name, value) in answer.headers() {
        let name = name.as_str().parse::<openidconnect::http::HeaderName>();
        let value = openidconnect::http::HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            made.headers_mut().append(name, value);
        }
    }
    Ok(made)
}
