//! The one place that names keys, fields and channels.
//!
//! Every key of a lane carries the hash tag `{PREFIX:laneN}`, so that one server of a cluster has
//! them all and one script may touch them:
//!
//! | key | type | what | kept |
//! | --- | --- | --- | --- |
//! | `{…}:meta` | hash | `generation`, `version`, `seconds_from` | for good |
//! | `{…}:guards` | hash | node -> last batch counted | for good |
//! | `{…}:s:HOUR` | hash | `SECOND:SERIES` -> sum | 3 h after the last write |
//! | `{…}:m:HOUR` | hash | `MINUTE:SERIES` -> sum | 27 h after the last write |
//! | `{…}:d:DATE` | hash | `SERIES` -> sum | 3 days after the last write |
//! | `{…}:b:HOUR` | hash | `MINUTE:BREAKDOWN` -> its values, as JSON | as `m` |
//! | `{…}:feed` | sharded channel | `GENERATION:VERSION:` sealed_at, cells | |
//!
//! HOUR is the hour since 1970, SECOND and MINUTE count within it, and SERIES is what [`Series`]
//! displays.
//!
//! Active visitors are in sorted sets `{PREFIX:activeN}`, and the session of each user in hashes
//! `{PREFIX:activeN}:links:GENERATION` ([`super::links`]). Under the same tags, the values that a
//! distinct metric saw on a day are in sets `{PREFIX:activeN}:u:DATE:METRIC`; once such a set is
//! full, they are in a HyperLogLog of that name with `:hll`. Ids that nodes share (`dedupe.shared`)
//! are strings under the tags `{PREFIX:idsN}`, kept for the window, beside the hash `:nodes` of the
//! runs that may claim and the hash `:owing` of the nodes that have to tell their ids again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::{
    domain::{
        batch::LANES,
        delta::{Series, Visitor},
        time::{BusinessZone, DAY, HOUR, MAX_FUTURE, MINUTE, Millis, SECOND},
        totals::Totals,
    },
    live::counters::{Counters, DAYS_KEPT, MINUTES_KEPT, SECONDS_KEPT},
};

/// Sorted sets that the active visitors are spread over.
pub(super) const ACTIVE_SHARDS: usize = 16;

/// Hash tags that the ids which nodes share are spread over.
pub(super) const ID_SHARDS: usize = 16;

/// How far the clocks of two nodes may differ, in ms, when buckets are looked up by the hour.
const CLOCK_SLACK: Millis = 10 * MINUTE;

/// How long a hash of seconds lives after the last write to it, in seconds. This and the next two
/// are counted from the write and not from the bucket's time, so that Redis' own clock does not
/// matter. Each is longer than its buckets are shown, by the hour that a hash spans and some more.
const SECONDS_TTL: i64 = (SECONDS_KEPT + 2 * HOUR) / SECOND;
/// The same for a hash of minutes or of breakdowns.
const MINUTES_TTL: i64 = (MINUTES_KEPT + 3 * HOUR) / SECOND;
/// The same for the hash of a business day.
const DAYS_TTL: i64 = 3 * DAY / SECOND;

/// Names keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct RedisKeys {
    prefix: String,
}

/// Names the keys of one lane.
#[derive(Clone, Debug)]
pub(super) struct LaneKeys {
    tag: String,
}

/// Which buckets a hash holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bucket {
    /// The seconds of an hour, which is counted since 1970.
    Seconds(i64),
    /// The minutes of an hour.
    Minutes(i64),
    /// The breakdowns of the minutes of an hour.
    Tops(i64),
    /// A business day.
    Day(Date),
}

/// The fields of a bucket hash, each with its value.
pub(super) type Fields = Vec<(String, String)>;

