//! Reads the text of `/metrics`, which is in Prometheus' text format.

/// One line of the text: `name{label="value"} 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExposedSample<'a> {
    /// The metric.
    pub name: &'a str,
    /// Its labels with their values, in the order of the line.
    pub labels: Vec<(&'a str, String)>,
    /// The number, as it stands there.
    pub value: &'a str,
}

/// Reads a line; `None` for a comment, and for what is none of the format.
pub fn sample(line: &str) -> Option<ExposedSample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label, value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    // A moment in time may stand behind the number.
    let value = rest.split_whitespace().next()?;
    Some(ExposedSample { name, labels, value })
}

/// The text up to its closing quotation mark, and what follows that.
fn quoted(from: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = from.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &from[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_labels() {
        let labels = |line| sample(line).unwrap().labels;
        assert_eq!(sample("up 1 1795478400000").unwrap().value, "1");
        assert_eq!(labels("up 1"), []);
        assert_eq!(
            labels("e{source=\"a \\\"b\\\", c\\\\}\",of=\"x\\ny\"} 3"),
            [("source", "a \"b\", c\\}".to_owned()), ("of", "x\ny".to_owned())]
        );
        for wrong in ["", "# HELP e Events", "broken{", "e{of} 1", "e{of=\"x} 1", "e "] {
            assert_eq!(sample(wrong), None, "{wrong}");
        }
    }
}
