//! HTTP: decodes and checks what comes in, renders what goes out. No state of its own.

pub mod error;
pub mod query;
pub mod stream;

pub use error::ApiError;
