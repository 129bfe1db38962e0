//! The view: what HTTP handlers and frames read, while the broadcaster alone writes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::civil::Date;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use serde::{Serialize, Serializer};

use crate::{
    broadcast::Alerts,
    domain::{
        delta::Series,
        metric::{Measures, Source, Value},
        money::Amount,
        time::{BusinessZone, Millis, SECOND, now_ms},
    },
    live::{
        Population,
        state::{LiveState, Totals},
    },
};

/// The event type counted as a page view.
pub(crate) const PAGE_VIEW: &str = "page_view";
/// The event type counted as a purchase.
pub(crate) const PURCHASE: &str = "purchase";
/// The event type counted as an error.
pub(crate) const ERROR: &str = "error";
/// The event type counted as a signup.
pub(crate) const SIGNUP: &str = "signup";

/// Says what time it is, in Unix ms. A value, so that a test can move it over midnight.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The one real clock.
pub fn real_clock() -> Clock {
    Arc::new(now_ms)
}

/// Since when and why the numbers stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interruption {
    pub reason: String,
    pub since: Millis,
}

/// How far counting lags behind intake.
struct Lag {
    /// Less than this is no lag, in ms.
    least: Millis,
    /// When the oldest batch of this node that is not counted yet was sealed, Unix ms.
    oldest: Box<dyn Fn() -> Option<Millis> + Send + Sync>,
    /// The last batch, of any node, that was counted late: when it was sealed, and when that
    /// was, Unix ms.
    late: Mutex<Option<(Millis, Millis)>>,
}

/// How long one late batch says that its node is behind, in ms: more follow in less.
const LATE_FOR: Millis = 2 * SECOND;

/// Read access to the mirror: cheap to clone, never waits for anything but the broadcaster
/// adding one delta.
#[derive(Clone)]
pub struct LiveView(Arc<Shared>);

struct Shared {
    state: RwLock<LiveState>,
    active: AtomicU64,
    /// Distinct values of a business day.
    distinct: RwLock<(Date, BTreeMap<String, u64>)>,
    /// A first [`crate::live::Feed::Reset`] has come.
    filled: AtomicBool,
    interruption: RwLock<Option<Interruption>>,
    lag: OnceLock<Lag>,
    alerts: Alerts,
    zone: BusinessZone,
    measures: Arc<Measures>,
    active_window_s: u64,
    clock: Clock,
}

impl LiveView {
    pub(super) fn new(
        zone: BusinessZone,
        measures: Arc<Measures>,
        active_window_s: u64,
        clock: Clock,
    ) -> LiveView {
        let since = clock();
        LiveView(Arc::new(Shared {
            state: RwLock::new(LiveState::new(zone.clone())),
            active: AtomicU64::new(0),
            distinct: RwLock::default(),
            filled: AtomicBool::new(false),
            interruption: RwLock::new(Some(Interruption {
                reason: "the live counters have not been read yet".into(),
                since,
            })),
            lag: OnceLock::new(),
            alerts: Alerts::default(),
            zone,
            measures,
            active_window_s,
            clock,
        }))
    }

    /// The moment now, Unix ms, by the clock that frames carry.
    pub fn now(&self) -> Millis {
        (self.0.clock)()
    }

    /// The metrics, and how they are read.
    pub fn measures(&self) -> &Measures {
        &self.0.measures
    }

    /// The business time zone.
    pub fn zone(&self) -> &BusinessZone {
        &self.0.zone
    }

