//! `floodmark nodes` and `floodmark retire`: which nodes share the store, and what is to be done when one
//! of them is gone for good.

use std::{process::ExitCode, sync::Arc};

use clap::Args;

use super::{ServeArgs, connect, maintain, with_config};
use crate::{
    config::Config,
    domain::{batch::NodeId, time::rfc3339},
    live,
    sink::SinkError,
    store::nodes::{KnownNode, NodeList},
};

/// So many characters of a node's id are enough to name it.
const LEAST_OF_AN_ID: usize = 4;

/// The flags of `floodmark nodes`.
#[derive(Args, Clone, Debug)]
pub struct NodesArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs `floodmark nodes`.
pub fn list(args: &NodesArgs) -> ExitCode {
    with_config(&args.serve, |config| maintain::once("nodes", listed(&config)))
}

/// The flags of `floodmark retire`.
#[derive(Args, Clone, Debug)]
pub struct RetireArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The node, by the id that `floodmark nodes` shows, or how that begins
    #[arg(value_name = "NODE")]
    node: String,
    /// Retire it although its data dir may have events that are nowhere else
    #[arg(long)]
    lose_events: bool,
}

/// Runs `floodmark retire`.
pub fn retire(args: &RetireArgs) -> ExitCode {
    with_config(&args.serve, |config| maintain::once("retire", retired(&config, args)))
}

fn words(error: SinkError) -> String {
    error.to_string()
}

/// The list of the store that the configuration names, once that is known to be the shop's.
async fn nodes(config: &Config) -> Result<Arc<dyn NodeList>, String> {
    let stores = connect::stores(config).await?;
    let Some(nodes) = stores.nodes else {
        return Err("SQLite has one node, which is its data dir; nodes are told apart where they \
                    share a PostgreSQL (--postgres)"
            .to_owned());
    };
    stores.info.claim().await.map_err(words)?;
    Ok(nodes)
}

async fn listed(config: &Config) -> Result<String, String> {
    let known = nodes(config).await?.nodes().await.map_err(words)?;
    Ok(match known.is_empty() {
        true => "no node has used this store yet".to_owned(),
        false => known.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
}

/// One node: its id, how it is, and where.
fn line(node: &KnownNode) -> String {
    let how = match (node.alive, node.said.stopped) {
        (true, _) => "alive",
        (false, true) => "stopped",
        (false, false) => "silent",
    };
    let (said, at) = (&node.said, rfc3339(node.at));
    format!("{} {how:<8} {at}  {} events wait  {}", node.node, said.waiting, said.place)
}

async fn retired(config: &Config, args: &RetireArgs) -> Result<String, String> {
    let list = nodes(config).await?;
    let known = list.nodes().await.map_err(words)?;
    let node = find(&known, &args.node)?;
    may_go(node, args.lose_events)?;
    let id = node.node;
    let mut done = vec![format!("node {id} is retired")];
    // Redis first: while the store has the node, the command can be repeated.
    if !config.redis.urls.is_empty()
        && live::redis::claims::forget_node(&config.redis, id).await.map_err(words)?
    {
        done.push("Redis waits for none of its ids any more".to_owned());
    }
    for missing in list.forget(id).await.map_err(words)? {
        let events = missing.events.map_or("an unknown number of".to_owned(), |n| n.to_string());
        let (first, last) = (missing.first, missing.last);
        done.push(format!(
            "it was noted, and is no more, that the store lacks {} batches of it, {events} events: {} of \
             run {} to {} of run {}",
            missing.batches(),
            first.seq,
            first.run,
            last.seq,
            last.run
        ));
    }
    if !node.has_left_nothing() {
        done.push(
            "what only its data dir had is lost, unless a copy of that is started".to_owned(),
        );
    }
    Ok(done.join("\n"))
}

/// The one node whose id begins like this.
fn find<'a>(known: &'a [KnownNode], asked: &str) -> Result<&'a KnownNode, String> {
    let asked = asked.to_ascii_lowercase();
    if asked.len() < LEAST_OF_AN_ID {
        return Err(format!("{asked:?} is too short for the id of a node"));
    }
    let id = |node: &NodeId| node.to_string();
    let mut found = known.iter().filter(|node| id(&node.node).starts_with(&asked));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => {
            Err(format!("no node has an id that begins with {asked}; see `floodmark nodes`"))
        }
        (Some(_), Some(_)) => Err(format!("several nodes have ids that begin with {asked}")),
    }
}

/// Whether a node may be retired. The error says what to do first.
fn may_go(node: &KnownNode, lose_events: bool) -> Result<(), String> {
    let (id, place, at) = (node.node, &node.said.place, rfc3339(node.at));
    if node.alive {
        return Err(format!("node {id} is alive, at {place}: stop it first (SIGTERM)"));
    }
    if lose_events || node.has_left_nothing() {
        return Ok(());
    }
    let waiting = node.said.waiting;
    let what = match node.said.stopped {
        true => format!("{waiting} events wait in its data dir since it stopped ({at})"),
        false => format!(
            "it did not stop in order: {waiting} events waited in its data dir at its last sign of life \
             ({at}), and it may have taken more since"
        ),
    };
    Err(format!(
        "node {id}, at {place}: {what}. Start it again on its data dir, or on a copy of that, and stop it \
         with SIGTERM once /readyz says that nothing waits. With --lose-events it is retired all the same, \
         and these events are lost"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::nodes::SignOfLife;

    fn node(id: u128, alive: bool, stopped: bool, waiting: u64) -> KnownNode {
        let said = SignOfLife { place: "web-1".to_owned(), waiting, stopped };
        KnownNode { node: NodeId::from_u128(id), said, at: 0, alive }
    }

    #[test]
    fn a_node_is_found_by_how_its_id_begins() {
        let known =
            [node(0x1234_5678 << 96, true, false, 0), node(0x1234_9999 << 96, true, false, 0)];
        assert_eq!(find(&known, "12345").unwrap(), &known[0]);
        assert_eq!(find(&known, &known[1].node.to_string().to_uppercase()).unwrap(), &known[1]);
        assert!(find(&known, "1234").unwrap_err().contains("several"));
        assert!(find(&known, "9999").unwrap_err().contains("no node"));
        assert!(find(&known, "123").unwrap_err().contains("short"));
    }

    #[test]
    fn a_node_goes_only_when_it_is_gone_and_has_left_nothing() {
        assert!(may_go(&node(1, true, false, 0), true).unwrap_err().contains("is alive"));
        assert_eq!(may_go(&node(1, false, true, 0), false), Ok(()));
        let waits = may_go(&node(1, false, true, 7), false).unwrap_err();
        assert!(waits.contains("7 events wait") && waits.contains("--lose-events"), "{waits}");
        let silent = may_go(&node(1, false, false, 0), false).unwrap_err();
        assert!(silent.contains("did not stop in order"), "{silent}");
        assert_eq!(may_go(&node(1, false, false, 7), true), Ok(()));
    }
}
