//! The spool as a whole: against crashes, damage, loss of files, and a model.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::{disk::faults, *};
use crate::domain::{
    batch::{DeadLetter, LANES},
    delta::{Delta, DeltaSum},
    row::Row,
};

const NODE: NodeId = Uuid::from_u128(77);
const NOW: Millis = 1_000_000;
const WINDOW: IdWindow = IdWindow { window_ms: 1_000, max_ids: 1_000 };

/// A spool in a temporary folder.
struct Bench {
    dir: TempDir,
    segment_bytes: u64,
    max_bytes: u64,
}

impl Bench {
    fn new(segment_bytes: u64) -> Bench {
        // Thousands of fsyncs, none of which any test needs: memory will do.
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Bench { dir: dir.unwrap(), segment_bytes, max_bytes: 1 << 30 }
    }

    fn options(&self) -> SpoolOptions {
        SpoolOptions {
            dir: self.dir.path().to_owned(),
            node: NODE,
            segment_bytes: self.segment_bytes,
            max_bytes: self.max_bytes,
        }
    }

    fn open(&self) -> Opened {
        Spool::open(self.options(), WINDOW, NOW).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self, ending: &str) -> Vec<String> {
        names(self.dir.path(), ending)
    }

    fn quarantined(&self) -> Vec<String> {
        names(&self.path(recovery::QUARANTINE), "")
    }
}

