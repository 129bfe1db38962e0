//! Forgets a node that is gone for good (`floodmark retire`). While Redis has it among its nodes, what it
//! had claimed stays undecided until the window is over, and after a crash of Redis it is waited for.

use futures_util::future::try_join_all;

use crate::{
    config::RedisConfig,
    domain::batch::NodeId,
    live::redis::{
        connection::Connection,
        keys::{ID_SHARDS, RedisKeys},
        servers::Servers,
    },
    sink::{SinkError, SinkErrorKind},
};

/// Takes a node out of the register of ids. From then on its open claims are as good as given back.
/// Answers whether it was there.
///
/// # Errors
/// The configuration makes no sense, or a server can't be reached.
pub async fn forget_node(config: &RedisConfig, node: NodeId) -> Result<bool, SinkError> {
    let other = |message| SinkError::new(SinkErrorKind::Other, message);
    let servers = Servers::new(config).map_err(other)?;
    let keys = RedisKeys::new(&config.prefix).map_err(other)?;
    let keys = &keys;
    let forget = async |connection: Connection| {
        try_join_all((0..ID_SHARDS).map(|shard| {
            let mut connection = connection.clone();
            async move {
                let field = node.to_string();
                let mut owing = redis::cmd("HDEL");
                owing.arg(keys.id_owing(shard)).arg(&field);
                owing.exec_async(&mut connection).await?;
                let mut known = redis::cmd("HDEL");
                known.arg(keys.id_nodes(shard)).arg(&field);
                known.query_async::<u64>(&mut connection).await
            }
        }))
        .await
    };
    let gone = servers.run("forget a node", forget).await?;
    Ok(gone.iter().any(|count| *count > 0))
}
