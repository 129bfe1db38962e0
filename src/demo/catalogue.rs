//! What the shop sells, and the kinds of visitors that it has. Each entry of a list has a weight,
//! which says how often it is picked compared to the others.

use rand::{Rng, RngExt};

use crate::domain::money::{Amount, UNITS_PER_WHOLE};

/// Something to buy.
#[derive(Debug)]
pub struct Product {
    /// Stock keeping unit, unique.
    pub sku: &'static str,
    /// Its name, as shown to visitors.
    pub name: &'static str,
    /// Last part of its page's path.
    pub slug: &'static str,
    /// The category of its page.
    pub category: &'static str,
    /// Price of one, in 1/100 of the currency.
    pub cents: i64,
    weight: u32,
}

impl Product {
    /// Price of one.
    pub fn price(&self) -> Amount {
        Amount(self.cents * (UNITS_PER_WHOLE / 100))
    }
}

macro_rules! products {
    ($($sku:literal $category:literal $slug:literal $name:literal $cents:literal x $weight:literal)+) => {
        &[$(Product {
            sku: $sku, name: $name, slug: $slug, category: $category, cents: $cents, weight: $weight,
        }),+]
    };
}

/// Everything on sale.
pub static PRODUCTS: &[Product] = products![
    "HW-101" "kitchen"  "moka-pot"          "Moka pot, 6 cups"        3490 x 14
    "HW-104" "kitchen"  "chef-knife"        "Chef's knife, 20 cm"     7900 x 9
    "HW-117" "kitchen"  "cast-iron-pan"     "Cast iron pan"           5450 x 11
    "HW-122" "kitchen"  "kettle"            "Electric kettle"         4999 x 12
    "HW-131" "kitchen"  "tea-towels"        "Tea towels, set of 3"    1495 x 16
    "HM-201" "home"     "wool-blanket"      "Wool blanket"            8900 x 10
    "HM-205" "home"     "desk-lamp"         "Desk lamp, brass"        6450 x 9
    "HM-210" "home"     "candle-cedar"      "Candle, cedar"           1850 x 18
    "HM-219" "home"     "wall-clock"        "Wall clock"              4200 x 6
    "HM-224" "home"     "linen-sheets"      "Linen sheets, double"   14900 x 5
    "OD-301" "outdoors" "day-pack"          "Day pack, 22 l"          9950 x 9
    "OD-307" "outdoors" "rain-jacket"       "Rain jacket"            17900 x 7
    "OD-312" "outdoors" "steel-bottle"      "Steel bottle, 0.7 l"     2490 x 17
    "OD-318" "outdoors" "head-torch"        "Head torch"              3995 x 10
    "OD-325" "outdoors" "two-person-tent"   "Tent for two"           27900 x 3
    "SD-402" "sound"    "headphones"        "Headphones, closed"     12900 x 13
    "SD-406" "sound"    "kitchen-radio"     "Kitchen radio"           8950 x 8
    "SD-411" "sound"    "turntable"         "Turntable"              34900 x 3
    "SD-415" "sound"    "earbuds"           "Earbuds"                 5990 x 19
    "BK-501" "books"    "bread-book"        "The bread book"          2800 x 8
    "BK-504" "books"    "city-maps"         "City maps, boxed"        3250 x 5
    "BK-509" "books"    "field-notes"       "Notebooks, set of 5"     1295 x 15
];

/// A list to pick from: each entry with its weight.
pub type Weighted = &'static [(&'static str, u32)];

/// Countries of visitors.
pub const COUNTRIES: Weighted = &[
    ("US", 34),
    ("DE", 17),
    ("GB", 12),
    ("FR", 9),
    ("NL", 6),
    ("CA", 6),
    ("SE", 4),
    ("ES", 4),
    ("PL", 3),
    ("AU", 3),
    ("JP", 2),
];

/// The devices of visitors.
pub const DEVICES: Weighted = &[("mobile", 61), ("desktop", 33), ("tablet", 6)];

/// The sites that visitors come from.
pub const REFERRERS: Weighted = &[
    ("google.com", 37),
    ("direct", 24),
    ("instagram.com", 13),
    ("newsletter", 11),
    ("bing.com", 5),
    ("facebook.com", 5),
    ("tiktok.com", 5),
];

/// The gateways that take payments.
pub const GATEWAYS: Weighted = &[("stripe", 52), ("paypal", 29), ("adyen", 13), ("klarna", 6)];

/// The ways to sign up.
pub const SIGNUPS: Weighted = &[("email", 58), ("google", 28), ("apple", 14)];

/// Errors that any visitor can meet on any page: (code, message).
pub const PAGE_ERRORS: &[(&str, &str)] = &[
    ("404", "Page not found"),
    ("500", "Internal server error"),
    ("js_type_error", "undefined is not an object (evaluating 'item.price')"),
    ("502", "Bad gateway"),
    ("image_timeout", "Image took longer than 10 s"),
];

/// Picks from a weighted list.
pub fn pick(list: Weighted, rng: &mut impl Rng) -> &'static str {
    let weights = list.iter().map(|(_, weight)| *weight);
    list[pick_index(weights, rng)].0
}

/// Picks a product; popular ones are picked more often.
pub fn pick_product(rng: &mut impl Rng) -> &'static Product {
    &PRODUCTS[pick_index(PRODUCTS.iter().map(|product| product.weight), rng)]
}

fn pick_index(weights: impl Iterator<Item = u32> + Clone, rng: &mut (impl Rng + ?Sized)) -> usize {
    let total: u32 = weights.clone().sum();
    let mut left = rng.random_range(0..total);
    for (index, weight) in weights.enumerate() {
        if left < weight {
            return index;
        }
        left -= weight;
    }
    unreachable!("left is below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_product_is_unique_and_has_a_price() {
        let skus: HashSet<_> = PRODUCTS.iter().map(|product| product.sku).collect();
        let slugs: HashSet<_> = PRODUCTS.iter().map(|product| product.slug).collect();
        assert_eq!((skus.len(), slugs.len()), (PRODUCTS.len(), PRODUCTS.len()));
        assert!(PRODUCTS.iter().all(|product| product.price() > Amount(0)));
        assert_eq!(PRODUCTS[0].price().to_string(), "34.9");
    }
}
