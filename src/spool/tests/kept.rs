//! Settled segments that are kept: read again, limited, damaged, and never in the way.

use super::{super::kept, *};
use crate::domain::time::now_ms;

/// Batches 1 to `batches`, all settled and retired at [`NOW`], of which all but the newest segment
/// are kept for a second.
fn settled(bench: &mut Bench, batches: u64) -> Opened {
    bench.keep_ms = 1_000;
    let mut opened = bench.open();
    fill(&mut opened.writer, 1, batches);
    settle_all(&opened.spool, batches);
    opened.writer.retire_at(NOW).unwrap();
    opened
}

fn kept_names(bench: &Bench) -> Vec<String> {
    names(&bench.path(kept::FOLDER), "")
}

/// Whether batch `seq` is read as it was sealed; else it must be gone.
fn is_here(spool: &Spool, seq: u64) -> bool {
    match spool.read(seq) {
        Ok(batch) => {
            assert_eq!(ids_of(&batch), [format!("e{seq}")]);
            assert_eq!(Some(batch.id), spool.batch_id(seq));
            true
        }
        Err(SpoolError::Gone { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn settled_batches_are_read_again_until_their_time_has_passed() {
    let mut bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = settled(&mut bench, 12);
    assert_eq!(bench.names(".seg").len(), 1);
    assert!(spool.oldest() > Some(8));
    assert_eq!(spool.oldest_readable(), Some(1));
    assert!((1..=12).all(|seq| is_here(&spool, seq)));
    assert!(spool.bytes() < 600, "what is kept does not count as waiting");
    let on_disk = |name: &String| fs::metadata(bench.path(kept::FOLDER).join(name)).unwrap().len();
    assert_eq!(spool.kept_bytes(), kept_names(&bench).iter().map(on_disk).sum::<u64>());
    writer.retire_at(NOW + 999).unwrap();
    assert!(is_here(&spool, 1));
    writer.retire_at(NOW + 1_000).unwrap();
    assert!(!is_here(&spool, 1) && is_here(&spool, 12));
    assert_eq!((spool.kept_bytes(), kept_names(&bench).len()), (0, 0));
    assert_eq!(spool.oldest_readable(), spool.oldest());
    assert_eq!(spool.events_of_lane(1, 13), Some(2), "also when they are gone");
}

#[test]
fn a_start_finds_them_by_their_names_alone() {
    let mut bench = Bench::new(300);
    drop(settled(&mut bench, 12));
    let names = kept_names(&bench);
    // A start that read them would report this.
    let damaged = bench.path(kept::FOLDER).join(&names[1]);
    fs::write(&damaged, "no segment").unwrap();
    let Opened { spool, recovery, mut writer } =
        Spool::open(bench.options(), WINDOW, now_ms()).unwrap();
    assert_eq!(recovery.report, Vec::<String>::new());
    let lost = segment::parse_name(&names[1]).unwrap()..segment::parse_name(&names[2]).unwrap();
    assert!((1..=12).all(|seq| is_here(&spool, seq) != lost.contains(&seq)));
    assert_eq!((spool.damaged(), spool.oldest_readable()), (0, Some(1)));
    writer.retire_at(now_ms() + 1_001).unwrap();
    assert_eq!(kept_names(&bench).len(), 0);
    drop((spool, writer));
    works(&bench);
}

#[test]
fn the_oldest_go_beyond_a_limit_of_bytes() {
    let mut bench = Bench::new(300);
    bench.keep_bytes = 1_000;
    let Opened { spool, .. } = settled(&mut bench, 30);
    assert!((600..=1_000).contains(&spool.kept_bytes()), "{}", spool.kept_bytes());
    let oldest = spool.oldest_readable().unwrap();
    assert!((2..30).contains(&oldest));
    assert!((1..=30).all(|seq| is_here(&spool, seq) == (seq >= oldest)));
}

#[test]
fn they_go_before_the_spool_is_full() {
    let mut bench = Bench::new(300);
    bench.max_bytes = 4_000;
    let Opened { spool, mut writer, .. } = settled(&mut bench, 12);
    let mut seq = 12;
    let kept = spool.kept_bytes();
    assert!(kept > 1_000);
    while !spool.is_full(200) {
        seq += 1;
        fill(&mut writer, seq, seq);
        assert!(spool.bytes() + spool.kept_bytes() <= 4_000 + 40, "but for a segment's header");
    }
    assert!(spool.bytes() > 3_500 && spool.kept_bytes() < kept);
    assert!((13..=seq).all(|seq| is_here(&spool, seq)));
}

#[test]
fn they_go_before_a_full_disk_refuses_anything() {
    let mut bench = Bench::new(300);
    let Opened { spool, mut writer, .. } = settled(&mut bench, 12);
    let before = spool.kept_bytes();
    faults::fail_write(0, ErrorKind::StorageFull);
    fill(&mut writer, 13, 13);
    assert!(spool.kept_bytes() < before, "one had to go");
    assert!(is_here(&spool, 13) && is_here(&spool, 12));
    while spool.kept_bytes() > 0 {
        faults::fail_write(0, ErrorKind::StorageFull);
        let next = spool.newest_sealed() + 1;
        fill(&mut writer, next, next);
    }
    faults::fail_write(0, ErrorKind::StorageFull);
    let mut group = Group::default();
    put(&mut group, "refused");
    assert!(matches!(writer.commit(&mut group), Err(CommitError::Full(_))));
    faults::reset();
}

#[test]
fn damage_at_any_byte_costs_no_other_batch_and_no_panic() {
    let mut bench = Bench::new(400);
    let Opened { spool, .. } = settled(&mut bench, 12);
    let name = &kept_names(&bench)[1];
    let path = bench.path(kept::FOLDER).join(name);
    let whole = fs::read(&path).unwrap();
    let own =
        segment::parse_name(name).unwrap()..segment::parse_name(&kept_names(&bench)[2]).unwrap();
    drop(spool);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if at % 3 == 0 {
            bytes.truncate(at);
        }
        fs::write(&path, bytes).unwrap();
        let spool = Spool::open(bench.options(), WINDOW, now_ms()).unwrap().spool;
        let here: Vec<u64> = (1..=12).filter(|seq| is_here(&spool, *seq)).collect();
        assert!((1..=12).all(|seq| own.contains(&seq) || here.contains(&seq)), "{at}: {here:?}");
        assert!(!own.clone().all(|seq| here.contains(&seq)), "{at}: a batch is damaged");
    }
}

#[test]
fn readers_find_each_batch_while_segments_move() {
    let mut bench = Bench::new(600);
    bench.keep_ms = i64::MAX / 4;
    let Opened { spool, mut writer, .. } = bench.open();
    let total = 200;
    std::thread::scope(|scope| {
        for reader in 1..=2 {
            let spool = spool.clone();
            scope.spawn(move || {
                let mut at = reader;
                loop {
                    let newest = spool.newest_sealed();
                    at = (at * 7 + reader) % newest.max(1) + 1;
                    assert!(newest < at || is_here(&spool, at), "{at} of {newest}");
                    if newest == total {
                        break;
                    }
                }
            });
        }
        for seq in 1..=total {
            fill(&mut writer, seq, seq);
            Sink::ALL.iter().for_each(|sink| spool.settle(*sink, seq));
            writer.retire_at(NOW).unwrap();
        }
    });
    assert!((1..=total).all(|seq| is_here(&spool, seq)));
    assert_eq!(spool.damaged(), 0);
}
