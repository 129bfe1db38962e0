//! What the environment of the process says: variables, files that variables name (`…_FILE`), and
//! systemd's credentials.
//!
//! A secret in a variable can be read in `/proc` by everybody of the same user, and ends up in dumps
//! and in the output of `docker inspect`. A file has an owner and a mode. Docker and Kubernetes mount
//! secrets as files; systemd puts those of `LoadCredential=` into a folder that only the unit sees
//! (systemd.exec(5), "Credentials").

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    Place, Problem,
    variable::{FILE_ENDING, key_of},
};

/// The variable by which systemd says where the credentials of a unit lie.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// What the name of a credential that sets a key begins with: `floodmark.postgres.url`.
const CREDENTIAL_PREFIX: &str = "floodmark.";
/// A longer file is no value that somebody meant.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A value that the environment gives to a key. Whether there is such a key is not known yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenValue {
    /// What set it.
    pub place: Place,
    /// The key that it is for.
    pub key: String,
    /// The value as text.
    pub text: String,
}

/// The variables of the process, and the credentials beside them.
pub(super) struct Environment {
    /// Sorted, so that mistakes are always reported in the same order.
    variables: Vec<(String, String)>,
    credentials: Option<PathBuf>,
}

/// The variables of this process. One that is not Unicode gets replacement characters, so that its value
/// is reported as wrong; `std::env::vars` would panic instead.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

impl Environment {
    /// `variables` is the whole environment.
    pub fn new(variables: impl Iterator<Item = (String, String)>) -> Environment {
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        let credentials = variables.iter().find(|(name, _)| name == CREDENTIALS);
        Environment { credentials: credentials.map(|(_, path)| path.into()), variables }
    }

    /// The credentials that set keys. Others are left alone: they may be meant for `${NAME}`, or for
    /// somebody else.
    pub fn credentials(&self, problems: &mut Vec<Problem>) -> Vec<GivenValue> {
        let Some(folder) = &self.credentials else { return Vec::new() };
        let mut names: Vec<String> = match std::fs::read_dir(folder) {
            Ok(entries) => entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| name.starts_with(CREDENTIAL_PREFIX))
                .collect(),
            Err(e) => {
                let message = format!("can't list {}: {e}", folder.display());
                problems.push(unreadable(Place::Variable(CREDENTIALS.to_owned()), message));
                return Vec::new();
            }
        };
        names.sort();
        let mut found = Vec::new();
        for name in names {
            let place = Place::Credential(name.clone());
            match read(&folder.join(&name)) {
                Ok(text) => {
                    let key = name[CREDENTIAL_PREFIX.len()..].to_owned();
                    found.push(GivenValue { place, key, text });
                }
                Err(message) => problems.push(unreadable(place, message)),
            }
        }
        found
    }

    /// The values that variables give, themselves or by a file. `is_key` tells keys from other names:
    /// a key may itself end as the name of such a variable does.
    pub fn values(
        &self,
        is_key: impl Fn(&str) -> bool,
        problems: &mut Vec<Problem>,
    ) -> Vec<GivenValue> {
        let mut found = Vec::new();
        for (name, text) in &self.variables {
            let Some(key) = key_of(name) else { continue };
            let place = Place::Variable(name.clone());
            let of_file = name.strip_suffix(FILE_ENDING).and_then(|value| {
                let key = key_of(value)?;
                is_key(&key).then_some((value, key))
            });
            match of_file {
                Some((value, key)) if !is_key(&format!("{key}_file")) => {
                    if self.variable(value).is_some() {
                        let message = format!("{value} is set, too; keep one of them");
                        problems.push(unreadable(place, message));
                        continue;
                    }
                    match read(Path::new(text)) {
                        Ok(text) => found.push(GivenValue { place, key, text }),
                        Err(message) => problems.push(unreadable(place, message)),
                    }
                }
                _ => found.push(GivenValue { place, key, text: text.clone() }),
            }
        }
        found
    }

    /// What `${NAME}` stands for: the variable, the file that `NAME_FILE` names, or the credential of
    /// this name. The message names what is wrong, never the text.
    pub fn text_of(&self, name: &str) -> Result<String, String> {
        let found = match (self.variable(name), self.variable(&format!("{name}{FILE_ENDING}"))) {
            (Some(text), _) => text.to_owned(),
            (None, Some(path)) => read(Path::new(path))
                .map_err(|message| format!("the variable {name}{FILE_ENDING}: {message}"))?,
            (None, None) => {
                let credential = self.credentials.as_ref().map(|folder| folder.join(name));
                match credential.filter(|path| path.exists()) {
                    Some(path) => read(&path)?,
                    None => return Err(format!("the variable {name} is not set")),
                }
            }
        };
        match found.is_empty() {
            true => Err(format!("the variable {name} is empty")),
            false => Ok(found),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.as_str())
    }
}

