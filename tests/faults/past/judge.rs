//! The comparison at the end of each row: what was sent, what is stored, what the nodes say is
//! missing, and what they show, before and after the live counters were emptied.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::installation::{Installation, Ledger};
use crate::{
    load::{Account, Outcome},
    shop::{Stored, ten_thousandths},
    verdict::Found,
};

/// The gauge by which a node says how many of its batches are missing in the store.
const MISSING: &str = "floodmark_store_missing_batches";
/// What a reason of `/readyz` says then.
const REASON: &str = "missing in the store";
/// How long things that are not right yet may take to become so.
const LIMIT: Duration = Duration::from_secs(30);

/// One row of the second table: which part comes back with which past.
pub struct Cell {
    part: &'static str,
    past: &'static str,
    test: &'static str,
    fault: &'static str,
    promise: &'static str,
    /// Whether events may be missing if the nodes say so.
    may_miss: bool,
    /// How a reason of `/readyz` begins that makes up for numbers that are not what the rows add up to.
    may_say: Option<&'static str>,
    begun: Instant,
    /// What was found wrong so far.
    complaints: Vec<String>,
}

/// What there is to say about the events of all installations of a test.
#[derive(Debug, Default)]
struct Tally {
    found: Found,
    /// Batches that the stores once had and have no more, and the events in them.
    gone: Ledger,
    /// How many batches the nodes say are missing.
    told: u64,
    /// Events that were answered with 202.
    answered: u64,
    ledger_agrees: bool,
    /// What still waits in a spool.
    waits: Option<String>,
}

impl Tally {
    /// How many batches the nodes should say are missing. Events whose batch is gone may be stored
    /// all the same, in another one.
    fn missing(&self) -> u64 {
        if self.found.lost == 0 { 0 } else { self.gone.len() as u64 }
    }

    /// Events that are missing, and the nodes say how many batches that are.
    fn reported(&self) -> u64 {
        match self.told == self.missing() {
            true => self.gone.values().sum::<u64>().min(self.found.lost),
            false => 0,
        }
    }

    /// Events that were answered with 202, are not stored, and nobody says so.
    fn lost(&self) -> u64 {
        self.found.lost - self.reported()
    }

    fn is_right(&self) -> bool {
        self.lost() == 0
            && self.told == self.missing()
            && self.found.doubled == 0
            && self.found.alien == 0
            && self.ledger_agrees
            && self.waits.is_none()
    }

    fn complaints(&self, may_miss: bool) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |wrong: bool, what: String| wrong.then(|| complaints.push(what));
        let Found { doubled, alien, .. } = self.found;
        let (missing, told) = (self.missing(), self.told);
        let (lost, answered) = (self.lost(), self.answered);
        complain(lost > 0, format!("{lost} of {answered} events answered with 202 are lost"));
        complain(
            told != missing,
            format!("{missing} batches are missing in the store, the nodes say {told}"),
        );
        let reported = self.reported();
        complain(
            !may_miss && reported > 0,
            format!("{reported} events are missing (and reported), but could have been filled in"),
        );
        complain(doubled > 0, format!("{doubled} events are stored twice"));
        complain(alien > 0, format!("{alien} events are stored though refused or never sent"));
        complain(!self.ledger_agrees, "the ledger does not add up to the rows".to_owned());
        complaints.extend(self.waits.iter().map(|why| format!("never settled: {why}")));
        complaints
    }
}

