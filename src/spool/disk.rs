//! The few steps that make bytes durable, in one place, so that no caller forgets one and so
//! that a test can make each of them fail.
//!
//! Three facts of POSIX file systems decide the order of these steps. Written bytes are on
//! the disk only after an fsync of their file. A name that was made, removed or replaced is on
//! the disk only after an fsync of its folder. A rename puts a file in the place of another
//! one atomically.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
};

/// Writes all of `bytes` at `offset`.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    power::write(file, bytes, offset)?;
    #[cfg(test)]
    if let Some(error) = faults::write() {
        // A disk that fills up during a write takes the first part of the bytes.
        file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
        return Err(error);
    }
    file.write_all_at(bytes, offset)
}

/// Waits until the file's contents and length are on the disk.
pub(super) fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    if let Some(error) = faults::sync() {
        return Err(error);
    }
    #[cfg(test)]
    power::step()?;
    file.sync_data()?;
    #[cfg(test)]
    power::synced(file)?;
    Ok(())
}

/// Waits until the names in a folder are on the disk: files that were made, removed or
/// renamed there.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::step()?;
    File::open(dir)?.sync_all()?;
    #[cfg(test)]
    power::names_synced(dir);
    Ok(())
}

/// Makes a file that must not exist yet. Its name is on the disk after [`sync_dir`].
pub(super) fn create(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    power::step()?;
    let file = File::create_new(path)?;
    #[cfg(test)]
    power::changes(path, None);
    Ok(file)
}

/// Removes a file; it is gone for good after [`sync_dir`].
pub(super) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::step()?;
    #[cfg(test)]
    power::changes(path, fs::read(path).ok());
    fs::remove_file(path)
}

/// Gives a file another name, in another folder perhaps. A file of that name is replaced. Both
/// names are on the disk after [`sync_dir`] of their folders.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    {
        power::step()?;
        power::changes(to, fs::read(to).ok());
        power::changes(from, fs::read(from).ok());
    }
    fs::rename(from, to)
}

/// Cuts a file to its first `len` bytes. The new length is on the disk when this returns.
pub(super) fn cut(file: &File, len: u64) -> io::Result<()> {
    #[cfg(test)]
    power::step()?;
    file.set_len(len)?;
    // Not `sync_data`, which may leave out metadata; the length is what matters here.
    file.sync_all()?;
    #[cfg(test)]
    power::synced(file)?;
    Ok(())
}

/// Replaces a file as a whole. Whatever happens in between, either the old or the new file
/// is there: the bytes go to a temporary file, which is synced before it is renamed, and the
/// folder is synced last.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    if faults::has_no_room() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    #[cfg(test)]
    power::step()?;
    let temporary = dir.join(format!("{name}.{TEMPORARY}"));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // A leftover would only take room. If it can't be removed, the next start does it.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    #[cfg(test)]
    {
        power::step()?;
        power::changes(&dir.join(name), fs::read(dir.join(name)).ok());
    }
    fs::rename(&temporary, dir.join(name))?;
    sync_dir(dir)
}

/// Writes over the beginning of an existing file, which needs no free room on the disk.
pub(super) fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    write_at(&file, bytes, 0)?;
    sync(&file)
}

/// The ending of a temporary file; one that is found at the start never became a whole file.
pub(super) const TEMPORARY: &str = "tmp";

/// Whether this is the one kind of failure that can pass by itself: there is no room on the
/// disk, in memory, or for one more open file. The operation has not happened, or only in
/// part. Every other failure leaves open what the disk has kept.
pub(super) fn may_pass(error: &io::Error) -> bool {
    // 23 and 24 are ENFILE and EMFILE, which std has no ErrorKind for.
    matches!(error.raw_os_error(), Some(23 | 24))
        || matches!(
            error.kind(),
            io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::OutOfMemory
        )
}

#[cfg(test)]
#[path = "tests/power.rs"]
pub(crate) mod power;

/// Failures on demand, for this thread.
#[cfg(test)]
pub(crate) mod faults {
    use std::{cell::Cell, io};

    thread_local! {
        static WRITE: Cell<Option<(u32, io::ErrorKind)>> = const { Cell::new(None) };
        static SYNC: Cell<bool> = const { Cell::new(false) };
        static NO_ROOM: Cell<bool> = const { Cell::new(false) };
    }

    /// Lets `after` writes pass, then fails one.
    pub(crate) fn fail_write(after: u32, kind: io::ErrorKind) {
        WRITE.set(Some((after, kind)));
    }

    /// Fails the next sync.
    pub(crate) fn fail_sync() {
        SYNC.set(true);
    }

    /// Lets [`super::replace`](super::replace) fail, as on a disk without room for a new file.
    pub(crate) fn no_room(so: bool) {
        NO_ROOM.set(so);
    }

    pub(super) fn has_no_room() -> bool {
        NO_ROOM.get()
    }

    /// Nothing fails any more.
    pub(crate) fn reset() {
        WRITE.set(None);
        SYNC.set(false);
    }

    pub(super) fn write() -> Option<io::Error> {
        match WRITE.take()? {
            (0, kind) => Some(kind.into()),
            (after, kind) => {
                WRITE.set(Some((after - 1, kind)));
                None
            }
        }
    }

    pub(super) fn sync() -> Option<io::Error> {
        SYNC.take().then(|| io::Error::other("injected"))
    }
}
