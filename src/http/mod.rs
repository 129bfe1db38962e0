//! HTTP: what comes in ([`ingest`]) and what is asked ([`current`], [`timeseries`],
//! [`breakdown`], [`stream`], [`ops`], [`assets`]).

pub mod alerts;
pub mod assets;
pub mod auth;
pub mod breakdown;
pub mod current;
pub mod error;
pub mod ingest;
pub mod methods;
pub mod ops;
pub mod payload;
pub mod query;
pub mod quota;
pub mod request_id;
pub mod stream;
pub mod timeseries;
pub mod wire;