impl Cell {
    pub fn new(
        [part, past]: [&'static str; 2],
        test: &'static str,
        fault: &'static str,
        promise: &'static str,
    ) -> Cell {
        let (begun, complaints) = (Instant::now(), Vec::new());
        let (may_miss, may_say) = (false, None);
        Cell { part, past, test, fault, promise, may_miss, may_say, begun, complaints }
    }

    /// The fault destroys the last copy of some batches, so they may be missing if that is said.
    pub fn may_miss(self) -> Cell {
        Cell { may_miss: true, ..self }
    }

    /// A node's numbers may differ from the rows if it says so by a reason that begins like this.
    pub fn may_say(self, reason: &'static str) -> Cell {
        Cell { may_say: Some(reason), ..self }
    }

    /// Notes something that is wrong, for the end of the test.
    pub fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    /// Compares everything, empties the live counters, sends a little more, compares again and
    /// writes the row of the table. Panics with everything that was wrong.
    pub fn close(self, shops: &mut [&mut Installation]) {
        let mut cell = self;
        let tally = tally_soon(shops, LIMIT);
        cell.complaints.extend(tally.complaints(cell.may_miss));
        for shop in shops.iter_mut() {
            cell.complaints.extend(says_why(shop));
            // Where batches are missing in the store, the live counters still have them.
            if tally.found.lost == 0 {
                cell.complaints.extend(shows_rows(shop, cell.limit(), cell.may_say));
            }
            empty_live(shop);
            shop.sends(200);
        }
        let limit = cell.limit();
        let after = tally_soon(shops, limit);
        if cell.complaints.is_empty() {
            cell.complaints.extend(after.complaints(cell.may_miss));
        }
        for shop in shops.iter_mut() {
            let complaints = shows_rows(shop, cell.limit(), cell.may_say);
            let named = complaints.into_iter().map(|what| format!("with emptied counters: {what}"));
            cell.complaints.extend(named);
        }
        cell.write(shops, &after);
        let complaints = &cell.complaints;
        assert!(complaints.is_empty(), "{}:\n  {}", cell.test, complaints.join("\n  "));
    }

    /// How long to wait for what is not right yet: not long once something is wrong.
    fn limit(&self) -> Duration {
        if self.complaints.is_empty() { LIMIT } else { Duration::from_secs(2) }
    }

    fn write(&self, shops: &mut [&mut Installation], tally: &Tally) {
        let count = |outcome| shops.iter().map(|shop| shop.account.count(outcome)).sum::<u64>();
        let answered = count(Outcome::Answered);
        let without = count(Outcome::Refused) + count(Outcome::Silent);
        let line = json!({
            "part": self.part,
            "past": self.past,
            "test": self.test,
            "fault": self.fault,
            "promise": self.promise,
            "sent": answered + without,
            "no_202": without,
            "reported": tally.reported(),
            "reported_batches": tally.told,
            "lost": tally.lost(),
            "doubled": tally.found.doubled,
            "seconds": self.begun.elapsed().as_secs(),
            "complaints": self.complaints,
        });
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults/past");
        std::fs::create_dir_all(&folder).expect("target can be written");
        let file = folder.join(format!("{}.json", self.test));
        std::fs::write(file, format!("{line}\n")).expect("target can be written");
    }
}

/// Counts once everything is right, or at the end of the limit.
fn tally_soon(shops: &mut [&mut Installation], limit: Duration) -> Tally {
    let begin = Instant::now();
    loop {
        let tally = tally(shops);
        if tally.is_right() || begin.elapsed() > limit {
            return tally;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn tally(shops: &mut [&mut Installation]) -> Tally {
    let mut tally = Tally { ledger_agrees: true, ..Tally::default() };
    let (mut all, mut merged) = (Stored::default(), Vec::new());
    for shop in shops.iter_mut() {
        tally.waits = tally.waits.or_else(|| shop.unsettled());
        tally.told += told(shop);
        let now = shop.ledger();
        let gone = shop.known.iter().filter(|(batch, _)| !now.contains_key(*batch));
        tally.gone.extend(gone.map(|(batch, events)| (batch.clone(), *events)));
        let stored = shop.stored();
        tally.ledger_agrees &= stored.ledger == stored.events.len() as u64;
        all.events.extend(stored.events);
        merged.push(&shop.account);
    }
    all.events.sort_unstable();
    let account = Account::of(&merged);
    tally.answered = account.count(Outcome::Answered);
    tally.found = Found::between(&account, &all);
    tally
}

/// How many batches the living nodes say are missing.
fn told(shop: &mut Installation) -> u64 {
    let living = shop.living();
    living.into_iter().map(|node| shop.nodes[node].metric(MISSING) as u64).sum()
}

/// A node whose metric says that batches are missing gives it as a reason, too.
fn says_why(shop: &mut Installation) -> Vec<String> {
    let mut complaints = Vec::new();
    for node in shop.living() {
        let (told, reasons) = (shop.nodes[node].metric(MISSING), shop.nodes[node].reasons());
        let reason = reasons.iter().any(|reason| reason.contains(REASON));
        if reason != (told > 0.0) {
            complaints.push(format!(
                "node {node}: the metric says that {told} batches are missing, /readyz says \
                 {reasons:?}"
            ));
        }
    }
    complaints
}

/// Whether every living node shows what the rows of its today add up to, for half a second.
fn shows_rows(shop: &mut Installation, limit: Duration, may_say: Option<&str>) -> Vec<String> {
    let living = shop.living();
    let says = |node: usize| {
        let reasons = shop.nodes[node].reasons();
        may_say.is_some_and(|begin| reasons.iter().any(|reason| reason.starts_with(begin)))
    };
    let differs = |node: &usize| shows_rows_of(shop, *node, limit).filter(|_| !says(*node));
    living.iter().filter_map(differs).collect()
}

fn shows_rows_of(shop: &Installation, node: usize, limit: Duration) -> Option<String> {
    let rows = match &shop.servers {
        Some(servers) => servers.stored_where(shop.today[node]),
        None => shop.stored(),
    };
    let wanted = (rows.counts, rows.revenue);
    let begin = Instant::now();
    let mut since = None;
    loop {
        let current = shop.nodes[node].current();
        if shown(&current) != wanted {
            since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(500) {
            return None;
        }
        if begin.elapsed() > limit {
            let sums = shown(&current);
            let events = |sums: &BTreeMap<String, u64>| sums.values().sum::<u64>();
            return Some(format!(
                "node {node} shows {} events and {:?}, the rows have {} and {:?}",
                events(&sums.0),
                sums,
                events(&wanted.0),
                wanted
            ));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The counts and the revenue that `/current` shows.
fn shown(current: &Value) -> (BTreeMap<String, u64>, i64) {
    let counts = serde_json::from_value(current["counts"].clone()).expect("counts");
    (counts, ten_thousandths(&current["revenue"].to_string()))
}

/// Takes all live counters away: they have to be made again from what the store has.
fn empty_live(shop: &mut Installation) {
    match &shop.servers {
        Some(servers) => servers.redis.flushall(),
        // Counters in a process end with it.
        None => shop.nodes[0].restart(),
    }
}
