//! What strangers do to a server that is open to them, over real sockets: requests that two readers would
//! understand in two ways, bodies that grow, heads without end, clients that never read, made-up values
//! without number, texts that want to be something else in a log or on a page.
//!
//! Each test attacks a server of its own and then asks three things of it ([`victim::Victim::stands`]): that
//! it takes an event and counts it once, that nothing else was counted, and that its memory has stayed
//! within its budget.

mod bombs;
mod floods;
mod heads;
mod injection;
mod paths;
mod roles;
mod slow;
mod smuggling;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod victim;
