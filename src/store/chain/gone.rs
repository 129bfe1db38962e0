//! Rows that were deleted because they are of a person who is to be forgotten, and that come off the chain with that.

use std::collections::BTreeMap;

use crate::domain::{
    chain::{ForgettableRow, canonical, digest_of_form},
    row::Row,
    time::Millis,
};

/// Rows that were deleted and are not off the chain yet. Each takes one row off, so that of two rows with the same
/// time, type and id the one that is another person's stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GoneRows {
    /// Their canonical forms by event time (Unix ms), type and id.
    rows: BTreeMap<(Millis, String, String), Vec<Vec<u8>>>,
}

impl GoneRows {
    /// Adds a row.
    pub fn add(&mut self, row: &Row<'_>) {
        let mut form = Vec::new();
        canonical::write(row, &mut form);
        let place = (row.time, row.kind.to_owned(), row.id.to_owned());
        self.rows.entry(place).or_default().push(form);
    }

    /// The first and the last event time of those that are left, Unix ms.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        self.rows
            .first_key_value()
            .map(|it| it.0.0)
            .zip(self.rows.last_key_value().map(|it| it.0.0))
    }

    /// Whether any of them may be in a batch whose rows are from `first` to `last`.
    pub fn has_any_within(&self, first: Millis, last: Millis) -> bool {
        let since = |at: Millis| (at, String::new(), String::new());
        self.rows.range(since(first)..since(last.saturating_add(1))).next().is_some()
    }

    /// Whether a row of the chain is one of them, which it is then no more. `exact`: by its digest. Else by its
    /// place: somebody may have changed a row of the person before it was deleted, and what the chain says of it has
    /// to go all the same. All batches are asked exactly before any is asked by place.
    pub fn take(&mut self, row: &ForgettableRow<'_>, exact: bool) -> bool {
        let place = (row.time, row.kind.to_owned(), row.id.to_owned());
        let Some(forms) = self.rows.get_mut(&place) else { return false };
        let is_it =
            |form: &Vec<u8>| row.key.is_some_and(|key| digest_of_form(&key, form) == row.digest);
        let Some(at) = forms.iter().position(|form| !exact || is_it(form)) else { return false };
        forms.swap_remove(at);
        if forms.is_empty() {
            self.rows.remove(&place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takes_one_row_off_and_the_one_that_it_was_first() {
        let of = |user| Row { id: "a", kind: "b", user_id: Some(user), ..Row::default() };
        let (key, mut scratch) = ([7; 16], Vec::new());
        let mut in_chain = |user| {
            let digest = crate::domain::chain::digest(&key, &of(user), &mut scratch);
            ForgettableRow { time: 0, kind: "b", id: "a", key: Some(key), digest }
        };
        let (anna, bert, changed) = (in_chain("anna"), in_chain("bert"), in_chain("carl"));
        let mut gone = GoneRows::default();
        gone.add(&of("bert"));
        assert!(!gone.take(&anna, true) && gone.take(&bert, true), "only the row that it was");
        assert!(!gone.take(&anna, true) && !gone.take(&anna, false), "one row takes one off");
        assert_eq!(gone.span(), None);
        gone.add(&of("bert"));
        assert!(gone.has_any_within(0, 0) && !gone.has_any_within(1, 9));
        assert!(!gone.take(&changed, true) && gone.take(&changed, false));
    }
}
