//! Reads stored events of a span of time, for questions that counters can't answer.

pub mod export;
pub mod search;
pub mod visitors;

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::{
    export::{ExportAsked, ExportSlice},
    search::{EventSearch, SearchedEvents},
    visitors::{SeenVisitor, VisitorsAsked},
};
use crate::{domain::time::Millis, sink::SinkError};

/// Which events are asked for.
#[derive(Clone, Debug, Default)]
pub struct EventsAsked {
    /// The spans `[from, to)` of event time, Unix ms, in ascending order.
    pub windows: Vec<(Millis, Millis)>,
    /// Their types; `None` for all.
    pub kinds: Option<Vec<String>>,
    /// The most events of one window.
    pub limit: usize,
}

/// An event as the store has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredEvent {
    /// Event time, Unix ms.
    pub time: Millis,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its properties, a JSON object.
    pub properties: String,
    /// The name of its source; `None` in rows of before there were names.
    pub source: Option<String>,
}

/// Reads events.
#[async_trait]
pub trait EventReader: Send + Sync + 'static {
    /// The events of each window, by time; of more than [`EventsAsked::limit`] the oldest.
    ///
    /// # Errors
    /// It takes longer than a chart may, or the store can't be read.
    async fn events(&self, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, SinkError>;

    /// Searches events one by one, for at most about [`search::SEARCH_FOR`].
    ///
    /// # Errors
    /// A first look takes longer than a chart may, or the store can't be read.
    async fn search(&self, asked: &EventSearch) -> Result<SearchedEvents, SinkError>;

    /// Who was seen in a span. `None` where they are more than [`visitors::MOST`], or to find out would take
    /// longer than [`visitors::WITHIN`].
    ///
    /// # Errors
    /// The store can't be read.
    async fn visitors(&self, asked: &VisitorsAsked) -> Result<Option<Vec<SeenVisitor>>, SinkError>;

    /// Reads all events of a stretch of time, and sends them slice by slice, the oldest slice first. It is
    /// over where nobody takes them any more.
    ///
    /// # Errors
    /// The store can't be read. What was sent by then is right.
    async fn export(
        &self,
        asked: &ExportAsked,
        slices: mpsc::Sender<ExportSlice>,
    ) -> Result<(), SinkError>;
}
