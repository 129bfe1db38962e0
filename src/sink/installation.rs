//! Which installation a node belongs to. An installation is one shop's nodes with their store and
//! their live side. It has a random id, which stands in three places:
//!
//! | place | where |
//! | --- | --- |
//! | data dir | the file `installation.id` |
//! | store | the table `installation`, with the settings that the numbers were made by |
//! | Redis | the field `installation` of each lane's `meta`, with the same settings |
//!
//! Whoever comes first makes the id; all others take it over. So a store, a Redis or a data dir of
//! another shop is recognised before anything is written to it.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use uuid::Uuid;

use crate::{
    config::Config,
    sink::{SinkError, SinkErrorKind},
};

/// The name of the file in the data dir.
pub const INSTALLATION_FILE: &str = "installation.id";

/// The settings that change what the numbers mean. All nodes of an installation have the same, and
/// numbers that were made by others are never mixed with theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// `timezone`: where the business day turns.
    pub zone: String,
    /// `currency`: what sums of money are in.
    pub currency: String,
    /// `redis.prefix`; empty where the counters are in the node's own process.
    pub redis_prefix: String,
}

impl Terms {
    /// What the configuration says.
    pub fn of(config: &Config) -> Terms {
        let redis_prefix = match config.redis.urls.is_empty() {
            true => String::new(),
            false => config.redis.prefix.clone(),
        };
        let zone = config.timezone.clone();
        Terms { zone, currency: config.currency.clone(), redis_prefix }
    }

    /// The installation with this id and these terms in one line, as Redis keeps it: `ID CURRENCY ZONE`.
    pub fn token(&self, id: Uuid) -> String {
        format!("{id} {} {}", self.currency, self.zone)
    }

    /// Compares the terms of this node with those that are `kept` at `place`.
    ///
    /// # Errors
    /// One of them differs. The message names both values and what to do.
    pub fn agree(&self, kept: &Terms, place: &str) -> Result<(), SinkError> {
        let differs = |message| Err(SinkError::new(SinkErrorKind::Settings, message));
        if self.currency != kept.currency {
            return differs(format!(
                "currency is {}, and the sums in {place} were made in {}: set currency = \"{}\"; \
                 another currency needs a new database",
                self.currency, kept.currency, kept.currency
            ));
        }
        if self.zone != kept.zone {
            return differs(format!(
                "timezone is {}, and the days in {place} were made in {}: set timezone = \"{}\", or \
                 stop all nodes and run `floodmark rebuild --change-settings` with the new one",
                self.zone, kept.zone, kept.zone
            ));
        }
        // A node without Redis counts by itself, and one may be added at any time.
        let prefixes = [&self.redis_prefix, &kept.redis_prefix];
        if prefixes.iter().all(|prefix| !prefix.is_empty()) && prefixes[0] != prefixes[1] {
            return differs(format!(
                "redis.prefix is {:?}, and the other nodes of this installation count under {:?}: set \
                 the same, or stop all nodes and run `floodmark rebuild --change-settings` with the new \
                 one",
                self.redis_prefix, kept.redis_prefix
            ));
        }
        Ok(())
    }
}

/// The installation of this node. It is known once the data dir, the store or Redis has said which.
#[derive(Debug)]
pub struct Installation {
    id: OnceLock<Uuid>,
    /// Where the id is kept beside the spool; `None` for a command that has no spool.
    file: Option<PathBuf>,
    /// What this node's configuration says.
    pub terms: Terms,
}

impl Installation {
    /// Reads which installation the data dir of the configuration belongs to, if it says so yet.
    ///
    /// # Errors
    /// The file is there and can't be read, or has no id in it.
    pub fn open(config: &Config) -> io::Result<Installation> {
        let file = config.data_dir.join(INSTALLATION_FILE);
        let id = OnceLock::new();
        if let Some(known) = read(&file)? {
            id.get_or_init(|| known);
        }
        Ok(Installation { id, file: Some(file), terms: Terms::of(config) })
    }

    /// The installation of a command that works on a server's store from anywhere: whichever it finds
    /// there.
    pub fn of_command(config: &Config) -> Installation {
        Installation { id: OnceLock::new(), file: None, terms: Terms::of(config) }
    }

