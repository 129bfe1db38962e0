//! Reads all counters of Redis into a mirror, in pages, while batches go on being counted.
//!
//! The counters of a lane may be tens of megabytes. One reply of that size stops Redis for as long
//! as it takes to write, and on the connection of a subscription it is more than Redis lets a
//! subscriber have waiting (`client-output-buffer-limit pubsub 32mb 8mb 60` by default): Redis would
//! close the connection, at every attempt. So the counters come on connections of their own, a page
//! at a time. Pages have moments of their own, and the sums come out exact all the same:
//!
//! ```text
//!  subscription  ──m1──m2──m3──m4──|barrier|──m5──m6──|barrier|──m7── … follow
//!  pages         [p1] [p2] [p3] [p4]       [read again]       add m5, m6
//!                fields that m1 to m4 change ──^
//! ```
//!
//! The drawing is that of one lane. Lanes are read one after the other, so that there is one copy of
//! a lane's sums at a time, beside the sums of all lanes that were read. The messages of a lane that
//! was read are added to these at once, and those of a lane whose turn has not come are passed over:
//! its pages will have them.
//!
//! 1. The subscription runs before the first page is read, so every batch that is counted from then
//!    on is a message. Each message names the fields that it changes.
//! 2. A field that no message names has had one value all the time, and its page has that value.
//! 3. A field that a message names may be on its page with the message or without it. It is read
//!    again, and what is read takes the place of what the page had. The version of the lane, read in
//!    the same step, says which messages that value contains.
//! 4. Messages that come meanwhile are added at the end: to a field that was read again only if
//!    they are younger than its value, and to any other field, since its page is older than they.
//!
//! A barrier is a PING on the connection of the subscription. A server answers one connection in
//! order, so with the answer every message is there that was published before it; the versions of
//! the messages show that none is missing. A new generation ends the load, and it starts over.
//!
//! What is held in memory beside the counters themselves is the sums of one lane, one page, and the
//! names of the fields that were written while the pages were read. The counters stay within their
//! limits while they are read.

mod pages;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use redis::{PushInfo, aio::MultiplexedConnection};

use self::pages::{LaneReader, Place, ReadAgain};
use super::{
    RedisShared,
    error::{live_error, rebuilding, unavailable},
    heads::Heads,
    keys::{Bucket, Fields, LaneKeys, buckets_of},
    push::{Heard, Position, PushReceiver, ToldBatch, heard},
};
use crate::{
    domain::time::{Millis, now_ms},
    live::counters::Counters,
    sink::SinkError,
};

/// How many bytes of fields and values messages may bring while fields are read again.
const MAX_LATER: usize = 8 << 20;

/// What the subscription says while the counters are read.
struct Listening<'a> {
    channels: &'a [String],
    pushes: &'a mut PushReceiver,
    shared: &'a RedisShared,
    /// The time of the load (Unix ms), which says which fields a message changes.
    now: Millis,
    lanes: Vec<LaneNews>,
    /// The batches that are counted.
    heads: Heads,
    /// The counters of the lanes that were read, and the breakdowns of all.
    all: &'a Mutex<Counters>,
}

/// How far a lane is.
enum LaneNews {
    /// Its turn has not come. This is how far its last message came.
    Waits(Option<Position>),
    /// It is being read.
    Reads(ReadingLane),
    /// It was read, and its messages are added as they come. They have come so far.
    Done(Position),
}

/// What the messages of a lane say that is being read.
struct ReadingLane {
    /// How far they have come.
    position: Position,
    /// The fields that they change, until these are read again.
    changed: BTreeSet<Place>,
    /// Whether fields are read again. From then on messages are kept, to be added.
    keeps: bool,
    /// The messages that were kept: version, and what it adds to each hash.
    later: Vec<(u64, BTreeMap<Bucket, Fields>)>,
    /// Bytes of their fields and values.
    later_bytes: usize,
}

/// What was read.
pub(super) struct Loaded {
    /// The counters of all lanes.
    pub counters: Counters,
    /// How far each lane has come, by lane.
    pub positions: Vec<Position>,
    /// The batches that the counters are known to have.
    pub heads: Heads,
}

