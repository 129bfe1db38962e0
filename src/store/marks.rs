//! Marks in the store, which keeps them for good.

use async_trait::async_trait;

use crate::{
    domain::{
        mark::{MAX_MARK_LENGTH, Mark, NewMark},
        time::Millis,
    },
    sink::SinkError,
};

/// What became of a mark that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeMark {
    /// It is in the store.
    New(Mark),
    /// The store has one with its key: this one. Nothing was written. It may have been taken back since.
    Known(Mark),
}

impl MadeMark {
    /// The mark that the store has now.
    pub fn mark(&self) -> &Mark {
        match self {
            MadeMark::New(mark) | MadeMark::Known(mark) => mark,
        }
    }
}

/// Which marks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarksAsked {
    /// Those that reach into the span from here on, Unix ms.
    pub from: Millis,
    /// Those that began before, Unix ms.
    pub to: Millis,
    /// The most, of which the newest are read.
    pub limit: usize,
}

/// Keeps marks.
#[async_trait]
pub trait MarkLog: Send + Sync + 'static {
    /// Keeps a mark, unless one with its key is there.
    async fn add_mark(&self, new: &NewMark) -> Result<MadeMark, SinkError>;

    /// Takes a mark back at `now` (Unix ms), in the name of `by`; with `only_of`, one of this source. `false`
    /// where there is none with this id.
    async fn remove_mark(
        &self,
        id: &str,
        (by, only_of): (&str, Option<&str>),
        now: Millis,
    ) -> Result<bool, SinkError>;

    /// The marks of a span that were not taken back, the newest first.
    async fn marks(&self, asked: MarksAsked) -> Result<Vec<Mark>, SinkError>;
}

/// SQL for both stores: a new mark. Nothing happens where its key is there.
pub(crate) const INSERT: &str =
    "INSERT INTO marks (id, at, until_at, title, source, link, repeat_key, made_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
/// SQL for both stores: the mark with the key `$1`.
pub(crate) const BY_KEY: &str =
    "SELECT id, at, until_at, title, source, link FROM marks WHERE repeat_key = $1";
/// SQL for both stores: the mark `$1` is taken back at `$2` by `$3`; unless `$4` is null, one of this source.
pub(crate) const REMOVE: &str = "UPDATE marks SET removed_at = $2, removed_by = $3
    WHERE id = $1 AND removed_at IS NULL AND source = coalesce($4, source)";
/// SQL for both stores: the marks that reach into `[$1, $2)`, of those that began at `$3` or later; at
/// most `$4`.
pub(crate) const LIST: &str = "SELECT id, at, until_at, title, source, link FROM marks
    WHERE removed_at IS NULL AND at >= $3 AND at < $2 AND coalesce(until_at, at) >= $1
    ORDER BY at DESC, id DESC LIMIT $4";

impl MarksAsked {
    /// The earliest begin of a mark that reaches into the span, Unix ms.
    pub(crate) fn earliest(&self) -> Millis {
        self.from.saturating_sub(MAX_MARK_LENGTH)
    }
}
