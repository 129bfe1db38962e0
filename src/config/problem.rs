//! What can be wrong with a configuration, and where the mistake stands.

use std::{fmt, path::PathBuf};

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of `--config` can't be read.
    #[error("can't read the configuration file {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// File and line.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// Keys or values that can't be used: all of them, one a line.
    #[error("{}", one_a_line(.0))]
    Invalid(Vec<Problem>),
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file, at this line (from 1).
    File(PathBuf, usize),
    /// By a variable of this name.
    Variable(String),
    /// By a credential of systemd of this name.
    Credential(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, line) => write!(f, "{}:{line}", path.display()),
            Place::Variable(name) => f.write_str(name),
            Place::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no such key.
    #[error("{place}: unknown key {key:?}; the nearest known one is {nearest:?}")]
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// What stands there, with its section.
        key: String,
        /// The known key that was probably meant.
        nearest: String,
    },
    /// The name of a variable begins with `FLOODMARK_`, but there is no such key.
    #[error("{name}: unknown variable; the nearest known one is {nearest}")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// What was perhaps meant.
        nearest: String,
    },
    /// The value has the wrong type.
    #[error("{place}: {key} must be {expected}, not {got}")]
    WrongType {
        /// Where it stands.
        place: Place,
        /// Which key, with its section.
        key: String,
        /// The type it must have.
        expected: String,
        /// The value that was given; the value of a secret is never shown.
        got: String,
    },
    /// A file that has a value can't be read, or is one too many.
    #[error("{place}: {message}")]
    Unreadable {
        /// What names the file.
        place: Place,
        /// What is wrong with it.
        message: String,
    },
    /// A rule can't be used.
    #[error("{place}: {message}")]
    Rule {
        /// Where it stands.
        place: Place,
        /// Which list or table, and what is wrong.
        message: String,
    },
    /// A value is not allowed, or not together with others.
    #[error("{0}")]
    Check(String),
}

/// All problems in words, one a line.
fn one_a_line(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
