//! A node as a live store sees it: a spool of batches, the writers that send them, and the mirror
//! that follows the feed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use floodmark::{
    config::Config,
    domain::{
        batch::{Batch, LANES, NodeId},
        time::{BusinessZone, MINUTE, Millis, SECOND, bucket, now_ms},
        totals::Totals,
    },
    live::{self, Applied, Feed, LiveStore, counters::Counters},
    sink::{SinkError, SinkErrorKind},
    store::{self, Stores},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::support::{
    batches::{Event, seal},
    redis::{RedisCluster, RedisServer},
};

/// No step of these tests takes longer than this, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What the nodes of a test share: the store, and the address of the live counters.
pub struct Site {
    pub config: Config,
    pub store: Stores,
    _dir: tempfile::TempDir,
}

impl Site {
    /// The URLs of Redis: several mean a cluster, and none means counters in the process.
    pub async fn new(urls: Vec<String>) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        config.redis.urls = urls;
        config.redis.connect_timeout_ms = 1000;
        config.redis.response_timeout_ms = 1500;
        config.retry.initial_ms = 10;
        config.retry.max_ms = 200;
        Site { store: store::open(&config).await.unwrap(), config, _dir: dir }
    }

    pub async fn node(&self) -> Node {
        Node::open(&self.config, self.store.clone()).await
    }
}

/// The kinds of live stores.
pub enum Backend {
    InProcess,
    Redis(RedisServer),
    Cluster(RedisCluster),
}

impl Backend {
    pub fn redis() -> Backend {
        Backend::Redis(RedisServer::start())
    }

    pub fn cluster() -> Backend {
        Backend::Cluster(RedisCluster::start())
    }

    pub fn urls(&self) -> Vec<String> {
        match self {
            Backend::InProcess => vec![],
            Backend::Redis(server) => vec![server.url()],
            Backend::Cluster(cluster) => cluster.urls(),
        }
    }

    pub fn flushall(&self) {
        match self {
            Backend::InProcess => panic!("a process can't be flushed"),
            Backend::Redis(server) => server.flushall(),
            Backend::Cluster(cluster) => cluster.flushall(),
        }
    }
}

pub fn zone() -> BusinessZone {
    BusinessZone::named("Europe/Berlin").unwrap()
}

/// The mirror that the feed fills, and the interruptions and resets that the feed reported.
#[derive(Default)]
pub struct Mirror {
    pub state: Mutex<Option<Counters>>,
    pub interrupted: AtomicBool,
    resets: AtomicUsize,
    reasons: Mutex<Vec<String>>,
}

pub struct Node {
    pub id: NodeId,
    pub live: Arc<dyn LiveStore>,
    pub mirror: Arc<Mirror>,
    pub spool: Mutex<Vec<Arc<Batch>>>,
    pub store: Stores,
}

impl Node {
    pub async fn open(config: &Config, store: Stores) -> Node {
        let (feed, mut fed) = mpsc::channel(64);
        let mirror = Arc::new(Mirror::default());
        let follower = mirror.clone();
        tokio::spawn(async move {
            while let Some(told) = fed.recv().await {
                follower.take(told);
            }
        });
        let live = live::open(config, &store, zone(), feed, now_ms()).await.unwrap();
        Node { id: NodeId::new_v4(), live, mirror, spool: Mutex::default(), store }
    }

    /// Seals `batches` more batches of a few events of the last minutes.
    pub fn seal(&self, batches: u64) {
        let mut spool = self.spool.lock();
        for _ in 0..batches {
            let seq = spool.len() as u64 + 1;
            spool.push(Arc::new(sealed(self.id, seq)));
        }
    }

    pub fn batch(&self, seq: u64) -> Arc<Batch> {
        self.spool.lock()[seq as usize - 1].clone()
    }

    /// Sends one batch once.
    pub async fn apply(&self, seq: u64) -> Result<Applied, SinkError> {
        let batch = self.batch(seq);
        self.live.apply(batch.id, batch.after, batch.sealed_at, &batch.delta).await
    }

    /// Stores the first batches, up to `seq`.
    pub async fn store_up_to(&self, seq: u64) {
        let batches: Vec<_> = self.spool.lock()[..seq as usize].to_vec();
        for batch in batches {
            self.store.batches.write(&batch).await.unwrap();
        }
    }

