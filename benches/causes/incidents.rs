//! Labelled incidents of a real service.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::Instant,
};

use flate2::read::GzDecoder;
use floodmark::domain::cause::{Leaf, Leaves, Model, Part, SLICES, Tuning, causes_of};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A cause as its conditions.
type Conditions = BTreeSet<(String, String)>;

#[derive(Deserialize)]
struct Label {
    file: String,
    timestamp: i64,
    cause: Vec<Map<String, Value>>,
}

struct Incident {
    leaves: Leaves,
    causes: BTreeSet<Conditions>,
}

/// Right causes that were named, wrong ones, and right ones that were not.
#[derive(Clone, Copy, Default)]
struct Score {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Score {
    fn add(&mut self, other: Score) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }

    fn f1(self) -> f64 {
        2.0 * self.right as f64 / (2 * self.right + self.wrong + self.missed) as f64
    }
}

/// Prints the scores of all incidents in a folder.
pub fn score(folder: &Path) {
    let labels: Vec<Label> =
        serde_json::from_reader(File::open(folder.join("labels.json")).expect("labels.json"))
            .expect("labels.json has labels");
    let incidents: Vec<Incident> = labels.iter().map(|label| read(folder, label)).collect();
    let started = Instant::now();
    let sum = |tuning: &Tuning, skipped: Option<usize>| {
        let mut sum = Score::default();
        for (at, incident) in incidents.iter().enumerate() {
            if Some(at) != skipped {
                sum.add(judge(incident, tuning));
            }
        }
        sum
    };
    let all = sum(&Tuning::default(), None);
    let ms = started.elapsed().as_secs_f64() * 1000.0 / incidents.len() as f64;
    let Score { right, wrong, missed } = all;
    println!(
        "incidents: {} of them, F1 {:.3} ({right} right, {wrong} wrong, {missed} missed), \
         {ms:.1} ms each",
        incidents.len(),
        all.f1()
    );
    // Each incident is judged by the constants that are best on all others.
    let mut held_out = Score::default();
    let tunings = tunings();
    let scores: Vec<Vec<Score>> = tunings
        .iter()
        .map(|tuning| incidents.iter().map(|incident| judge(incident, tuning)).collect())
        .collect();
    for at in 0..incidents.len() {
        let without = |scores: &Vec<Score>| {
            let mut sum = Score::default();
            scores.iter().enumerate().filter(|(n, _)| *n != at).for_each(|(_, it)| sum.add(*it));
            sum.f1()
        };
        let best = (0..tunings.len())
            .max_by(|a, b| without(&scores[*a]).total_cmp(&without(&scores[*b])).then(b.cmp(a)));
        held_out.add(scores[best.expect("there are constants")][at]);
    }
    let f1 = scores.iter().map(|scores| {
        let mut sum = Score::default();
        scores.iter().for_each(|it| sum.add(*it));
        sum.f1()
    });
    let (low, high) =
        f1.fold((1.0, 0.0), |(low, high), f1| (f64::min(low, f1), f64::max(high, f1)));
    println!(
        "incidents: F1 {:.3} where the constants are chosen on the others; {low:.3} to {high:.3} over \
         all {} sets of constants",
        held_out.f1(),
        tunings.len()
    );
}

fn tunings() -> Vec<Tuning> {
    let mut tunings = Vec::new();
    for pseudo in [5.0, 10.0, 20.0, 50.0] {
        for least_spread in [0.001, 0.003, 0.005, 0.01, 0.02] {
            for further in [0.3, 0.4, 0.5] {
                tunings.push(Tuning { pseudo, least_spread, further });
            }
        }
    }
    tunings
}

fn judge(incident: &Incident, tuning: &Tuning) -> Score {
    let (was, now) = incident.leaves.totals();
    let rises = now.hits / now.of > was.hits / was.of;
    let found = causes_of(&incident.leaves, Model::Share { rises }, tuning);
    let named: BTreeSet<Conditions> =
        found.causes.into_iter().map(|cause| cause.conditions.into_iter().collect()).collect();
    let right = named.intersection(&incident.causes).count();
    Score { right, wrong: named.len() - right, missed: incident.causes.len() - right }
}

/// Reads the minute of the incident and the four before it.
fn read(folder: &Path, label: &Label) -> Incident {
    let file = File::open(folder.join("cases").join(&label.file)).expect("a case");
    let mut lines = BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("text"));
    let head = lines.next().expect("a head");
    let columns: Vec<&str> = head.split(',').collect();
    let place = |name: &str| columns.iter().position(|it| *it == name).expect("a column");
    let (minute, value, cnt) = (place("min"), place("value"), place("cnt"));
    let properties: Vec<usize> =
        (0..columns.len()).filter(|at| ![minute, value, cnt].contains(at)).collect();
    let mut values: Vec<Vec<String>> = vec![Vec::new(); properties.len()];
    let mut leaves: BTreeMap<Vec<Option<u32>>, Leaf> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().expect("a number");
        let ago = (label.timestamp - number(minute) as i64) / 60;
        if !(0..=SLICES as i64).contains(&ago) {
            continue;
        }
        let places: Vec<Option<u32>> = properties
            .iter()
            .zip(&mut values)
            .map(|(at, known)| {
                let text = cells[*at];
                let place = known.iter().position(|it| it == text).unwrap_or_else(|| {
                    known.push(text.to_owned());
                    known.len() - 1
                });
                Some(place as u32)
            })
            .collect();
        let leaf = leaves.entry(places.clone()).or_insert_with(|| Leaf {
            values: places,
            was: [Part::default(); SLICES],
            now: Part::default(),
            squares: 0.0,
        });
        let part = Part { hits: number(value), of: number(cnt) };
        // They count attempts of which each one fails or does not.
        leaf.squares += part.hits;
        match ago {
            0 => leaf.now.add(part),
            ago => leaf.was[SLICES - ago as usize].add(part),
        }
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let conditions = |cause: &Map<String, Value>| -> Conditions {
        cause.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    };
    Incident {
        leaves: Leaves {
            searched: properties.len(),
            properties: properties.iter().map(|at| columns[*at].to_owned()).collect(),
            values,
            leaves: leaves.into_values().collect(),
        },
        causes: label.cause.iter().map(conditions).collect(),
    }
}
