//! What the store is filled with: the deltas of batches of some hours each, folded as a server folds them.

use floodmark::{
    domain::{
        aggregate::visitor_of,
        batch::{Batch, BatchId},
        delta::{DeltaSum, Series},
        row::Row,
        time::{DAY, HOUR, MINUTE, Millis},
    },
    store::{Stores, rollup::FoldLimits, sketches::Distinguished},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use uuid::Uuid;

/// How many series there are.
pub const SERIES: usize = 30;
/// How many breakdowns.
pub const BREAKDOWNS: usize = 10;
/// How many values a breakdown has in a minute.
const VALUES: u64 = 20;
/// How many visitors come in a minute.
const VISITORS: u64 = 50;
/// The time that a batch spans.
const SPAN: Millis = 3 * HOUR;
/// Rows of events that are written, to know how large one is.
pub const ROWS: u64 = 100_000;
/// Of these in a batch.
const ROWS_OF_A_BATCH: u64 = 5_000;

/// A series.
pub fn series(n: usize) -> Series {
    Series::Sum(format!("metric_{n}"))
}

/// The name of a breakdown.
pub fn breakdown(n: usize) -> String {
    format!("page_view/property_{n}")
}

/// The metric that tells sessions apart.
pub fn sessions() -> Distinguished {
    Distinguished::Metric("sessions".to_owned())
}

/// Fills the store with so many days from `start` (Unix ms) on, and with some rows of events.
pub async fn fill(stores: &Stores, start: Millis, days: i64) {
    let mut random = SmallRng::seed_from_u64(1);
    let spans = days * DAY / SPAN;
    let mut batches = 0;
    for n in 0..spans {
        let delta = hours(start + n * SPAN, &mut random);
        batches += 1;
        write(stores, Batch { delta: delta.finish_into(), ..void(batches) }).await;
        if n % 8 == 7 {
            fold(stores).await;
        }
    }
    for first in (0..ROWS).step_by(ROWS_OF_A_BATCH as usize) {
        batches += 1;
        let mut rows = Vec::new();
        (first..first + ROWS_OF_A_BATCH).for_each(|n| row(start, n, &mut rows));
        let rows = vec![rows.into()];
        write(stores, Batch { rows, events: ROWS_OF_A_BATCH, ..void(batches) }).await;
    }
    fold(stores).await;
    let over: Vec<(Millis, Millis)> =
        (0..days).rev().map(|day| (start + day * DAY, start + (day + 1) * DAY)).collect();
    for days in over.chunks(10) {
        stores.sketches.add_up_days(days).await.expect("days can be added up");
    }
    while stores.rollups.drop_folded(Millis::MAX, 0, 1_000).await.expect("rows can be dropped") > 0
    {
    }
}

fn void(seq: u64) -> Batch {
    Batch::void(BatchId { run: Uuid::from_u128(7), seq })
}

async fn write(stores: &Stores, batch: Batch) {
    stores.batches.write(&batch).await.expect("a batch can be written");
}

async fn fold(stores: &Stores) {
    while !stores.rollups.fold(FoldLimits::default()).await.expect("a fold works").done {}
}

/// What some hours add to the counters.
fn hours(from: Millis, random: &mut SmallRng) -> Sum {
    let mut sum = DeltaSum::default();
    for at in (from..from + SPAN).step_by(MINUTE as usize) {
        for n in 0..SERIES {
            sum.sum(&series(n), at, random.random_range(10_000..9_000_000));
        }
        for n in 0..BREAKDOWNS {
            let name = breakdown(n);
            for _ in 0..VALUES {
                // Low numbers are frequent, as pages of a shop are.
                let value = (60_f64.powf(random.random::<f64>())) as u64;
                sum.top(&name, at, &format!("/category/product-{value}"), 1);
            }
        }
        for _ in 0..VISITORS {
            let session = format!("session {}", random.random_range(0..200_000));
            sum.seen(visitor_of(&session), at);
            sum.distinct("sessions", at, visitor_of(&session) as u64);
        }
    }
    Sum(sum)
}

/// A sum that is finished once.
struct Sum(DeltaSum);

impl Sum {
    fn finish_into(mut self) -> std::sync::Arc<floodmark::domain::delta::Delta> {
        self.0.finish().into()
    }
}

/// An event as a shop sends it.
fn row(start: Millis, n: u64, rows: &mut Vec<u8>) {
    let time = start + n as Millis * 8;
    let (id, session) =
        (Uuid::from_u128(u128::from(n)).to_string(), format!("session-{}", n % 5_000));
    let properties = format!(
        r#"{{"path":"/category/product-{}","referrer":"https://search.example/","device":"phone"}}"#,
        n % 400
    );
    Row {
        time,
        received_at: time + 40,
        id: &id,
        kind: "page_view",
        user_id: None,
        session_id: Some(&session),
        properties: &properties,
        source: Some("web"),
        dialect: Some("native"),
    }
    .encode(rows);
}
