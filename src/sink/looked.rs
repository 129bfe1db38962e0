//! What a look at a server of a sink has found, for `floodmark check`.

/// A server that a node can work with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Its version, such as `15.14`.
    pub version: String,
    /// What an operator should know or change although a node would run, each with what to do.
    pub doubts: Vec<String>,
}
