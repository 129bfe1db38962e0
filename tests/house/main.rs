//! Rules about the tree itself, checked by reading it. What is only written down in prose
//! becomes untrue sooner or later; these rules fail a test instead.

mod documents;
mod imports;
mod items;
mod migrations;
mod monitoring;
mod sizes;
mod source;
