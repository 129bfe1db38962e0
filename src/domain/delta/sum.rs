//! How events and deltas are added up to one delta.

use hashbrown::{HashMap, HashSet};

use super::{Delta, QUARTER_HOUR, Series, UserLink, Visitor};
use crate::domain::{
    time::{MINUTE, Millis, SECOND, bucket},
    top::{Top, TopSum},
};

/// Adds up increments; [`DeltaSum::finish`] gives the delta.
#[derive(Debug, Default)]
pub struct DeltaSum {
    events: u64,
    series: Vec<Series>,
    cells: HashMap<(i64, u32), i64>,
    names: Vec<String>,
    tops: HashMap<(i64, u32), TopSum>,
    /// Bytes of the values in `tops`, at most.
    top_bytes: usize,
    distinct: HashSet<(i64, u32, u64)>,
    visitors: HashMap<Visitor, Millis>,
    /// Those of `visitors` who are users that were seen without a session.
    users: HashSet<Visitor>,
    /// The newest session of each user, and when they were seen together.
    links: HashMap<Visitor, (Millis, Visitor)>,
    /// (minute, visitor) of visitors who were seen before the minute of their last event, too.
    earlier: HashSet<(i64, Visitor)>,
}

impl DeltaSum {
    /// Adds an event of type `kind` at `at` (Unix ms).
    pub fn count(&mut self, kind: &str, at: Millis) {
        self.events += 1;
        let known = |series: &Series| matches!(series, Series::Count(name) if name == kind);
        let index = match self.series.iter().position(known) {
            Some(index) => index as u32,
            None => self.push(Series::Count(kind.to_owned())),
        };
        self.add(index, at, 1);
    }

    /// Adds an event that no type's counter counts, since a bot sent it.
    pub fn pass(&mut self) {
        self.events += 1;
    }

    /// Adds `value` (1/10,000) to the sum `series` at `at` (Unix ms).
    pub fn sum(&mut self, series: &Series, at: Millis, value: i64) {
        let index = match self.series.iter().position(|known| known == series) {
            Some(index) => index as u32,
            None => self.push(series.clone()),
        };
        self.add(index, at, value);
    }

    /// Adds `value` (1/10,000 of `currency`) to the part of a money metric that came in that
    /// currency.
    pub fn money(&mut self, metric: &str, currency: &str, at: Millis, value: i64) {
        let known =
            |series: &Series| matches!(series, Series::Money(m, c) if m == metric && c == currency);
        let index = match self.series.iter().position(known) {
            Some(index) => index as u32,
            None => self.push(Series::Money(metric.to_owned(), currency.to_owned())),
        };
        self.add(index, at, value);
    }

    /// Adds `n` occurrences of `value` to the breakdown `name` at `at` (Unix ms).
    pub fn top(&mut self, name: &str, at: Millis, value: &str, n: u64) {
        let index = self.name(name);
        let sum = self.tops.entry((bucket(at, MINUTE) / MINUTE, index)).or_default();
        self.top_bytes += sum.add(value, n);
    }

    /// Notes that the distinct metric `name` saw what hashes to `hash` at `at` (Unix ms).
    pub fn distinct(&mut self, name: &str, at: Millis, hash: u64) {
        let index = self.name(name);
        self.distinct.insert((bucket(at, QUARTER_HOUR) / QUARTER_HOUR, index, hash));
    }

    /// Notes that `visitor` was there at `at` (Unix ms).
    pub fn seen(&mut self, visitor: Visitor, at: Millis) {
        let last = self.visitors.entry(visitor).or_insert(at);
        let (first, newest) = (at.min(*last), at.max(*last));
        *last = newest;
        // A batch is of few minutes, so hardly any visitor is in two of them.
        if first != newest {
            self.seen_earlier(visitor, bucket(first, MINUTE) / MINUTE, newest);
        }
    }

    /// Notes a minute in which a visitor was seen who is known to have been seen at `newest`, too.
    fn seen_earlier(&mut self, visitor: Visitor, minute: i64, newest: Millis) {
        if minute < bucket(newest, MINUTE) / MINUTE {
            self.earlier.insert((minute, visitor));
        }
    }

    /// Notes that a user was there at `at` (Unix ms), without a session.
    pub fn seen_user(&mut self, user: Visitor, at: Millis) {
        self.users.insert(user);
        self.seen(user, at);
    }

    /// Notes that a user and a session were seen together, and so are one visitor.
    pub fn linked(&mut self, link: UserLink) {
        let UserLink { user, session, at } = link;
        let newest = self.links.entry(user).or_insert((at, session));
        *newest = (at, session).max(*newest);
    }

