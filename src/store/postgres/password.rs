//! Finds the password where the URL has none: in the variable PGPASSWORD, else in the password
//! file. It is looked up for every new connection, so that a changed password needs no restart.
//! Source: PostgreSQL 15 documentation, 34.16 "The Password File".

use std::path::{Path, PathBuf};

use tokio_postgres::config::{Config, Host};

use crate::config::PostgresAddress;

/// The password for this address, if one is to be found outside of its URL.
pub(super) fn find(address: &PostgresAddress) -> Option<String> {
    if let Some(password) = std::env::var("PGPASSWORD").ok().filter(|it| !it.is_empty()) {
        return Some(password);
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass"));
    let path = address
        .passfile
        .clone()
        .or_else(|| std::env::var_os("PGPASSFILE").map(PathBuf::from))
        .or_else(home)?;
    // A file that is missing or unreadable is no error, as in libpq: the server may ask for no
    // password at all.
    let text = std::fs::read_to_string(&path).ok()?;
    if !is_private(&path) {
        tracing::warn!("{} is readable by others and not used: chmod 600 it", path.display());
        return None;
    }
    in_file(&text, &address.config)
}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
}

/// The password of the first line that fits one of the hosts, in the order of the hosts.
fn in_file(text: &str, config: &Config) -> Option<String> {
    let user = config.get_user().unwrap_or_default();
    let dbname = config.get_dbname().unwrap_or(user);
    let ports = config.get_ports();
    for (i, host) in config.get_hosts().iter().enumerate() {
        let host = match host {
            Host::Tcp(host) => host.clone(),
            // As in libpq, a Unix socket in any folder is the host "localhost".
            Host::Unix(_) => "localhost".to_owned(),
        };
        let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        let wanted = [host.as_str(), &port.to_string(), dbname, user];
        let fits = |fields: &[String]| {
            fields.len() == 5
                && std::iter::zip(fields, wanted).all(|(field, it)| field == "*" || field == it)
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        if let Some(mut fields) = lines.map(split).find(|fields| fits(fields)) {
            return fields.pop();
        }
    }
    None
}

/// Takes a line `host:port:database:user:password` apart, where `\:` and `\\` stand for the plain
/// characters. The password is the rest of the line, whatever colons it has.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let count = fields.len();
        let field = fields.last_mut().expect("never empty");
        match c {
            '\\' => field.extend(chars.next()),
            ':' if count < 5 => fields.push(String::new()),
            _ => field.push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_is_taken() {
        let config: Config = "postgres://app@db:5433/shop".parse().unwrap();
        let text = "# a comment\nother:*:*:*:no\ndb:5432:*:app:no\ndb:*:sh\\op:app:p\\:a:ss\\\\\n*:*:*:*:no";
        assert_eq!(in_file(text, &config).as_deref(), Some("p:a:ss\\"));
        assert_eq!(in_file("db:1:*:*:no\nshort:line", &config), None);
    }
}
