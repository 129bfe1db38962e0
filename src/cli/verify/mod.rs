//! `floodmark verify`: whether a day's rows, ledger, rollups and live counters say the same, by minute and
//! series. It changes nothing and runs beside servers.

mod chain;
mod live;
mod words;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use self::{live::LiveReader, words::DayInWords};
use super::{ServeArgs, ask, connect, exit::Exit, with_config};
use crate::{
    config::Config,
    domain::time::{BusinessDay, BusinessZone, DAY, HOUR, MINUTE, Millis, bucket, now_ms},
    sink::SinkError,
    store::{
        Stores,
        retention::UtcDay,
        rollup::{
            remake::RemakeAsked,
            verify::{DayAsked, DayVerdict, StoredDay, SumDifference},
        },
    },
};

/// How often live counters that differ are read again, together with the store: both go on meanwhile.
const LOOKS: u32 = 10;
/// How often a span is read whose rows move meanwhile.
const TRIES: u32 = 3;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Minutes that may change at any time are not compared with the live counters.
const SETTLES: Millis = 2 * MINUTE;
/// How far back the live counters are asked for: they know each minute for 24 hours.
const LIVE: Millis = 23 * HOUR;

/// The flags of `floodmark verify`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["day", "all"])))]
pub struct VerifyArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// A day of the business zone: 2026-11-27
    #[arg(long, value_name = "DAY")]
    day: Option<String>,
    /// Every day of which there is anything
    #[arg(long)]
    all: bool,
    /// Hold each row against the chain of hashes (ledger.chain), instead of sums against sums
    #[arg(long, conflicts_with = "server")]
    chain: bool,
    /// The server whose live counters are compared, too, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A file that has a viewer token, where the server asks for one
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
}

/// Runs the command: exit code 0 where nothing differs.
pub fn run(args: &VerifyArgs) -> ExitCode {
    with_config(&args.serve, |config| {
        let done = actix::System::new().block_on(async {
            match args.chain {
                true => chain::verified(&config, args).await,
                false => verified(&config, args).await,
            }
        });
        match done {
            Ok(0) => Exit::Done.into(),
            Ok(different) => {
                let plural = if different == 1 { "" } else { "s" };
                eprintln!("floodmark verify: {different} difference{plural}");
                Exit::Failed.into()
            }
            Err(words) => {
                eprintln!("floodmark verify: {words}");
                Exit::Failed.into()
            }
        }
    })
}

/// The store of the configuration, which has to be this installation's.
async fn opened(config: &Config) -> Result<Stores, String> {
    let stores = connect::stores(config).await?;
    stores.info.claim().await.map_err(|e| e.to_string())?;
    Ok(stores)
}

/// The day that is asked for.
fn day_asked(zone: &BusinessZone, text: &str) -> Result<BusinessDay, String> {
    let day = zone.day_named(text).filter(|day| day.start <= now_ms());
    day.ok_or_else(|| format!("--day: {text:?} is no date up to today"))
}

/// The days of the business zone that days of UTC lie on, ascending.
fn business_days(zone: &BusinessZone, days: BTreeSet<UtcDay>) -> Vec<BusinessDay> {
    // A day of the business zone lies on two days of UTC.
    let starts: BTreeSet<Millis> = days
        .into_iter()
        .flat_map(|day| [day * DAY, (day + 1) * DAY - 1])
        .map(|at| zone.day_of(at).start)
        .collect();
    starts.into_iter().map(|start| zone.day_of(start)).collect()
}

/// What each day is verified with.
struct Verifier<'a> {
    config: &'a Config,
    zone: BusinessZone,
    stores: Stores,
    live: Option<LiveReader>,
}

/// Verifies the days, prints what came of each, and returns how much differs.
async fn verified(config: &Config, args: &VerifyArgs) -> Result<u64, String> {
    let zone = BusinessZone::named(&config.timezone)?;
    let token = args.token_file.as_deref().map(ask::secret_in).transpose()?;
    let live = match &args.server {
        // Which server counts for this store can't be told from outside, so none is guessed.
        None => None,
        Some(url) => Some(LiveReader::open(url, token).await?),
    };
    let stores = opened(config).await?;
    let verifier = Verifier { config, zone, stores, live };
    let mut different = 0;
    for day in verifier.days(args).await? {
        different += verifier.verify(day).await?;
    }
    Ok(different)
}

