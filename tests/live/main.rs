//! The live stores: in-process, against a real Redis, and against a real Redis Cluster.

mod cluster;
mod contract;
mod node;
mod outages;
#[path = "../support/mod.rs"]
mod support;
mod tls;
