//! Scores what is said of marks: `cargo bench --bench marks`. It prints how often a mark without effect is said
//! to have one, and how often a fall of conversion to 80 % is found, in simulated shops of five sizes, with and
//! without days before. The seeds are fixed.

use floodmark::domain::{
    mark::trial::{LOOKS, SIZES, TrialKind, TrialSaid, trial},
    time::{HOUR, MINUTE, Millis},
};

/// Marks without effect.
const WITHOUT: u64 = 500;
/// Marks with one.
const WITH: u64 = 200;
/// The first seed.
const SEED: u64 = 20_261_127;

fn main() {
    for has_days in [true, false] {
        for noise in [0.0, 0.03] {
            let days = if has_days { "the week before is known" } else { "no day before is known" };
            println!("{days}, quarters of an hour differ by {} % beyond chance", noise * 100.0);
            let none = TrialKind { left: 1.0, noise, has_days };
            print("no effect, said to have one", &said(none, WITHOUT), |it| &it.any);
            let fall = TrialKind { left: 0.8, ..none };
            print("conversion at 80 %, found", &said(fall, WITH), |it| &it.lower);
        }
    }
}

/// What is said of each mark, with the size of its shop.
fn said(kind: TrialKind, marks: u64) -> Vec<(f64, TrialSaid)> {
    let of = |n: u64| {
        let size = SIZES[(n % SIZES.len() as u64) as usize];
        (size, trial(kind, size, SEED + n))
    };
    (0..marks).map(of).collect()
}

fn print(what: &str, said: &[(f64, TrialSaid)], looks: fn(&TrialSaid) -> &[bool; LOOKS.len()]) {
    let part = |count: usize, of: usize| 100.0 * count as f64 / of as f64;
    let ever = |all: &[(f64, TrialSaid)]| {
        part(all.iter().filter(|(_, it)| looks(it).contains(&true)).count(), all.len())
    };
    println!("  {what}, at any look: {:.1} %", ever(said));
    let by_look = LOOKS.iter().enumerate().map(|(at, length)| {
        let count = said.iter().filter(|(_, it)| looks(it)[at]).count();
        format!("{} {:.1} %", span(*length), part(count, said.len()))
    });
    println!("    after {}", by_look.collect::<Vec<_>>().join(", "));
    let by_size = SIZES.iter().map(|size| {
        let of_size: Vec<_> = said.iter().filter(|(it, _)| it == size).copied().collect();
        format!("{size} {:.1} %", ever(&of_size))
    });
    println!("    by orders an hour at best: {}", by_size.collect::<Vec<_>>().join(", "));
}

fn span(length: Millis) -> String {
    match length {
        ..HOUR => format!("{} min", length / MINUTE),
        _ => format!("{} h", length / HOUR),
    }
}