fn names(dir: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

/// One encoded row with this id.
fn row(id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Row {
        time: NOW,
        received_at: NOW,
        id,
        kind: "page_view",
        user_id: None,
        session_id: Some("s"),
        properties: "{}",
    }
    .encode(&mut out);
    out
}

fn delta(events: u64) -> Delta {
    let mut sum = DeltaSum::default();
    (0..events).for_each(|_| sum.count("page_view", NOW));
    sum.seen(5, NOW);
    sum.finish()
}

fn put(group: &mut Group, id: &str) {
    group.rows(1, &row(id), NOW, [id]);
}

fn ids_of(batch: &Batch) -> Vec<String> {
    batch.iter().map(|row| row.unwrap().id.to_owned()).collect()
}

fn open_ids(open: &OpenTail) -> Vec<String> {
    let rows = open.rows.iter().flat_map(|chunk| crate::domain::row::rows(chunk));
    rows.map(|row| row.unwrap().id.to_owned()).collect()
}

/// Commits batches `from..=to`, one a group, each with the event `e<seq>`.
fn fill(writer: &mut SpoolWriter, from: u64, to: u64) {
    for seq in from..=to {
        let mut group = Group::default();
        put(&mut group, &format!("e{seq}"));
        group.seal(seq, NOW + seq as i64, 1, &delta(1));
        writer.commit(&mut group).unwrap();
    }
}

fn settle_all(spool: &Spool, through: u64) {
    for seq in 1..=through {
        Sink::ALL.iter().for_each(|sink| spool.settle(*sink, seq));
    }
}

/// After whatever happened, the spool takes in, delivers and remembers again.
fn works(bench: &Bench) {
    let Opened { spool, mut writer, recovery } = bench.open();
    let mut next = recovery.next_seq;
    let mut group = Group::default();
    if !recovery.open.is_empty() {
        let events = recovery.open.events;
        group.seal(next, NOW, events, &delta(events));
        writer.commit(&mut group).unwrap();
        assert_eq!(ids_of(&spool.read(next).unwrap()), open_ids(&recovery.open));
        next += 1;
    }
    fill(&mut writer, next, next + 2);
    drop((spool, writer));
    let Opened { spool, recovery, .. } = bench.open();
    assert_eq!(recovery.next_seq, next + 3);
    assert!(recovery.open.is_empty());
    for seq in next..next + 3 {
        assert_eq!(ids_of(&spool.read(seq).unwrap()), [format!("e{seq}")]);
    }
}

#[test]
fn a_batch_comes_back_as_it_was_sealed() {
    let bench = Bench::new(1 << 20);
    let Opened { spool, mut writer, recovery } = bench.open();
    assert_eq!(recovery.next_seq, 1);
    assert_eq!(recovery.report, Vec::<String>::new());
    let letters = vec![DeadLetter {
        received_at: NOW,
        code: "invalid_type".to_owned(),
        message: "no type".to_owned(),
        raw: "{".to_owned(),
    }];
    let mut group = Group::default();
    put(&mut group, "a");
    group.dead_letters(&letters);
    writer.commit(&mut group).unwrap();
    assert_eq!(spool.newest_sealed(), 0, "not sealed yet");
    group.clear();
    put(&mut group, "b");
    group.seal(1, NOW, 2, &delta(2));
    put(&mut group, "c");
    writer.commit(&mut group).unwrap();
    assert_eq!(spool.newest_sealed(), 1);

    for spool in [spool, {
        drop(writer);
        bench.open().spool
    }] {
        let batch = spool.read(1).unwrap();
        assert_eq!((batch.id.node, batch.id.seq), (NODE, 1));
        assert_eq!((batch.sealed_at, batch.events), (NOW, 2));
        assert_eq!(ids_of(&batch), ["a", "b"]);
        assert_eq!(batch.rows.len(), 2);
        assert_eq!(batch.dead_letters, letters);
        assert_eq!(batch.delta, delta(2));
        assert!(matches!(spool.read(2), Err(SpoolError::Gone { seq: 2 })));
    }
    let recovery = bench.open().recovery;
    assert_eq!(open_ids(&recovery.open), ["c"]);
    let ids: Vec<_> = recovery.ids.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(recovery.report, Vec::<String>::new());
    works(&bench);
}

#[test]
fn a_group_of_many_batches_rolls_between_them() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    let mut group = Group::default();
    for seq in 1..=9 {
        put(&mut group, &format!("e{seq}"));
        group.seal(seq, NOW, 1, &delta(1));
    }
    put(&mut group, "open");
    writer.commit(&mut group).unwrap();
    assert!(bench.names(".seg").len() > 2);
    let on_disk: u64 =
        bench.names(".seg").iter().map(|name| fs::metadata(bench.path(name)).unwrap().len()).sum();
    assert_eq!(spool.bytes(), on_disk);
    drop((spool, writer));
    let Opened { spool, recovery, .. } = bench.open();
    for seq in 1..=9 {
        assert_eq!(ids_of(&spool.read(seq).unwrap()), [format!("e{seq}")]);
    }
    assert_eq!(open_ids(&recovery.open), ["open"]);
    assert_eq!(recovery.report, Vec::<String>::new());
    works(&bench);
}

#[test]
fn segments_go_once_both_sinks_have_passed_them() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    fill(&mut writer, 1, 12);
    let before = bench.names(".seg");
    (1..=12).for_each(|seq| spool.settle(Sink::Store, seq));
    assert_eq!(writer.retire_at(NOW).unwrap(), Retired::default());
    assert_eq!(bench.names(".seg"), before);
    (2..=12).for_each(|seq| spool.settle(Sink::Live, seq));
    assert_eq!(writer.retire_at(NOW).unwrap(), Retired::default());
    spool.settle(Sink::Live, 1);
    let retired = writer.retire_at(NOW).unwrap();
    assert_eq!(retired.segments, before.len() as u64 - 1);
    assert_eq!(bench.names(".seg").len(), 1, "the newest stays");
    assert!(spool.bytes() < 600 && spool.oldest() > Some(1));
    assert!(matches!(spool.read(1), Err(SpoolError::Gone { .. })));

    drop((spool, writer));
    let Opened { spool, recovery, .. } = bench.open();
    assert_eq!(recovery.next_seq, 13);
    assert_eq!(recovery.report, Vec::<String>::new());
    assert_eq!(spool.lag(Sink::Live), Lag::default());
    // The ids of all twelve are still there, once.
    let ids: BTreeSet<_> = recovery.ids.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(ids, (1..=12).map(|seq| format!("e{seq}")).collect());
    works(&bench);
}

