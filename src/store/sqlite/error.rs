//! What errors of SQLite are to whoever writes to a store.

use rusqlite::ErrorCode;

use crate::sink::{SinkError, SinkErrorKind};

impl From<rusqlite::Error> for SinkError {
    fn from(e: rusqlite::Error) -> SinkError {
        let kind = match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => SinkErrorKind::Full,
            Some(ErrorCode::ReadOnly) => SinkErrorKind::ReadOnly,
            Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
                SinkErrorKind::Denied
            }
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure,
            ) => SinkErrorKind::Unavailable,
            // SQLite has no code of its own for "no such table" and the like.
            Some(ErrorCode::Unknown | ErrorCode::SchemaChanged) => SinkErrorKind::Schema,
            _ => SinkErrorKind::Other,
        };
        SinkError { kind, message: format!("SQLite: {e}") }
    }
}
