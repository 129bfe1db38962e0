//! A power cut, for this thread: at one of the steps in `disk.rs` the machine stops, and what
//! was not synced by then is lost, wholly or in part. Files are real; what a cut takes from
//! them is worked out from what was synced.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

thread_local! {
    static POWER: RefCell<Option<Power>> = const { RefCell::new(None) };
}

struct Power {
    /// Steps until the cut.
    left: u32,
    off: bool,
    /// Decides what is lost.
    seed: u64,
    /// By inode: a file written to, and its length as it is on the disk for certain.
    files: BTreeMap<u64, (File, u64)>,
    /// Names changed since the last sync of the folder: what was there before.
    names: Vec<(PathBuf, Option<Vec<u8>>)>,
}

/// Cuts the power at the step after `left` more.
pub(crate) fn cut_after(left: u32, seed: u64) {
    let (files, names) = (BTreeMap::new(), Vec::new());
    POWER.set(Some(Power { left, off: false, seed: seed | 1, files, names }));
}

/// It is on again. Whether it was off.
pub(crate) fn on() -> bool {
    POWER.take().is_some_and(|power| power.off)
}

/// One step towards the cut; an error from then on.
pub(crate) fn step() -> io::Result<()> {
    POWER.with_borrow_mut(|power| match power {
        Some(power) => power.step(),
        None => Ok(()),
    })
}

/// Before a write: at the cut, some of it gets there.
pub(crate) fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    POWER.with_borrow_mut(|power| {
        let Some(power) = power else { return Ok(()) };
        let (inode, len) = (file.metadata()?.ino(), file.metadata()?.len());
        if !power.off && !power.files.contains_key(&inode) {
            power.files.insert(inode, (file.try_clone()?, len));
        }
        if !power.off && power.left == 0 {
            let part = power.random(bytes.len() as u64 + 1) as usize;
            file.write_all_at(&bytes[..part], offset)?;
        }
        power.step()
    })
}

/// A file's contents are on the disk.
pub(crate) fn synced(file: &File) -> io::Result<()> {
    POWER.with_borrow_mut(|power| {
        let Some(power) = power else { return Ok(()) };
        let known = file.metadata()?;
        power.files.insert(known.ino(), (file.try_clone()?, known.len()));
        Ok(())
    })
}

/// A name is about to change, or just has; `before` is what was there.
pub(crate) fn changes(path: &Path, before: Option<Vec<u8>>) {
    POWER.with_borrow_mut(|power| {
        if let Some(power) = power {
            power.names.push((path.to_owned(), before));
        }
    });
}

/// The folder's names are on the disk.
pub(crate) fn names_synced(dir: &Path) {
    POWER.with_borrow_mut(|power| {
        if let Some(power) = power {
            power.names.retain(|(path, _)| path.parent() != Some(dir));
        }
    });
}

impl Power {
    fn step(&mut self) -> io::Result<()> {
        if !self.off {
            if self.left > 0 {
                self.left -= 1;
                return Ok(());
            }
            self.off = true;
            self.lose()?;
        }
        Err(io::Error::other("the power is off"))
    }

    fn lose(&mut self) -> io::Result<()> {
        let files = std::mem::take(&mut self.files);
        for (file, synced) in files.into_values() {
            let len = file.metadata()?.len();
            if len > synced {
                file.set_len(synced + self.random(len - synced + 1))?;
                // The length may have got there without the contents.
                if self.random(3) == 0 {
                    file.set_len(len)?;
                }
            }
        }
        // A journal keeps the order of names: the last changes are undone, the first stay.
        for _ in 0..self.random(self.names.len() as u64 + 1) {
            let Some((path, before)) = self.names.pop() else { break };
            match before {
                Some(bytes) => fs::write(path, bytes)?,
                None => fs::remove_file(path)?,
            }
        }
        Ok(())
    }

    /// Below `end`.
    fn random(&mut self, end: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % end
    }
}