#[test]
fn id_files_go_when_their_window_has_passed_or_newer_ones_fill_it() {
    let bench = Bench::new(300);
    let open = |max_ids| {
        let window = IdWindow { max_ids, ..WINDOW };
        Spool::open(bench.options(), window, NOW).unwrap()
    };
    let Opened { spool, mut writer, .. } = open(1_000);
    fill(&mut writer, 1, 12);
    settle_all(&spool, 12);
    writer.retire_at(NOW).unwrap();
    let files = bench.names(".log").len();
    assert!(files > 2);
    drop((spool, writer));

    let Opened { recovery, mut writer, .. } = open(3);
    assert_eq!(recovery.ids.len(), 3, "the newest");
    writer.retire_at(NOW).unwrap();
    assert!((1..files).contains(&bench.names(".log").len()));
    writer.retire_at(NOW + WINDOW.window_ms + 1).unwrap();
    assert_eq!(bench.names(".log"), Vec::<String>::new());
}

#[test]
fn a_crash_between_cursors_and_unlink_is_tidied_up() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    fill(&mut writer, 1, 12);
    let saved: Vec<_> = bench
        .names(".seg")
        .into_iter()
        .map(|name| (fs::read(bench.path(&name)).unwrap(), name))
        .collect();
    settle_all(&spool, 12);
    writer.retire_at(NOW).unwrap();
    drop((spool, writer));
    for (bytes, name) in &saved {
        fs::write(bench.path(name), bytes).unwrap();
    }
    let Opened { spool, mut writer, recovery } = bench.open();
    assert_eq!(recovery.report, Vec::<String>::new());
    assert_eq!(recovery.next_seq, 13);
    assert_eq!(spool.next(Sink::Store, 1, 0), None);
    writer.retire_at(NOW).unwrap();
    assert_eq!(bench.names(".seg").len(), 1);
    drop((spool, writer));
    works(&bench);
}

#[test]
fn the_sequence_goes_on_when_all_segments_are_lost() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    fill(&mut writer, 1, 6);
    settle_all(&spool, 4);
    writer.retire_at(NOW).unwrap();
    fill(&mut writer, 7, 20);
    drop((spool, writer));
    for name in bench.names(".seg") {
        fs::remove_file(bench.path(&name)).unwrap();
    }
    let Opened { spool, recovery, writer } = bench.open();
    assert!(recovery.next_seq > 20, "no number is used twice");
    assert!(!recovery.report.is_empty());
    assert_eq!(spool.next(Sink::Store, 1, 0), Some(5), "no gap: what is lost is void");
    assert_eq!(spool.read(5).unwrap().events, 0);
    assert_eq!(spool.newest_sealed(), recovery.next_seq - 1);
    drop((spool, writer));
    let again = bench.open().recovery;
    assert_eq!(again.next_seq, recovery.next_seq, "and it goes on from there once");
    works(&bench);
}

#[test]
fn a_segment_lost_at_either_end_or_between_is_void() {
    for lost in [0, 2, usize::MAX] {
        let bench = Bench::new(300);
        let Opened { spool, mut writer, .. } = bench.open();
        fill(&mut writer, 1, 12);
        writer.retire_at(NOW).unwrap();
        drop((spool, writer));
        let names = bench.names(".seg");
        let lost = lost.min(names.len() - 1);
        let first = segment::parse_name(&names[lost]).unwrap();
        let end = names.get(lost + 1).map_or(13, |name| segment::parse_name(name).unwrap());
        fs::remove_file(bench.path(&names[lost])).unwrap();
        let Opened { spool, recovery, writer } = bench.open();
        assert!(!recovery.report.is_empty());
        for seq in 1..=12 {
            let events = u64::from(!(first..end).contains(&seq));
            assert_eq!(spool.read(seq).unwrap().events, events, "batch {seq}");
        }
        assert!(recovery.next_seq > 12);
        drop((spool, writer));
        works(&bench);
    }
}

