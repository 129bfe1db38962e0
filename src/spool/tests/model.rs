//! Arbitrary histories, restarts and full disks included, against a model in memory.

use super::{history::History, *};

/// What happens to the spool in the model test.
#[derive(Clone, Debug)]
enum Step {
    /// Requests of so many events each, sealed after the request where the flag is set.
    Commit(Vec<(u8, bool)>),
    /// The same, but the disk is full at the n-th write.
    Refused(Vec<(u8, bool)>, u32),
    Settle(Sink, prop::sample::Index),
    SettleAll(Sink),
    Retire,
    /// A stop; a part of a group that was never committed may be on the disk.
    Crash(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let requests = || proptest::collection::vec((1..4u8, any::<bool>()), 1..6);
    let sink = || prop_oneof![Just(Sink::Store), Just(Sink::Live)];
    let step = prop_oneof![
        6 => requests().prop_map(Step::Commit),
        1 => (requests(), 0..4u32).prop_map(|(group, after)| Step::Refused(group, after)),
        8 => (sink(), any::<prop::sample::Index>()).prop_map(|(sink, at)| Step::Settle(sink, at)),
        1 => sink().prop_map(Step::SettleAll),
        2 => Just(Step::Retire),
        1 => any::<prop::sample::Index>().prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the spool should be.
#[derive(Default)]
struct Model {
    history: History,
    settled: [BTreeSet<u64>; 2],
    /// By sink, the watermarks that may be on the disk: the one that retire() wrote, and
    /// those since, for a roll writes them too.
    persisted: [BTreeSet<u64>; 2],
}

impl Model {
    fn watermark(&self, sink: usize) -> u64 {
        (1..).find(|seq| !self.settled[sink].contains(seq)).unwrap_or(1) - 1
    }

    fn check(&mut self, spool: &Spool) {
        for sink in 0..2 {
            self.persisted[sink].insert(self.watermark(sink));
        }
        let newest = self.history.batches.len() as u64;
        assert_eq!(spool.newest_sealed(), newest);
        let oldest = spool.oldest().unwrap_or(newest + 1);
        for sink in Sink::ALL {
            let settled = &self.settled[sink as usize];
            assert!(oldest <= self.watermark(sink as usize) + 1);
            assert_eq!(spool.settled(sink), self.watermark(sink as usize));
            let behind: Vec<u64> = (1..=newest).filter(|seq| !settled.contains(seq)).collect();
            let events =
                behind.iter().map(|seq| self.history.batches[*seq as usize - 1].len() as u64);
            let lag = spool.lag(sink);
            assert_eq!((lag.batches, lag.events), (behind.len() as u64, events.sum()));
            assert_eq!(lag.oldest_ms, behind.first().map(|_| NOW));
            for lane in 0..LANES {
                let next = behind.iter().copied().find(|seq| seq % LANES == lane);
                assert_eq!(spool.next(sink, lane, 0), next);
            }
        }
        for seq in spool.oldest_readable().unwrap_or(newest + 1)..=newest {
            let batch = spool.read(seq).unwrap();
            assert_eq!(ids_of(&batch), self.history.batches[seq as usize - 1]);
            assert_eq!(batch.delta.events, batch.events);
        }
        assert_eq!(spool.damaged(), 0);
    }

    fn retire(&mut self, writer: &mut SpoolWriter) {
        writer.retire_at(NOW).unwrap();
        for sink in Sink::ALL {
            let watermark = self.watermark(sink as usize);
            assert_eq!(writer.persisted(sink), watermark);
            self.persisted[sink as usize] = [watermark].into();
        }
    }

    fn reopened(&mut self, opened: &mut Opened) {
        let recovery = &opened.recovery;
        assert_eq!(recovery.next_seq, self.history.batches.len() as u64 + 1);
        assert_eq!(open_ids(&recovery.open), self.history.open);
        assert_eq!(recovery.open.events, self.history.open.len() as u64);
        let ids: BTreeSet<_> = recovery.ids[0].iter().map(|(_, id)| id).collect();
        assert_eq!(ids, self.history.after(0).cloned().collect());
        for (settled, sink) in self.settled.iter_mut().zip(Sink::ALL) {
            // What no cursor has noted yet is forgotten: the sink is given it again.
            let kept = opened.writer.persisted(sink);
            let persisted = &mut self.persisted[sink as usize];
            assert!(persisted.contains(&kept) || kept == 0 && persisted.is_empty());
            *persisted = [kept].into();
            *settled = (1..=kept).collect();
        }
        self.history.seal_recovered(opened);
    }
}

proptest! {
    #[test]
    fn behaves_like_its_model(
        steps in steps(),
        segment_bytes in 200..2_000u64,
        keep in any::<bool>(),
    ) {
        let mut bench = Bench::new(segment_bytes);
        bench.keep_ms = if keep { 1_000 } else { 0 };
        let mut model = Model::default();
        let mut opened = bench.open();
        for step in steps {
            let newest = model.history.batches.len() as u64;
            match step {
                Step::Commit(requests) => {
                    let (mut group, next) = model.history.group(&requests);
                    opened.writer.commit(&mut group).unwrap();
                    model.history = next;
                }
                Step::Refused(requests, after) => {
                    let (mut group, next) = model.history.group(&requests);
                    faults::fail_write(after, ErrorKind::StorageFull);
                    match opened.writer.commit(&mut group) {
                        Ok(()) => model.history = next,
                        Err(error) => prop_assert!(matches!(error, CommitError::Full(_))),
                    }
                    faults::reset();
                }
                Step::Settle(sink, at) if newest > 0 => {
                    // Near the watermark, so that it moves.
                    let mark = model.watermark(sink as usize);
                    let seq = (mark + 1 + at.index(4) as u64).min(newest);
                    opened.spool.settle(sink, seq);
                    model.settled[sink as usize].insert(seq);
                }
                Step::SettleAll(sink) => {
                    for seq in 1..=newest {
                        opened.spool.settle(sink, seq);
                        model.settled[sink as usize].insert(seq);
                    }
                }
                Step::Settle(..) => {}
                Step::Retire => model.retire(&mut opened.writer),
                Step::Crash(at) => {
                    drop(opened);
                    // What an unfinished write leaves: part of its first record at most, so
                    // that nothing of it was ever whole.
                    let (group, _) = model.history.group(&[(2, false)]);
                    let part = &group.bytes()[..at.index(group.len())];
                    let name = bench.names(".seg").pop().unwrap();
                    let mut bytes = fs::read(bench.path(&name)).unwrap();
                    bytes.extend_from_slice(part);
                    fs::write(bench.path(&name), bytes).unwrap();
                    opened = bench.open();
                    let report = &opened.recovery.report;
                    prop_assert_eq!(report.len(), usize::from(!part.is_empty()), "{:?}", report);
                    model.reopened(&mut opened);
                }
            }
            model.check(&opened.spool);
        }
    }
}
