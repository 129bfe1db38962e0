//! What `Sec-WebSocket-Protocol` is used for: the name under which frames are sent, and the viewer token
//! of a browser.
//!
//! A page can't set headers of the WebSocket that it opens, but it can name subprotocols. A token there
//! stands in a header, and not in the address, which servers, proxies and browsers write down.

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, SEC_WEBSOCKET_PROTOCOL},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// What a subprotocol begins with that is a viewer token: the token follows as base64url without
/// padding, since a subprotocol may not have every character.
const TOKEN: &str = "floodmark.token.";

/// The viewer tokens among the subprotocols of a request.
pub fn tokens(request: &HttpRequest) -> Vec<String> {
    let encoded = named(request.headers()).filter_map(|name| name.strip_prefix(TOKEN));
    let decoded = encoded.filter_map(|text| URL_SAFE_NO_PAD.decode(text).ok());
    decoded.filter_map(|bytes| String::from_utf8(bytes).ok()).collect()
}

/// The subprotocol that is answered: the first that is no token. What is sent is the same under any
/// name, and several clients give up where they named one and the answer has none (RFC 6455, 4.1).
pub(super) fn answered(request: &HttpRequest) -> Option<String> {
    named(request.headers()).find(|name| !name.starts_with(TOKEN)).map(str::to_owned)
}

fn named(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_token_is_read_and_never_answered() {
        let token = format!("{TOKEN}{}", URL_SAFE_NO_PAD.encode("a, ü/+"));
        for lists in
            [vec![format!("{token}, floodmark.v1, json")], vec![token, "floodmark.v1".into()]]
        {
            let mut request = TestRequest::default();
            for list in lists {
                request = request.append_header((SEC_WEBSOCKET_PROTOCOL, list));
            }
            let request = request.to_http_request();
            assert_eq!(tokens(&request), ["a, ü/+"]);
            assert_eq!(answered(&request).as_deref(), Some("floodmark.v1"));
        }
        for odd in ["floodmark.token.", "floodmark.token.*", "floodmark.token._w", ",,", ""] {
            let request = TestRequest::default().insert_header((SEC_WEBSOCKET_PROTOCOL, odd));
            let request = request.to_http_request();
            assert!(tokens(&request).iter().all(String::is_empty), "{odd}");
            assert_eq!(answered(&request), None, "{odd}");
        }
    }
}