impl RedisKeys {
    /// Names keys under `prefix`, which must not bring a hash tag of its own: Redis takes the first
    /// pair of braces for the tag.
    pub(super) fn new(prefix: &str) -> Result<RedisKeys, String> {
        if prefix.is_empty() || prefix.contains(['{', '}']) {
            return Err(format!("redis.prefix {prefix:?} must not be empty or contain braces"));
        }
        let prefix = prefix.to_owned();
        Ok(RedisKeys { prefix })
    }

    /// The keys of one lane.
    pub(super) fn lane(&self, lane: u64) -> LaneKeys {
        LaneKeys { tag: format!("{{{}:lane{lane}}}", self.prefix) }
    }

    /// The keys of all lanes, in their order.
    pub(super) fn lanes(&self) -> impl Iterator<Item = LaneKeys> {
        (0..LANES).map(|lane| self.lane(lane))
    }

    /// The sorted set of one shard of the active visitors.
    pub(super) fn active(&self, shard: usize) -> String {
        format!("{{{}:active{shard}}}", self.prefix)
    }

    /// The hash of one shard and generation of the sessions of users.
    pub(super) fn links(&self, shard: usize, generation: i64) -> String {
        format!("{}:links:{generation}", self.active(shard))
    }

    /// One shard of the values that a distinct metric saw on a day: the set, and the HyperLogLog
    /// that takes its place.
    pub(super) fn distinct(&self, shard: usize, day: Date, metric: &str) -> (String, String) {
        let set = format!("{}:u:{day}:{metric}", self.active(shard));
        let hll = format!("{set}:hll");
        (set, hll)
    }

    /// The lease of the node that evaluates alerts.
    pub(super) fn alerts_lease(&self) -> String {
        format!("{{{}:alerts}}:lease", self.prefix)
    }

    /// The state of one id, in its shard.
    pub(super) fn id(&self, shard: usize, id: &str) -> String {
        format!("{{{}:ids{shard}}}:i:{id}", self.prefix)
    }

    /// The hash that says which run of each node may claim ids of a shard.
    pub(super) fn id_nodes(&self, shard: usize) -> String {
        format!("{{{}:ids{shard}}}:nodes", self.prefix)
    }

    /// The hash of the nodes that have to tell again which ids of a shard they have.
    pub(super) fn id_owing(&self, shard: usize) -> String {
        format!("{{{}:ids{shard}}}:owing", self.prefix)
    }

    /// The mark that a request has given up what it claimed in a shard.
    pub(super) fn id_given_up(&self, shard: usize, request: &str) -> String {
        format!("{{{}:ids{shard}}}:r:{request}", self.prefix)
    }

    /// The lock of the node that rebuilds.
    pub(super) fn rebuild_lock(&self) -> String {
        format!("{{{}:rebuild}}:lock", self.prefix)
    }
}

/// The shard of a visitor. A visitor is a uniform hash, so any of its bits will do.
pub(super) fn active_shard(visitor: Visitor) -> usize {
    (visitor % ACTIVE_SHARDS as u128) as usize
}

impl LaneKeys {
    /// A key, and a channel, on which `floodmark check` tries what this user may do.
    pub(super) fn trial(&self) -> String {
        format!("{}:trial", self.tag)
    }

    /// Generation and version.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.tag)
    }

    /// The last batch of each node that was counted.
    pub(super) fn guards(&self) -> String {
        format!("{}:guards", self.tag)
    }

    /// The channel of the feed.
    pub(super) fn channel(&self) -> String {
        format!("{}:feed", self.tag)
    }

    /// The hash of some buckets.
    pub(super) fn bucket(&self, bucket: Bucket) -> String {
        match bucket {
            Bucket::Seconds(hour) => format!("{}:s:{hour}", self.tag),
            Bucket::Minutes(hour) => format!("{}:m:{hour}", self.tag),
            Bucket::Tops(hour) => format!("{}:b:{hour}", self.tag),
            Bucket::Day(date) => format!("{}:d:{date}", self.tag),
        }
    }
}

/// Where the new contents of `key` are written before they take its place as part of `generation`.
pub(super) fn staged(key: &str, generation: &str) -> String {
    format!("{key}:new:{generation}")
}

