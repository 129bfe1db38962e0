//! Power cuts at every step of committing, rolling, retiring and tidying up, with all that was
//! not synced lost or torn.

use super::{super::disk::power, history::History, *};

/// What must be there, and what may be.
#[derive(Default)]
struct Known {
    /// By commits that returned.
    committed: History,
    /// The same with the group that was under way.
    under_way: Option<History>,
}

impl Known {
    /// Compares with what is found after a cut, and goes on from there.
    fn found(&mut self, opened: &mut Opened, settled: [u64; 2]) {
        let spool = &opened.spool;
        let newest = spool.newest_sealed();
        let History { batches: known, open: known_open, .. } = &self.committed;
        assert!(newest >= known.len() as u64, "a batch that was sealed is there");
        let oldest = spool.oldest().unwrap_or(newest + 1);
        assert!(oldest <= settled[0].min(settled[1]) + 1, "no unsettled batch has gone");
        for sink in Sink::ALL {
            assert!(spool.settled(sink) <= settled[sink as usize].max(oldest - 1));
        }
        let whole = self.under_way.as_ref().unwrap_or(&self.committed);
        let after: Vec<String> = whole.after(known.len()).cloned().collect();
        let mut found = Vec::new();
        let mut batches = Vec::new();
        for seq in 1..=newest {
            let known = known.get(seq as usize - 1);
            if seq < oldest {
                let known = known.expect("only what was sealed is settled").clone();
                match spool.read(seq) {
                    Ok(batch) => assert_eq!(ids_of(&batch), known, "a kept batch is as it was"),
                    Err(error) => assert!(matches!(error, SpoolError::Gone { .. }), "{error}"),
                }
                batches.push(known);
                continue;
            }
            let ids = ids_of(&spool.read(seq).unwrap());
            match known {
                Some(known) => assert_eq!(ids, *known, "batch {seq} is as it was"),
                None => found.extend(ids.iter().cloned()),
            }
            batches.push(ids);
        }
        let open = open_ids(&opened.recovery.open);
        found.extend(open.iter().cloned());
        assert!(found.len() >= known_open.len(), "what was committed is there");
        assert_eq!(found, after[..found.len()], "in order, once, and nothing else");
        assert_eq!(spool.damaged(), 0, "a cut is no damage: {:?}", opened.recovery.report);
        let remembered: BTreeSet<_> = opened.recovery.ids[0].iter().map(|(_, id)| id).collect();
        let all = batches.iter().flatten().chain(&open);
        for id in all {
            assert!(remembered.contains(id), "{id} is known to the index of ids");
        }
        (self.committed.batches, self.committed.open) = (batches, open);
        self.committed.seal_recovered(opened);
        self.under_way = None;
    }
}

fn groups() -> impl Strategy<Value = Vec<Vec<(u8, bool)>>> {
    let group = proptest::collection::vec((1..4u8, any::<bool>()), 1..5);
    proptest::collection::vec(group, 1..12)
}

proptest! {
    #[test]
    fn a_power_cut_at_any_step_loses_nothing_that_was_synced(
        rounds in proptest::collection::vec((groups(), 0..50u32, any::<u64>()), 1..4),
        segment_bytes in 200..1_500u64,
        settles in 0..4usize,
        keep in any::<bool>(),
    ) {
        let mut bench = Bench::new(segment_bytes);
        bench.keep_ms = if keep { 1_000 } else { 0 };
        let mut known = Known::default();
        let mut settled = [0; 2];
        let mut opened = bench.open();
        for (groups, after, seed) in rounds {
            power::cut_after(after, seed);
            for requests in groups {
                let (mut group, next) = known.committed.group(&requests);
                if opened.writer.commit(&mut group).is_err() {
                    known.under_way = Some(next);
                    break;
                }
                known.committed = next;
                // The sinks follow, the store further behind.
                for (sink, behind) in Sink::ALL.into_iter().zip([settles as u64, 0]) {
                    let newest = (known.committed.batches.len() as u64).saturating_sub(behind);
                    for seq in settled[sink as usize] + 1..=newest {
                        opened.spool.settle(sink, seq);
                        settled[sink as usize] = seq;
                    }
                }
                if opened.writer.retire_at(NOW).is_err() {
                    break;
                }
            }
            drop(opened);
            power::on();
            opened = bench.open();
            known.found(&mut opened, settled);
            // What the cursor file does not know is delivered again.
            settled = Sink::ALL.map(|sink| opened.spool.settled(sink));
        }
        drop(opened);
        works(&bench);
    }
}