/// Reads the counters of all lanes, and says how far they have come. `lines` are the connections of
/// the subscription to `channels`, by lane, `pushes` is what comes there, and `heads` are the batches
/// that were counted before.
pub(super) async fn load(
    shared: &RedisShared,
    channels: &[String],
    lines: &[MultiplexedConnection],
    pushes: &mut PushReceiver,
    heads: Heads,
) -> Result<Loaded, SinkError> {
    let _room = shared.spare.lock().await;
    let readers = shared.servers.owners(channels, None).await?;
    let keys: Vec<LaneKeys> = shared.keys.lanes().collect();
    let now = now_ms();
    let starts = try_join_all(keys.iter().zip(&readers).map(|(keys, line)| position(keys, line)));
    let starts = starts.await?;
    starts.iter().try_for_each(|start| shared.of_owner(start.owner.as_deref()))?;
    // A lane has no counters, so Redis is new or was emptied.
    if starts.iter().any(|start| start.generation.is_empty()) {
        shared.rebuild_wanted.notify_one();
        return Err(rebuilding());
    }
    let all = Mutex::new(Counters::within(shared.zone.clone(), shared.limits));
    let lanes = keys.iter().map(|_| LaneNews::Waits(None)).collect();
    let mut listening = Listening { channels, pushes, shared, now, lanes, heads, all: &all };
    for (lane, (keys, line)) in keys.iter().zip(&readers).enumerate() {
        listening.read(lane, keys, line, lines).await?;
    }
    let Listening { lanes, heads, .. } = listening;
    let positions = lanes.into_iter().filter_map(LaneNews::position).collect();
    let mut counters = all.into_inner();
    counters.prune(now);
    Ok(Loaded { counters, positions, heads })
}

/// Since when (Unix ms) a lane has all seconds. A rebuild had no room for older ones.
async fn seconds_from(keys: &LaneKeys, line: &MultiplexedConnection) -> Result<Millis, SinkError> {
    let mut ask = redis::cmd("HGET");
    ask.arg(keys.meta()).arg("seconds_from");
    let answer: Option<Millis> = ask
        .query_async(&mut line.clone())
        .await
        .map_err(|e| live_error("load the counters", &e))?;
    Ok(answer.unwrap_or(Millis::MIN))
}

/// Where a lane stands.
async fn position(keys: &LaneKeys, line: &MultiplexedConnection) -> Result<Position, SinkError> {
    let mut ask = redis::cmd("HMGET");
    ask.arg(keys.meta()).arg("generation").arg("version").arg("installation");
    let answer = ask.query_async(&mut line.clone()).await;
    let (generation, version, owner): (Option<String>, Option<u64>, Option<String>) =
        answer.map_err(|e| live_error("load the counters", &e))?;
    Ok(Position {
        generation: generation.unwrap_or_default(),
        version: version.unwrap_or(0),
        owner,
    })
}

impl Listening<'_> {
    /// Reads one lane, and adds it to the others.
    async fn read(
        &mut self,
        lane: usize,
        keys: &LaneKeys,
        line: &MultiplexedConnection,
        lines: &[MultiplexedConnection],
    ) -> Result<(), SinkError> {
        let start = self.during(position(keys, line)).await?;
        self.shared.of_owner(start.owner.as_deref())?;
        if start.generation.is_empty() {
            self.shared.rebuild_wanted.notify_one();
            return Err(rebuilding());
        }
        let generation = start.generation.clone();
        self.lanes[lane].begin(start);
        // The lane by itself: what it reads again takes the place of its own sums only. Breakdowns
        // are apart by lane anyway, so they go to their place at once.
        let sums = Mutex::new(Counters::within(self.shared.zone.clone(), self.shared.limits));
        let reader = LaneReader {
            number: lane as u64,
            keys,
            line,
            generation: &generation,
            sums: &sums,
            breakdowns: self.all,
        };
        let buckets = Bucket::kept_at(self.now, &self.shared.zone);
        let reached = self.during(reader.read_pages(&buckets)).await?;
        self.barrier(lines, lane, reached).await?;
        let changed = self.lanes[lane].keep();
        let again = self.during(reader.read_again(changed)).await?;
        let reached = again.values().copied().max().unwrap_or(0);
        self.barrier(lines, lane, reached).await?;

        let since = self.during(seconds_from(keys, line)).await?;
        self.lanes[lane].finish(&reader, &again);
        let mut all = self.all.lock();
        all.merge(sums.into_inner());
        all.drop_seconds_before(since);
        Ok(())
    }

    /// Hears messages while `work` is done.
    async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, SinkError>>,
    ) -> Result<T, SinkError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                push = self.pushes.recv() => self.hear(push)?,
                done = &mut work => return done,
            }
        }
    }

    /// Waits for every message that was published until now, and checks that those of a lane come up
    /// to the version that was read of it.
    async fn barrier(
        &mut self,
        lines: &[MultiplexedConnection],
        lane: usize,
        reached: u64,
    ) -> Result<(), SinkError> {
        let ping = async {
            let answer = redis::cmd("PING").exec_async(&mut lines[lane].clone()).await;
            answer.map_err(|e| live_error("load the counters", &e))
        };
        self.during(ping).await?;
        while let Some(push) = self.pushes.try_recv() {
            self.hear(Some(push))?;
        }
        match &self.lanes[lane] {
            LaneNews::Reads(news) if news.position.version >= reached => Ok(()),
            _ => Err(unavailable("a message was lost while the counters were read")),
        }
    }

    /// Takes up one message.
    fn hear(&mut self, push: Option<PushInfo>) -> Result<(), SinkError> {
        let (lane, message) = match heard(push.as_ref(), self.channels) {
            Ok(Heard::Message(lane, message)) => (lane, message),
            Ok(Heard::Nothing) => return Ok(()),
            Err(why) => return Err(unavailable(why)),
        };
        // That a lane was rebuilt names no batch.
        let told = message.told();
        self.heads.note(told.as_ref().ok().and_then(|told| told.id));
        let news = &mut self.lanes[lane];
        let position = match news {
            LaneNews::Waits(last) => {
                let generation = message.generation.to_owned();
                *last = Some(Position { generation, version: message.version, owner: None });
                return Ok(());
            }
            LaneNews::Reads(reading) => &mut reading.position,
            LaneNews::Done(position) => position,
        };
        if message.generation != position.generation {
            return Err(unavailable("the counters were rebuilt while they were read"));
        }
        if message.version <= position.version {
            // It was counted before the first page was read.
            return Ok(());
        }
        if message.version != position.version + 1 {
            return Err(unavailable("a message was lost while the counters were read"));
        }
        position.version = message.version;
        let ToldBatch { delta, .. } = told.map_err(unavailable)?;
        match news {
            LaneNews::Reads(reading) => {
                let mut cells = Counters::new(self.shared.zone.clone());
                cells.apply(lane as u64, &delta, self.now);
                reading.take(message.version, buckets_of(&cells))
            }
            _ => {
                self.all.lock().apply(lane as u64, &delta, self.now);
                Ok(())
            }
        }
    }
}

