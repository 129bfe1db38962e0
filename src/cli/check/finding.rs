//! What was found about one thing, and how it is printed.

use std::fmt;

use serde_json::{Value, json};

/// The result of looking at one thing, in words. What should be changed says what to do, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is as it should be.
    Fine(String),
    /// The server would start with it, but an operator should know.
    Doubtful(String),
    /// The server can't start or can't work with it.
    Wrong(String),
}

use Finding::{Doubtful, Fine, Wrong};

impl Finding {
    /// Fine with these words, or doubtful where there are doubts below them.
    pub(super) fn with_doubts(words: String, doubts: &[String]) -> Finding {
        match doubts.is_empty() {
            true => Fine(words),
            false => Doubtful(format!("{words}\n{}", doubts.join("\n"))),
        }
    }

    fn state(&self) -> &'static str {
        match self {
            Fine(_) => "ok",
            Doubtful(_) => "warn",
            Wrong(_) => "FAIL",
        }
    }

    fn words(&self) -> &str {
        match self {
            Fine(words) | Doubtful(words) | Wrong(words) => words,
        }
    }
}

/// One line of the output: the name of what was looked at, and the finding.
struct CheckLine<'a>(&'a str, &'a Finding);

impl fmt::Display for CheckLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Further lines are indented to stand under the words of the first.
        let words = self.1.words().replace('\n', &format!("\n{:21}", ""));
        write!(f, "{:<5} {:<14} {words}", self.1.state(), self.0)
    }
}

/// All findings: as lines, each printed at once, or gathered for one JSON object.
pub(super) struct Findings {
    json: bool,
    gathered: Vec<Value>,
    all_fine: bool,
}

impl Findings {
    pub(super) fn new(json: bool) -> Findings {
        Findings { json, gathered: Vec::new(), all_fine: true }
    }

    /// Tells of one thing.
    pub(super) fn say(&mut self, name: &str, finding: Finding) {
        self.all_fine &= !matches!(finding, Wrong(_));
        if !self.json {
            println!("{}", CheckLine(name, &finding));
            return;
        }
        let lines: Vec<&str> = finding.words().lines().collect();
        self.gathered.push(json!({
            "name": name,
            "state": finding.state().to_lowercase(),
            "message": lines.first().copied().unwrap_or_default(),
            "more": lines.get(1..).unwrap_or_default(),
        }));
    }

    /// Prints the end. Whether the server can start.
    pub(super) fn end(self) -> bool {
        let words = ("Floodmark can start.", "Floodmark can't run like this; see above.");
        self.end_with("can_start", words)
    }

    /// Prints the end of a look through the public address. Whether viewers are served there.
    pub(super) fn end_of_probe(self) -> bool {
        self.end_with("reached", ("Viewers are served.", "Viewers are not served; see above."))
    }

    fn end_with(self, key: &str, (fine, wrong): (&str, &str)) -> bool {
        match (self.json, self.all_fine) {
            (true, all_fine) => println!("{}", json!({key: all_fine, "checks": self.gathered})),
            (false, true) => println!("{fine}"),
            (false, false) => println!("{wrong}"),
        }
        self.all_fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_is_and_wraps_under_its_words() {
        assert_eq!(
            CheckLine("data dir", &Fine("d can be written".to_owned())).to_string(),
            "ok    data dir       d can be written"
        );
        assert_eq!(
            CheckLine("configuration", &Wrong("one\ntwo".to_owned())).to_string(),
            "FAIL  configuration  one\n                     two"
        );
    }

    #[test]
    fn doubts_stand_below_what_is_fine() {
        let fine = Finding::with_doubts("it answers".to_owned(), &[]);
        assert_eq!(fine, Fine("it answers".to_owned()));
        let doubts = ["one".to_owned(), "two".to_owned()];
        let doubtful = Finding::with_doubts("it answers".to_owned(), &doubts);
        assert_eq!(doubtful, Doubtful("it answers\none\ntwo".to_owned()));
    }
}
