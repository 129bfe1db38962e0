//! Two processes on one data dir, since somebody has removed the lock file.

use super::*;

/// A data dir and the spool in it.
struct Twin {
    data_dir: DataDir,
    opened: Opened,
}

impl Twin {
    fn start(dir: &Path, watches: bool) -> Twin {
        let data_dir = DataDir::open(dir).unwrap();
        let bench = Bench::new(600);
        let options =
            SpoolOptions { dir: data_dir.spool_dir(), node: data_dir.node(), ..bench.options() };
        let mut opened = Spool::open(options, WINDOW, NOW).unwrap();
        if watches {
            opened.writer.watch_lock(data_dir.held());
        }
        Twin { data_dir, opened }
    }
}

#[test]
fn a_writer_that_lost_its_lock_answers_and_removes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Twin::start(dir.path(), true);
    fill(&mut first.opened.writer, 1, 3);
    settle_all(&first.opened.spool, 3);
    fs::remove_file(dir.path().join("lock")).unwrap();
    let second = Twin::start(dir.path(), true);
    let before = names(&second.data_dir.spool_dir(), "");
    assert!(matches!(first.opened.writer.retire_at(NOW), Err(SpoolError::Displaced(_))));
    let mut group = Group::default();
    put(&mut group, "late");
    for _ in 0..2 {
        let error = first.opened.writer.commit(&mut group).unwrap_err();
        assert!(matches!(&error, CommitError::Displaced(why) if why.contains("lock")), "{error}");
    }
    assert_eq!(first.opened.writer.retire_at(NOW).unwrap(), Retired::default());
    assert_eq!(names(&second.data_dir.spool_dir(), ""), before);
    assert_eq!(first.opened.spool.newest_sealed(), 3);
}

#[test]
fn a_folder_that_was_replaced_under_a_writer_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Twin::start(dir.path(), true);
    fill(&mut first.opened.writer, 1, 3);
    // As a restored backup does it: the same files, as other files.
    for name in names(&first.data_dir.spool_dir(), ".seg") {
        let path = first.data_dir.spool_dir().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let mut group = Group::default();
    put(&mut group, "late");
    let error = first.opened.writer.commit(&mut group).unwrap_err();
    assert!(matches!(&error, CommitError::Displaced(why) if why.contains(".seg")), "{error}");
}

#[test]
fn what_the_first_writes_while_the_second_runs_costs_the_second_nothing() {
    // As if each check of the first came just before the second took over, as many groups long as
    // it likes: it seals under its own run, into files that are not the second's.
    for open in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Twin::start(dir.path(), false);
        fill(&mut first.opened.writer, 1, 3);
        if open {
            let mut group = Group::default();
            put(&mut group, "open");
            first.opened.writer.commit(&mut group).unwrap();
        }
        fs::remove_file(dir.path().join("lock")).unwrap();
        let mut second = Twin::start(dir.path(), true);
        let mut next = second.opened.recovery.next_seq;
        assert_eq!((next, second.opened.recovery.open.events), (4, u64::from(open)));
        if open {
            let mut group = Group::default();
            group.seal(4, NOW, 1, &delta(1));
            second.opened.writer.commit(&mut group).unwrap();
            next = 5;
        }
        let mut theirs = Vec::new();
        for seq in 4..=11 {
            let mut group = Group::default();
            put(&mut group, &format!("theirs{seq}"));
            group.seal(seq, NOW, 1, &delta(1));
            // It may meet a file of the second, and then it is the one that stops.
            let _ = first.opened.writer.commit(&mut group);
            theirs.extend(first.opened.spool.batch_id(seq));
            fill(&mut second.opened.writer, next, next);
            next += 1;
        }
        let held = second.opened.spool.runs();
        drop((first, second));
        let third = Twin::start(dir.path(), true);
        assert_eq!(third.opened.recovery.next_seq, next);
        assert_eq!(third.opened.recovery.damaged, 0, "{:?}", third.opened.recovery.report);
        for seq in 1..next {
            let batch = third.opened.spool.read(seq).unwrap();
            let expected = if open && seq == 4 { "open".to_owned() } else { format!("e{seq}") };
            assert_eq!(ids_of(&batch), [expected]);
            assert_eq!(Some(batch.id), held.batch(seq));
            let tail = open && seq == 4;
            assert!(seq < 4 || tail || !theirs.contains(&batch.id), "no identity for two contents");
        }
    }
}
