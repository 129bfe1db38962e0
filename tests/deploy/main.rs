//! What is installed and operated: packages, images, proxies, monitoring. These tests need programs of
//! Debian and PyPI that nothing else needs, so they are ignored by default; `./test --deploy` installs
//! the programs and runs them.

mod artefacts;
mod monitoring;
mod prometheus;
mod proxies;
mod rolling;
#[path = "../support/mod.rs"]
mod support;

use support::shop;
