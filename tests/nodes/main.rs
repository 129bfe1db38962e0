//! Several nodes on one Postgres and one Redis act as one: the same totals on each, equal to
//! the files, to the rows and to the ledger, whatever dies in between.

mod copies;
mod eight;
mod faults;
mod held;
mod identity;
mod import;
mod leaving;
mod ledger;
mod own_types;
#[path = "../support/mod.rs"]
mod support;
mod totals;

use support::shop;