impl LaneNews {
    /// The lane stands at `start`, and is read from now on.
    fn begin(&mut self, start: Position) {
        let mut position = start;
        // The pages come after the last message that was heard, even if that came while the servers
        // were asked where the lane stands.
        if let LaneNews::Waits(Some(last)) = self
            && last.generation == position.generation
        {
            position.version = position.version.max(last.version);
        }
        let (changed, later) = (BTreeSet::new(), Vec::new());
        let (keeps, later_bytes) = (false, 0);
        *self = LaneNews::Reads(ReadingLane { position, changed, keeps, later, later_bytes });
    }

    /// Gives the fields that have to be read again. From now on messages are kept.
    fn keep(&mut self) -> BTreeSet<Place> {
        let LaneNews::Reads(reading) = self else { return BTreeSet::new() };
        reading.keeps = true;
        std::mem::take(&mut reading.changed)
    }

    /// Adds the messages that were kept, as far as the fields do not contain them already. From now
    /// on messages are added as they come.
    fn finish(&mut self, reader: &LaneReader<'_>, again: &ReadAgain) {
        let LaneNews::Reads(reading) = self else { return };
        for (version, adds) in &reading.later {
            for (bucket, fields) in adds {
                for (field, value) in fields {
                    let place = (*bucket, field.clone());
                    if again.get(&place).is_none_or(|read_at| read_at < version) {
                        let mut counters = reader.counters_of(*bucket).lock();
                        bucket.add_to(&mut counters, reader.number, &[(place.1, value.clone())]);
                    }
                }
            }
        }
        *self = LaneNews::Done(reading.position.clone());
    }

    /// How far a lane has come that was read.
    fn position(self) -> Option<Position> {
        match self {
            LaneNews::Done(position) => Some(position),
            _ => None,
        }
    }
}

impl ReadingLane {
    /// Takes up what a message adds.
    fn take(&mut self, version: u64, adds: BTreeMap<Bucket, Fields>) -> Result<(), SinkError> {
        if !self.keeps {
            for (bucket, fields) in adds {
                self.changed.extend(fields.into_iter().map(|(field, _)| (bucket, field)));
            }
            return Ok(());
        }
        let text = |(field, value): &(String, String)| field.len() + value.len();
        self.later_bytes += adds.values().flatten().map(text).sum::<usize>();
        if self.later_bytes <= MAX_LATER {
            self.later.push((version, adds));
        } else {
            return Err(unavailable("more is counted than can be read meanwhile"));
        }
        Ok(())
    }
}
