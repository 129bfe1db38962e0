//! The names of the environment variables that set keys.

const PREFIX: &str = "FLOODMARK_";

/// What the name of a variable ends in that names a file with the value.
pub(super) const FILE_ENDING: &str = "_FILE";

/// The variable that sets a key: `postgres.url` is `FLOODMARK_POSTGRES__URL`.
pub fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The key that a variable of this name sets, whether there is such a key or not. `None` if the
/// name is not one of Floodmark's.
pub(super) fn key_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    (!is_reserved(rest)).then(|| rest.to_ascii_lowercase().replace("__", "."))
}

/// Names that begin with `FLOODMARK_` and set no key, so that they are no mistake either: the
/// binary that browser and load tests start, and what Kubernetes puts into every container beside
/// a Service called `floodmark` or `floodmark-…` (`FLOODMARK_SERVICE_HOST`,
/// `FLOODMARK_PORT_8080_TCP_ADDR`, …). Source:
/// kubernetes.io/docs/tutorials/services/connect-applications-service, "Environment Variables".
fn is_reserved(rest: &str) -> bool {
    if rest == "BIN" {
        return true;
    }
    // The leading underscore lets the endings below match a Service of the bare name, too.
    let rest = format!("_{rest}");
    if rest.ends_with("_SERVICE_HOST") || rest.ends_with("_PORT") {
        return true;
    }
    rest.contains("_SERVICE_PORT_")
        || rest.split_once("_PORT_").is_some_and(|(_, port)| {
            let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            let protocol = &port[digits..];
            digits > 0 && ["_TCP", "_UDP", "_SCTP"].iter().any(|p| protocol.starts_with(p))
        })
}