/// The text of a file without the line ends that editors and `echo` leave behind it.
fn read(path: &Path) -> Result<String, String> {
    let fail = |e: std::io::Error| format!("can't read {}: {e}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(fail)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{} has more than {MAX_FILE_BYTES} bytes", path.display()));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(place: Place, message: String) -> Problem {
    Problem::Unreadable { place, message }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(n, t)| (n.to_string(), t.to_string())))
    }

    #[test]
    fn a_variable_may_name_the_file_that_has_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        fs::write(&path, "postgres://u:p@h/d\n").unwrap();
        let path = path.to_str().unwrap();
        let found = environment(&[("FLOODMARK_POSTGRES__URL_FILE", path), ("OTHER_FILE", "/none")]);
        let mut problems = Vec::new();
        let values = found.values(|key| key == "postgres.url", &mut problems);
        assert_eq!(problems, []);
        assert_eq!(
            values,
            [GivenValue {
                place: Place::Variable("FLOODMARK_POSTGRES__URL_FILE".to_owned()),
                key: "postgres.url".to_owned(),
                text: "postgres://u:p@h/d".to_owned(),
            }]
        );
        // A key that is called so by itself has a value, not a file.
        let is_key = |key: &str| key == "http.cert" || key == "http.cert_file";
        let values =
            environment(&[("FLOODMARK_HTTP__CERT_FILE", "/x")]).values(is_key, &mut problems);
        assert_eq!((&*values[0].key, &*values[0].text), ("http.cert_file", "/x"));
        assert_eq!(problems, []);
    }

    #[test]
    fn a_file_that_is_not_there_or_too_much_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("long");
        fs::write(&long, vec![b'x'; MAX_FILE_BYTES as usize + 1]).unwrap();
        for (variables, why) in [
            (vec![("FLOODMARK_LISTEN_FILE", "/nowhere")], "can't read /nowhere: No such file"),
            (vec![("FLOODMARK_LISTEN_FILE", long.to_str().unwrap())], "has more than 65536 bytes"),
            (
                vec![("FLOODMARK_LISTEN", "a"), ("FLOODMARK_LISTEN_FILE", "/nowhere")],
                "FLOODMARK_LISTEN is set, too",
            ),
            (vec![("CREDENTIALS_DIRECTORY", "/nowhere")], "can't list /nowhere"),
        ] {
            let (found, mut problems) = (environment(&variables), Vec::new());
            found.values(|key| key == "listen", &mut problems);
            found.credentials(&mut problems);
            let [problem] = &problems[..] else { panic!("{problems:?}") };
            assert!(problem.to_string().contains(why), "{problem}");
        }
    }

    #[test]
    fn a_credential_of_systemd_sets_the_key_that_it_is_called_after() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("floodmark.auth.write_keys"), "one\ntwo\n").unwrap();
        fs::write(dir.path().join("HOOK"), "https://hook/SECRET").unwrap();
        let found = environment(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())]);
        let mut problems = Vec::new();
        let values = found.credentials(&mut problems);
        assert_eq!(problems, []);
        assert_eq!((&*values[0].key, &*values[0].text), ("auth.write_keys", "one\ntwo"));
        assert_eq!(values.len(), 1, "the other is none of ours");
        assert_eq!(found.text_of("HOOK").unwrap(), "https://hook/SECRET");
        assert_eq!(found.text_of("NONE").unwrap_err(), "the variable NONE is not set");
    }

    #[test]
    fn a_variable_wins_over_a_credential_and_a_rule_takes_either() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("floodmark.listen", "127.0.0.1:1\n");
        write("floodmark.auth.viewer_tokens", "a\nb\n");
        write("key", "KEY-OF-FILE\n");
        write("rules.toml", "[[source]]\nname = 'web'\nkey = '${SHOP_KEY}'\n");
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let load = |more: &[(&str, &str)]| {
            let (folder, key) = (path(""), path("key"));
            let fixed = [("CREDENTIALS_DIRECTORY", &*folder), ("SHOP_KEY_FILE", &key)];
            let all = fixed.iter().chain(more).map(|(n, t)| (n.to_string(), t.to_string()));
            let file = dir.path().join("rules.toml");
            crate::Config::load(Some(&file), all, &Default::default()).map_err(|e| e.to_string())
        };
        let config = load(&[]).unwrap();
        assert_eq!(config.listen, "127.0.0.1:1");
        assert_eq!(config.auth.viewer_tokens, ["a", "b"]);
        assert_eq!(config.rules.sources[0].key.0, ["KEY-OF-FILE"]);
        assert_eq!(load(&[("FLOODMARK_LISTEN", "127.0.0.1:2")]).unwrap().listen, "127.0.0.1:2");
        write("floodmark.listne", "x");
        assert_eq!(
            load(&[]).unwrap_err(),
            "credential floodmark.listne: unknown key \"listne\"; the nearest known one is \"listen\""
        );
    }
}
