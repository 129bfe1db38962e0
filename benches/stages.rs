//! Measures what each station on the way of an event costs: `cargo bench --bench stages`. Beside
//! each it measures a floor, which is the least that could be done with the same bytes, in the same
//! run. The table at the end has the ratios. They mean something on any machine; the times do not.

use std::{
    cell::RefCell,
    fs::File,
    hint::black_box,
    io::{Seek, SeekFrom, Write},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use floodmark::{
    config::Config,
    demo::{event::ShopEvent, shop::Shop},
    domain::{
        aggregate::Aggregator,
        delta::{Delta, DeltaSum},
        event::{EventLimits, Received},
        ids::IdSpace,
        metric::MetricSet,
        row::{self, Row},
        shape::shape_of,
        source::Provenance,
        totals::Totals,
    },
    http::dialect::{
        DialectEvent,
        native::body::{BodyFormat, split},
    },
    ingest::dedupe::Dedupe,
    numbers::Current,
    sink::Sink,
    spool::{Group, IdWindow, Spool, SpoolOptions},
};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The number of events in a request, and in a batch.
const REQUEST: usize = 100;
const BATCH: usize = 5_000;

const NOW: i64 = 1_795_420_800_000;
const LIMITS: EventLimits<'_> = EventLimits { max_bytes: 65_536, max_depth: 32, privacy: None };
const FROM: Provenance<'_> = Provenance {
    source: "http",
    dialect: "native",
    ids: IdSpace::Shop,
    has_revenue: true,
    is_bot: false,
};
const RECEIVED: Received = Received { at: NOW, sent_at: None };

/// The median of each measurement in ns for an iteration, in the order of measuring.
type Medians = RefCell<Vec<(&'static str, &'static str, f64)>>;

/// Measures `work` with criterion, and keeps the median of its samples.
fn measure(
    criterion: &mut Criterion,
    medians: &Medians,
    (stage, what): (&'static str, &'static str),
    throughput: Throughput,
    mut work: impl FnMut(),
) {
    let mut samples = Vec::new();
    let mut group = criterion.benchmark_group(stage);
    group.throughput(throughput);
    group.bench_function(what, |bencher| {
        bencher.iter_custom(|times| {
            let begin = Instant::now();
            for _ in 0..times {
                work();
            }
            let took = begin.elapsed();
            samples.push(took.as_nanos() as f64 / times as f64);
            took
        });
    });
    group.finish();
    // There are no samples if the command line has left this one out.
    samples.sort_by(f64::total_cmp);
    if let Some(median) = samples.get(samples.len() / 2) {
        medians.borrow_mut().push((stage, what, *median));
    }
}

fn events(count: usize) -> Vec<ShopEvent> {
    Shop::new(7, NOW, 5_000.0, "USD").take(count).collect()
}

fn body(events: &[ShopEvent]) -> Vec<u8> {
    serde_json::to_vec(events).expect("writing to memory does not fail")
}

fn decode(body: &[u8], rows: &mut Vec<u8>) {
    let mut split = split(body, BodyFormat::Json, BATCH).expect("the shop sends requests");
    for raw in split.events() {
        let event = raw.read().expect("the shop sends events");
        event
            .encode(RECEIVED, FROM, LIMITS, &METRIC_SET, rows)
            .expect("the shop sends good events");
    }
}

fn encoded(count: usize) -> Vec<u8> {
    let mut rows = Vec::new();
    decode(&body(&events(count)), &mut rows);
    rows
}

/// The metrics and breakdowns that are shipped.
static METRIC_SET: LazyLock<Arc<MetricSet>> = LazyLock::new(|| Config::default().rules.metric_set);

fn aggregator() -> Aggregator {
    Aggregator::new(METRIC_SET.clone(), 200)
}

fn decoded(rows: &[u8]) -> impl Iterator<Item = Row<'_>> {
    row::rows(rows).map(|row| row.expect("encoded here"))
}

fn delta(rows: &[u8]) -> Delta {
    let (mut aggregator, mut sum) = (aggregator(), DeltaSum::default());
    decoded(rows).for_each(|row| aggregator.add(&mut sum, &row));
    sum.finish()
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let c = &mut criterion;
    let medians = Medians::default();
    let (batch, deltas) = (encoded(BATCH), batch_deltas());

    decode_request(c, &medians);
    encode_rows(c, &medians, &batch);
    aggregate(c, &medians, &batch);
    learn_shape(c, &medians, &batch);
    merge(c, &medians, &deltas);
    remember(c, &medians);
    append(c, &medians, &batch);
    answer(c, &medians, &deltas);

    criterion.final_summary();
    println!("\nstage                      floor            ours   ours / floor");
    for pair in medians.borrow().chunks(2) {
        if let [(stage, _, floor), (_, _, ours)] = pair {
            let ratio = ours / floor;
            println!("{stage:<22} {:>9.1} us {:>12.1} us {ratio:>14.2}", floor / 1e3, ours / 1e3);
        }
    }
}

