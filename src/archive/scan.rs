//! Reads rows of some files within a span of time. It blocks.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use hashbrown::HashMap;
use tokio::runtime::Handle;

use super::{
    file::{GroupRows, OpenFile},
    objects::ArchiveObjects,
};
use crate::{
    domain::{row::Row, time::Millis},
    sink::SinkError,
    store::archive::ArchiveFile,
};

/// Row groups that are kept as they were read: whoever pages through a day needs the same ones again.
const GROUPS: usize = 8;

/// Files that stay open.
const OPEN_FILES: usize = 16;

/// The row groups that were read last.
pub type RecentGroups = Mutex<VecDeque<((String, usize), Arc<GroupRows>)>>;

/// Some files, each opened when it is needed.
pub struct FileScan {
    objects: Arc<ArchiveObjects>,
    handle: Handle,
    files: Vec<ArchiveFile>,
    open: HashMap<String, OpenFile>,
    recent: Arc<RecentGroups>,
}

impl FileScan {
    /// Of these files.
    pub fn new(
        objects: Arc<ArchiveObjects>,
        handle: Handle,
        files: Vec<ArchiveFile>,
        recent: Arc<RecentGroups>,
    ) -> FileScan {
        FileScan { objects, handle, files, open: HashMap::new(), recent }
    }

    /// Calls `each` with the rows in `[from, until)`, file by file, until that breaks.
    ///
    /// # Errors
    /// A file can't be read, or is damaged.
    pub fn each(
        &mut self,
        (from, until): (Millis, Millis),
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SinkError> {
        let touches = |(first, last): (Millis, Millis)| first < until && last >= from;
        for at in 0..self.files.len() {
            if !touches(self.files[at].times) {
                continue;
            }
            let groups: Vec<usize> = {
                let open = self.open(at)?;
                (0..open.groups()).filter(|group| touches(open.times(*group))).collect()
            };
            for group in groups {
                let rows = self.group(at, group)?;
                let mut within = |row: &Row<'_>| match (from..until).contains(&row.time) {
                    true => each(row),
                    false => ControlFlow::Continue(()),
                };
                if rows.each(&mut within)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            // An open file holds what was read of it last, and there may be one for each day and type of years.
            if self.open.len() > OPEN_FILES {
                self.open.remove(&self.files[at].path);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn open(&mut self, at: usize) -> Result<&OpenFile, SinkError> {
        let file = &self.files[at];
        if !self.open.contains_key(&file.path) {
            let open = OpenFile::open(&self.objects, &self.handle, file)?;
            self.open.insert(file.path.clone(), open);
        }
        Ok(&self.open[&file.path])
    }

    fn group(&mut self, at: usize, group: usize) -> Result<Arc<GroupRows>, SinkError> {
        let key = (self.files[at].path.clone(), group);
        let recent = self.recent.clone();
        let known = |recent: &RecentGroups| {
            let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.iter().find(|it| it.0 == key).map(|it| it.1.clone())
        };
        if let Some(rows) = known(&recent) {
            return Ok(rows);
        }
        let rows = Arc::new(self.open(at)?.read(group)?);
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back((key, rows.clone()));
        while recent.len() > GROUPS {
            recent.pop_front();
        }
        Ok(rows)
    }
}
