//! HTTP: events come in, and numbers are asked for.
//!
//! - Events come in through [`collect`], which is the same for all [`dialect`]s.
//! - Numbers are read through [`current`], [`moment`], [`timeseries`], [`breakdown`], [`alerts`] and
//!   [`stream`]. Each of these handlers parses the request, asks [`crate::numbers`], and renders.
//! - Single events are read through [`events`], all of a stretch of time through [`export`].
//! - A connection is taken in by [`connections`], with [`tls`] or without, and is a [`wire`] from then on.
//! - [`ops`] has the routes for operators, [`assets`] serves the dashboard, [`tracker`]
//!   the script for the pages of a shop, [`openapi`] describes all
//!   routes to programs, [`observed`] counts requests and refusals.
//!
//! Who may call a route is decided by the scope in which it hangs ([`scope`]), which asks
//! [`auth`] and [`origin`]. Every refusal has the form of [`error`].

pub mod access;
pub mod access_log;
pub mod alerts;
pub mod answer;
pub mod assets;
pub mod auth;
pub mod books;
pub mod breakdown;
pub mod breakdowns;
pub mod client;
pub mod collect;
pub mod connections;
pub mod csv;
pub mod current;
pub mod dead_letters;
pub mod dialect;
pub mod error;
mod etag;
pub mod events;
pub mod explain;
pub mod export;
pub mod hosts;
pub mod json_body;
pub mod limit;
pub mod login;
pub mod mark_webhooks;
pub mod marks;
pub mod methods;
pub mod moment;
pub mod observed;
pub mod occasions;
pub mod openapi;
pub mod operated;
pub mod ops;
pub mod origin;
pub mod pace;
mod packed_file;
pub mod query;
pub mod request_id;
pub mod schema;
pub mod scope;
pub mod security_headers;
pub mod signature;
pub mod stream;
pub mod timeseries;
pub mod tls;
pub mod tracker;
pub mod visitor;
pub mod wire;
