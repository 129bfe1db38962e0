//! Requests in the form of the document: the examples of an operation, and what can be wrong with one.

use serde_json::Value;

use super::document::Operation;
use crate::{
    support::{client::Request, server::Server},
    webhooks,
};

/// The key that stands in the examples.
pub const KEY: &str = "write-key";
/// The token of viewers.
pub const TOKEN: &str = "view-token";
/// What webhooks are signed with.
pub const SECRET: &str = "hush";
/// The headers of who may send.
pub const WITH_KEY: &[(&str, &str)] = &[("Authorization", "Bearer write-key")];

impl Operation {
    /// Whether senders call it, and not viewers or everybody.
    pub fn is_of_senders(&self) -> bool {
        self.value["security"].to_string().contains("writeKey") || self.is_signed()
    }

    /// Whether its requests are signed, and have no key.
    pub fn is_signed(&self) -> bool {
        let security = self.value["security"].to_string();
        security.contains("Signature") || security.contains("gitlabToken")
    }

    /// A request as who may send it sends it: where the operation asks for a signature, with one in the
    /// place of the key.
    pub fn signed(&self, request: &Request) -> Request {
        if !self.is_signed() || !request.has_header("authorization") {
            return request.clone();
        }
        webhooks::sign(request.clone(), SECRET)
    }

    /// Whether it takes events of the past, for which a key of pages is none.
    pub fn imports(&self) -> bool {
        self.path.ends_with("/import") && self.value["tags"][0] == "Floodmark"
    }

    /// Whether viewers call it.
    pub fn is_of_viewers(&self) -> bool {
        self.value["security"].to_string().contains("viewerToken")
    }

    /// Whether people sign in there, change who has access, operate the server, or mark.
    pub fn is_of_access(&self) -> bool {
        self.value["tags"][0] == "Access" || self.is_of_admins() || self.marks()
    }

    /// Whether it makes a mark, or takes one back.
    pub fn marks(&self) -> bool {
        self.path.starts_with("/api/analytics/marks") && self.method != "GET"
    }

    /// Whether it operates the server.
    pub fn is_of_admins(&self) -> bool {
        self.path.starts_with("/api/server/")
    }

    /// Whether it takes a body.
    pub fn has_body(&self) -> bool {
        self.value.get("requestBody").is_some()
    }

    /// The path with the examples of its variables, and a query of the examples (of this name, where there
    /// are several) of its parameters.
    pub fn target(&self, which: &str) -> String {
        let mut path = self.path.clone();
        let mut query = Vec::new();
        for parameter in &self.parameters {
            let name = parameter["name"].as_str().expect("a name");
            let named = &parameter["examples"];
            let named = named.get(which).or_else(|| named.get("one")).map(|it| &it["value"]);
            let example = named.unwrap_or(&parameter["example"]);
            match (parameter["in"].as_str(), example) {
                (Some("path"), Value::String(text)) => {
                    path = path.replace(&format!("{{{name}}}"), text);
                }
                (Some("query"), Value::Object(members)) => {
                    let text = |(name, value): (&String, &Value)| {
                        format!("{name}={}", escaped(value.as_str().expect("a text")))
                    };
                    query.extend(members.iter().map(text));
                }
                (Some("query"), Value::String(text)) => {
                    query.push(format!("{name}={}", escaped(text)));
                }
                _ => {}
            }
        }
        assert!(!path.contains('{'), "{path}: a variable has no example");
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// The examples of this name, each with its media type.
    pub fn examples(&self, name: &str) -> Vec<(String, Value)> {
        let content = self.value["requestBody"]["content"].as_object();
        let named = |(kind, media): (&String, &Value)| {
            let value = media["examples"].get(name)?.get("value")?;
            Some((kind.clone(), value.clone()))
        };
        content.into_iter().flatten().filter_map(named).collect()
    }

    /// An example of this name, of JSON where there is one; without a body there is none.
    pub fn example(&self, name: &str) -> Option<(String, Value)> {
        let examples = self.examples(name);
        let json = examples.iter().find(|(kind, _)| kind == "application/json");
        json.or(examples.first()).cloned()
    }

    /// A request with a body of this type, or with none.
    pub fn request(&self, server: &Server, body: Option<(String, Value)>) -> Request {
        let request = Request::new(server.addr(), &self.method, &self.target("one"));
        match body {
            Some((kind, value)) => request.header("Content-Type", &kind).body(written(&value)),
            None => request,
        }
    }

    /// The request of its first example.
    pub fn usual(&self, server: &Server) -> Request {
        self.request(server, self.example("one"))
    }
}

/// An example as it is sent.
pub fn written(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

/// A text as it stands in a query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let written = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(written).collect()
}

/// A request with these headers as well.
pub fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}
