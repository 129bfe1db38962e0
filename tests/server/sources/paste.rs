//! Splits a page into its fenced blocks, each of which is run, or compared with.

/// The folder of the pages, from the root of the crate.
pub const FOLDER: &str = "docs/sources";

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Paste {
    /// The line that it begins at, for messages.
    pub line: usize,
    /// What it is.
    pub kind: PasteKind,
    /// The text between the fences.
    pub text: String,
}

/// What a block is, by the words after the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasteKind {
    /// The server's configuration (`toml`).
    Config,
    /// Commands of a shell (`sh`).
    Shell,
    /// A module for Node.js (`js`).
    Node,
    /// A module that is bundled into a page (`js page`).
    PageScript,
    /// A piece of a page as it is (`html`).
    PageText,
    /// A program for Python (`python`).
    Python,
    /// A script for PHP (`php`).
    Php,
    /// A script for PHP that WooCommerce loads (`php woocommerce`).
    WooCommerce,
    /// The configuration of a program that the test can't install (`yaml vector` …); the page says so.
    NotRun,
    /// The rows that are stored after what stands before, one a line (`rows`).
    Rows,
}

impl PasteKind {
    fn named(words: &str) -> Option<PasteKind> {
        Some(match words {
            "toml" => PasteKind::Config,
            "sh" => PasteKind::Shell,
            "js" => PasteKind::Node,
            "js page" => PasteKind::PageScript,
            "html" => PasteKind::PageText,
            "python" => PasteKind::Python,
            "php" => PasteKind::Php,
            "php woocommerce" => PasteKind::WooCommerce,
            "yaml vector" | "yaml fluent-bit" | "yaml collector" | "toml shopify" => {
                PasteKind::NotRun
            }
            "rows" => PasteKind::Rows,
            _ => return None,
        })
    }
}

/// The text of a page.
pub fn page_text(name: &str) -> String {
    let path = format!("{}/{FOLDER}/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All blocks of a page, in their order. Panics at a block of no known kind, so none is left out.
pub fn pastes(name: &str, text: &str) -> Vec<Paste> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(words) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let kind = PasteKind::named(words)
            .unwrap_or_else(|| panic!("{name}.md:{}: a block of no known kind: {words:?}", at + 1));
        found.push(Paste { line: at + 1, kind, text: inside.join("\n") });
    }
    found
}
