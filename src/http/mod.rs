//! HTTP: what comes in and what is asked.
//!
//! - Events come in by [`collect`], which is the same for all [`dialect`]s.
//! - Numbers are read by [`current`], [`timeseries`], [`breakdown`], [`alerts`] and [`stream`].
//! - [`ops`] is for operators, [`assets`] the dashboard.
//!
//! Who may call a route is decided by the scope in which it hangs ([`scope`]), which asks
//! [`auth`] and [`origin`].

pub mod alerts;
pub mod assets;
pub mod auth;
pub mod breakdown;
pub mod collect;
pub mod current;
pub mod dialect;
pub mod error;
pub mod methods;
pub mod ops;
pub mod origin;
pub mod query;
pub mod request_id;
pub mod scope;
pub mod stream;
pub mod timeseries;