impl Bucket {
    /// How long the hash lives after a write, in seconds.
    pub(super) fn ttl(self) -> i64 {
        match self {
            Bucket::Seconds(_) => SECONDS_TTL,
            Bucket::Minutes(_) | Bucket::Tops(_) => MINUTES_TTL,
            Bucket::Day(_) => DAYS_TTL,
        }
    }

    /// All hashes that can hold something which a mirror shows at `now` (Unix ms).
    pub(super) fn kept_at(now: Millis, zone: &BusinessZone) -> Vec<Bucket> {
        let hours = |kept: Millis| {
            (now - kept - CLOCK_SLACK).div_euclid(HOUR)
                ..=(now + MAX_FUTURE + CLOCK_SLACK).div_euclid(HOUR)
        };
        let mut all: Vec<Bucket> = hours(SECONDS_KEPT).map(Bucket::Seconds).collect();
        all.extend(hours(MINUTES_KEPT).map(Bucket::Minutes));
        all.extend(hours(MINUTES_KEPT).map(Bucket::Tops));
        let mut day = zone.day_of(now - DAYS_KEPT - CLOCK_SLACK);
        while day.start <= now + MAX_FUTURE + CLOCK_SLACK {
            all.push(Bucket::Day(day.date));
            day = zone.day_of(day.end);
        }
        all
    }

    /// Adds fields of this hash of `lane` to a mirror. A field that is not of ours is passed over:
    /// somebody's stray field must not keep every mirror from starting.
    pub(super) fn add_to(self, counters: &mut Counters, lane: u64, fields: &[(String, String)]) {
        for (field, value) in fields {
            // `None` says that the field is not of ours.
            let _ = self.put(counters, lane, field, value, false);
        }
    }

    /// Puts fields of this hash of `lane` in the place of what a mirror has of them.
    pub(super) fn set_in(self, counters: &mut Counters, lane: u64, fields: &[(String, String)]) {
        for (field, value) in fields {
            let _ = self.put(counters, lane, field, value, true);
        }
    }

    /// Adds one field, in the place of what is there if `instead`; `None` where it can't be read.
    fn put(
        self,
        counters: &mut Counters,
        lane: u64,
        field: &str,
        value: &str,
        instead: bool,
    ) -> Option<()> {
        let timed = || {
            let (at, rest) = field.split_once(':')?;
            Some((at.parse::<i64>().ok()?, rest))
        };
        match self {
            Bucket::Seconds(hour) => {
                let (at, series) = timed()?;
                let (second, series) = (hour * HOUR + at * SECOND, Series::parse(series)?);
                let value = value.parse().ok()?;
                if instead {
                    counters.clear_second(second, &series);
                }
                counters.add_second(second, &series, value);
            }
            Bucket::Minutes(hour) => {
                let (at, series) = timed()?;
                let (minute, series) = (hour * HOUR + at * MINUTE, Series::parse(series)?);
                let value = value.parse().ok()?;
                if instead {
                    counters.clear_minute(minute, &series);
                }
                counters.add_minute(minute, &series, value);
            }
            Bucket::Tops(hour) => {
                let (at, name) = timed()?;
                let (minute, top) = (hour * HOUR + at * MINUTE, serde_json::from_str(value).ok()?);
                if instead {
                    counters.clear_top(minute, name, lane);
                }
                counters.add_top(minute, name, lane, &top);
            }
            Bucket::Day(date) => {
                let (series, value) = (Series::parse(field)?, value.parse().ok()?);
                if instead {
                    counters.clear_day(date, &series);
                }
                counters.add_day(date, &series, value);
            }
        }
        Some(())
    }

    /// Whether the fields are numbers, which are added to. If not, they are breakdowns, which are
    /// merged.
    pub(super) fn holds_numbers(self) -> bool {
        !matches!(self, Bucket::Tops(_))
    }
}

