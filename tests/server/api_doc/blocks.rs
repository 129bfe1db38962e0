//! Splits docs/API.md into its fenced blocks: requests that the test sends, and answers that it
//! expects.

/// The path of the document, from the root of the crate.
pub const PATH: &str = "docs/API.md";

/// A fenced block that the test executes, or compares with.
#[derive(Clone, Debug)]
pub struct Block {
    /// The line of the document that it begins at, for messages.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
    /// The text between the fences.
    pub text: String,
}

/// The kind of a block, which the word after the fence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A configuration: a new server is started with it, for all blocks that follow.
    Config,
    /// A request; the next block is the answer to it.
    Request,
    /// The handshake of a WebSocket, which stays open until the next handshake.
    WebSocket,
    /// A text message to the server.
    Send,
    /// An answer to a request, or to a handshake that is refused.
    Answer,
    /// A frame that the server sends, as the next one or after others.
    Frame,
    /// How the server closes the WebSocket: code and reason.
    Close,
    /// A signal to the server.
    Signal,
    /// A command on the server's data dir; what it prints is kept under the name behind `#`.
    Command,
}

impl Kind {
    fn named(word: &str) -> Option<Kind> {
        Some(match word {
            "toml" => Kind::Config,
            "http" => Kind::Request,
            "websocket" => Kind::WebSocket,
            "send" => Kind::Send,
            "answer" => Kind::Answer,
            "frame" => Kind::Frame,
            "close" => Kind::Close,
            "signal" => Kind::Signal,
            "command" => Kind::Command,
            _ => return None,
        })
    }
}

/// The text of the document.
pub fn document() -> String {
    let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the document is there")
}

/// All blocks whose kind is known, in their order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(word) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let kind = Kind::named(word)
            .unwrap_or_else(|| panic!("{PATH}:{}: a block of no known kind: {word:?}", at + 1));
        blocks.push(Block { line: at + 1, kind, text: inside.join("\n") });
    }
    blocks
}

/// A request, a handshake or an answer: the first line, the headers, the body.
#[derive(Clone, Debug)]
pub struct HttpText {
    pub first: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

impl HttpText {
    /// Reads the text of a block. Without an empty line there is no body.
    pub fn parse(text: &str) -> HttpText {
        let (head, body) = match text.split_once("\n\n") {
            Some((head, body)) => (head, Some(body.to_owned())),
            None => (text, None),
        };
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        HttpText { first, headers, body }
    }
}
