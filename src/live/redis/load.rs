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
//! What is held in memory beside the counters themselves is one page for each lane, and the names of
//! the fields that were written while the pages were read.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use redis::{PushInfo, aio::MultiplexedConnection};
use tokio::sync::mpsc;

use super::{
    RedisShared,
    error::{live_error, rebuilding, unavailable},
    keys::{Bucket, Fields, LaneKeys, buckets_of},
    push::{Heard, Position, heard},
    script,
};
use crate::{
    domain::time::{Millis, now_ms},
    live::counters::Counters,
    sink::SinkError,
};

/// Numbers on one page. Each takes some 50 bytes.
const NUMBERS: usize = 1000;
/// Breakdowns on one page. Each is the JSON of up to 100 values.
const BREAKDOWNS: usize = 50;
/// How many messages may come while fields are read again.
const MAX_LATER: usize = 4096;

/// A field of a bucket hash.
type Place = (Bucket, String);
/// The fields that were read again, each with the version of the lane at that moment.
type ReadAgain = BTreeMap<Place, u64>;

/// What the subscription says while the counters are read.
struct Listening<'a> {
    channels: &'a [String],
    pushes: &'a mut mpsc::Receiver<PushInfo>,
    shared: &'a RedisShared,
    /// The time of the load (Unix ms), which says which fields a message changes.
    now: Millis,
    lanes: Vec<LaneNews>,
}

/// What the messages of one lane say.
struct LaneNews {
    /// How far they have come.
    position: Position,
    /// The fields that they change, until these are read again.
    changed: BTreeSet<Place>,
    /// Whether fields are read again. From then on messages are kept, to be added.
    keeps: bool,
    /// The messages that were kept: version, and what it adds to each hash.
    later: Vec<(u64, BTreeMap<Bucket, Fields>)>,
}

/// Reads the counters of all lanes, and says how far they have come. `lines` are the connections of
/// the subscription to `channels`, by lane, and `pushes` is what comes there.
pub(super) async fn load(
    shared: &RedisShared,
    channels: &[String],
    lines: &[MultiplexedConnection],
    pushes: &mut mpsc::Receiver<PushInfo>,
) -> Result<(Counters, Vec<Position>), SinkError> {
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
    let lanes = starts.iter().cloned().map(|position| LaneNews {
        position,
        changed: BTreeSet::new(),
        keeps: false,
        later: Vec::new(),
    });
    let mut listening = Listening { channels, pushes, shared, now, lanes: lanes.collect() };
    // Each lane by itself: what a lane reads again takes the place of its own sums only.
    let counters: Vec<_> =
        keys.iter().map(|_| Mutex::new(Counters::new(shared.zone.clone()))).collect();

    let lanes: Vec<_> = (0..)
        .zip(keys.iter().zip(&readers).zip(&starts))
        .map(|(number, ((keys, line), start))| LaneReader {
            number,
            keys,
            line,
            generation: &start.generation,
            counters: &counters[number as usize],
        })
        .collect();
    let buckets = Bucket::kept_at(now, &shared.zone);
    let pages = try_join_all(lanes.iter().map(|lane| lane.read_pages(&buckets)));
    let reached = listening.during(pages).await?;
    listening.barrier(lines, &reached).await?;

    let changed: Vec<_> = listening.lanes.iter_mut().map(LaneNews::keep).collect();
    let again =
        try_join_all(lanes.iter().zip(changed).map(|(lane, places)| lane.read_again(places)));
    let again = listening.during(again).await?;
    let reached: Vec<u64> =
        again.iter().map(|again| again.values().copied().max().unwrap_or(0)).collect();
    listening.barrier(lines, &reached).await?;

    let mut all = Counters::new(shared.zone.clone());
    let read = counters.into_iter().map(Mutex::into_inner);
    for (((lane, mut counters), news), again) in (0..).zip(read).zip(&listening.lanes).zip(&again) {
        news.add_later(&mut counters, lane, again);
        all.merge(counters);
    }
    all.prune(now);
    Ok((all, listening.lanes.into_iter().map(|news| news.position).collect()))
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

    /// Waits for every message that was published until now, and checks that those of each lane
    /// come up to the version that was read of it.
    async fn barrier(
        &mut self,
        lines: &[MultiplexedConnection],
        reached: &[u64],
    ) -> Result<(), SinkError> {
        let pings = try_join_all(lines.iter().map(async |line| {
            let answer = redis::cmd("PING").exec_async(&mut line.clone()).await;
            answer.map_err(|e| live_error("load the counters", &e))
        }));
        self.during(pings).await?;
        while let Ok(push) = self.pushes.try_recv() {
            self.hear(Some(push))?;
        }
        let up_to = |(news, reached): (&LaneNews, &u64)| news.position.version >= *reached;
        match self.lanes.iter().zip(reached).all(up_to) {
            true => Ok(()),
            false => Err(unavailable("a message was lost while the counters were read")),
        }
    }

    /// Takes up one message.
    fn hear(&mut self, push: Option<PushInfo>) -> Result<(), SinkError> {
        let (lane, message) = match heard(push.as_ref(), self.channels) {
            Ok(Heard::Message(lane, message)) => (lane, message),
            Ok(Heard::Nothing) => return Ok(()),
            Err(why) => return Err(unavailable(why)),
        };
        let news = &mut self.lanes[lane];
        if message.generation != news.position.generation {
            return Err(unavailable("the counters were rebuilt while they were read"));
        }
        if message.version <= news.position.version {
            // It was counted before the first page was read.
            return Ok(());
        }
        if message.version != news.position.version + 1 {
            return Err(unavailable("a message was lost while the counters were read"));
        }
        news.position.version = message.version;
        let (delta, _) = message.delta().map_err(unavailable)?;
        let mut cells = Counters::new(self.shared.zone.clone());
        cells.apply(lane as u64, &delta, self.now);
        let adds = buckets_of(&cells);
        if !news.keeps {
            for (bucket, fields) in adds {
                news.changed.extend(fields.into_iter().map(|(field, _)| (bucket, field)));
            }
        } else if news.later.len() < MAX_LATER {
            news.later.push((message.version, adds));
        } else {
            return Err(unavailable("more is counted than can be read meanwhile"));
        }
        Ok(())
    }
}

