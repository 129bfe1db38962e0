//! Copies of a spool, taken at any step: put back (the node goes on from an older state), cloned,
//! and copied again. Whatever they do, an identity stands for the same contents in all of them.

use super::{history::History, *};

/// What happens in the test. Numbers pick one of the spools or copies that there are.
#[derive(Clone, Debug)]
enum Step {
    /// Requests of so many events each, sealed after the request where the flag is set.
    Commit(prop::sample::Index, Vec<(u8, bool)>),
    /// Both sinks settle all, and what they have passed is retired.
    Retire(prop::sample::Index),
    BeginRun(prop::sample::Index),
    /// A stop, and a start.
    Restart(prop::sample::Index),
    /// The folder is copied while the process runs.
    Copy(prop::sample::Index),
    /// A copy is opened as a spool beside all others. It may be opened again later.
    Open(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<prop::sample::Index>;
    let requests = proptest::collection::vec((1..4u8, any::<bool>()), 1..5);
    let step = prop_oneof![
        8 => (which(), requests).prop_map(|(of, group)| Step::Commit(of, group)),
        2 => which().prop_map(Step::Retire),
        1 => which().prop_map(Step::BeginRun),
        2 => which().prop_map(Step::Restart),
        2 => which().prop_map(Step::Copy),
        2 => which().prop_map(Step::Open),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A spool that is running.
struct Running {
    bench: Bench,
    opened: Opened,
    history: History,
}

/// What is known of all identities, over all spools.
#[derive(Default)]
struct Known {
    contents: BTreeMap<BatchId, Vec<String>>,
    /// Batches that a start sealed, out of what a stop left open.
    tails: BTreeSet<BatchId>,
}

impl Known {
    /// Opens a spool and seals what was open.
    fn open(&mut self, bench: Bench, mut history: History) -> Running {
        let mut opened = bench.open();
        assert_eq!(opened.recovery.report, Vec::<String>::new());
        assert_eq!(opened.recovery.next_seq, history.batches.len() as u64 + 1);
        assert_eq!(open_ids(&opened.recovery.open), history.open);
        if !history.open.is_empty() {
            self.tails.extend(opened.spool.batch_id(opened.recovery.next_seq));
        }
        history.seal_recovered(&mut opened);
        Running { bench, opened, history }
    }

    /// Reads all that can be read.
    fn check(&mut self, running: &Running) {
        let (spool, history) = (&running.opened.spool, &running.history);
        let newest = history.batches.len() as u64;
        assert_eq!(spool.newest_sealed(), newest);
        let oldest = spool.oldest_readable().unwrap_or(newest + 1);
        assert!(oldest <= spool.settled(Sink::Store) + 1);
        let mut before = BTreeMap::new();
        for seq in oldest..=newest {
            let batch = spool.read(seq).unwrap();
            let ids = ids_of(&batch);
            assert_eq!(ids, history.batches[seq as usize - 1]);
            assert_eq!((Some(batch.id), batch.id.seq), (spool.batch_id(seq), seq));
            assert_eq!(batch.after.map(|id| id.seq), seq.checked_sub(LANES).filter(|seq| *seq > 0));
            if let Some(before) = before.insert(seq % LANES, batch.id) {
                assert_eq!(batch.after, Some(before));
            }
            let known = self.contents.entry(batch.id).or_insert_with(|| ids.clone());
            if *known != ids {
                assert!(self.tails.contains(&batch.id), "{:?}: {ids:?}, {known:?}", batch.id);
                let prefix = known.starts_with(&ids) || ids.starts_with(known);
                assert!(prefix, "{:?}: {ids:?}, {known:?}", batch.id);
                if ids.len() > known.len() {
                    *known = ids;
                }
            }
        }
        for after in 0..newest {
            let before = (after..).step_by(LANES as usize).find(|seq| *seq > newest).unwrap();
            let between = (after + LANES..before).step_by(LANES as usize);
            let events: usize = between.map(|seq| history.batches[seq as usize - 1].len()).sum();
            match spool.events_of_lane(after, before) {
                Some(found) if after > 0 => assert_eq!(found, events as u64, "{after}..{before}"),
                Some(_) => {}
                // Only the newest are noted, and in tests these are few.
                None => assert!(after < spool.oldest().unwrap_or(newest)),
            }
        }
    }
}

proptest! {
    #[test]
    fn an_identity_stands_for_the_same_contents_in_all_copies(
        steps in steps(),
        segment_bytes in 200..2_000u64,
        keep in any::<bool>(),
    ) {
        let mut known = Known::default();
        let mut bench = Bench::new(segment_bytes);
        bench.keep_ms = if keep { 1_000 } else { 0 };
        let mut spools = vec![known.open(bench, History::default())];
        let mut copies: Vec<(Bench, History)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Commit(of, requests) => {
                    let at = of.index(spools.len());
                    let (mut group, next) = spools[at].history.group(&requests);
                    spools[at].opened.writer.commit(&mut group).unwrap();
                    spools[at].history = next;
                }
                Step::Retire(of) => {
                    let at = of.index(spools.len());
                    let newest = spools[at].history.batches.len() as u64;
                    settle_all(&spools[at].opened.spool, newest);
                    spools[at].opened.writer.retire_at(NOW).unwrap();
                }
                Step::BeginRun(of) => {
                    let at = of.index(spools.len());
                    let first = spools[at].opened.writer.begin_run();
                    let open = u64::from(!spools[at].history.open.is_empty());
                    let next = spools[at].history.batches.len() as u64 + 1 + open;
                    prop_assert_eq!(first.seq, next);
                    prop_assert_eq!(spools[at].opened.spool.batch_id(next), Some(first));
                }
                Step::Restart(of) => {
                    let Running { bench, opened, history } = spools.swap_remove(of.index(spools.len()));
                    let before = opened.spool.runs().newest();
                    drop(opened);
                    let again = known.open(bench, history);
                    prop_assert_ne!(again.opened.spool.runs().newest(), before);
                    spools.push(again);
                }
                Step::Copy(of) => {
                    let of = &spools[of.index(spools.len())];
                    copies.push((of.bench.copy(), of.history.clone()));
                }
                Step::Open(of) if !copies.is_empty() => {
                    let (bench, history) = &copies[of.index(copies.len())];
                    let history = History { name: format!("{number}-"), ..history.clone() };
                    let copy = bench.copy();
                    spools.push(known.open(copy, history));
                }
                Step::Open(_) => {}
            }
            for spool in &spools {
                known.check(spool);
            }
        }
        for Running { bench, opened, .. } in spools {
            drop(opened);
            works(&bench);
        }
    }
}
