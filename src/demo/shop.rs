//! The shop itself: visitors that come, look around, fill a cart, pay or leave.
//!
//! This is a discrete-event simulation. A heap holds the moment of each visitor's next step. The
//! earliest step is taken, gives one event, and decides when the visitor's next step is. Nothing
//! reads a clock, so an hour is played in the time that it takes to compute it.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use xxhash_rust::xxh3::xxh3_64;

use crate::demo::{
    catalogue::{self, Product, pick},
    event::{CartLine, Properties, ShopEvent},
    traffic::{Incidents, Rhythm},
};
use crate::domain::{
    money::Amount,
    time::{Millis, SECOND},
};

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
    /// How many visitors come in a millisecond, on average.
    arrivals: f64,
    /// When the next visitor comes, Unix ms with fractions.
    next_arrival: f64,
    steps: BinaryHeap<Reverse<(Millis, u64)>>,
    visitors: hashbrown::HashMap<u64, Visitor>,
    visitor_count: u64,
    event_count: u64,
}

/// Somebody in the shop.
struct Visitor {
    /// The account, if there is one.
    user: Option<String>,
    device: &'static str,
    country: &'static str,
    gateway: &'static str,
    step: VisitorStep,
    looking_at: &'static Product,
    cart: Vec<(&'static Product, u32)>,
    payments_failed: u32,
}

/// What a visitor does next.
#[derive(Clone, Copy)]
enum VisitorStep {
    Land,
    Browse,
    AddToCart,
    Checkout,
    SignUp,
    Pay,
    Thanks,
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
        let known = rng.random_bool(0.3);
        let visitor = Visitor {
            user: known.then(|| format!("u{:05}", rng.random_range(0..40_000))),
            device: pick(catalogue::DEVICES, rng),
            country: pick(catalogue::COUNTRIES, rng),
            gateway: pick(catalogue::GATEWAYS, rng),
            step: VisitorStep::Land,
            looking_at: catalogue::pick_product(rng),
            cart: Vec::new(),
            payments_failed: 0,
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

/// What a step depends on beside the visitor.
struct Scene<'a> {
    rng: &'a mut StdRng,
    /// The gateway that fails at the moment, and the share of its payments that fail.
    failing: Option<(&'static str, f64)>,
    currency: &'a str,
    /// The number of the order, if one is made.
    order_id: String,
    /// The account, if one is made.
    new_user: String,
}

/// The next step, and after how many seconds it comes at least and at most. `None`: the visitor
/// leaves.
type Next = Option<(VisitorStep, (f64, f64))>;

/// Seconds to look at a page.
const A_LOOK: (f64, f64) = (1.5, 16.0);
/// Seconds until the next page comes by itself.
const A_MOMENT: (f64, f64) = (1.0, 4.0);
/// Seconds to fill in a form.
const A_FORM: (f64, f64) = (8.0, 40.0);

impl Visitor {
    fn act(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        match self.step {
            VisitorStep::Land => self.land(scene),
            VisitorStep::Browse => self.browse(scene),
            VisitorStep::AddToCart => self.add_to_cart(scene),
            VisitorStep::Checkout => self.check_out(scene),
            VisitorStep::SignUp => self.sign_up(scene),
            VisitorStep::Pay => self.pay(scene),
            VisitorStep::Thanks => (
                "page_view",
                self.view("/thanks".to_owned(), None),
                scene.rng.random_bool(0.1).then_some((VisitorStep::Browse, A_LOOK)),
            ),
        }
    }

    fn land(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        let rng = scene.rng;
        let path = match rng.random_range(0..100) {
            0..40 => "/".to_owned(),
            40..65 => format!("/c/{}", self.looking_at.category),
            _ => format!("/p/{}", self.looking_at.slug),
        };
        let view = self.view(path, Some(pick(catalogue::REFERRERS, rng)));
        let stays = rng.random_bool(0.68);
        ("page_view", view, stays.then_some((VisitorStep::Browse, A_LOOK)))
    }

    fn browse(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        let rng = scene.rng;
        self.looking_at = catalogue::pick_product(rng);
        let (path, is_product) = match rng.random_range(0..100) {
            0..30 => (format!("/c/{}", self.looking_at.category), false),
            30..40 => ("/search".to_owned(), false),
            40..43 => ("/help/delivery".to_owned(), false),
            _ => (format!("/p/{}", self.looking_at.slug), true),
        };
        let next = match rng.random_range(0..100) {
            0..28 if is_product => Some((VisitorStep::AddToCart, A_LOOK)),
            28..44 => None,
            _ => Some((VisitorStep::Browse, A_LOOK)),
        };
        if rng.random_bool(0.012) {
            let errors = catalogue::PAGE_ERRORS;
            let (code, message) = errors[rng.random_range(0..errors.len())];
            return ("error", self.error(code, message, path, None), next);
        }
        ("page_view", self.view(path, None), next)
    }

    fn add_to_cart(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        let rng = scene.rng;
        let product = self.looking_at;
        let quantity = match rng.random_range(0..100) {
            0..84 => 1,
            84..96 => 2,
            _ => rng.random_range(3..7),
        };
        self.cart.push((product, quantity));
        let next = match rng.random_range(0..100) {
            0..52 => Some((VisitorStep::Checkout, A_LOOK)),
            52..82 => Some((VisitorStep::Browse, A_LOOK)),
            _ => None,
        };
        let properties = Properties::AddToCart {
            sku: product.sku,
            name: product.name,
            category: product.category,
            price: product.price(),
            quantity,
            device: self.device,
            country: self.country,
        };
        ("add_to_cart", properties, next)
    }

    fn check_out(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        let next = match scene.rng.random_range(0..100) {
            0..25 => None,
            25..50 if self.user.is_none() => Some((VisitorStep::SignUp, A_FORM)),
            _ => Some((VisitorStep::Pay, A_FORM)),
        };
        let properties = Properties::BeginCheckout {
            value: self.total(),
            currency: scene.currency.to_owned(),
            quantity: self.pieces(),
            device: self.device,
            country: self.country,
        };
        ("begin_checkout", properties, next)
    }

    fn sign_up(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        self.user = Some(scene.new_user);
        let properties = Properties::Signup {
            method: pick(catalogue::SIGNUPS, scene.rng),
            device: self.device,
            country: self.country,
        };
        ("signup", properties, Some((VisitorStep::Pay, A_FORM)))
    }

    fn pay(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        let rng = scene.rng;
        let failing = scene.failing.filter(|(gateway, _)| *gateway == self.gateway);
        let failure = if failing.is_some_and(|(_, share)| rng.random_bool(share)) {
            Some(("gateway_timeout", "The payment gateway did not answer in 30 s"))
        } else if rng.random_bool(0.035) {
            Some(("card_declined", "The bank declined the card"))
        } else {
            None
        };
        if let Some((code, message)) = failure {
            self.payments_failed += 1;
            let again = self.payments_failed < 3 && rng.random_bool(0.7);
            let path = "/checkout/payment".to_owned();
            let error = self.error(code, message, path, Some(self.gateway));
            return ("error", error, again.then_some((VisitorStep::Pay, A_FORM)));
        }
        let properties = Properties::Purchase {
            order_id: scene.order_id,
            amount: self.total(),
            currency: scene.currency.to_owned(),
            quantity: self.pieces(),
            items: self.lines(),
            gateway: self.gateway,
            device: self.device,
            country: self.country,
        };
        self.cart.clear();
        ("purchase", properties, Some((VisitorStep::Thanks, A_MOMENT)))
    }

    fn view(&self, path: String, referrer: Option<&'static str>) -> Properties {
        Properties::PageView { path, referrer, device: self.device, country: self.country }
    }

    fn error(
        &self,
        code: &'static str,
        message: &'static str,
        path: String,
        gateway: Option<&'static str>,
    ) -> Properties {
        Properties::Error {
            code,
            message,
            path,
            gateway,
            device: self.device,
            country: self.country,
        }
    }

    fn total(&self) -> Amount {
        let line = |(product, quantity): &(&Product, u32)| product.price().0 * i64::from(*quantity);
        Amount(self.cart.iter().map(line).sum())
    }

    fn pieces(&self) -> u32 {
        self.cart.iter().map(|(_, quantity)| quantity).sum()
    }

    fn lines(&self) -> Vec<CartLine> {
        let line = |&(product, quantity): &(&Product, u32)| CartLine {
            sku: product.sku,
            price: product.price(),
            quantity,
        };
        self.cart.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests;
