//! Floodmark: live numbers for a shop. Every event kept, every second shown.
//!
//! Most people use the program `floodmark`. A program of your own can hold a whole server: it
//! makes a [`Config`], calls [`start`] on an actix system, and ends it with [`Running::stop`].
//!
//! ```no_run
//! # async fn example() -> Result<(), floodmark::StartError> {
//! let config = floodmark::Config { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
//! let server = floodmark::start(config).await?;
//! println!("http://{}", server.addr);
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Inside, the modules are the stations on an event's way; ARCHITECTURE.md has the map. They are
//! no interface: they change from one version to the next. Those that are public are so for the
//! tests, benchmarks and fuzz targets of this repository.

mod cli;
mod counter;
mod open_files;
mod panics;
mod retry;
mod server;
#[cfg(test)]
#[path = "simulation/tests/mod.rs"]
mod simulation;
mod trust;

#[doc(hidden)]
pub mod access;
#[doc(hidden)]
pub mod alert;
#[doc(hidden)]
pub mod archive;
#[doc(hidden)]
pub mod broadcast;
#[doc(hidden)]
pub mod causes;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod demo;
#[doc(hidden)]
pub mod domain;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod failpoint;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod ingest;
#[doc(hidden)]
pub mod live;
#[doc(hidden)]
pub mod numbers;
#[doc(hidden)]
pub mod reload;
#[doc(hidden)]
pub mod sink;
#[doc(hidden)]
pub mod spool;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod telemetry;

pub use cli::run;
pub use config::Config;
pub use server::{Running, StartError, start};
