//! Answers as CSV (RFC 4180), for whoever asks for it: by `format=csv`, or by an `Accept` that likes it best.

use actix_web::{
    HttpRequest,
    http::header::{Accept, Header},
};

use crate::{domain::csv, http::error::ApiError};

/// The media type of answers in CSV.
pub const CSV: &str = "text/csv; charset=utf-8";

/// Whether the answer is to be CSV and not JSON.
///
/// # Errors
/// 400 where the parameter `format` names another one.
pub fn is_asked(request: &HttpRequest, format: Option<&str>) -> Result<bool, ApiError> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(ApiError::bad_request("invalid_parameter", "format: it is json or csv")),
        // An Accept that can't be read asks for nothing else.
        None => Ok(Accept::parse(request).is_ok_and(|accept| {
            accept.ranked().first().is_some_and(|best| best.essence_str() == "text/csv")
        })),
    }
}

/// A table in the making.
#[derive(Debug, Default)]
pub struct CsvTable(Vec<u8>);

impl CsvTable {
    /// Adds a line.
    pub fn line<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) {
        csv::line(&mut self.0, fields);
    }

    /// The whole table, in UTF-8.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn csv_is_answered_to_whoever_likes_it_best() {
        let asked = |accept: &str, format: Option<&str>| {
            let request = TestRequest::default().insert_header(("Accept", accept));
            is_asked(&request.to_http_request(), format).ok()
        };
        assert_eq!(asked("text/csv", None), Some(true));
        assert_eq!(asked("application/json;q=0.5, text/csv", None), Some(true));
        assert_eq!(asked("text/csv;q=0.5, application/json", None), Some(false));
        assert_eq!(asked("*/*", None), Some(false));
        assert_eq!(asked("*/*", Some("csv")), Some(true));
        assert_eq!(asked("text/csv", Some("json")), Some(false));
        assert_eq!(asked("*/*", Some("xml")), None);
    }
}
