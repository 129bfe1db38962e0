//! Tests of the live stores: counters in the process, in a real Redis, and in a real Redis Cluster.

mod acl;
mod cluster;
mod contract;
mod ids;
mod large;
mod node;
mod outages;
#[path = "../support/mod.rs"]
mod support;
mod tls;
