//! CSV (RFC 4180): lines of fields.

/// Appends a line to `out`.
pub fn line<'a>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = &'a str>) {
    for (n, field) in fields.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        match field.contains([',', '"', '\r', '\n']) {
            true => {
                out.push(b'"');
                for (n, part) in field.split('"').enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b"\"\"");
                    }
                    out.extend_from_slice(part.as_bytes());
                }
                out.push(b'"');
            }
            false => out.extend_from_slice(field.as_bytes()),
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stays_one_field() {
        let mut table = Vec::new();
        line(&mut table, ["a", "b,c", ""]);
        line(&mut table, [r#"{"x":"y"}"#, "1\n2"]);
        assert_eq!(table, b"a,\"b,c\",\r\n\"{\"\"x\"\":\"\"y\"\"}\",\"1\n2\"\r\n");
    }
}
