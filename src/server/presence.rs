//! Says again and again that this node lives, where nodes share a store ([`crate::store::nodes`]).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    domain::batch::NodeId,
    panics,
    sink::Sink,
    spool::Spool,
    store::nodes::{NodeList, SignOfLife},
};

/// How often a node says that it lives: a third of the time after which it would be taken for gone.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How long the last word may take: whoever has stopped the node waits for its end.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(3);

/// The running task, and what its last word needs.
pub struct Presence {
    speaker: Arc<Speaker>,
    task: tokio::task::JoinHandle<()>,
}

struct Speaker {
    nodes: Arc<dyn NodeList>,
    node: NodeId,
    place: String,
    spool: Spool,
}

impl Presence {
    /// Begins to say it. It goes on until [`Presence::end`].
    pub fn start(
        nodes: Arc<dyn NodeList>,
        node: NodeId,
        listens: SocketAddr,
        spool: Spool,
    ) -> Presence {
        let speaker = Arc::new(Speaker { nodes, node, place: place(listens), spool });
        let task = tokio::spawn(panics::lasting("nodes", {
            let speaker = speaker.clone();
            move || speaker.clone().go_on()
        }));
        Presence { speaker, task }
    }

    /// Says the last word: that the node has stopped, and how much waits in its data dir.
    pub async fn end(self) {
        // Nothing may be said after it.
        self.task.abort();
        let _ = self.task.await;
        match tokio::time::timeout(LAST_WORD_WITHIN, self.speaker.say(true)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store does not know how this node ended"),
            Err(_) => tracing::warn!("the store does not know how this node ended: no answer"),
        }
    }
}

impl Speaker {
    async fn go_on(self: Arc<Self>) {
        loop {
            // While the store is away nobody can ask for it either. What takes too long is said anew.
            let _ = tokio::time::timeout(SAY_EVERY, self.say(false)).await;
            tokio::time::sleep(SAY_EVERY).await;
        }
    }

    async fn say(&self, stopped: bool) -> Result<(), crate::sink::SinkError> {
        let waiting = Sink::ALL.iter().map(|sink| self.spool.lag(*sink).events).max();
        let waiting = waiting.unwrap_or(0);
        let said = SignOfLife { place: self.place.clone(), waiting, stopped };
        self.nodes.sign(self.node, &said).await
    }
}

/// Where this node is, for people.
fn place(listens: SocketAddr) -> String {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => format!("{} ({listens})", name.trim()),
        Err(_) => listens.to_string(),
    }
}