    /// The installation that a server on this data dir would be of, for `check`, which writes nothing.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub fn of_check(config: &Config) -> io::Result<Installation> {
        Ok(Installation { file: None, ..Installation::open(config)? })
    }

    /// The id; `None` while nobody has said which.
    pub fn known(&self) -> Option<Uuid> {
        self.id.get().copied()
    }

    /// The id to offer to a place that has none: the known one, or a new one. Of several nodes that
    /// offer one at once the place takes one, which [`Installation::settle`] is then told.
    pub fn offer(&self) -> Uuid {
        self.known().unwrap_or_else(Uuid::new_v4)
    }

    /// Settles which installation this is, from the id that was `found` at `place`: that one, or the
    /// known one, or a new one where there is neither. Whoever finds none writes what this returns.
    ///
    /// # Errors
    /// The place belongs to another installation, or the data dir can't keep the id.
    pub fn settle(&self, found: Option<Uuid>, place: &str) -> Result<Uuid, SinkError> {
        let id = *self.id.get_or_init(|| found.unwrap_or_else(Uuid::new_v4));
        match found {
            Some(other) if other != id => return Err(self.foreign(&other.to_string(), place)),
            _ => {}
        }
        let unwritten = |file: &&PathBuf| !file.exists() && file.parent().is_some_and(Path::is_dir);
        if let Some(file) = self.file.as_ref().filter(unwritten) {
            keep(file, id).map_err(|e| {
                let message = format!("can't write {}: {e}", file.display());
                SinkError::new(SinkErrorKind::Unavailable, message)
            })?;
        }
        Ok(id)
    }

    /// The error for a place that belongs to the installation `other`.
    pub fn foreign(&self, other: &str, place: &str) -> SinkError {
        let own = self.known().map_or_else(|| "a new one".to_owned(), |id| id.to_string());
        let message = format!(
            "{place} belongs to installation {other}, and this node to installation {own}: nothing is \
             written there. Give each installation its own database, its own redis.prefix and its own \
             data dir. To bring this node into the other installation, remove {} from its data dir; what \
             its spool holds then goes there",
            INSTALLATION_FILE
        );
        SinkError::new(SinkErrorKind::Foreign, message)
    }
}

fn read(file: &Path) -> io::Result<Option<Uuid>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", file.display()))),
    };
    // The file is renamed into place, so it is whole. Something else was put there by hand.
    Uuid::try_parse(text.trim()).map(Some).map_err(|e| {
        let message = format!(
            "{} has no installation id in it ({e}): write the id of the table `installation` there, or \
             remove the file",
            file.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Writes the id, so that it is there whole or not at all after a crash.
fn keep(file: &Path, id: Uuid) -> io::Result<()> {
    let staged = file.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let mut out = fs::File::create(&staged)?;
    writeln!(out, "{id}")?;
    out.sync_all()?;
    fs::rename(&staged, file)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(dir: &Path) -> Installation {
        let config = Config { data_dir: dir.to_owned(), ..Config::default() };
        Installation::open(&config).unwrap()
    }

    #[test]
    fn the_first_id_stays_and_another_one_is_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let first = installation(dir.path());
        assert_eq!(first.known(), None);
        let id = first.settle(None, "the store").unwrap();
        assert_eq!(first.settle(Some(id), "Redis").unwrap(), id);
        let again = installation(dir.path());
        assert_eq!(again.known(), Some(id), "a restart knows it");
        let other = Uuid::new_v4();
        let error = again.settle(Some(other), "Redis").unwrap_err();
        assert_eq!(error.kind, SinkErrorKind::Foreign);
        assert!(
            error.message.contains(&other.to_string()) && error.message.contains(&id.to_string())
        );
        let joins = tempfile::tempdir().unwrap();
        assert_eq!(installation(joins.path()).settle(Some(other), "the store").unwrap(), other);
    }

    #[test]
    fn a_file_without_an_id_is_not_taken_for_a_new_installation() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(INSTALLATION_FILE), "").unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let error = Installation::open(&config).unwrap_err();
        assert!(error.to_string().contains("no installation id"), "{error}");
    }

    #[test]
    fn terms_that_differ_are_named_with_what_to_do() {
        let terms = |zone: &str, currency: &str, prefix: &str| Terms {
            zone: zone.to_owned(),
            currency: currency.to_owned(),
            redis_prefix: prefix.to_owned(),
        };
        let own = terms("UTC", "USD", "shop");
        for (kept, word) in [
            (terms("UTC", "EUR", "shop"), Some("currency")),
            (terms("Asia/Kolkata", "USD", "shop"), Some("floodmark rebuild")),
            (terms("UTC", "USD", "other"), Some("redis.prefix")),
            (terms("UTC", "USD", ""), None),
            (own.clone(), None),
        ] {
            let error = own.agree(&kept, "the store").err();
            assert_eq!(error.is_some(), word.is_some(), "{kept:?}");
            assert!(error.is_none_or(|e| e.message.contains(word.unwrap_or_default())));
        }
    }
}
