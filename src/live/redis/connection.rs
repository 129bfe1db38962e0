//! The connection for commands. It leads to one server, or to a cluster, where it is the client
//! library's own.

use std::time::Instant;

use redis::{
    Cmd, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
};

/// The shared connection for commands.
#[derive(Clone)]
pub(super) struct Connection {
    /// Tells it apart from the connection that takes its place.
    pub id: u64,
    /// When it was made.
    pub since: Instant,
    /// What commands go through.
    pub line: Line,
}

/// What commands go through.
#[derive(Clone)]
pub(super) enum Line {
    /// One server.
    Single(MultiplexedConnection),
    /// All servers of a cluster.
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.line {
            Line::Single(line) => line.req_packed_command(cmd),
            Line::Cluster(line) => line.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &mut self.line {
            Line::Single(line) => line.req_packed_commands(cmd, offset, count),
            Line::Cluster(line) => line.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match &self.line {
            Line::Single(line) => line.get_db(),
            Line::Cluster(line) => line.get_db(),
        }
    }
}
