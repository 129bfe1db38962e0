//! The events that a server has stored, as the pages write them.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Map, Value};

use crate::{
    api_doc::pattern::{Kept, differences},
    support::program::wait_until,
};

/// The events of a server with a SQLite file. Each is looked at once.
pub struct Stored {
    file: PathBuf,
    /// How many were looked at.
    seen: usize,
}

impl Stored {
    /// Those of the server with this data dir.
    pub fn of(data_dir: &Path) -> Stored {
        Stored { file: data_dir.join("floodmark.db"), seen: 0 }
    }

    /// All of them, in the order in which they came, as objects without what is null.
    fn rows(&self) -> Vec<Value> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(database) = Connection::open_with_flags(&self.file, flags) else {
            return Vec::new();
        };
        let columns = "type, source, dialect, id, user_id, session_id, properties";
        let sql = format!("SELECT {columns} FROM events ORDER BY rowid");
        // The server may still be making the table.
        let Ok(mut statement) = database.prepare(&sql) else { return Vec::new() };
        let rows = statement.query_map((), |row| Ok(object(row)));
        rows.expect("it can be read").map(|row| row.expect("it can be read")).collect()
    }

    /// Waits for as many new rows as there are patterns, one a line, and says how they differ.
    pub fn compare(&mut self, patterns: &str) -> Vec<String> {
        let patterns: Vec<&str> = patterns.lines().filter(|line| !line.is_empty()).collect();
        let wanted = self.seen + patterns.len();
        wait_until(&format!("{wanted} rows are stored"), || match self.rows() {
            rows if rows.len() >= wanted => Ok(()),
            rows => Err(shown(&rows[self.seen.min(rows.len())..])),
        });
        let mut left = self.rows().split_off(self.seen);
        let came = shown(&left);
        self.seen += left.len();
        let mut found = Vec::new();
        for pattern in patterns {
            let fits = |row: &Value| differences(pattern, row, &mut Kept::new()).is_empty();
            match left.iter().position(fits) {
                Some(at) => drop(left.remove(at)),
                None => found.push(format!("no row is {pattern}")),
            }
        }
        found.extend(left.iter().map(|row| format!("a row that is not shown: {row}")));
        if !found.is_empty() {
            found.push(format!("what came:\n{came}"));
        }
        found
    }

    /// The rows that came and were not looked at, once the server has ended.
    pub fn rest(&self) -> Vec<Value> {
        self.rows().split_off(self.seen)
    }
}

fn shown(rows: &[Value]) -> String {
    rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn object(row: &Row<'_>) -> Value {
    let text = |at: usize| row.get::<_, Option<String>>(at).expect("a text");
    let names = ["type", "source", "dialect", "id", "userId", "sessionId"];
    let mut object = Map::new();
    for (at, name) in names.into_iter().enumerate() {
        if let Some(value) = text(at) {
            object.insert(name.to_owned(), Value::from(value));
        }
    }
    let properties = text(names.len()).expect("every event has properties");
    let properties = serde_json::from_str(&properties).expect("they are JSON");
    object.insert("properties".to_owned(), properties);
    Value::Object(object)
}