impl LaneNews {
    /// Gives the fields that have to be read again. From now on messages are kept.
    fn keep(&mut self) -> BTreeSet<Place> {
        self.keeps = true;
        std::mem::take(&mut self.changed)
    }

    /// Adds the messages that were kept, as far as the fields do not contain them already.
    fn add_later(&self, counters: &mut Counters, lane: u64, again: &ReadAgain) {
        for (version, adds) in &self.later {
            for (bucket, fields) in adds {
                for (field, value) in fields {
                    let place = (*bucket, field.clone());
                    if again.get(&place).is_none_or(|read_at| read_at < version) {
                        bucket.add_to(counters, lane, &[(place.1, value.clone())]);
                    }
                }
            }
        }
    }
}

/// Reads one lane.
struct LaneReader<'a> {
    number: u64,
    keys: &'a LaneKeys,
    line: &'a MultiplexedConnection,
    /// The generation that all pages have to be of.
    generation: &'a str,
    /// Takes up what is read.
    counters: &'a Mutex<Counters>,
}

impl LaneReader<'_> {
    /// Reads the hashes page by page, and gives the last version that the lane had meanwhile.
    async fn read_pages(&self, buckets: &[Bucket]) -> Result<u64, SinkError> {
        let mut reached = 0;
        for &bucket in buckets {
            let keys = [self.keys.meta(), self.keys.bucket(bucket)];
            let mut cursor = "0".to_owned();
            loop {
                let args = [self.generation, &cursor, &page_of(bucket).to_string()]
                    .map(|arg| arg.as_bytes().to_vec());
                let page = script::LOAD.call(&mut self.line.clone(), &keys, &args).await;
                let (version, next, fields): (i64, String, Fields) =
                    page.map_err(|e| live_error("load the counters", &e))?;
                reached = known(version)?;
                // A page may repeat a field, so it takes the place of what there is.
                bucket.set_in(&mut self.counters.lock(), self.number, &fields);
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(reached)
    }

    /// Reads some fields again.
    async fn read_again(&self, places: BTreeSet<Place>) -> Result<ReadAgain, SinkError> {
        let mut by_bucket: BTreeMap<Bucket, Vec<String>> = BTreeMap::new();
        for (bucket, field) in places {
            by_bucket.entry(bucket).or_default().push(field);
        }
        let mut again = ReadAgain::new();
        for (bucket, fields) in by_bucket {
            let keys = [self.keys.meta(), self.keys.bucket(bucket)];
            for fields in fields.chunks(page_of(bucket)) {
                let mut args = vec![self.generation.as_bytes().to_vec()];
                args.extend(fields.iter().map(|field| field.as_bytes().to_vec()));
                let answer = script::REREAD.call(&mut self.line.clone(), &keys, &args).await;
                let (version, values): (i64, Vec<Option<String>>) =
                    answer.map_err(|e| live_error("load the counters", &e))?;
                let version = known(version)?;
                for (field, value) in fields.iter().zip(values) {
                    // A field that is not there has expired with its hash, or was out of what this
                    // node shows.
                    if let Some(value) = value {
                        let field = [(field.clone(), value)];
                        bucket.set_in(&mut self.counters.lock(), self.number, &field);
                    }
                    again.insert((bucket, field.clone()), version);
                }
            }
        }
        Ok(again)
    }
}

/// How many fields of a hash are read at once.
fn page_of(bucket: Bucket) -> usize {
    if bucket.holds_numbers() { NUMBERS } else { BREAKDOWNS }
}

/// The version of a page; an error where the generation was another.
fn known(version: i64) -> Result<u64, SinkError> {
    u64::try_from(version)
        .map_err(|_| unavailable("the counters were rebuilt while they were read"))
}