#[test]
fn cursors_that_are_lost_or_damaged_cost_replays_only() {
    for damage in [None, Some(&b"FLOODCUR and then nonsense"[..]), Some(b"")] {
        let bench = Bench::new(300);
        let Opened { spool, mut writer, .. } = bench.open();
        fill(&mut writer, 1, 12);
        settle_all(&spool, 6);
        writer.retire_at(NOW).unwrap();
        drop((spool, writer));
        match damage {
            None => fs::remove_file(bench.path(cursor::FILE)).unwrap(),
            Some(bytes) => fs::write(bench.path(cursor::FILE), bytes).unwrap(),
        }
        let Opened { spool, recovery, writer } = bench.open();
        assert_eq!(recovery.report.len(), 1, "{:?}", recovery.report);
        assert_eq!(recovery.next_seq, 13);
        let oldest = spool.oldest().unwrap();
        assert!((2..=7).contains(&oldest));
        for seq in oldest..=12 {
            assert_eq!(spool.next(Sink::Live, seq % LANES, seq - 1), Some(seq));
            assert_eq!(spool.read(seq).unwrap().events, 1);
        }
        drop((spool, writer));
        works(&bench);
    }
}

#[test]
fn stray_files_are_survived_and_named() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    fill(&mut writer, 1, 6);
    drop((spool, writer));
    fs::write(bench.path("cursors.tmp"), "half").unwrap();
    fs::write(bench.path("notes.txt"), "mine").unwrap();
    fs::write(segment::path(bench.dir.path(), 7), "").unwrap();
    let foreign = segment::header(Uuid::from_u128(1), 8);
    fs::write(segment::path(bench.dir.path(), 8), foreign).unwrap();
    let far = segment::header(NODE, 1 << 40);
    fs::write(segment::path(bench.dir.path(), 1 << 40), far).unwrap();
    fs::write(segment::path(bench.dir.path(), u64::MAX), [7; 100]).unwrap();
    let Opened { spool, recovery, writer } = bench.open();
    assert_eq!(recovery.next_seq, 7);
    assert_eq!(recovery.report.len(), 6, "{:?}", recovery.report);
    assert_eq!(recovery.damaged, 0);
    assert_eq!(bench.quarantined().len(), 3);
    assert!(bench.path("notes.txt").exists());
    assert_eq!(spool.read(6).unwrap().events, 1);
    drop((spool, writer));
    works(&bench);
    assert_eq!(bench.open().recovery.report.len(), 1, "only the notes are still there");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let bench = Bench::new(300);
    let mut header = segment::header(NODE, 1);
    header[8] = 2;
    let crc = crc32fast::hash(&header[..segment::HEADER - 4]).to_le_bytes();
    header[segment::HEADER - 4..].copy_from_slice(&crc);
    fs::write(segment::path(bench.dir.path(), 1), &header).unwrap();
    let error = Spool::open(bench.options(), WINDOW, NOW).unwrap_err();
    assert!(matches!(error, SpoolError::Version { version: 2, .. }), "{error}");
    assert_eq!(fs::read(segment::path(bench.dir.path(), 1)).unwrap(), header);
}

