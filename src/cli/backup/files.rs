//! Copies of files that somebody may write to, append to or remove meanwhile.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::Path,
};

/// Words for what failed, on what.
pub fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let words = format!("can't {what} {}", path.display());
    move |e| format!("{words}: {e}")
}

/// Makes a folder that must not have anything in it.
pub fn make_empty(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(failed("make", dir))?;
    let mut entries = fs::read_dir(dir).map_err(failed("read", dir))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(format!("{} is not empty: name a new folder", dir.display())),
    }
}

/// Copies a folder with all that is in it, without the names to be left out at its top. A file that is
/// removed meanwhile is none of it any more: a segment of the spool only goes once both sinks have it.
pub fn copy_tree(from: &Path, to: &Path, leave_out: &dyn Fn(&str) -> bool) -> Result<(), String> {
    fs::create_dir_all(to).map_err(failed("make", to))?;
    let entries = match fs::read_dir(from) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed("read", from))?,
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !leave_out(name))
        .collect();
    // Cursors that are behind only make sinks get batches again, which they know. Ones that are ahead of the
    // copied segments would lose some.
    names.sort_by_key(|name| (name != "cursors", name.clone()));
    for name in names {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            copy_tree(&source, &target, &|_| false)?;
            continue;
        }
        match fs::copy(&source, &target) {
            Ok(_) => sync(&target)?,
            Err(e) if e.kind() == ErrorKind::NotFound && !source.exists() => {}
            Err(e) => return Err(failed("copy", &source)(e)),
        }
    }
    File::open(to).and_then(|dir| dir.sync_all()).map_err(failed("sync", to))
}

/// Copies one file.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map_err(failed("copy", from))?;
    sync(to)
}

/// Puts a file onto the disk.
pub fn sync(path: &Path) -> Result<(), String> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

/// Puts the name of a file onto the disk.
pub fn sync_parent(path: &Path) -> Result<(), String> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    sync(parent)
}

/// All files in a folder and below, as paths within it, sorted.
pub fn all_in(dir: &Path) -> Result<Vec<String>, String> {
    fn collect(dir: &Path, within: &str, found: &mut Vec<String>) -> Result<(), String> {
        for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
            let entry = entry.map_err(failed("read", dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if within.is_empty() { name } else { format!("{within}/{name}") };
            match entry.path().is_dir() {
                true => collect(&entry.path(), &path, found)?,
                false => found.push(path),
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    collect(dir, "", &mut found)?;
    found.sort();
    Ok(found)
}