/// Decodes the text of a request to rows.
fn decode_request(c: &mut Criterion, medians: &Medians) {
    let text = body(&events(REQUEST));
    let mut rows = Vec::with_capacity(text.len() * 2);
    let per_request = Throughput::Elements(REQUEST as u64);
    measure(
        c,
        medians,
        ("decode 100 events", "floor: split as RawValue"),
        per_request.clone(),
        || {
            let split: Vec<&RawValue> = serde_json::from_slice(black_box(&text)).expect("JSON");
            black_box(split);
        },
    );
    measure(c, medians, ("decode 100 events", "to rows"), per_request, || {
        rows.clear();
        decode(black_box(&text), &mut rows);
        black_box(&rows);
    });
}

/// Encodes rows as the bytes of COPY, which is the last step before they are handed over.
fn encode_rows(c: &mut Criterion, medians: &Medians, batch: &[u8]) {
    let mut copy = Vec::with_capacity(batch.len());
    let per_batch = Throughput::Elements(BATCH as u64);
    let parsed: Vec<Row<'_>> = decoded(batch).collect();
    measure(c, medians, ("encode 5,000 rows", "floor: copy the bytes"), per_batch.clone(), || {
        copy.clear();
        copy.extend_from_slice(black_box(batch));
        black_box(&copy);
    });
    measure(c, medians, ("encode 5,000 rows", "row by row"), per_batch.clone(), || {
        copy.clear();
        black_box(&parsed).iter().for_each(|row| row.encode(&mut copy));
        black_box(&copy);
    });
}

/// Aggregates rows to a delta.
fn aggregate(c: &mut Criterion, medians: &Medians, batch: &[u8]) {
    let per_batch = Throughput::Elements(BATCH as u64);
    measure(
        c,
        medians,
        ("aggregate 5,000 rows", "floor: walk the rows"),
        per_batch.clone(),
        || {
            black_box(decoded(black_box(batch)).count());
        },
    );
    measure(c, medians, ("aggregate 5,000 rows", "to a delta"), per_batch.clone(), || {
        black_box(delta(black_box(batch)));
    });
}

/// Reads the shape of rows, which the store's writer does before it writes a batch.
fn learn_shape(c: &mut Criterion, medians: &Medians, batch: &[u8]) {
    let per_batch = Throughput::Elements(BATCH as u64);
    let walk = ("shape of 5,000 rows", "floor: walk the rows");
    measure(c, medians, walk, per_batch.clone(), || {
        black_box(decoded(black_box(batch)).count());
    });
    measure(c, medians, ("shape of 5,000 rows", "learn and encode"), per_batch, || {
        black_box(shape_of(decoded(black_box(batch))).encode());
    });
}

/// Merges deltas to one, as a tick of the broadcaster and a rebuild from the ledger do.
fn merge(c: &mut Criterion, medians: &Medians, deltas: &[Delta]) {
    let all = Throughput::Elements(deltas.len() as u64);
    let visitors: usize = deltas.iter().map(|delta| delta.visitors().len()).sum();
    measure(c, medians, ("merge 50 deltas", "floor: fill a table"), all.clone(), || {
        // The floor puts the visitors into one hash table of the right size, which is the least
        // that a union costs.
        let mut seen = hashbrown::HashMap::with_capacity(visitors);
        for delta in black_box(deltas) {
            seen.extend(delta.visitors().iter().copied());
            black_box(delta.cells().map(|cell| cell.2).sum::<i64>());
        }
        black_box(seen);
    });
    measure(c, medians, ("merge 50 deltas", "to one"), all, || {
        let mut sum = DeltaSum::default();
        black_box(deltas).iter().for_each(|delta| sum.merge(delta));
        black_box(sum.finish());
    });
}

fn batch_deltas() -> Vec<Delta> {
    let rows = encoded(BATCH);
    let mut deltas = Vec::new();
    let (mut aggregator, mut sum) = (aggregator(), DeltaSum::default());
    for (index, row) in decoded(&rows).enumerate() {
        aggregator.add(&mut sum, &row);
        if (index + 1) % 100 == 0 {
            deltas.push(sum.finish());
        }
    }
    deltas
}