#[test]
fn a_full_disk_takes_nothing_and_then_the_same_group() {
    // The failing write is the group's first, or one behind a roll or two.
    for after in 0..6 {
        let bench = Bench::new(300);
        let Opened { spool, mut writer, .. } = bench.open();
        fill(&mut writer, 1, 1);
        let mut group = Group::default();
        for seq in 2..=9 {
            put(&mut group, &format!("e{seq}"));
            group.seal(seq, NOW, 1, &delta(1));
        }
        let (names, bytes) = (bench.names(".seg"), spool.bytes());
        faults::fail_write(after, ErrorKind::StorageFull);
        let error = writer.commit(&mut group).unwrap_err();
        assert!(matches!(error, CommitError::Full(_)), "{error}");
        assert_eq!(bench.names(".seg"), names);
        assert_eq!(fs::metadata(bench.path(&names[0])).unwrap().len(), bytes);
        assert_eq!((spool.newest_sealed(), spool.bytes()), (1, bytes));
        if after % 2 == 0 {
            writer.commit(&mut group).unwrap();
            assert_eq!(ids_of(&spool.read(9).unwrap()), ["e9"]);
        }
        drop((spool, writer));
        let recovery = bench.open().recovery;
        assert_eq!(recovery.next_seq, if after % 2 == 0 { 10 } else { 2 });
        assert_eq!(recovery.report, Vec::<String>::new());
        works(&bench);
    }
}

#[test]
fn a_failed_fsync_is_the_end_until_a_restart() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    fill(&mut writer, 1, 3);
    let mut group = Group::default();
    put(&mut group, "e4");
    group.seal(4, NOW, 1, &delta(1));
    faults::fail_sync();
    for _ in 0..2 {
        let error = writer.commit(&mut group).unwrap_err();
        assert!(matches!(error, CommitError::Failed(_)), "{error}");
        assert_eq!(spool.newest_sealed(), 3);
    }
    drop((spool, writer));
    works(&bench);
}

#[test]
fn full_is_full_until_segments_go() {
    let mut bench = Bench::new(1 << 20);
    bench.max_bytes = 2_000; // and so segments of 500
    let Opened { spool, mut writer, .. } = bench.open();
    let mut seq = 0;
    while !spool.is_full(200) {
        seq += 1;
        fill(&mut writer, seq, seq);
    }
    assert!(spool.bytes() <= 2_000 && spool.bytes() > 1_500);
    settle_all(&spool, seq);
    writer.retire_at(NOW).unwrap();
    assert!(!spool.is_full(1_000));
}

#[test]
fn damage_while_running_is_void_and_counted_once() {
    let bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = bench.open();
    fill(&mut writer, 1, 12);
    let name = bench.names(".seg")[1].clone();
    let seq = segment::parse_name(&name).unwrap();
    let mut bytes = fs::read(bench.path(&name)).unwrap();
    bytes[segment::HEADER + 40] ^= 1;
    fs::write(bench.path(&name), bytes).unwrap();
    for _ in 0..2 {
        assert_eq!(spool.read(seq).unwrap().events, 0);
        assert_eq!(spool.damaged(), 1);
    }
    assert_eq!(spool.read(seq + 1).unwrap().events, 1);
    settle_all(&spool, 12);
    writer.retire_at(NOW).unwrap();
    assert_eq!(bench.quarantined(), [name]);
}

#[test]
fn an_open_batch_that_lost_a_record_in_its_middle_keeps_the_others() {
    let bench = Bench::new(1 << 20);
    let Opened { writer: mut w, spool, .. } = bench.open();
    fill(&mut w, 1, 2);
    let at = spool.bytes() as usize;
    let mut group = Group::default();
    ["a", "b", "c"].iter().for_each(|id| put(&mut group, id));
    w.commit(&mut group).unwrap();
    drop((spool, w));
    let name = &bench.names(".seg")[0];
    let mut bytes = fs::read(bench.path(name)).unwrap();
    let record = (bytes.len() - at) / 3;
    bytes[at + record + 40] ^= 1;
    fs::write(bench.path(name), &bytes).unwrap();

    let recovery = bench.open().recovery;
    assert_eq!((recovery.next_seq, recovery.open.events), (3, 2));
    assert_eq!(open_ids(&recovery.open), ["a", "c"]);
    let ids: Vec<_> = recovery.ids.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["e1", "e2", "a", "c"], "b may be sent again");
    assert_eq!(fs::read(bench.path(name)).unwrap(), bytes, "kept as evidence");
    works(&bench);
}

