//! The spool as a whole: batches, segments, ids, a disk that fills up or fails. What is
//! lost or damaged is in `loss` and `bytes`, arbitrary histories against a model in `model`.

mod bytes;
mod copies;
mod cuts;
mod full;
mod history;
mod kept;
mod loss;
mod model;
mod runs;
mod twins;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use uuid::Uuid;

use super::{disk::faults, reader::Contents, *};
use crate::domain::{
    batch::{DeadLetter, LANES},
    delta::{Delta, DeltaSum},
    row::Row,
};

const NODE: NodeId = Uuid::from_u128(77);
const NOW: Millis = 1_000_000;
const WINDOW: IdWindow = IdWindow { window_ms: 1_000, max_ids: 1_000, max_bytes: usize::MAX };

/// A spool in a temporary folder.
struct Bench {
    dir: tempfile::TempDir,
    segment_bytes: u64,
    max_bytes: u64,
    keep_ms: i64,
    keep_bytes: u64,
}

impl Bench {
    fn new(segment_bytes: u64) -> Bench {
        // Thousands of fsyncs, none of which any test needs: memory will do.
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let (max_bytes, keep_ms, keep_bytes) = (1 << 30, 0, 1 << 30);
        Bench { dir: dir.unwrap(), segment_bytes, max_bytes, keep_ms, keep_bytes }
    }

    fn options(&self) -> SpoolOptions {
        SpoolOptions {
            dir: self.dir.path().to_owned(),
            node: NODE,
            segment_bytes: self.segment_bytes,
            max_bytes: self.max_bytes,
            keep_ms: self.keep_ms,
            keep_bytes: self.keep_bytes,
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

    /// Copies all files to another folder, as they are now.
    fn copy(&self) -> Bench {
        let copy = Bench::new(self.segment_bytes);
        copy_dir(self.dir.path(), copy.dir.path());
        Bench { dir: copy.dir, ..*self }
    }

    fn quarantined(&self) -> Vec<String> {
        names(&self.path(quarantine::FOLDER), "")
    }
}

fn copy_dir(from: &Path, to: &Path) {
    for name in names(from, "") {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            fs::create_dir(&to).unwrap();
            copy_dir(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
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
        ..Row::default()
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
fn a_batch_has_as_many_events_as_it_has_rows_whatever_its_seal_says() {
    let bench = Bench::new(1 << 20);
    let Opened { spool, mut writer, .. } = bench.open();
    let mut group = Group::default();
    put(&mut group, "a");
    group.seal(1, NOW, 7, &delta(7));
    writer.commit(&mut group).unwrap();
    let batch = spool.read(1).unwrap();
    assert_eq!((batch.events, ids_of(&batch)), (1, vec!["a".to_owned()]));
}

#[test]
fn refused_events_of_an_earlier_version_are_read() {
    // What that version wrote is a sequence of (i64, text, text, text), which a tuple also is.
    let letters = [(NOW, "invalid_type", "no type", r#"{"id":"a"}"#)];
    let mut bytes = Vec::new();
    let at = record::begin(&mut bytes);
    bytes.extend(postcard::to_stdvec(&letters[..]).unwrap());
    record::finish(&mut bytes[at..], record::PLAIN_DEAD_LETTERS);
    let items = record::scan(&bytes, 0);
    let found = Contents::of(&bytes, &items).unwrap().dead_letters;
    assert_eq!((found[0].received_at, &*found[0].raw), (NOW, letters[0].3));
    assert!(found.len() == 1 && found[0].digest.is_some() && found[0].source.is_empty());
}

#[test]
fn a_batch_comes_back_as_it_was_sealed() {
    let bench = Bench::new(1 << 20);
    let Opened { spool, mut writer, recovery } = bench.open();
    assert_eq!(recovery.next_seq, 1);
    assert_eq!(recovery.report, Vec::<String>::new());
    let run = spool.runs().newest().unwrap();
    assert_eq!(run.1, 1);
    let letters = vec![DeadLetter {
        received_at: NOW,
        code: "invalid_type".to_owned(),
        message: "no type".to_owned(),
        raw: "{".to_owned(),
        ..DeadLetter::default()
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
        assert_eq!((batch.id.run, batch.id.seq, batch.node), (run.0, 1, NODE));
        assert_eq!((batch.sealed_at, batch.events), (NOW, 2));
        assert_eq!(ids_of(&batch), ["a", "b"]);
        assert_eq!(batch.rows.len(), 2);
        assert_eq!(batch.dead_letters, letters);
        assert_eq!(*batch.delta, delta(2));
        assert!(matches!(spool.read(2), Err(SpoolError::Gone { seq: 2 })));
    }
    let recovery = bench.open().recovery;
    assert_eq!(open_ids(&recovery.open), ["c"]);
    let ids: Vec<_> = recovery.ids[0].iter().map(|(_, id)| id).collect();
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
    let ids: BTreeSet<_> = recovery.ids[0].iter().map(|(_, id)| id).collect();
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
    assert_eq!(recovery.ids[0].len(), 3, "the newest");
    writer.retire_at(NOW).unwrap();
    assert!((1..files).contains(&bench.names(".log").len()));
    writer.retire_at(NOW + WINDOW.window_ms + 1).unwrap();
    assert_eq!(bench.names(".log"), Vec::<String>::new());
}

#[test]
fn readers_follow_a_writer_on_another_thread() {
    let bench = Bench::new(2_000);
    let Opened { spool, mut writer, .. } = bench.open();
    let total = 300;
    std::thread::scope(|scope| {
        for sink in Sink::ALL {
            for lane in 0..LANES {
                let spool = spool.clone();
                scope.spawn(move || {
                    let mut last = 0;
                    while last + LANES <= total {
                        let Some(seq) = spool.next(sink, lane, last) else {
                            std::thread::yield_now();
                            continue;
                        };
                        assert_eq!(ids_of(&spool.read(seq).unwrap()), [format!("e{seq}")]);
                        spool.settle(sink, seq);
                        last = seq;
                    }
                });
            }
        }
        for seq in 1..=total {
            fill(&mut writer, seq, seq);
            if seq % 20 == 0 {
                writer.retire_at(NOW).unwrap();
            }
        }
    });
    writer.retire_at(NOW).unwrap();
    assert_eq!(spool.lag(Sink::Store), Lag::default());
    assert_eq!(spool.damaged(), 0);
    assert_eq!(bench.names(".seg").len(), 1);
}
