//! `[archive]`: where days go that are too old for the store, and are still to be answered from.

use serde::{Deserialize, Serialize};

use super::retention::RetentionConfig;

/// `[archive]`: the folder or bucket that days move to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// For how many days, beside today, events stay in the store; 0: nothing is moved.
    pub after_days: u64,
    /// A folder, or `s3://BUCKET/PREFIX`; empty: there is no archive.
    pub url: String,
    /// URL of a server of S3 other than that of AWS; empty: that of AWS.
    pub endpoint: String,
    /// The region of the bucket.
    pub region: String,
    /// The id of the key by which the bucket is used.
    pub access_key_id: String,
    /// The key itself.
    pub secret_access_key: String,
    /// A PEM file of the CA by which the server of S3 is known; empty: the public ones.
    pub ca: String,
    /// How often it is looked for what is to be moved.
    pub interval_s: u64,
}

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivePlace {
    /// A folder of this machine, or one that all nodes see under this path.
    Folder(std::path::PathBuf),
    /// A bucket of S3, with what the names of its objects begin with.
    Bucket {
        /// Its name.
        bucket: String,
        /// Without slashes at its ends.
        prefix: String,
    },
}

impl ArchiveConfig {
    /// Where the archive is; `None` where there is none.
    ///
    /// # Errors
    /// `archive.url` is neither a folder nor a bucket.
    pub fn place(&self) -> Result<Option<ArchivePlace>, String> {
        let url = self.url.trim();
        if url.is_empty() {
            return Ok(None);
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            return match url.contains("://") {
                true => Err("archive.url is a folder, or s3://BUCKET/PREFIX".to_owned()),
                false => Ok(Some(ArchivePlace::Folder(url.into()))),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || prefix.split('/').any(|part| part == "." || part == "..") {
            return Err("archive.url: s3:// is followed by BUCKET/PREFIX".to_owned());
        }
        Ok(Some(ArchivePlace::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
    }

    /// What is wrong with it, beside `[retention]`.
    pub(super) fn judge(&self, retention: &RetentionConfig) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.place().err());
        if self.after_days > 0 && self.url.trim().is_empty() {
            found.push("archive.after_days: archive.url has to say where days go".to_owned());
        }
        let days = retention.events_days;
        if self.after_days > 0 && days > 0 {
            found.push(format!(
                "retention.events_days ({days}) must be 0 beside archive.after_days ({}): days leave the store \
                 for the archive, so it would remove those alone that could not be moved",
                self.after_days
            ));
        }
        for (kind, days) in retention.by_type.iter().filter(|it| *it.1 > self.after_days) {
            if self.after_days > 0 {
                found.push(format!(
                    "retention.by_type: {kind:?} = {days} must not be more than archive.after_days ({}): such \
                     events are in the archive by then, and stay there",
                    self.after_days
                ));
            }
        }
        if !self.endpoint.is_empty()
            && !["http://", "https://"].iter().any(|scheme| self.endpoint.starts_with(scheme))
        {
            found.push("archive.endpoint: it begins with https:// or http://".to_owned());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_a_folder_or_a_bucket() {
        let place = |url: &str| ArchiveConfig { url: url.to_owned(), ..Default::default() }.place();
        let bucket = |bucket: &str, prefix: &str| {
            let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
            Ok(Some(ArchivePlace::Bucket { bucket, prefix }))
        };
        assert_eq!(place(""), Ok(None));
        assert_eq!(place("s3://shop/floodmark/"), bucket("shop", "floodmark"));
        assert_eq!(place("s3://shop"), bucket("shop", ""));
        assert_eq!(place("/srv/a"), Ok(Some(ArchivePlace::Folder("/srv/a".into()))));
        for wrong in ["s3://", "s3:///x", "gs://shop", "s3://shop/../x"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_go_to_the_archive_before_they_go_for_good() {
        let config =
            ArchiveConfig { after_days: 30, url: "/srv/a".to_owned(), ..Default::default() };
        let retention = |events_days: u64, page_views: u64| {
            let mut retention = crate::config::Config::default().retention;
            retention.events_days = events_days;
            if page_views > 0 {
                retention.by_type.insert("page_view".to_owned(), page_views);
            }
            retention
        };
        let none = retention(0, 0);
        assert!(config.judge(&none).is_empty() && config.judge(&retention(0, 30)).is_empty());
        for wrong in [retention(30, 0), retention(31, 0), retention(0, 31)] {
            assert_eq!(config.judge(&wrong).len(), 1, "{wrong:?}");
        }
        assert!(ArchiveConfig::default().judge(&retention(30, 90)).is_empty());
        assert_eq!(ArchiveConfig { after_days: 1, ..Default::default() }.judge(&none).len(), 1);
        let endpoint = "minio:9000".to_owned();
        assert_eq!(ArchiveConfig { endpoint, ..Default::default() }.judge(&none).len(), 1);
    }
}