/// Adds the ids of a request to a full index, where each new id pushes out the oldest.
fn remember(c: &mut Criterion, medians: &Medians) {
    const MOST: usize = 500_000;
    // The ids are spread like random ones, and never repeat.
    let id = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let ids = Throughput::Elements(REQUEST as u64);

    let mut set: hashbrown::HashSet<u128> = (0..MOST as u128).map(id).collect();
    let mut next = MOST as u128;
    let floor = ("remember 100 ids", "floor: a set of 128-bit numbers");
    measure(c, medians, floor, ids.clone(), || {
        for _ in 0..REQUEST {
            black_box(set.remove(&id(next - MOST as u128)) && set.insert(id(next)));
            next += 1;
        }
    });

    let text = |n: u128| Uuid::from_u128(id(n)).to_string();
    let mut index = Dedupe::new(i64::MAX / 2, MOST);
    (0..MOST as u128).for_each(|n| assert!(index.insert(&text(n), NOW)));
    let mut next = MOST as u128;
    measure(c, medians, ("remember 100 ids", "note, forget the oldest"), ids, || {
        for _ in 0..REQUEST {
            assert!(index.insert(black_box(&text(next)), NOW));
            next += 1;
        }
    });
}

/// Writes a batch to disk. The files lie in the build folder, since the temporary folder may be in
/// memory.
fn append(c: &mut Criterion, medians: &Medians, batch: &[u8]) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let bytes = Throughput::Bytes(batch.len() as u64);

    let mut file = File::create(dir.path().join("raw")).expect("a file");
    measure(c, medians, ("append 5,000 rows", "floor: write, fdatasync"), bytes.clone(), || {
        // The floor's file is emptied now and then, as the spool deletes its segments.
        if file.stream_position().expect("a position") > 64 << 20 {
            file.set_len(0).expect("emptied");
            file.seek(SeekFrom::Start(0)).expect("at the start");
        }
        file.write_all(black_box(batch)).expect("written");
        file.sync_data().expect("on the disk");
    });

    let options = SpoolOptions {
        dir: dir.path().join("spool"),
        node: uuid::Uuid::nil(),
        segment_bytes: 64 << 20,
        max_bytes: 1 << 30,
        keep_ms: 0,
        keep_bytes: 0,
    };
    let ids = IdWindow { window_ms: 1000, max_ids: 1000, max_bytes: usize::MAX };
    let opened = Spool::open(options, ids, NOW).expect("a spool");
    let (spool, mut writer) = (opened.spool, opened.writer);
    let delta = delta(batch);
    let mut group = Group::default();
    measure(c, medians, ("append 5,000 rows", "spool: frame, seal, commit"), bytes, || {
        let seq = writer.next_seq();
        group.rows(BATCH as u32, black_box(batch), NOW, []);
        group.seal(seq, NOW, BATCH as u64, &delta);
        writer.commit(&mut group).expect("on the disk");
        group.clear();
        Sink::ALL.iter().for_each(|sink| spool.settle(*sink, seq));
        // The server does this once a second; here it is done about every 64 MiB.
        if seq % 50 == 0 {
            writer.retire().expect("segments go");
        }
    });
}

/// Writes today's totals as JSON, as `/current` and a snapshot contain them.
fn answer(c: &mut Criterion, medians: &Medians, deltas: &[Delta]) {
    let mut counts = Totals::default();
    for (_, series, value) in deltas.iter().flat_map(Delta::cells) {
        counts.add(series, value);
    }
    let current = Current {
        page_views: counts.count("page_view"),
        purchases: counts.count("purchase"),
        revenue: counts.revenue(),
        errors: counts.count("error"),
        signups: counts.count("signup"),
        events: counts.events(),
        error_rate: 0.012,
        metrics: METRIC_SET
            .metrics()
            .iter()
            .map(|metric| (metric.name.clone(), METRIC_SET.value(metric, &counts)))
            .collect(),
        currencies: counts.currencies(),
        left_out: Default::default(),
        overflow: 0,
        counts,
        active_users: Some(1840),
        active_users_approximate: false,
        active_users_window_seconds: 300,
        day: "2026-11-27".to_owned(),
        timezone: "UTC".to_owned(),
        currency: "USD".to_owned(),
        timestamp: NOW,
        behind_ms: None,
        hidden: Vec::new(),
    };
    let text = serde_json::to_vec(&current).expect("serialises");
    let one = Throughput::Elements(1);
    measure(c, medians, ("write today's totals", "floor: copy the text"), one.clone(), || {
        black_box(black_box(&text).clone());
    });
    measure(c, medians, ("write today's totals", "serialise"), one, || {
        black_box(serde_json::to_vec(black_box(&current)).expect("serialises"));
    });
}
