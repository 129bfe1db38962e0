//! Segments and cursors that are lost, damaged, or not ours.

use super::*;

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
    let run = spool.runs().newest().unwrap();
    assert_eq!(spool.batch_id(recovery.next_seq - 1).unwrap().run, run.0, "nobody else has it");
    assert_eq!(spool.read(5).unwrap().events, 0);
    assert_eq!(spool.newest_sealed(), recovery.next_seq - 1);
    drop((spool, writer));
    let again = bench.open().recovery;
    assert_eq!(again.next_seq, recovery.next_seq, "and it goes on from there once");
    assert_eq!(bench.quarantined(), Vec::<String>::new());
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
    header[8] = 4;
    let crc = crc32fast::hash(&header[..segment::HEADER - 4]).to_le_bytes();
    header[segment::HEADER - 4..].copy_from_slice(&crc);
    fs::write(segment::path(bench.dir.path(), 1), &header).unwrap();
    let error = Spool::open(bench.options(), WINDOW, NOW).unwrap_err();
    assert!(matches!(error, SpoolError::Version { version: 4, .. }), "{error}");
    assert_eq!(fs::read(segment::path(bench.dir.path(), 1)).unwrap(), header);
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
    let ids: Vec<_> = recovery.ids[0].iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["e1", "e2", "a", "c"], "b may be sent again");
    assert_eq!(fs::read(bench.path(name)).unwrap(), bytes, "kept as evidence");
    works(&bench);
}
