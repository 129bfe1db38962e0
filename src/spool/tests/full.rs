//! A disk that fills up or fails, and a spool at its limit.

use super::*;

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
        assert!(!spool.refuses());
        seq += 1;
        fill(&mut writer, seq, seq);
    }
    assert!(spool.bytes() <= 2_000 && spool.bytes() > 1_500);
    spool.refuse(200);
    assert!(!spool.is_full(0) && spool.refuses(), "there is room, but not for what came");
    settle_all(&spool, seq);
    writer.retire_at(NOW).unwrap();
    assert!(!spool.refuses());
    assert!(!spool.is_full(1_000));
    spool.refuse(10_000);
    assert!(!spool.refuses(), "what never fits does not count as full for ever");
}
