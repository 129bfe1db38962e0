//! Files with bytes that are cut, flipped, overwritten or swapped: what is intact survives.

use super::*;

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
    let runs = fs::read(bench.path(run_file::FILE)).unwrap();
    let ends = ends(&files);
    let (name, bytes) = &files[1];
    for cut in 0..bytes.len() {
        // As a crash leaves it: nothing behind the cut, or zeros, or garbage.
        let mut end = bytes[..cut].to_vec();
        end.resize(cut + [0, 50, 600][cut % 3], [0, 0xA5][cut % 2]);
        for (name, bytes) in &files {
            fs::write(bench.path(name), bytes).unwrap();
        }
        fs::write(bench.path(run_file::FILE), &runs).unwrap();
        let _ = fs::remove_file(bench.path(cursor::FILE));
        let _ = fs::remove_dir_all(bench.path(quarantine::FOLDER));
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
    let runs = fs::read(bench.path(run_file::FILE)).unwrap();
    for index in 0..2 {
        for at in 0..files[index].1.len() {
            for name in bench.names(".seg") {
                fs::remove_file(bench.path(&name)).unwrap();
            }
            for (name, bytes) in &files {
                fs::write(bench.path(name), bytes).unwrap();
            }
            fs::write(bench.path(cursor::FILE), &cursors).unwrap();
            fs::write(bench.path(run_file::FILE), &runs).unwrap();
            let _ = fs::remove_dir_all(bench.path(quarantine::FOLDER));
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

/// What a bad disk or a stray hand does to the files.
#[derive(Clone, Debug)]
enum Mishap {
    /// Some bytes at some place of some file become others.
    Overwrite(prop::sample::Index, prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
    /// A file gets another one's contents.
    Copy(prop::sample::Index, prop::sample::Index),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let index = any::<prop::sample::Index>;
    let bytes = proptest::collection::vec(any::<u8>(), 1..80);
    prop_oneof![
        4 => (index(), index(), bytes).prop_map(|(file, at, bytes)| Mishap::Overwrite(file, at, bytes)),
        2 => (index(), index()).prop_map(|(file, at)| Mishap::Cut(file, at)),
        1 => index().prop_map(Mishap::Remove),
        1 => (index(), index()).prop_map(|(from, to)| Mishap::Copy(from, to)),
    ]
}

proptest! {
    /// Whatever happens to the files: the spool opens and goes on, a batch is read as it was
    /// written or void, and no number is given a second time.
    #[test]
    fn any_mishap_is_survived(
        mishaps in proptest::collection::vec(mishap(), 1..5),
        settled in 0..20u64,
        again in any::<bool>(),
    ) {
        let bench = Bench::new(400);
        let Opened { spool, mut writer, .. } = bench.open();
        fill(&mut writer, 1, 20);
        settle_all(&spool, settled);
        writer.retire_at(NOW).unwrap();
        let mut group = Group::default();
        put(&mut group, "open");
        writer.commit(&mut group).unwrap();
        drop((spool, writer));

        let mut cursors_hit = false;
        let mut copied = false;
        for mishap in mishaps {
            let mut names = bench.names("");
            names.retain(|name| name != quarantine::FOLDER);
            if names.is_empty() {
                break;
            }
            let (file, edit): (&String, Option<Vec<u8>>) = match mishap {
                Mishap::Overwrite(file, at, new) => {
                    let file: &String = file.get(&names);
                    let mut bytes = fs::read(bench.path(file)).unwrap();
                    let at = at.index(bytes.len() + 1);
                    let end = (at + new.len()).min(bytes.len());
                    bytes.splice(at..end, new);
                    (file, Some(bytes))
                }
                Mishap::Cut(file, at) => {
                    let file: &String = file.get(&names);
                    let mut bytes = fs::read(bench.path(file)).unwrap();
                    bytes.truncate(at.index(bytes.len() + 1));
                    (file, Some(bytes))
                }
                Mishap::Remove(file) => (file.get(&names), None),
                Mishap::Copy(from, to) => {
                    copied = true;
                    let from: &String = from.get(&names);
                    (to.get(&names), Some(fs::read(bench.path(from)).unwrap()))
                }
            };
            cursors_hit |= *file == cursor::FILE;
            match edit {
                Some(bytes) => fs::write(bench.path(file), bytes).unwrap(),
                None => fs::remove_file(bench.path(file)).unwrap(),
            }
        }

        for _ in 0..=usize::from(again) {
            let Opened { spool, recovery, writer } = bench.open();
            for seq in 1..=20 {
                match spool.read(seq).map(|batch| (batch.events, ids_of(&batch))) {
                    Ok((1, ids)) => prop_assert_eq!(ids, [format!("e{seq}")]),
                    Ok((events, ids)) => prop_assert!(events == 0 && ids.is_empty()),
                    Err(error) => {
                        let gone = matches!(error, SpoolError::Gone { .. });
                        prop_assert!(gone, "{}", error);
                    }
                }
            }
            if !cursors_hit {
                prop_assert!(recovery.next_seq > settled);
            }
            prop_assert!(copied || open_ids(&recovery.open).len() < 20);
            drop((spool, writer));
        }
        works(&bench);
    }
}