    /// Adds a whole delta.
    pub fn merge(&mut self, delta: &Delta) {
        self.events += delta.events;
        let index: Vec<u32> = delta
            .series
            .iter()
            .map(|series| {
                let known = self.series.iter().position(|known| known == series);
                known.map_or_else(|| self.push(series.clone()), |index| index as u32)
            })
            .collect();
        for &(second, series, value) in &delta.cells {
            self.add(index[series as usize], second * SECOND, value);
        }
        let name: Vec<u32> = delta.names.iter().map(|name| self.name(name)).collect();
        for (minute, index, top) in &delta.tops {
            self.tops.entry((*minute, name[*index as usize])).or_default().add_all(top);
            self.top_bytes += top.bytes_with_values();
        }
        for &(quarter, index, hash) in &delta.distinct {
            self.distinct.insert((quarter, name[index as usize], hash));
        }
        for &(visitor, at) in &delta.visitors {
            self.seen(visitor, at);
        }
        for &(minute, visitor) in &delta.earlier {
            let newest = self.visitors.get(&visitor).copied().unwrap_or(Millis::MAX);
            self.seen_earlier(visitor, minute, newest);
        }
        self.users.extend(&delta.users);
        delta.links.iter().for_each(|link| self.linked(*link));
    }

    /// The bytes that the delta will take in memory, at most, but for the few names in it.
    pub fn bytes(&self) -> usize {
        self.cells.len() * size_of::<(i64, u32, i64)>()
            + self.top_bytes
            + self.tops.len() * size_of::<(i64, u32, Top)>()
            + self.distinct.len() * size_of::<(i64, u32, u64)>()
            + self.visitors.len() * size_of::<(Visitor, Millis)>()
            + self.users.len() * size_of::<Visitor>()
            + self.links.len() * size_of::<UserLink>()
            + self.earlier.len() * size_of::<(i64, Visitor)>()
    }

    /// Events added so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the sum and leaves an empty one behind. A delta has one canonical order, so equal
    /// sums are equal bytes, however they came about.
    pub fn finish(&mut self) -> Delta {
        let sum = std::mem::take(self);
        let (series, rank) = sorted(sum.series);
        let mut cells: Vec<_> = sum
            .cells
            .into_iter()
            .filter(|&(_, value)| value != 0)
            .map(|((second, series), value)| (second, rank[series as usize], value))
            .collect();
        cells.sort_unstable();
        let (names, rank) = sorted(sum.names);
        let mut tops: Vec<_> = sum
            .tops
            .into_iter()
            .map(|((minute, name), top)| (minute, rank[name as usize], top.finish()))
            .collect();
        tops.sort_unstable_by_key(|top| (top.0, top.1));
        let mut distinct: Vec<_> = sum
            .distinct
            .into_iter()
            .map(|(quarter, name, hash)| (quarter, rank[name as usize], hash))
            .collect();
        distinct.sort_unstable();
        let mut visitors: Vec<_> = sum.visitors.into_iter().collect();
        visitors.sort_unstable();
        let mut users: Vec<_> = sum.users.into_iter().collect();
        users.sort_unstable();
        let link = |(user, (at, session))| UserLink { user, session, at };
        let mut links: Vec<_> = sum.links.into_iter().map(link).collect();
        links.sort_unstable();
        let mut earlier: Vec<_> = sum.earlier.into_iter().collect();
        earlier.sort_unstable();
        let events = sum.events;
        Delta { events, series, cells, names, tops, distinct, visitors, users, links, earlier }
    }

    fn name(&mut self, name: &str) -> u32 {
        let known = self.names.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }) as u32
    }

    fn push(&mut self, series: Series) -> u32 {
        self.series.push(series);
        (self.series.len() - 1) as u32
    }

    fn add(&mut self, series: u32, at: Millis, value: i64) {
        let cell = self.cells.entry((at.div_euclid(SECOND), series)).or_insert(0);
        *cell = cell.saturating_add(value);
    }
}

/// Sorts a list. Also returns, for each old place of an item, its new one.
fn sorted<T: Ord>(list: Vec<T>) -> (Vec<T>, Vec<u32>) {
    let mut order: Vec<(T, usize)> = list.into_iter().zip(0..).collect();
    order.sort();
    let mut rank = vec![0u32; order.len()];
    for (new, (_, old)) in order.iter().enumerate() {
        rank[*old] = new as u32;
    }
    (order.into_iter().map(|(item, _)| item).collect(), rank)
}
