//! Tells the end of 1,000 made-up days (200 of shops of five sizes), and of stretches of days, from what had come by
//! some hours, and prints how often an interval of 80 % holds it: `cargo bench --bench pace`. The seeds are fixed.

mod days;

use floodmark::domain::pace::forecast::{self, MARKS, days_ahead, rest};

use self::days::{SIZES, Shop};

/// Days of each shop.
const DAYS: usize = 200;
/// When it is told.
const HOURS: [usize; 4] = [9, 12, 15, 18];
/// The places in the normal distribution around 80 %.
const TENTH: f64 = 1.2816;

fn main() {
    let shops: Vec<Shop> =
        SIZES.iter().zip(1..).map(|(size, seed)| Shop::new(*size, DAYS, seed)).collect();
    println!(
        "days, told by               9 h   12 h   15 h   18 h   median error at noon (run-rate)"
    );
    let (mut all_held, mut all_errors, mut all_rates) = ([0; 4], Vec::new(), Vec::new());
    for (shop, size) in shops.iter().zip(SIZES) {
        let (held, mut errors, mut rates) = days(shop);
        for (all, held) in all_held.iter_mut().zip(held) {
            *all += held;
        }
        all_errors.extend(errors.iter().copied());
        all_rates.extend(rates.iter().copied());
        row(&format!("{size:>6} orders a day"), held, DAYS, &mut errors, &mut rates);
    }
    row("all", all_held, DAYS * SIZES.len(), &mut all_errors, &mut all_rates);
    println!("\nat noon, with whole days after it: how often 80 % hold");
    for count in [1, 3, 6, 20] {
        let (mut held, mut told) = (0, 0);
        for shop in &shops {
            for day in 0..DAYS - count {
                told += 1;
                held += usize::from(holds_ahead(shop, day, count));
            }
        }
        println!("  {count:>2} days ahead              {:.3}", held as f64 / told as f64);
    }
}

/// How many of a shop's days the interval holds by each hour; and the errors at noon, relative, of the median and of
/// a linear run-rate.
fn days(shop: &Shop) -> ([usize; 4], Vec<f64>, Vec<f64>) {
    let (mut held, mut errors, mut rates) = ([0; 4], Vec::new(), Vec::new());
    for day in 0..DAYS {
        let before = shop.before(day);
        for (at, hour) in HOURS.iter().enumerate() {
            let (by, end) = shop.by(day, *hour);
            let quarters = (*hour as f64 * 4.0, (MARKS - 1) as f64);
            let coming = rest(&before, Shop::weekday(day), quarters, by).expect("there are days");
            let inside = by + coming.at(-TENTH)..=by + coming.at(TENTH);
            held[at] += usize::from(inside.contains(&end));
            if *hour == 12 {
                errors.push((by + coming.at(0.0) - end).abs() / end);
                rates.push((by * 2.0 - end).abs() / end);
            }
        }
    }
    (held, errors, rates)
}

fn holds_ahead(shop: &Shop, day: usize, count: usize) -> bool {
    let (by, end) = shop.by(day, 12);
    let quarters = (48.0, (MARKS - 1) as f64);
    let today = rest(&shop.before(day), Shop::weekday(day), quarters, by).expect("there are days");
    let later =
        days_ahead(&shop.totals(day), Shop::weekday(day + 1), count).expect("there are days");
    let came = end - by + (1..=count).map(|ahead| shop.by(day + ahead, 12).1).sum::<f64>();
    let coming = today.and(&later);
    (coming.at(-TENTH)..=coming.at(TENTH)).contains(&came)
}

fn row(name: &str, held: [usize; 4], of: usize, errors: &mut [f64], rates: &mut [f64]) {
    let shares = held.map(|held| format!("{:>6.3}", held as f64 / of as f64)).join(" ");
    println!("  {name:<22} {shares}   {:.3} ({:.3})", median(errors), median(rates));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
