//! Reads one lane, in pages.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;

use crate::{
    live::{
        counters::Counters,
        redis::{
            error::{live_error, unavailable},
            keys::{Bucket, Fields, LaneKeys},
            script,
        },
    },
    sink::SinkError,
};

/// Numbers on one page. Each takes some 50 bytes.
const NUMBERS: usize = 1000;
/// Breakdowns on one page. Each is the JSON of up to 100 values.
const BREAKDOWNS: usize = 50;

/// A field of a bucket hash.
pub(super) type Place = (Bucket, String);
/// The fields that were read again, each with the version of the lane at that moment.
pub(super) type ReadAgain = BTreeMap<Place, u64>;

/// Reads one lane.
pub(super) struct LaneReader<'a> {
    pub(super) number: u64,
    pub(super) keys: &'a LaneKeys,
    pub(super) line: &'a MultiplexedConnection,
    /// The generation that all pages have to be of.
    pub(super) generation: &'a str,
    /// Takes up the sums of this lane.
    pub(super) sums: &'a Mutex<Counters>,
    /// Takes up the breakdowns of all lanes.
    pub(super) breakdowns: &'a Mutex<Counters>,
}

impl LaneReader<'_> {
    /// What takes up the fields of a hash.
    pub(super) fn counters_of(&self, bucket: Bucket) -> &Mutex<Counters> {
        if bucket.holds_numbers() { self.sums } else { self.breakdowns }
    }

    /// Reads the hashes page by page, and gives the last version that the lane had meanwhile.
    pub(super) async fn read_pages(&self, buckets: &[Bucket]) -> Result<u64, SinkError> {
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
                bucket.set_in(&mut self.counters_of(bucket).lock(), self.number, &fields);
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(reached)
    }

    /// Reads some fields again.
    pub(super) async fn read_again(&self, places: BTreeSet<Place>) -> Result<ReadAgain, SinkError> {
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
                        bucket.set_in(&mut self.counters_of(bucket).lock(), self.number, &field);
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
