//! A visitor of the shop: what it does step by step, and the event of each step.

use rand::{RngExt, rngs::StdRng};

use crate::{
    demo::{
        catalogue::{self, Product, pick},
        event::{CartLine, Properties},
    },
    domain::money::Amount,
};

/// Somebody in the shop.
pub(super) struct Visitor {
    /// The account, if there is one.
    pub(super) user: Option<String>,
    pub(super) device: &'static str,
    pub(super) country: &'static str,
    pub(super) gateway: &'static str,
    pub(super) step: VisitorStep,
    pub(super) looking_at: &'static Product,
    pub(super) cart: Vec<(&'static Product, u32)>,
    pub(super) payments_failed: u32,
    /// A crawler: it looks at pages and at nothing else.
    pub(super) is_crawler: bool,
}

/// What a visitor does next.
#[derive(Clone, Copy)]
pub(super) enum VisitorStep {
    Land,
    Browse,
    AddToCart,
    Checkout,
    SignUp,
    Pay,
    Thanks,
}

/// What a step depends on beside the visitor.
pub(super) struct Scene<'a> {
    pub(super) rng: &'a mut StdRng,
    /// The gateway that fails at the moment, and the share of its payments that fail.
    pub(super) failing: Option<(&'static str, f64)>,
    pub(super) currency: &'a str,
    /// The number of the order, if one is made.
    pub(super) order_id: String,
    /// The account, if one is made.
    pub(super) new_user: String,
}

/// The next step, and after how many seconds it comes at least and at most. `None`: the visitor
/// leaves.
pub(super) type Next = Option<(VisitorStep, (f64, f64))>;

/// Seconds to look at a page.
const A_LOOK: (f64, f64) = (1.5, 16.0);
/// Seconds until the next page comes by itself.
const A_MOMENT: (f64, f64) = (1.0, 4.0);
/// Seconds to fill in a form.
const A_FORM: (f64, f64) = (8.0, 40.0);

impl Visitor {
    /// Takes the next step: the event's type, its properties, and the step after it.
    pub(super) fn act(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        match self.step {
            _ if self.is_crawler => self.crawl(scene),
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

    fn crawl(&mut self, scene: Scene<'_>) -> (&'static str, Properties, Next) {
        self.looking_at = catalogue::pick_product(scene.rng);
        let path = format!("/p/{}", self.looking_at.slug);
        let goes_on = scene.rng.random_bool(0.8);
        ("page_view", self.view(path, None), goes_on.then_some((VisitorStep::Browse, A_MOMENT)))
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
        let (device, country, bot) = (self.device, self.country, self.is_crawler);
        Properties::PageView { path, referrer, device, country, bot }
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
