//! Runs: data dirs from before there were any, a lost file of runs, thousands of starts.

use super::*;
use crate::domain::batch::RunId;

/// The run of batch `seq`.
fn run_of(spool: &Spool, seq: u64) -> RunId {
    spool.batch_id(seq).unwrap().run
}

/// Opens, seals a batch and closes again.
fn life(bench: &Bench, seq: u64) -> RunId {
    let Opened { spool, mut writer, recovery } = bench.open();
    assert_eq!(recovery.next_seq, seq);
    fill(&mut writer, seq, seq);
    run_of(&spool, seq)
}

/// What a segment's records would be in a data dir from before there were runs.
fn old_segment(bench: &Bench, from: u64, to: u64, open: &[&str]) {
    let mut bytes = segment::header_of(1, NODE, from);
    let mut group = Group::default();
    let mut start = 0;
    for seq in from..=to {
        put(&mut group, &format!("e{seq}"));
        let rows = group.len() - start;
        group.seal(seq, NOW, 1, &delta(1));
        group.finish_seal((seq - from) as usize, rows as u64);
        start = group.len();
    }
    open.iter().for_each(|id| put(&mut group, id));
    bytes.extend_from_slice(group.bytes());
    fs::write(segment::path(bench.dir.path(), from), bytes).unwrap();
}

#[test]
fn a_data_dir_from_before_there_were_runs_is_one_run_with_the_nodes_identity() {
    for open in [&[][..], &["x", "y"]] {
        let bench = Bench::new(1 << 20);
        // Both sinks have settled 1 to 42, and segment 1 has gone.
        old_segment(&bench, 41, 44, &[]);
        old_segment(&bench, 45, 46, open);
        let cursors = cursor::Cursors::new(NODE);
        let cursors = cursor::Cursors { settled: [42, 43], reserved: 1070, active: 45, ..cursors };
        cursors.store(bench.dir.path()).unwrap();

        let Opened { spool, mut writer, recovery } = bench.open();
        assert_eq!(recovery.report, Vec::<String>::new());
        assert_eq!(open_ids(&recovery.open), open);
        assert_eq!([spool.settled(Sink::Store), spool.settled(Sink::Live)], [42, 43]);
        let own = 47 + u64::from(!open.is_empty());
        if !open.is_empty() {
            let mut group = Group::default();
            group.seal(47, NOW, 2, &delta(2));
            writer.commit(&mut group).unwrap();
        }
        fill(&mut writer, own, own);
        let spools = [spool, {
            drop(writer);
            let again = bench.open();
            assert_eq!(again.recovery.report, Vec::<String>::new());
            again.spool
        }];
        for spool in spools {
            assert_eq!(spool.runs().iter().next(), Some((NODE, 1)));
            for seq in 41..own {
                let batch = spool.read(seq).unwrap();
                assert_eq!(batch.id, BatchId { run: NODE, seq });
                assert_eq!(batch.after, Some(BatchId { run: NODE, seq: seq - LANES }));
            }
            let first = spool.read(own).unwrap();
            assert_ne!(first.id.run, NODE);
            assert_eq!(first.after, Some(BatchId { run: NODE, seq: own - LANES }));
            assert_eq!(spool.events_of_lane(43, 47), Some(0), "47 is the next of its lane");
            assert_eq!(spool.events_of_lane(42, 50), Some(1), "46");
            assert_eq!(spool.events_of_lane(1, 49), None, "nobody has noted the oldest ones");
        }
        works(&bench);
    }
}

#[test]
fn a_lost_file_of_runs_is_made_again_from_the_segments() {
    for damage in [None, Some(&b"FLOODRUN and then nonsense"[..])] {
        let bench = Bench::new(1 << 20);
        let runs: Vec<RunId> = (1..=5).map(|seq| life(&bench, seq)).collect();
        match damage {
            None => fs::remove_file(bench.path(run_file::FILE)).unwrap(),
            Some(bytes) => fs::write(bench.path(run_file::FILE), bytes).unwrap(),
        }
        let Opened { spool, recovery, .. } = bench.open();
        assert_eq!(recovery.report.len(), 1, "{:?}", recovery.report);
        for (seq, run) in (1..).zip(runs) {
            assert_eq!(
                (run_of(&spool, seq), ids_of(&spool.read(seq).unwrap())),
                (run, vec![format!("e{seq}")])
            );
        }
        drop(spool);
        assert_eq!(bench.open().recovery.report, Vec::<String>::new(), "it is there again");
        works(&bench);
    }
}

#[test]
fn runs_that_nothing_needs_any_more_are_forgotten() {
    let mut bench = Bench::new(1 << 20);
    bench.keep_ms = 1_000;
    for _ in 0..50 {
        drop(bench.open());
    }
    assert_eq!(bench.open().spool.runs().iter().count(), 1, "the others have sealed nothing");
    for seq in 1..=300 {
        let Opened { spool, mut writer, .. } = bench.open();
        fill(&mut writer, seq, seq);
        settle_all(&spool, seq);
        writer.retire_at(NOW + 500 * seq as i64).unwrap();
    }
    let known = bench.open().spool.runs().iter().count();
    assert_eq!(known, run_file::REMEMBERED);
    assert!(fs::metadata(bench.path(run_file::FILE)).unwrap().len() < 10_000);
    works(&bench);
}

#[test]
fn a_segment_of_a_known_run_at_another_place_is_set_aside() {
    let bench = Bench::new(300);
    let run = life(&bench, 1);
    let copy = bench.copy();
    // The copy goes on; so does the original, for which 2 is a batch of another run.
    fill(&mut copy.open().writer, 2, 2);
    assert_ne!(life(&bench, 2), run);
    let stray = segment::path(bench.dir.path(), 3);
    let mut bytes = fs::read(segment::path(bench.dir.path(), 1)).unwrap();
    bytes.splice(..segment::HEADER, segment::header(run, 3));
    fs::write(&stray, bytes).unwrap();
    let Opened { spool, recovery, .. } = bench.open();
    assert_eq!((recovery.report.len(), recovery.next_seq), (1, 3), "{:?}", recovery.report);
    assert_eq!((bench.quarantined().len(), spool.damaged()), (1, 0));
    drop(spool);
    works(&bench);
}

#[test]
fn a_disk_without_room_keeps_no_start_from_opening() {
    let bench = Bench::new(1 << 20);
    life(&bench, 1);
    let mut writer = bench.open().writer;
    let mut group = Group::default();
    put(&mut group, "open");
    writer.commit(&mut group).unwrap();
    drop(writer);
    faults::no_room(true);
    let Opened { spool, mut writer, recovery } = bench.open();
    assert_eq!(open_ids(&recovery.open), ["open"]);
    let mut group = Group::default();
    group.seal(2, NOW, 1, &delta(1));
    assert!(matches!(writer.commit(&mut group), Err(CommitError::Full(_))), "no run, no seal");
    faults::no_room(false);
    writer.commit(&mut group).unwrap();
    fill(&mut writer, 3, 3);
    assert_ne!(run_of(&spool, 2), run_of(&spool, 3));
    drop((spool, writer));
    works(&bench);
}