/// Five batches in two segments and an open batch; the bytes of each segment.
fn sample() -> (Bench, Vec<(String, Vec<u8>)>) {
    let bench = Bench::new(400);
    let Opened { mut writer, .. } = bench.open();
    fill(&mut writer, 1, 5);
    let mut group = Group::default();
    put(&mut group, "x");
    put(&mut group, "y");
    writer.commit(&mut group).unwrap();
    drop(writer);
    let files = bench.names(".seg").into_iter();
    let files = files.map(|name| (name.clone(), fs::read(bench.path(&name)).unwrap()));
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 2);
    (bench, files)
}

/// What is left of the sample: by seq the ids in its batch, and the open ones.
fn left(bench: &Bench) -> (BTreeMap<u64, Vec<String>>, Vec<String>, Recovery) {
    let Opened { spool, recovery, .. } = bench.open();
    let batches = (1..=5)
        .map(|seq| (seq, spool.read(seq).map(|batch| ids_of(&batch)).unwrap_or_default()))
        .collect();
    (batches, open_ids(&recovery.open), recovery)
}

/// Where the records of batch `seq` lie, or of the open batch (6): file and end.
fn ends(files: &[(String, Vec<u8>)]) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut ends = Vec::new();
    for (index, (_, bytes)) in files.iter().enumerate() {
        let mut start = segment::HEADER;
        for item in record::scan(bytes, start) {
            let record::Item::Record { kind, at } = item else { unreachable!() };
            if kind == record::SEAL {
                ends.push((index, start..at.end));
                start = at.end;
            }
        }
        if start < bytes.len() {
            ends.push((index, start..bytes.len()));
        }
    }
    ends
}

#[test]
fn a_cut_at_any_byte_loses_nothing_before_it() {
    let (bench, files) = sample();
    let ends = ends(&files);
    let (name, bytes) = &files[1];
    for cut in 0..bytes.len() {
        // As a crash leaves it: nothing behind the cut, or zeros, or garbage.
        let mut end = bytes[..cut].to_vec();
        end.resize(cut + [0, 50, 600][cut % 3], [0, 0xA5][cut % 2]);
        for (name, bytes) in &files {
            fs::write(bench.path(name), bytes).unwrap();
        }
        let _ = fs::remove_file(bench.path(cursor::FILE));
        let _ = fs::remove_dir_all(bench.path(recovery::QUARANTINE));
        bench.names(".seg").iter().filter(|n| **n > *name).for_each(|n| {
            fs::remove_file(bench.path(n)).unwrap();
        });
        fs::write(bench.path(name), &end).unwrap();
        let (batches, open, recovery) = left(&bench);
        for seq in 1..=5 {
            let (file, at) = &ends[seq as usize - 1];
            if *file == 0 || at.end <= cut {
                assert_eq!(batches[&seq], [format!("e{seq}")], "cut {cut}: {recovery:?}");
            } else if !batches[&seq].is_empty() || recovery.open.is_empty() {
                assert!(batches[&seq].is_empty());
            }
        }
        // The record before the cut, if its batch was not sealed, is open now.
        if cut >= segment::HEADER {
            let sealed = batches.values().filter(|ids| !ids.is_empty()).count() as u64;
            assert_eq!(recovery.next_seq, sealed + 1, "cut {cut}: {recovery:?}");
            assert!(open.len() <= 2);
        }
        works(&bench);
    }
}

