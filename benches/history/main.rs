//! Times what is asked of the past: `cargo bench --bench history`. It fills a store with a year of minutes of
//! 30 series, 10 breakdowns, sessions and visitors, by the code that servers fold with, and prints how large that
//! is by the day, beside the rows of events, and how long answers take.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `HISTORY_POSTGRES` | URL of an empty database of a Postgres; without it only SQLite is measured |
//! | `HISTORY_DAYS` | how many days; 365 |
//! | `HISTORY_RUNS` | how often each question is asked; 200 |

mod filled;
mod sizes;

use std::time::{Duration, Instant};

use floodmark::{
    config::Config,
    domain::{
        delta::{QUARTER_HOUR, Series},
        time::{DAY, HOUR, MINUTE, Millis},
    },
    store::{
        self, Stores,
        breakdowns::TopsAsked,
        rollup::Summed,
        sketches::{Distinguished, SketchesAsked},
    },
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// The first moment that is filled: 2025-11-27T00:00:00Z.
const START: Millis = 1_764_201_600_000;

/// A number that a variable gives.
fn number(variable: &str, default: i64) -> i64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // Cargo gives its own flags to every benchmark; this one has none.
    let (days, runs) = (number("HISTORY_DAYS", 365), number("HISTORY_RUNS", 200));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    runtime.block_on(measure(&config, days, runs));
    if let Ok(url) = std::env::var("HISTORY_POSTGRES") {
        let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        config.postgres.url = url;
        runtime.block_on(measure(&config, days, runs));
    }
}

async fn measure(config: &Config, days: i64, runs: i64) {
    let stores = store::open(config).await.expect("the store opens");
    stores.info.migrate().await.expect("the schema can be made");
    println!("{}: {days} days", stores.info.name());
    let started = Instant::now();
    filled::fill(&stores, START, days).await;
    println!("  filled in {:.0} s", started.elapsed().as_secs_f64());
    sizes::print(config, days).await;
    let end = START + days * DAY;
    let long = days.min(30) * DAY;
    let mut random = SmallRng::seed_from_u64(7);
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..runs {
        let day = START + random.random_range(0..days) * DAY;
        let from =
            START + random.random_range(0..=(end - START - long) / QUARTER_HOUR) * QUARTER_HOUR;
        let series = filled::series(random.random_range(0..filled::SERIES));
        let breakdown = filled::breakdown(random.random_range(0..filled::BREAKDOWNS));
        let questions = [
            sums(&stores, &series, every(MINUTE, day, day + DAY)).await,
            sums(&stores, &series, every(DAY, START, end)).await,
            values(&stores, TopsAsked::between(breakdown, from, from + long)).await,
            different(&stores, Distinguished::Visitors, every(HOUR, day, day + DAY)).await,
            different(&stores, filled::sessions(), every(DAY, START, end)).await,
        ];
        times.iter_mut().zip(questions).for_each(|(times, took)| times.push(took));
    }
    for (name, times) in [
        "24 h of a series by minute",
        "all days of a series",
        "a breakdown over 30 days",
        "24 h of visitors by hour",
        "all days of sessions",
    ]
    .iter()
    .zip(&mut times)
    {
        times.sort_unstable();
        let at =
            |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("  {name}: median {:.1} ms, 99 % within {:.1} ms", at(0.5), at(0.99));
    }
}

/// Stretches of one length.
fn every(span: Millis, from: Millis, to: Millis) -> Vec<(Millis, Millis)> {
    (from..to).step_by(span as usize).map(|at| (at, at + span)).collect()
}

async fn sums(stores: &Stores, series: &Series, stretches: Vec<(Millis, Millis)>) -> Duration {
    let started = Instant::now();
    let summed = Summed::One(series.clone());
    let sums = stores.rollups.sums(&stretches, &summed).await.expect("the rollups answer");
    assert!(sums.iter().all(Option::is_some), "every stretch has something");
    started.elapsed()
}

async fn values(stores: &Stores, asked: TopsAsked) -> Duration {
    let started = Instant::now();
    let top = stores.breakdowns.sum(&asked).await.expect("the breakdowns answer").finish();
    assert!(!top.is_empty(), "every stretch has values");
    started.elapsed()
}

async fn different(
    stores: &Stores,
    what: Distinguished,
    stretches: Vec<(Millis, Millis)>,
) -> Duration {
    let started = Instant::now();
    let asked = SketchesAsked { what, stretches, by_minute: false };
    let found = stores.sketches.different(&asked).await.expect("the sketches answer");
    assert!(found.iter().all(|estimate| estimate.count > 0.0), "every stretch has some");
    started.elapsed()
}
