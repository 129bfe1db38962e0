//! The mirror: this node's copy of all live counters, and of the numbers that stand beside them.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::civil::Date;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    domain::{
        access::Sight,
        aggregate::CountedTypes,
        delta::Delta,
        metric::MetricSet,
        time::{BusinessZone, MINUTE, Millis, now_ms},
    },
    live::{
        Population,
        counters::{Counters, MINUTES_KEPT, SECONDS_KEPT},
    },
    numbers::{Alerts, Current, Lateness, Marks, freshness::Freshness},
};

/// Says what time it is, in Unix ms. It is a value, so that a test can pass midnight when it wants
/// to.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The clock of the operating system.
pub fn real_clock() -> Clock {
    Arc::new(now_ms)
}

/// Read access to the mirror. A clone reads the same mirror. A reader waits at most for the
/// broadcaster, which holds the lock for one delta at a time.
#[derive(Clone)]
pub struct Mirror(Arc<MirrorState>);

/// Write access to the mirror. Each mirror has one, which can't be cloned, and which the
/// broadcaster holds. It can read, too, as it derefs to [`Mirror`].
pub struct MirrorWriter(Mirror);

struct MirrorState {
    counters: RwLock<Counters>,
    /// How many distinct visitors the active window has.
    active: AtomicU64,
    /// Whether that is an estimate.
    approximate: AtomicBool,
    /// Distinct values of a business day, by metric.
    distinct: RwLock<(Date, BTreeMap<String, u64>)>,
    freshness: Freshness,
    lateness: Lateness,
    alerts: Alerts,
    marks: Marks,
    zone: BusinessZone,
    metric_set: Arc<MetricSet>,
    active_window_s: u64,
    clock: Clock,
}

impl Mirror {
    /// An empty mirror, which is marked as not read yet, and its one writer.
    pub fn new(
        zone: BusinessZone,
        metric_set: Arc<MetricSet>,
        active_window_s: u64,
        clock: Clock,
    ) -> (Mirror, MirrorWriter) {
        let mirror = Mirror(Arc::new(MirrorState {
            counters: RwLock::new(Counters::new(zone.clone())),
            active: AtomicU64::new(0),
            approximate: AtomicBool::new(false),
            distinct: RwLock::default(),
            freshness: Freshness::unread(clock()),
            lateness: Lateness::default(),
            alerts: Alerts::default(),
            marks: Marks::default(),
            zone,
            metric_set,
            active_window_s,
            clock,
        }));
        (mirror.clone(), MirrorWriter(mirror))
    }

    /// The time now, Unix ms, by the clock whose time frames and answers carry.
    pub fn now(&self) -> Millis {
        (self.0.clock)()
    }

    /// The clock by which it is now.
    pub fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// The metrics of the configuration, and how they are computed from the counters.
    pub fn metric_set(&self) -> &MetricSet {
        &self.0.metric_set
    }

    /// The business time zone.
    pub fn zone(&self) -> &BusinessZone {
        &self.0.zone
    }

    /// What is shown of the alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// What is shown of the marks.
    pub fn marks(&self) -> &Marks {
        &self.0.marks
    }

    /// Whether the numbers move, and how far they are behind.
    pub fn freshness(&self) -> &Freshness {
        &self.0.freshness
    }

    /// How late events arrive.
    pub fn lateness(&self) -> &Lateness {
        &self.0.lateness
    }

    /// The counters. Hold them briefly: the broadcaster waits for readers.
    pub fn counters(&self) -> RwLockReadGuard<'_, Counters> {
        self.0.counters.read()
    }

    /// How many distinct visitors the active window has.
    pub fn active_users(&self) -> u64 {
        self.0.active.load(Ordering::Relaxed)
    }

    /// Whether [`Mirror::active_users`] is an estimate.
    pub fn active_users_approximate(&self) -> bool {
        self.0.approximate.load(Ordering::Relaxed)
    }

    /// The length of the active window, in seconds.
    pub fn active_window_s(&self) -> u64 {
        self.0.active_window_s
    }

    /// How far back (ms) the mirror has what it promises: all seconds, and all values of breakdowns
    /// that a summary keeps. It is less than [`SECONDS_KEPT`] and [`MINUTES_KEPT`] where there was no
    /// room for more.
    pub fn windows(&self) -> (Millis, Millis) {
        let (now, counters) = (self.now(), self.counters());
        let seconds = now.saturating_sub(counters.seconds_from());
        let whole = counters.shortened_to().map_or(MINUTES_KEPT, |minute| now - minute - MINUTE);
        (seconds.clamp(0, SECONDS_KEPT), whole.clamp(0, MINUTES_KEPT))
    }

    /// The event types that have counters today or yesterday, on any node.
    pub fn counted_types(&self) -> CountedTypes {
        let (today, counters) = (self.zone().day_of(self.now()), self.counters());
        let of = |date: Option<Date>| -> Vec<String> {
            let totals = date.and_then(|date| counters.day(date));
            totals.iter().flat_map(|it| it.counts()).map(|(kind, _)| kind.to_owned()).collect()
        };
        CountedTypes {
            day: today.start,
            today: of(Some(today.date)),
            yesterday: of(today.date.yesterday().ok()),
        }
    }

    /// What somebody sees of today's totals.
    pub fn current(&self, sight: Sight) -> Current {
        let now = self.now();
        Current::of(self, &self.counters(), now, sight)
    }

    /// Distinct values by metric, and the business day that they are of.
    pub(super) fn distinct(&self) -> RwLockReadGuard<'_, (Date, BTreeMap<String, u64>)> {
        self.0.distinct.read()
    }
}

impl Deref for MirrorWriter {
    type Target = Mirror;

    fn deref(&self) -> &Mirror {
        &self.0
    }
}

impl MirrorWriter {
    /// Adds the delta of a batch of `lane` at `now`. `sealed_at` is when it was sealed (Unix ms; 0
    /// where that is not known).
    pub fn apply(&mut self, lane: u64, delta: &Delta, sealed_at: Millis, now: Millis) {
        self.write().apply(lane, delta, now);
        self.lateness().note(delta, sealed_at);
        self.freshness().counted(sealed_at, now);
    }

    /// Replaces all counters. From now on the numbers move.
    pub fn replace(&mut self, counters: Counters) {
        *self.write() = counters;
        self.freshness().filled();
    }

    /// Forgets the buckets that are older at `now` than they are kept for.
    pub fn prune(&mut self, now: Millis) {
        self.write().prune(now);
    }

    /// Sets how many visitors are active, and how many distinct values were seen on `day`.
    pub fn set_population(&mut self, population: Population, day: Date) {
        let Mirror(shared) = &self.0;
        shared.active.store(population.active, Ordering::Relaxed);
        shared.approximate.store(population.approximate, Ordering::Relaxed);
        *shared.distinct.write() = (day, population.distinct);
    }

    /// Notes that the numbers stand still from now on. `reason` is shown by `/readyz`.
    pub fn interrupt(&mut self, reason: String) {
        self.freshness().interrupt(reason, self.now());
    }

    /// Notes that the numbers move again and that nothing was missed meanwhile.
    pub fn restored(&mut self) {
        self.freshness().restored();
    }

    /// The counters, to be changed. Readers wait for as long as the guard is held.
    pub(crate) fn write(&mut self) -> RwLockWriteGuard<'_, Counters> {
        let Mirror(shared) = &self.0;
        shared.counters.write()
    }
}