#[test]
fn a_flip_at_any_byte_costs_the_batch_it_hits() {
    let (bench, files) = sample();
    let ends = ends(&files);
    let cursors = fs::read(bench.path(cursor::FILE)).unwrap();
    for index in 0..2 {
        for at in 0..files[index].1.len() {
            for name in bench.names(".seg") {
                fs::remove_file(bench.path(&name)).unwrap();
            }
            for (name, bytes) in &files {
                fs::write(bench.path(name), bytes).unwrap();
            }
            fs::write(bench.path(cursor::FILE), &cursors).unwrap();
            let _ = fs::remove_dir_all(bench.path(recovery::QUARANTINE));
            let mut bytes = files[index].1.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(bench.path(&files[index].0), bytes).unwrap();

            let (batches, open, recovery) = left(&bench);
            for seq in 1..=5 {
                let (file, range) = &ends[seq as usize - 1];
                let hit = *file == index && range.contains(&at);
                let expected = if hit { vec![] } else { vec![format!("e{seq}")] };
                assert_eq!(batches[&seq], expected, "{index}/{at}: {recovery:?}");
            }
            let (file, range) = &ends[5];
            if *file != index || !range.contains(&at) {
                assert_eq!(open, ["x", "y"], "{index}/{at}: {recovery:?}");
            } else {
                assert!(open == ["x"] || open == ["y"], "{index}/{at}: {recovery:?}");
            }
            assert!(!recovery.report.is_empty());
            assert!(recovery.next_seq >= 6);
            if at % 5 == 0 {
                works(&bench);
            }
        }
    }
}

/// What happens to the spool in the model test.
#[derive(Clone, Debug)]
enum Step {
    /// Requests of so many events each, sealed after the request where the flag is set.
    Commit(Vec<(u8, bool)>),
    /// The same, but the disk is full at the n-th write.
    Refused(Vec<(u8, bool)>, u32),
    Settle(Sink, prop::sample::Index),
    SettleAll(Sink),
    Rewind(Sink, u64, prop::sample::Index),
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
        1 => (sink(), 0..LANES, any::<prop::sample::Index>())
            .prop_map(|(sink, lane, at)| Step::Rewind(sink, lane, at)),
        2 => Just(Step::Retire),
        1 => any::<prop::sample::Index>().prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the spool should be.
#[derive(Default)]
struct Model {
    /// Index 0 is batch 1.
    batches: Vec<Vec<String>>,
    open: Vec<String>,
    settled: [BTreeSet<u64>; 2],
    /// By sink, the watermarks that may be on the disk: the one that retire() wrote, and
    /// those since, for a roll writes them too.
    persisted: [BTreeSet<u64>; 2],
    made: u64,
}

impl Model {
    fn watermark(&self, sink: usize) -> u64 {
        (1..).find(|seq| !self.settled[sink].contains(seq)).unwrap_or(1) - 1
    }

    /// Builds a group; returns what committing it makes of the batches and the open batch.
    fn group(&mut self, requests: &[(u8, bool)]) -> (Group, Vec<Vec<String>>, Vec<String>) {
        let (mut batches, mut open) = (self.batches.clone(), self.open.clone());
        let mut group = Group::default();
        for &(events, seal) in requests {
            let mut rows = Vec::new();
            let mut ids = Vec::new();
            for _ in 0..events {
                self.made += 1;
                ids.push(format!("event{}", self.made));
                rows.extend(row(&ids[ids.len() - 1]));
            }
            group.rows(events.into(), &rows, NOW, ids.iter().map(String::as_str));
            open.extend(ids);
            if seal {
                let events = open.len() as u64;
                batches.push(std::mem::take(&mut open));
                group.seal(batches.len() as u64, NOW, events, &delta(events));
            }
        }
        (group, batches, open)
    }

