//! One server, from a request to an answer and to a viewer's screen: the real program, mostly
//! with its embedded stores. What is light enough to be linked into one program is here; tests
//! that bring servers, nodes or faults of their own have programs of their own.

mod access;
mod api_doc;
mod backup;
mod bodies;
mod books;
mod bots;
mod breakdowns;
mod budget;
mod checks;
mod commands;
mod corpus;
mod crash;
mod crowd;
mod dead_letters;
mod different;
mod door;
mod examples;
mod forget;
mod fresh_metrics;
mod golden;
mod held;
mod history;
mod host_names;
mod metrics;
mod moments;
mod openapi;
mod ops_listener;
mod otlp;
mod own_types;
mod page_headers;
mod privacy;
mod refusals;
mod reload;
mod replay;
mod replica;
mod report;
mod retention;
mod schemas;
mod senders;
mod series;
mod single_events;
mod sources;
mod stopping;
mod stream;
mod sums;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod top;
mod totals;
mod tracker;
mod twins;
mod visitors;
mod webhooks;
