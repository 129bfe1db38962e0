//! Where the archive's files are: a folder or a bucket, by the crate `object_store`.

use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{
    Certificate, ClientOptions, ObjectStore, ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path as ObjectPath,
};

use crate::{
    config::{ArchiveConfig, ArchivePlace},
    sink::{SinkError, SinkErrorKind},
    trust::{self, Authorities},
};

/// The files of the archive.
pub struct ArchiveObjects {
    store: Arc<dyn ObjectStore>,
    /// What the names of a bucket's objects begin with.
    prefix: String,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// Where it is, for messages: no secret.
    place: String,
}

impl ArchiveObjects {
    /// Opens the archive of a configuration; `None` where there is none. A bucket is not asked for anything yet.
    ///
    /// # Errors
    /// The folder can't be made, or the settings make no sense; in words.
    pub fn open(config: &ArchiveConfig) -> Result<Option<ArchiveObjects>, String> {
        let Some(place) = config.place()? else { return Ok(None) };
        Ok(Some(match place {
            ArchivePlace::Folder(folder) => {
                let place = folder.display().to_string();
                let wrong = |e: &dyn std::fmt::Display| format!("archive.url {place}: {e}");
                fs::create_dir_all(&folder).map_err(|e| wrong(&e))?;
                let folder = folder.canonicalize().map_err(|e| wrong(&e))?;
                let store = LocalFileSystem::new_with_prefix(&folder).map_err(|e| wrong(&e))?;
                let (store, prefix) = (Arc::new(store), String::new());
                ArchiveObjects { store, prefix, folder: Some(folder), place }
            }
            ArchivePlace::Bucket { bucket, prefix } => {
                let place = format!("s3://{bucket}/{prefix}");
                let store = Arc::new(bucket_of(config, &bucket)?);
                let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
                ArchiveObjects { store, prefix, folder: None, place }
            }
        }))
    }

    fn at(&self, path: &str) -> Result<ObjectPath, SinkError> {
        ObjectPath::parse(format!("{}{path}", self.prefix)).map_err(|e| self.failed(&e))
    }

    /// An error in words.
    pub fn failed(&self, error: &dyn std::fmt::Display) -> SinkError {
        let error = trust::in_words(error, "archive.ca");
        SinkError::new(SinkErrorKind::Unavailable, format!("archive {}: {error}", self.place))
    }

    /// Begins a new file.
    pub async fn begin(&self, path: &str) -> Result<WriteMultipart, SinkError> {
        let upload = self.store.put_multipart(&self.at(path)?).await;
        Ok(WriteMultipart::new(upload.map_err(|e| self.failed(&e))?))
    }

    /// Ends a new file, and brings it to disk. Returns how large it is.
    pub async fn end(&self, path: &str, upload: WriteMultipart) -> Result<u64, SinkError> {
        upload.finish().await.map_err(|e| self.failed(&e))?;
        if let Some(folder) = &self.folder {
            // A server of S3 answers once it has the object for good; a file system does when it is asked to.
            let file = folder.join(path);
            let mut all = vec![file.clone()];
            let above = file.ancestors().skip(1).take_while(|it| it.starts_with(folder));
            all.extend(above.map(PathBuf::from));
            for it in all {
                let synced = fs::File::open(&it).and_then(|it| it.sync_all());
                synced.map_err(|e| self.failed(&format!("{}: {e}", it.display())))?;
            }
        }
        let found = self.store.head(&self.at(path)?).await.map_err(|e| self.failed(&e))?;
        Ok(found.size)
    }

    /// Reads a part of a file.
    pub async fn read(&self, path: &str, range: std::ops::Range<u64>) -> Result<Bytes, SinkError> {
        let read = self.store.get_range(&self.at(path)?, range).await;
        read.map_err(|e| self.failed(&e))
    }

    /// Deletes a file, where it is there, and what a kill has left of it.
    pub async fn delete(&self, path: &str) -> Result<(), SinkError> {
        match self.store.delete(&self.at(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(self.failed(&e)),
        }
        if let Some(folder) = &self.folder {
            // While a file is written, it has its name with `#` and a number.
            let file = folder.join(path);
            let (Some(above), Some(name)) = (file.parent(), file.file_name()) else {
                return Ok(());
            };
            let begin = format!("{}#", name.to_string_lossy());
            for it in fs::read_dir(above).into_iter().flatten().flatten() {
                if it.file_name().to_string_lossy().starts_with(&begin) {
                    fs::remove_file(it.path()).map_err(|e| self.failed(&e))?;
                }
            }
        }
        Ok(())
    }

    /// Whether it can be asked at all.
    pub async fn look(&self) -> Result<(), SinkError> {
        let prefix = self.prefix.trim_end_matches('/');
        let prefix = ObjectPath::parse(prefix).map_err(|e| self.failed(&e))?;
        let mut list = self.store.list(Some(&prefix));
        match list.next().await {
            Some(Err(e)) => Err(self.failed(&e)),
            _ => Ok(()),
        }
    }
}

fn bucket_of(config: &ArchiveConfig, bucket: &str) -> Result<object_store::aws::AmazonS3, String> {
    let mut options = ClientOptions::new();
    if !config.ca.is_empty() {
        let trusted = Authorities::read("archive.ca", &config.ca)?;
        let certificates = Certificate::from_pem_bundle(&trusted.pem);
        for certificate in certificates.map_err(|e| format!("archive.ca {}: {e}", config.ca))? {
            options = options.with_root_certificate(certificate);
        }
    }
    // What AWS says of a machine or by variables holds where the configuration says nothing.
    let mut builder = AmazonS3Builder::from_env()
        .with_client_options(options)
        .with_bucket_name(bucket)
        .with_region(&config.region);
    if !config.endpoint.is_empty() {
        let is_plain = config.endpoint.starts_with("http://");
        builder = builder.with_endpoint(&config.endpoint).with_allow_http(is_plain);
    }
    if !config.access_key_id.is_empty() {
        builder = builder
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(&config.secret_access_key);
    }
    builder.build().map_err(|e| format!("archive.url: {e}"))
}