    /// Sends the whole spool as the writers of four lanes do, and tries again after every failure,
    /// until the live store has counted all of it.
    pub async fn drain(&self) {
        let lanes = (0..LANES).map(|lane| self.drain_lane(lane));
        futures_util::future::join_all(lanes).await;
    }

    /// Keeps sealing and sending until `done`.
    pub async fn load(&self, done: &AtomicBool) {
        while !done.load(Ordering::SeqCst) {
            self.seal(8);
            self.drain().await;
        }
    }

    /// Waits until `lane` has counted `more` batches more than by now.
    pub async fn counts_more(&self, lane: usize, more: u64) {
        let mut start = None;
        eventually("the load goes on", async || {
            let Ok(heads) = self.live.heads(self.id).await else {
                return false;
            };
            heads[lane] >= *start.get_or_insert(heads[lane]) + more * LANES
        })
        .await;
    }

    async fn drain_lane(&self, lane: u64) {
        let end = self.spool.lock().len() as u64;
        let give_up = Instant::now() + LIMIT;
        let mut next = if lane == 0 { LANES } else { lane };
        while Instant::now() < give_up {
            if next > end {
                // There is nothing to send, so the writer asks how far the lane has counted.
                let last = (1..=end).rev().find(|seq| seq % LANES == lane).unwrap_or(0);
                match self.live.heads(self.id).await {
                    Ok(heads) if heads[lane as usize] == last => return,
                    Ok(heads) => next = after(lane, heads[lane as usize]),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                continue;
            }
            match self.apply(next).await {
                Ok(Applied::Counted | Applied::AlreadyCounted) => next += LANES,
                Ok(Applied::Gap { last }) => next = after(lane, last),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("lane {lane} is not drained in time");
    }

    /// Waits until one attempt to count a batch fails in this way.
    pub async fn fails_with(&self, seq: u64, kind: SinkErrorKind) {
        let mut last = None;
        eventually(&format!("batch {seq} fails: {kind}"), async || {
            last = Some(self.apply(seq).await);
            matches!(&last, Some(Err(e)) if e.kind == kind)
        })
        .await;
    }

    /// Waits until a check fails in this way.
    pub async fn check_fails_with(&self, kind: SinkErrorKind) {
        eventually(
            &format!("the check fails: {kind}"),
            async || matches!(self.live.check().await, Err(e) if e.kind == kind),
        )
        .await;
    }

    /// The number of visitors that were active since this moment.
    pub async fn active(&self, since: Millis) -> u64 {
        let day = zone().day_of(now_ms()).date;
        self.live.population(since, day).await.unwrap().active
    }

    /// Waits until the mirror shows exactly the sum of these nodes' spools.
    pub async fn shows(&self, nodes: &[&Node]) {
        let spools = nodes.iter().map(|node| node.spool.lock().clone());
        self.shows_sum(&spools.flatten().collect::<Vec<_>>()).await;
    }

    /// Waits until the mirror shows exactly the sum of these batches.
    pub async fn shows_sum(&self, batches: &[Arc<Batch>]) {
        let mut expected = Counters::new(zone());
        for batch in batches {
            expected.apply(batch.id.lane(), &batch.delta, now_ms());
        }
        let expected = shown(&expected);
        let exact = async || {
            !self.mirror.interrupted.load(Ordering::SeqCst)
                && self.mirror.state.lock().as_ref().map(shown).as_ref() == Some(&expected)
        };
        let give_up = Instant::now() + LIMIT;
        while !exact().await {
            assert!(Instant::now() < give_up, "the mirror is not exact: {}", self.off(&expected));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The places at which the mirror differs from what it should show.
    fn off(&self, expected: &Shown) -> String {
        let mirror = &self.mirror;
        let found = mirror.state.lock().as_ref().map(shown).unwrap_or_default();
        let keys: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
        let differ = keys.into_iter().filter(|key| found.get(key) != expected.get(key));
        let differ =
            differ.map(|key| format!("{key:?}: {:?} for {:?}", found.get(key), expected.get(key)));
        format!(
            "interrupted: {}, {} resets, {:?}; {:#?}",
            mirror.interrupted.load(Ordering::SeqCst),
            mirror.resets(),
            mirror.reasons(),
            differ.take(5).collect::<Vec<_>>()
        )
    }
}

fn after(lane: u64, last: u64) -> u64 {
    match last {
        0 if lane == 0 => LANES,
        0 => lane,
        last => last + LANES,
    }
}

fn sealed(node: NodeId, seq: u64) -> Batch {
    let now = bucket(now_ms(), SECOND);
    let events: Vec<Event> = (0..6)
        .map(|n| {
            let at = now - ((seq * 7 + n * 31) % 240) as Millis * SECOND;
            let mut event = Event::at(at, format!("{node}-{seq}-{n}"));
            event.session = Some(format!("session-{}", (seq * 3 + n) % 50));
            if n == 1 {
                event.kind = "error".to_owned();
                event.properties = format!(r#"{{"path":"/checkout/a","code":{}}}"#, seq % 9);
            }
            if n == 0 {
                event.kind = "purchase".to_owned();
                event.properties = format!(r#"{{"amount":{seq}.19}}"#);
            }
            event
        })
        .collect();
    seal(node, seq, &events)
}

impl Mirror {
    fn take(&self, told: Feed) {
        let mut state = self.state.lock();
        match told {
            Feed::Reset(new) => {
                *state = Some(*new);
                self.resets.fetch_add(1, Ordering::SeqCst);
                self.interrupted.store(false, Ordering::SeqCst);
            }
            Feed::Delta { delta, lane, .. } => {
                let state = state.as_mut().expect("a reset comes first");
                state.apply(lane, &delta, now_ms());
            }
            Feed::Interrupted { reason } => {
                let was = self.interrupted.swap(true, Ordering::SeqCst);
                assert!(!was, "interrupted twice: {reason}");
                self.reasons.lock().push(reason);
            }
            Feed::Restored => self.interrupted.store(false, Ordering::SeqCst),
        }
    }

    pub async fn is_interrupted(&self) {
        eventually("the feed is interrupted", async || self.interrupted.load(Ordering::SeqCst))
            .await;
    }

    /// Waits for a reset after this call, with or without an interruption before it.
    pub async fn is_reset(&self, resets: usize) {
        eventually("the feed starts over", async || self.resets() > resets).await;
    }

    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }

    /// Why the feed was interrupted, each time.
    pub fn reasons(&self) -> Vec<String> {
        self.reasons.lock().clone()
    }
}

type Shown = BTreeMap<(u8, Millis), Vec<(String, i64)>>;

/// Everything that the mirror shows of the last few minutes and of the days.
fn shown(state: &Counters) -> Shown {
    let oldest = bucket(now_ms() - 20 * MINUTE, MINUTE);
    let mut all = Shown::new();
    let mut add = |kind, at, totals: &Totals| {
        let sums = totals.iter().map(|(series, value)| (series.to_string(), value));
        all.insert((kind, at), sums.collect());
    };
    for (at, totals) in state.seconds().filter(|second| second.0 >= oldest) {
        add(0, at, totals);
    }
    for (at, totals) in state.minutes().filter(|minute| minute.0 >= oldest) {
        add(1, at, totals);
    }
    for (index, (_, totals)) in state.days().enumerate() {
        add(2, index as Millis, totals);
    }
    for (at, name, lane, top) in state.tops().filter(|top| top.0 >= oldest) {
        let values = top.iter().map(|(value, n)| (format!("{name} {lane} {value}"), n as i64));
        all.entry((3, at)).or_default().extend(values);
    }
    // A mirror that was read from Redis has got its breakdowns in another order.
    all.values_mut().for_each(|sums| sums.sort());
    all
}

/// Both nodes send without a pause while `happens` happens, and are exact afterwards.
pub async fn under_load(a: &Node, b: &Node, happens: impl Future<Output = ()>) {
    let done = AtomicBool::new(false);
    let happens = async {
        a.counts_more(1, 5).await;
        happens.await;
        a.counts_more(1, 5).await;
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(a.load(&done), b.load(&done), happens);
    // Nothing is sent any more. A batch that got lost after it was sent would only show now.
    tokio::join!(a.drain(), b.drain());
    a.shows(&[a, b]).await;
    b.shows(&[a, b]).await;
}

/// Waits until the condition holds.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + LIMIT;
    while !done().await {
        assert!(Instant::now() < give_up, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
