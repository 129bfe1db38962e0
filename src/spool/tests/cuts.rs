//! Power cuts at every step of committing, rolling, retiring and tidying up, with all that was
//! not synced lost or torn.

use super::{super::disk::power, *};

/// What must be there, and what may be.
#[derive(Default)]
struct Known {
    /// Batches whose commit returned, from batch 1 on.
    batches: Vec<Vec<String>>,
    /// Events of the open batch whose commit returned.
    open: Vec<String>,
    /// The group that was under way: its events in order.
    under_way: Vec<String>,
    made: u64,
}

impl Known {
    /// A group of requests of so many events, sealed where the flag is set.
    fn group(&mut self, requests: &[(u8, bool)]) -> (Group, Vec<Vec<String>>, Vec<String>) {
        let (mut batches, mut open) = (self.batches.clone(), self.open.clone());
        let mut group = Group::default();
        self.under_way.clear();
        for &(events, seal) in requests {
            let mut rows = Vec::new();
            let mut ids = Vec::new();
            for _ in 0..events {
                self.made += 1;
                ids.push(format!("event{}", self.made));
                rows.extend(row(&ids[ids.len() - 1]));
            }
            group.rows(events.into(), &rows, NOW, ids.iter().map(String::as_str));
            self.under_way.extend(ids.iter().cloned());
            open.extend(ids);
            if seal {
                let events = open.len() as u64;
                batches.push(std::mem::take(&mut open));
                group.seal(batches.len() as u64, NOW, events, &delta(events));
            }
        }
        (group, batches, open)
    }

    /// Compares with what is found after a cut, and goes on from there.
    fn found(&mut self, opened: &mut Opened, settled: [u64; 2]) {
        let spool = &opened.spool;
        let newest = spool.newest_sealed();
        assert!(newest >= self.batches.len() as u64, "a batch that was sealed is there");
        let oldest = spool.oldest().unwrap_or(newest + 1);
        assert!(oldest <= settled[0].min(settled[1]) + 1, "no unsettled batch has gone");
        for sink in Sink::ALL {
            assert!(spool.settled(sink) <= settled[sink as usize].max(oldest - 1));
        }
        let mut after = self.open.clone();
        after.extend(self.under_way.iter().cloned());
        let mut found = Vec::new();
        let mut batches = Vec::new();
        for seq in 1..=newest {
            let known = self.batches.get(seq as usize - 1);
            if seq < oldest {
                batches.push(known.expect("only what was sealed is settled").clone());
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
        assert!(found.len() >= self.open.len(), "what was committed is there");
        assert_eq!(found, after[..found.len()], "in order, once, and nothing else");
        assert_eq!(spool.damaged(), 0, "a cut is no damage: {:?}", opened.recovery.report);
        let remembered: BTreeSet<_> = opened.recovery.ids.iter().map(|(_, id)| id).collect();
        let all = batches.iter().flatten().chain(&open);
        for id in all {
            assert!(remembered.contains(id), "{id} is known to the index of ids");
        }
        (self.batches, self.open) = (batches, open);
        if !self.open.is_empty() {
            let seq = opened.recovery.next_seq;
            let mut group = Group::default();
            let events = opened.recovery.open.events;
            group.seal(seq, NOW, events, &delta(events));
            opened.writer.commit(&mut group).unwrap();
            self.batches.push(std::mem::take(&mut self.open));
        }
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
    ) {
        let bench = Bench::new(segment_bytes);
        let mut known = Known::default();
        let mut settled = [0; 2];
        let mut opened = bench.open();
        for (groups, after, seed) in rounds {
            power::cut_after(after, seed);
            for requests in groups {
                let (mut group, batches, open) = known.group(&requests);
                if opened.writer.commit(&mut group).is_err() {
                    break;
                }
                known.under_way.clear();
                (known.batches, known.open) = (batches, open);
                // The sinks follow, the store further behind.
                for (sink, behind) in Sink::ALL.into_iter().zip([settles as u64, 0]) {
                    let newest = (known.batches.len() as u64).saturating_sub(behind);
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
            known.under_way.clear();
        }
        drop(opened);
        works(&bench);
    }
}
