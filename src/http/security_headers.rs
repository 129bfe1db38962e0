//! The headers that tell a browser what it may do with an answer, of all routes that are read: numbers,
//! and the files of the page. Senders of events get none of them, since their answers are no pages and
//! each header costs every event.

use actix_web::{
    Error, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
        STRICT_TRANSPORT_SECURITY,
    },
    middleware::Next,
};

use crate::{
    config::HttpConfig,
    http::{client::ProxyNetworks, hosts},
};

/// What a browser may do with an answer that is no page: nothing. It matters where somebody opens a
/// route by itself, as a page.
const NO_PAGE: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The headers of every answer that is read, unless it has one of its own.
const ALWAYS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, NO_PAGE),
    // No link of a page of ours tells the next site where it was followed from.
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), NO_DEVICES),
    // A window that opened ours, or that ours opened, has no handle on it.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Pages of other sites can't even load an answer as an image or a script.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The page uses no device and no sensor, so nothing that gets into it can either.
const NO_DEVICES: &str = "accelerometer=(), camera=(), display-capture=(), \
    geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    serial=(), usb=(), xr-spatial-tracking=()";

/// `Strict-Transport-Security`, which goes with the answers to requests that came over TLS.
#[derive(Clone, Debug)]
pub struct StrictTransport {
    /// `None` where `http.hsts_s` is 0.
    value: Option<HeaderValue>,
    proxies: ProxyNetworks,
}

impl StrictTransport {
    /// With `http.hsts_s`.
    pub fn new(http: &HttpConfig) -> StrictTransport {
        let value = HeaderValue::from_str(&format!("max-age={}", http.hsts_s));
        let value = value.ok().filter(|_| http.hsts_s > 0);
        StrictTransport { value, proxies: ProxyNetworks::new(http) }
    }

    /// The header for the answer to this request. A browser holds to it for every port of the name,
    /// so it is not said of `localhost`, behind which a developer has servers of all kinds.
    fn of(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let value = self.value.as_ref()?;
        let secure = self.proxies.came_over_tls(request);
        (secure && !hosts::is_asked_locally(request)).then(|| value.clone())
    }
}

/// The middleware: adds the headers, each unless the answer has one of its own.
pub async fn layer<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
    strict_transport: StrictTransport,
) -> Result<ServiceResponse<B>, Error> {
    let strict_transport = strict_transport.of(request.request());
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if let Some(value) = strict_transport {
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
    }
    Ok(response)
}