/// Takes a mirror that holds one lane apart into bucket hashes.
pub(super) fn buckets_of(counters: &Counters) -> BTreeMap<Bucket, Fields> {
    let held = held_by(counters).into_iter();
    held.map(|bucket| (bucket, fields_of(counters, bucket))).collect()
}

/// The buckets in which the counters have anything.
pub(super) fn held_by(counters: &Counters) -> BTreeSet<Bucket> {
    let hour = |at: Millis| at.div_euclid(HOUR);
    let seconds = counters.seconds().map(|(second, _)| Bucket::Seconds(hour(second)));
    let minutes = counters.minutes().map(|(minute, _)| Bucket::Minutes(hour(minute)));
    let days = counters.days().map(|(date, _)| Bucket::Day(date));
    let tops = counters.tops().map(|(minute, ..)| Bucket::Tops(hour(minute)));
    seconds.chain(minutes).chain(days).chain(tops).collect()
}

/// The fields of one bucket hash, of a mirror that holds one lane.
pub(super) fn fields_of(counters: &Counters, bucket: Bucket) -> Fields {
    let mut fields = Fields::new();
    let mut add = |at: &str, totals: &Totals| {
        let field = |(series, value)| (format!("{at}{series}"), i64::to_string(&value));
        fields.extend(totals.iter().map(field));
    };
    let hour = |hour: i64| (hour * HOUR, (hour + 1) * HOUR);
    match bucket {
        Bucket::Seconds(of) => {
            let (from, to) = hour(of);
            for (second, totals) in counters.seconds_in(from, to) {
                add(&format!("{}:", (second - from) / SECOND), totals);
            }
        }
        Bucket::Minutes(of) => {
            let (from, to) = hour(of);
            for (minute, totals) in counters.minutes_in(from, to) {
                add(&format!("{}:", (minute - from) / MINUTE), totals);
            }
        }
        Bucket::Day(date) => counters.day(date).into_iter().for_each(|totals| add("", totals)),
        Bucket::Tops(of) => {
            let (from, to) = hour(of);
            fields.extend(counters.tops_in(from, to).map(|(minute, name, _, top)| {
                let json = serde_json::to_string(top);
                let json = json.expect("a map of strings to numbers is JSON");
                (format!("{}:{name}", (minute - from) / MINUTE), json)
            }));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{delta::DeltaSum, time::parse_rfc3339};

    #[test]
    fn a_mirror_survives_being_taken_apart() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let now = parse_rfc3339("2026-11-27T23:00:30Z").unwrap();
        let mut sum = DeltaSum::default();
        for back in [-4, 0, 1, 59, 61, 24 * 60 - 1, 26 * 60] {
            sum.count("odd:name with space", now - back * MINUTE);
            sum.sum(&Series::revenue(), now - back * MINUTE, i64::MAX / 4);
            sum.top("error/odd:name", now - back * MINUTE, "a \"value\"", 3);
        }
        let mut counters = Counters::new(zone.clone());
        counters.apply(3, &sum.finish(), now);

        let kept = Bucket::kept_at(now, &zone);
        let mut back = Counters::new(zone);
        for (bucket, fields) in buckets_of(&counters) {
            assert!(kept.contains(&bucket), "{bucket:?} would not be loaded");
            bucket.add_to(&mut back, 3, &fields);
        }
        assert!(counters.seconds().eq(back.seconds()));
        assert!(counters.minutes().eq(back.minutes()));
        assert!(counters.days().eq(back.days()));
    }

    #[test]
    fn keys_of_a_lane_share_their_tag() {
        let keys = RedisKeys::new("shop").unwrap();
        let lane = keys.lane(2);
        for key in [lane.meta(), lane.channel(), lane.bucket(Bucket::Minutes(7))] {
            assert!(key.starts_with("{shop:lane2}:"), "{key}");
            assert!(staged(&key, "g").starts_with("{shop:lane2}:"));
        }
        assert!(RedisKeys::new("a{b}").is_err());
    }
}