    /// What is shown of the alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// The counters. Hold it briefly: the broadcaster waits for readers.
    pub fn state(&self) -> RwLockReadGuard<'_, LiveState> {
        self.0.state.read()
    }

    /// Distinct visitors of the active window.
    pub fn active_users(&self) -> u64 {
        self.0.active.load(Ordering::Relaxed)
    }

    /// Whether the counters were read at least once since the start; before that they are
    /// zeros and mean nothing.
    pub fn is_filled(&self) -> bool {
        self.0.filled.load(Ordering::Relaxed)
    }

    /// Why the numbers stand still, in words; `None` while they move.
    pub fn interrupted(&self) -> Option<String> {
        let interruption = self.0.interruption.read();
        interruption.as_ref().map(|it| it.reason.clone())
    }

    /// How old the numbers are at `now`, in ms: how long they have stood still, how long the
    /// oldest batch of this node waits to be counted, or how late those of other nodes come.
    /// `None` where they are fresh.
    pub fn behind_ms(&self, now: Millis) -> Option<Millis> {
        let interruption = self.0.interruption.read();
        let still = interruption.as_ref().map(|it| (now - it.since).max(0));
        let waits = self.0.lag.get().and_then(|lag| {
            let late = *lag.late.lock();
            let late = late.filter(|(_, at)| now - at < LATE_FOR).map(|(sealed_at, _)| sealed_at);
            let oldest = [(lag.oldest)(), late].into_iter().flatten().min()?;
            (now - oldest >= lag.least).then_some(now - oldest)
        });
        still.max(waits)
    }

    /// Lets [`LiveView::behind_ms`] know of batches that wait to be counted: `oldest` says
    /// when the oldest of them was sealed. Less than `least` ms is no lag. Once.
    pub fn watch_lag(
        &self,
        least: Millis,
        oldest: impl Fn() -> Option<Millis> + Send + Sync + 'static,
    ) {
        let _ = self.0.lag.set(Lag { least, oldest: Box::new(oldest), late: Mutex::default() });
    }

    /// A batch sealed at `sealed_at` (0: not known) is counted at `now`.
    pub(super) fn counted(&self, sealed_at: Millis, now: Millis) {
        if let Some(lag) = self.0.lag.get()
            && sealed_at > 0
            && now - sealed_at >= lag.least
        {
            *lag.late.lock() = Some((sealed_at, now));
        }
    }

    /// Today's totals.
    pub fn current(&self) -> Current {
        let now = self.now();
        self.current_of(&self.state(), now)
    }

    pub(super) fn current_of(&self, state: &LiveState, now: Millis) -> Current {
        let (day, totals) = state.today(now);
        let metrics = self.metrics_of(&totals, day.date);
        let currencies = totals.currencies();
        let events = totals.events();
        let errors = totals.count(ERROR);
        Current {
            page_views: totals.count(PAGE_VIEW),
            purchases: totals.count(PURCHASE),
            revenue: totals.revenue(),
            errors,
            signups: totals.count(SIGNUP),
            events,
            error_rate: errors as f64 / events.max(1) as f64,
            metrics,
            currencies,
            counts: totals,
            active_users: self.active_users(),
            active_users_window_seconds: self.0.active_window_s,
            day: day.date.to_string(),
            timezone: self.0.zone.name().to_owned(),
            currency: self.0.measures.rates().base().to_owned(),
            timestamp: now,
            behind_ms: self.behind_ms(now),
        }
    }

    /// Every metric of the configuration, of one business day.
    fn metrics_of(&self, totals: &Totals, day: Date) -> Vec<(String, Value)> {
        let distinct = self.0.distinct.read();
        let source = Day { totals, distinct: (distinct.0 == day).then_some(&distinct.1) };
        let measures = &self.0.measures;
        let value = |metric| measures.value(metric, &source);
        measures.metrics().iter().map(|metric| (metric.name.clone(), value(metric))).collect()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, LiveState> {
        self.0.state.write()
    }

    pub(super) fn set_population(&self, population: Population, day: Date) {
        self.0.active.store(population.active, Ordering::Relaxed);
        *self.0.distinct.write() = (day, population.distinct);
    }

    pub(super) fn interrupt(&self, reason: String) {
        let now = self.now();
        let mut interruption = self.0.interruption.write();
        // A second reason does not make the numbers younger.
        let since = interruption.as_ref().map_or(now, |it| it.since);
        *interruption = Some(Interruption { reason, since });
    }

    pub(super) fn restored(&self) {
        // Zeros that were never filled stay marked as such.
        if self.is_filled() {
            *self.0.interruption.write() = None;
        }
    }

    pub(super) fn filled(&self) {
        self.0.filled.store(true, Ordering::Relaxed);
        self.restored();
    }
}

/// What `GET /api/analytics/current` answers, and the core of a snapshot.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// Events of type `page_view`, today.
    pub page_views: u64,
    /// Events of type `purchase`, today.
    pub purchases: u64,
    /// Sum of the purchases' amounts, today.
    pub revenue: Amount,
    /// Events of type `error`, today.
    pub errors: u64,
    /// Events of type `signup`, today.
    pub signups: u64,
    /// Events of every type, today.
    pub events: u64,
    /// `errors / events`; 0 without events.
    pub error_rate: f64,
    /// Every metric of the configuration, by name, today; null where it has no value.
    #[serde(serialize_with = "metrics")]
    pub metrics: Vec<(String, Value)>,
    /// Money metrics in the currencies that amounts came in: `{metric: {code: sum}}`. Sums
    /// in a currency without a rate are only here.
    pub currencies: BTreeMap<String, BTreeMap<String, Amount>>,
    /// Events by type, today.
    #[serde(serialize_with = "counts")]
    pub counts: Totals,
    /// Distinct visitors of the window.
    pub active_users: u64,
    /// The window of `active_users`.
    pub active_users_window_seconds: u64,
    /// The business day that "today" is, `2026-11-27`.
    pub day: String,
    /// IANA name of the business time zone.
    pub timezone: String,
    /// What `revenue` is in.
    pub currency: String,
    /// Unix ms.
    pub timestamp: Millis,
    /// How long the numbers have stood still; left out while they move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<Millis>,
}

/// One business day: its sums, and its distinct values where these are known.
struct Day<'a> {
    totals: &'a Totals,
    distinct: Option<&'a BTreeMap<String, u64>>,
}

impl Source for Day<'_> {
    fn series(&self, series: &Series) -> i64 {
        self.totals.series(series)
    }

    fn all_events(&self) -> i64 {
        self.totals.all_events()
    }

    fn distinct(&self, metric: &str) -> Option<i64> {
        Some(self.distinct?.get(metric).map_or(0, |n| *n as i64))
    }
}

/// Metrics as the JSON object `{name: value}`.
fn metrics<S: Serializer>(metrics: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}

/// Totals as the JSON object `{type: events}`.
pub(super) fn counts<S: Serializer>(totals: &Totals, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(totals.counts())
}
