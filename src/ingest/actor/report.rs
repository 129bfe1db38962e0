//! What the ingest actor reports to operators: metrics, and the state of the spool's disk.

use super::IngestActor;
use crate::{
    domain::{ids::IdClass, time::now_ms},
    ingest::{INTAKE, NotTaken},
    sink::Sink,
};

impl IngestActor {
    /// Notes how the last write went, for `/readyz`.
    pub(super) fn tell(&mut self, result: &Result<(), NotTaken>) {
        self.no_room = matches!(result, Err(NotTaken::Full));
        match result {
            Ok(()) => self.health.well(INTAKE),
            Err(NotTaken::Full) => {
                let message = "no room on the spool's disk; requests get 503";
                self.health.trouble(INTAKE, "full", message);
            }
            Err(NotTaken::Failed(reason)) => self.health.trouble(INTAKE, "failed", reason),
        }
    }

    /// Looks whether there is room again after a write that found none. It can't wait for the next
    /// write: while `/readyz` says that the disk is full, a load balancer may send nothing more.
    fn look_for_room(&mut self) {
        if self.no_room && self.spool.room().is_ok_and(|room| room > self.limits.batch_bytes as u64)
        {
            self.no_room = false;
            self.health.well(INTAKE);
        }
    }

    /// Sets the gauges of spool and ids, once a second, and looks which event types are counted elsewhere.
    pub(super) fn report(&mut self) {
        self.look_for_room();
        let now = now_ms();
        self.aggregator.look_around(now);
        self.types_file.keep(self.aggregator.types(), now);
        metrics::gauge!("floodmark_spool_bytes").set(self.spool.bytes() as f64);
        metrics::gauge!("floodmark_spool_kept_bytes").set(self.spool.kept_bytes() as f64);
        metrics::gauge!("floodmark_spool_damaged_batches").set(self.spool.damaged() as f64);
        metrics::gauge!("floodmark_spool_max_bytes").set(self.spool.max_bytes() as f64);
        if let Ok(free) = self.spool.room() {
            metrics::gauge!("floodmark_disk_free_bytes").set(free as f64);
        }
        for sink in Sink::ALL {
            let lag = self.spool.lag(sink);
            metrics::gauge!("floodmark_spool_lag_events", "sink" => sink.as_str())
                .set(lag.events as f64);
            metrics::gauge!("floodmark_spool_oldest_seconds", "sink" => sink.as_str())
                .set(lag.waits_ms(now) as f64 / 1000.0);
        }
        let now = self.clock.now();
        self.dedupe.expire(now);
        metrics::gauge!("floodmark_dedupe_ids").set(self.dedupe.count() as f64);
        for (class, gauge) in [
            (IdClass::Short, metrics::gauge!("floodmark_dedupe_window_seconds")),
            (IdClass::Long, metrics::gauge!("floodmark_dedupe_long_window_seconds")),
        ] {
            gauge.set(self.dedupe.window_in_force(class, now) as f64 / 1000.0);
        }
    }
}