    fn check(&mut self, spool: &Spool) {
        for sink in 0..2 {
            self.persisted[sink].insert(self.watermark(sink));
        }
        let newest = self.batches.len() as u64;
        assert_eq!(spool.newest_sealed(), newest);
        let oldest = spool.oldest().unwrap_or(newest + 1);
        for sink in Sink::ALL {
            let settled = &self.settled[sink as usize];
            assert!(oldest <= self.watermark(sink as usize) + 1);
            assert_eq!(spool.settled(sink), self.watermark(sink as usize));
            let behind: Vec<u64> = (1..=newest).filter(|seq| !settled.contains(seq)).collect();
            let events = behind.iter().map(|seq| self.batches[*seq as usize - 1].len() as u64);
            let lag = spool.lag(sink);
            assert_eq!((lag.batches, lag.events), (behind.len() as u64, events.sum()));
            assert_eq!(lag.oldest_ms, behind.first().map(|_| NOW));
            for lane in 0..LANES {
                let next = behind.iter().copied().find(|seq| seq % LANES == lane);
                assert_eq!(spool.next(sink, lane, 0), next);
            }
        }
        for seq in oldest..=newest {
            let batch = spool.read(seq).unwrap();
            assert_eq!(ids_of(&batch), self.batches[seq as usize - 1]);
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
        assert_eq!(recovery.next_seq, self.batches.len() as u64 + 1);
        assert_eq!(open_ids(&recovery.open), self.open);
        assert_eq!(recovery.open.events, self.open.len() as u64);
        let ids: BTreeSet<_> = recovery.ids.iter().map(|(_, id)| id.clone()).collect();
        let all = self.batches.iter().flatten().chain(&self.open).cloned();
        assert_eq!(ids, all.collect());
        for (settled, sink) in self.settled.iter_mut().zip(Sink::ALL) {
            // A rewind that no cursor has noted yet is forgotten: the sink asks again.
            let kept = opened.writer.persisted(sink);
            let persisted = &mut self.persisted[sink as usize];
            assert!(persisted.contains(&kept) || kept == 0 && persisted.is_empty());
            *persisted = [kept].into();
            *settled = (1..=kept).collect();
        }
        if !self.open.is_empty() {
            let seq = recovery.next_seq;
            let mut group = Group::default();
            group.seal(seq, NOW, recovery.open.events, &delta(recovery.open.events));
            opened.writer.commit(&mut group).unwrap();
            self.batches.push(std::mem::take(&mut self.open));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn behaves_like_its_model(steps in steps(), segment_bytes in 200..2_000u64) {
        let bench = Bench::new(segment_bytes);
        let mut model = Model::default();
        let mut opened = bench.open();
        for step in steps {
            let newest = model.batches.len() as u64;
            match step {
                Step::Commit(requests) => {
                    let (mut group, batches, open) = model.group(&requests);
                    opened.writer.commit(&mut group).unwrap();
                    (model.batches, model.open) = (batches, open);
                }
                Step::Refused(requests, after) => {
                    let (mut group, batches, open) = model.group(&requests);
                    faults::fail_write(after, ErrorKind::StorageFull);
                    match opened.writer.commit(&mut group) {
                        Ok(()) => (model.batches, model.open) = (batches, open),
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
                Step::Rewind(sink, lane, at) if newest > 0 => {
                    let last = at.index(newest as usize) as u64;
                    let oldest = opened.spool.oldest().unwrap_or(newest + 1);
                    opened.spool.rewind(sink, lane, last);
                    model.settled[sink as usize]
                        .retain(|seq| seq % LANES != lane || *seq <= last || *seq < oldest);
                }
                Step::Settle(..) | Step::Rewind(..) => {}
                Step::Retire => model.retire(&mut opened.writer),
                Step::Crash(at) => {
                    drop(opened);
                    // What an unfinished write leaves: part of its first record at most, so
                    // that nothing of it was ever whole.
                    let (group, ..) = model.group(&[(2, false)]);
                    let part = &group.bytes()[..at.index(group.len())];
                    let name = bench.names(".seg").pop().unwrap();
                    let mut bytes = fs::read(bench.path(&name)).unwrap();
                    bytes.extend_from_slice(part);
                    fs::write(bench.path(&name), bytes).unwrap();
                    opened = bench.open();
                    prop_assert_eq!(opened.recovery.report.len(), usize::from(!part.is_empty()));
                    model.reopened(&mut opened);
                }
            }
            model.check(&opened.spool);
        }
    }
}
