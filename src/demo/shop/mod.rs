//! The shop itself: visitors that come, look around, fill a cart, pay or leave.
//!
//! This is a discrete-event simulation. A heap holds the moment of each visitor's next step. The
//! earliest step is taken, gives one event, and decides when the visitor's next step is. Nothing
//! reads a clock, so an hour is played in the time that it takes to compute it.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use xxhash_rust::xxh3::xxh3_64;

use crate::demo::{
    catalogue::{self, pick},
    event::ShopEvent,
    traffic::{Incidents, Rhythm},
    visitor::{Scene, Visitor, VisitorStep},
};
use crate::domain::time::{Millis, SECOND};

/// How many events an average visitor makes, from which follows how many visitors must come for
/// a wanted rate. A test compares it with what the simulation gives.
const EVENTS_PER_VISITOR: f64 = 4.5;

/// The shop opens this long before the first event that is yielded, so that visitors of all
/// steps are there by then.
const WARM_UP: Millis = 120 * SECOND;

/// A simulated shop: an endless iterator of events in order of time.
pub struct Shop {
    rng: StdRng,
    seed: u64,
    /// Prefix of all ids of this run.
    run: String,
    currency: String,
    start: Millis,
    rhythm: Rhythm,
    /// The highest traffic of the rhythm.
    peak: f64,
    incidents: Incidents,
    /// The share of visitors that are crawlers.
    crawlers: f64,
    /// How many visitors come in a millisecond, on average.
    arrivals: f64,
    /// When the next visitor comes, Unix ms with fractions.
    next_arrival: f64,
    steps: BinaryHeap<Reverse<(Millis, u64)>>,
    visitors: hashbrown::HashMap<u64, Visitor>,
    visitor_count: u64,
    event_count: u64,
}

impl Shop {
    /// Opens a shop that gives `rate` events a second on average, the first of them at
    /// `start` (Unix ms) or just after.
    pub fn new(seed: u64, start: Millis, rate: f64, currency: &str) -> Shop {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(&start.to_le_bytes());
        let opens = start - WARM_UP;
        let mut shop = Shop {
            rng: StdRng::seed_from_u64(xxh3_64(&key)),
            seed,
            run: format!("{:08x}", xxh3_64(&key) as u32),
            currency: currency.to_owned(),
            start,
            rhythm: Rhythm::default(),
            peak: Rhythm::default().max(),
            incidents: Incidents::default(),
            crawlers: 0.0,
            arrivals: rate / EVENTS_PER_VISITOR / SECOND as f64,
            next_arrival: opens as f64,
            steps: BinaryHeap::new(),
            visitors: hashbrown::HashMap::new(),
            visitor_count: 0,
            event_count: 0,
        };
        shop.next_arrival = shop.arrival_after(opens as f64);
        shop
    }

    /// The same shop with another rhythm. Only before its first event, since the next arrival
    /// has been drawn with the old one.
    pub fn with_rhythm(mut self, rhythm: Rhythm) -> Shop {
        assert_eq!(self.event_count, 0, "the shop is open already");
        (self.peak, self.rhythm) = (rhythm.max(), rhythm);
        self.next_arrival = self.arrival_after((self.start - WARM_UP) as f64);
        self
    }

    /// The same shop with other incidents.
    pub fn with_incidents(mut self, incidents: Incidents) -> Shop {
        self.incidents = incidents;
        self
    }

    /// The same shop, of whose visitors this share are crawlers.
    pub fn with_crawlers(mut self, share: f64) -> Shop {
        self.crawlers = share;
        self
    }

    /// The next arrival of a Poisson process whose rate follows the rhythm. It is drawn by
    /// thinning: arrivals are drawn at the highest rate of the rhythm, and each is kept with the
    /// probability (traffic at that moment) / (highest traffic).
    fn arrival_after(&mut self, from: f64) -> f64 {
        let highest = self.peak;
        let mut at = from;
        loop {
            at -= (1.0 - self.rng.random::<f64>()).ln() / (self.arrivals * highest);
            let now = self.rhythm.at(self.seed, at as Millis);
            if self.rng.random::<f64>() * highest < now {
                return at;
            }
        }
    }

    /// Lets the next visitor in.
    fn arrive(&mut self) {
        let at = self.next_arrival;
        self.next_arrival = self.arrival_after(at);
        self.visitor_count += 1;
        let rng = &mut self.rng;
        // Without crawlers nothing is drawn, so that a seed gives the events that it always gave.
        let is_crawler = self.crawlers > 0.0 && rng.random_bool(self.crawlers);
        let known = rng.random_bool(0.3) && !is_crawler;
        let visitor = Visitor {
            user: known.then(|| format!("u{:05}", rng.random_range(0..40_000))),
            device: pick(catalogue::DEVICES, rng),
            country: pick(catalogue::COUNTRIES, rng),
            gateway: pick(catalogue::GATEWAYS, rng),
            step: VisitorStep::Land,
            looking_at: catalogue::pick_product(rng),
            cart: Vec::new(),
            payments_failed: 0,
            is_crawler,
        };
        self.visitors.insert(self.visitor_count, visitor);
        self.steps.push(Reverse((at as Millis, self.visitor_count)));
    }

    /// Takes one visitor's step. Returns its event and plans the next step, if there is one.
    fn step(&mut self, at: Millis, number: u64) -> ShopEvent {
        let mut visitor = self.visitors.remove(&number).expect("each step has one");
        self.event_count += 1;
        let scene = Scene {
            rng: &mut self.rng,
            failing: self.incidents.failing(self.seed, at),
            currency: &self.currency,
            order_id: format!("o-{}-{:x}", self.run, self.event_count),
            new_user: format!("n-{}-{number:x}", self.run),
        };
        let (kind, properties, next) = visitor.act(scene);
        let event = ShopEvent {
            kind,
            timestamp: at,
            properties,
            user_id: visitor.user.clone(),
            session_id: format!("s-{}-{number:x}", self.run),
            id: format!("e-{}-{:x}", self.run, self.event_count),
        };
        if let Some((step, seconds)) = next {
            visitor.step = step;
            let pause = self.rng.random_range(seconds.0..seconds.1) * SECOND as f64;
            self.visitors.insert(number, visitor);
            self.steps.push(Reverse((at + pause as Millis, number)));
        }
        event
    }
}

impl Iterator for Shop {
    type Item = ShopEvent;

    fn next(&mut self) -> Option<ShopEvent> {
        loop {
            let earliest = self.steps.peek().map(|Reverse((at, _))| *at);
            if earliest.is_none_or(|at| self.next_arrival < at as f64) {
                self.arrive();
                continue;
            }
            let Reverse((at, number)) = self.steps.pop().expect("peeked");
            let event = self.step(at, number);
            if at >= self.start {
                return Some(event);
            }
        }
    }
}

#[cfg(test)]
mod tests;
