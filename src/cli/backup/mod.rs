//! `floodmark backup DIR` and `floodmark restore DIR`: a copy of a data dir while its server runs, and back.
//!
//! ```text
//!  backup:   spool, then SQLite file, each as it is by then ─> DIR/data, DIR/floodmark.toml ─> DIR/backup.json
//!  restore:  backup.json and all files looked at ─> DATA.restoring ─ rename ─> DATA
//! ```
//!
//! The spool comes first: what it hands over meanwhile is in the SQLite file by then, or in what comes of a
//! dump that is made afterwards, and an event that is in both is stored once. `backup.json` is written last, so
//! a backup that was killed is none.

pub(super) mod files;
mod manifest;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::HumanBytes;

use self::manifest::Manifest;
use super::{ServeArgs, keep_files_private, maintain::told, with_config};
use crate::{
    config::Config,
    domain::time::{now_ms, rfc3339},
    spool::Restored,
    store::sqlite,
};

/// The folder of a backup that has what the data dir had.
const DATA: &str = "data";
/// The configuration file of a backup.
const CONFIG: &str = "floodmark.toml";
/// What the name of a data dir ends in while it is filled.
const RESTORING: &str = "restoring";

/// The flags of `floodmark backup` and `floodmark restore`.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs `floodmark backup`.
pub fn backup(args: &BackupArgs) -> ExitCode {
    with_config(&args.serve, |config| {
        keep_files_private();
        told("backup", take(&config, args.serve.config.as_deref(), &args.dir))
    })
}

/// Runs `floodmark restore`.
pub fn restore(args: &BackupArgs) -> ExitCode {
    with_config(&args.serve, |config| {
        keep_files_private();
        told("restore", put_back(&config, &args.dir))
    })
}

/// Makes a backup. Blocks.
fn take(config: &Config, file: Option<&Path>, dir: &Path) -> Result<String, String> {
    let data = &config.data_dir;
    if !data.join("node.id").exists() {
        return Err(format!("{} is no data dir of a server", data.display()));
    }
    files::make_empty(dir)?;
    // Whatever was answered by now is in the spool, or in the store already.
    let complete_until = now_ms();
    files::copy_tree(data, &dir.join(DATA), &|name| {
        name == "lock" || name.starts_with(sqlite::FILE) || name == crate::spool::RESTORED_FILE
    })?;
    crate::failpoint::kill_point!("backup-spool");
    let embedded = config.postgres.url.is_empty();
    if embedded {
        let copy = dir.join(DATA).join(sqlite::FILE);
        sqlite::snapshot(data, &copy).map_err(|e| e.to_string())?;
        files::sync(&copy)?;
    }
    if let Some(file) = file {
        files::copy(file, &dir.join(CONFIG))?;
    }
    let manifest = Manifest::of(dir, complete_until, embedded)?;
    manifest.write(dir)?;
    let words = format!(
        "{} in {} files: all that was answered before {}",
        HumanBytes(manifest.files.iter().map(|file| file.bytes).sum()),
        manifest.files.len(),
        rfc3339(complete_until)
    );
    Ok(match embedded {
        true => words,
        false => format!("{words}, but for what is in Postgres: make its dump now, after this"),
    })
}

/// Fills an empty data dir from a backup. Blocks.
fn put_back(config: &Config, dir: &Path) -> Result<String, String> {
    let manifest = Manifest::read(dir)?;
    manifest.check(dir)?;
    if manifest.embedded != config.postgres.url.is_empty() {
        return Err(match manifest.embedded {
            true => {
                "the backup has a SQLite file, and this configuration names a Postgres".to_owned()
            }
            false => {
                "the backup has no SQLite file: its rows are in a dump of Postgres; name that \
                      (--postgres)"
                    .to_owned()
            }
        });
    }
    let data = &config.data_dir;
    if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty: move it away first", data.display()));
    }
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(RESTORING);
    let filled = data.with_file_name(name);
    // One that was killed has left it half full.
    if filled.exists() {
        fs::remove_dir_all(&filled).map_err(files::failed("remove", &filled))?;
    }
    files::copy_tree(&dir.join(DATA), &filled, &|_| false)?;
    let restored = Restored { complete_until: manifest.complete_until, restored_at: now_ms() };
    restored.write(&filled).map_err(files::failed("write", &filled))?;
    crate::failpoint::kill_point!("restore-copied");
    if data.exists() {
        fs::remove_dir(data).map_err(files::failed("replace", data))?;
    }
    fs::rename(&filled, data).map_err(files::failed("rename", &filled))?;
    files::sync_parent(data)?;
    let mut words = format!(
        "{} has all that was answered before {}. What was answered after that is missing, and the server \
         says so until {} is removed.",
        data.display(),
        rfc3339(manifest.complete_until),
        data.join(crate::spool::RESTORED_FILE).display()
    );
    if dir.join(CONFIG).exists() {
        words += &format!("\nThe configuration of then is {}.", dir.join(CONFIG).display());
    }
    Ok(words)
}