/// Reads a span (Unix ms) of which no row moves to the archive, or is removed, meanwhile: such rows would be in both
/// places, or in none. `is_moving` says whether the store has seen that itself.
async fn read_still<T, F: Future<Output = Result<T, SinkError>>>(
    stores: &Stores,
    span: (Millis, Millis),
    read: impl Fn() -> F,
    is_moving: impl Fn(&T) -> bool,
) -> Result<T, String> {
    let files = || stores.archive.archive_files(Some(span));
    for _ in 0..TRIES {
        let before = files().await.map_err(|e| e.to_string())?;
        let found = read().await.map_err(|e| e.to_string())?;
        if files().await.map_err(|e| e.to_string())? == before && !is_moving(&found) {
            return Ok(found);
        }
    }
    Err("rows move to the archive, or are removed, at the moment: try again".to_owned())
}

impl Verifier<'_> {
    /// The days that are asked for, ascending.
    async fn days(&self, args: &VerifyArgs) -> Result<Vec<BusinessDay>, String> {
        if let Some(text) = &args.day {
            return Ok(vec![day_asked(&self.zone, text)?]);
        }
        let known = self.stores.days.days().await.map_err(|e| e.to_string())?;
        Ok(business_days(&self.zone, known))
    }

    async fn read(&self, day: BusinessDay, with_rows: bool) -> Result<StoredDay, String> {
        let asked = RemakeAsked {
            from: day.start,
            to: day.end,
            metric_set: self.config.rules.metric_set.clone(),
            max_types: self.config.live.max_event_types,
            archived: self.stores.archived.clone().map(|it| it as _),
        };
        let asked = DayAsked { day: asked, with_rows };
        let read = || self.stores.days.read_day(&asked);
        read_still(&self.stores, (day.start, day.end), read, |it| it.is_moving).await
    }

    async fn verify(&self, day: BusinessDay) -> Result<u64, String> {
        let sums = self.read(day, true).await?;
        let mut verdict = sums.compare(&self.config.rules.metric_set);
        let live = self.compare_live(day, &sums, &mut verdict).await?;
        let told = DayInWords { day, sums: &sums, verdict: &verdict, live };
        println!("{told}");
        Ok(verdict.different + sums.unreadable.len() as u64)
    }

    /// Compares the store with the live counters, as far as these go back. Returns in words what was compared.
    async fn compare_live(
        &self,
        day: BusinessDay,
        stored: &StoredDay,
        verdict: &mut DayVerdict,
    ) -> Result<String, String> {
        let now = now_ms();
        let from = day.start.max(bucket(now - LIVE, MINUTE));
        let to = day.end.min(bucket(now - SETTLES, MINUTE));
        if from >= to {
            return Ok("not compared: they are by the minute for the last 23 hours".to_owned());
        }
        let Some(reader) = &self.live else {
            return Ok("not compared: name their server with --server".to_owned());
        };
        let mut differing: Option<Vec<SumDifference>> = None;
        let mut compared = 0;
        let mut fresh: Option<StoredDay> = None;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(PAUSE).await;
                fresh = Some(self.read(day, false).await?);
            }
            let sums = fresh.as_ref().unwrap_or(stored);
            let live =
                reader.sums(&self.config.rules.metric_set, &sums.rollups, (from, to)).await?;
            compared = live.len();
            let of = |key: &(Millis, String)| sums.rollups.get(key).copied().unwrap_or(0);
            let differs = live.iter().filter(|(key, value)| of(key) != **value);
            let found: Vec<SumDifference> = differs
                .map(|(key, value)| SumDifference {
                    minute: key.0,
                    series: key.1.clone(),
                    rows: None,
                    ledger: None,
                    rollups: Some(of(key)),
                    live: Some(*value),
                })
                .collect();
            // What is on its way differs once; what is wrong differs each time.
            let is_same = |a: &SumDifference, b: &SumDifference| {
                (a.minute, &a.series) == (b.minute, &b.series)
            };
            let still = match differing {
                None => found,
                Some(before) => found
                    .into_iter()
                    .filter(|it| before.iter().any(|other| is_same(it, other)))
                    .collect(),
            };
            let is_well = still.is_empty();
            differing = Some(still);
            if is_well {
                break;
            }
        }
        differing.into_iter().flatten().for_each(|it| verdict.differ(it));
        Ok(format!("{compared} sums compared, from {} to {}", words::at(from), words::at(to)))
    }
}
