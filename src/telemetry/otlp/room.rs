//! How many spans wait for the collector. The crate of OpenTelemetry drops what its queue has no room for, and
//! keeps to itself how many that were; so spans are counted here when they come and when they leave, and what
//! there is no room for is not handed over.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

/// How many spans may wait; more are dropped.
pub(super) const MAX_SPANS: usize = 4096;
/// Counts those.
const DROPPED: &str = "floodmark_otlp_spans_dropped_total";

/// The room for spans that wait. A clone is the same room.
#[derive(Clone, Debug, Default)]
pub(super) struct SpanRoom(Arc<AtomicUsize>);

impl SpanRoom {
    /// Whether there is room for one more span, which then is taken up. A span that there is none for is
    /// counted as dropped.
    pub(super) fn take(&self) -> bool {
        let one_more = |waiting: usize| (waiting < MAX_SPANS).then_some(waiting + 1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !taken {
            metrics::counter!(DROPPED).increment(1);
        }
        taken
    }

    fn give_back(&self, spans: usize) {
        self.0.fetch_sub(spans, Ordering::Relaxed);
    }
}

/// The way out of the room: an exporter that gives back the places of what it takes.
#[derive(Debug)]
pub(super) struct LeavingSpans<E> {
    pub(super) exporter: E,
    pub(super) room: SpanRoom,
}

impl<E: SpanExporter> SpanExporter for LeavingSpans<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.room.give_back(batch.len());
        self.exporter.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Puts the counter into `/metrics` at 0, where there is a collector.
pub(super) fn show_all() {
    metrics::counter!(DROPPED).increment(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_given_back_is_taken_again() {
        let room = SpanRoom::default();
        let same = room.clone();
        for at in 0..MAX_SPANS {
            assert!(room.take(), "{at}");
        }
        assert!(!same.take());
        room.give_back(2);
        assert_eq!([same.take(), room.take(), same.take()], [true, true, false]);
    }
}
