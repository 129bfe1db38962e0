//! Access: this node's copy of who may do what, and the one way to change it.
//!
//! ```text
//!  floodmark keys|users|tokens|links ─┐
//!  API, settings page ────────────────┴─ Access::change ──> store (one transaction: identity, audit)
//!                                             │                │ version, asked for each second
//!                                             v                v
//!                                        SharedBook <──── follow (on every node)
//!                                             │  └──> access.json in the data dir
//!                                             v
//!                                  the guards of http/
//! ```
//!
//! A change is worked out on the copy, which is pure ([`crate::domain::access`]), and the store takes it
//! only where the copy was the newest. Where it was not, it is read again and the change is worked out
//! anew. So there are no locks, and rules such as "one admin stays" hold over all nodes.
//!
//! A node that can't reach the store goes on with its copy. One that starts meanwhile takes the copy
//! that it has written into its data dir. Without that it knows nobody: it lets in those whom the
//! configuration names, and answers 503 to all others rather than take them for strangers, or strangers
//! for welcome.

pub mod brake;
mod kept;
pub mod password;
pub mod secret;
pub mod session;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;

use crate::{
    config::Config,
    domain::access::{AccessChange, AccessFault, AuditEntry, Book, Identity},
    sink::SinkError,
    store::access::AccessStore,
    telemetry::health::Health,
};
use kept::KeptBook;

/// How often each node asks for the version of the book. What is changed elsewhere is so in force
/// within two seconds.
pub const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// How long a start waits for the store's book.
const LOAD_WITHIN: Duration = Duration::from_secs(3);
/// How often a change is worked out anew where others came first.
const ATTEMPTS: usize = 8;
/// What `/readyz` and logs call this part.
const PART: &str = "access";

/// This node's copy of the book. A clone is the same copy.
#[derive(Clone, Debug, Default)]
pub struct SharedBook(Arc<RwLock<Option<Arc<Book>>>>);

impl SharedBook {
    /// A copy of this book, which nobody changes: for commands and tests.
    pub fn of(book: Book) -> SharedBook {
        SharedBook(Arc::new(RwLock::new(Some(Arc::new(book)))))
    }

    /// The copy as it is now; `None` while this node knows nobody yet.
    pub fn current(&self) -> Option<Arc<Book>> {
        self.0.read().clone()
    }

    fn put(&self, book: Book) {
        *self.0.write() = Some(Arc::new(book));
    }
}

/// Reads and changes the book of an installation. A clone is the same.
#[derive(Clone)]
pub struct Access {
    store: Arc<dyn AccessStore>,
    book: SharedBook,
    /// `None` for a command, and where the store itself is in the data dir.
    kept: Option<Arc<KeptBook>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It breaks a rule.
    #[error(transparent)]
    Fault(#[from] AccessFault),
    /// The store does not answer, or refuses.
    #[error("the store: {0}")]
    Store(#[from] SinkError),
    /// Others came first each time.
    #[error("others change who has access all the time; try again")]
    Contended,
}

impl Access {
    /// For a command: it keeps no copy beyond its life.
    pub fn of_command(store: Arc<dyn AccessStore>) -> Access {
        Access { store, book: SharedBook::default(), kept: None }
    }

    /// For a server: reads the book, or takes the copy in the data dir where the store does not
    /// answer now.
    pub async fn open(config: &Config, store: Arc<dyn AccessStore>) -> Access {
        let beside = !config.postgres.url.is_empty();
        let kept = beside.then(|| Arc::new(KeptBook::new(&config.data_dir)));
        let access = Access { store, book: SharedBook::default(), kept };
        let loaded = tokio::time::timeout(LOAD_WITHIN, access.refresh()).await;
        if !matches!(loaded, Ok(Ok(())))
            && let Some(book) = access.kept.as_ref().and_then(|kept| kept.read())
        {
            tracing::warn!(
                version = book.stored().version,
                "the store does not say who has access; those of the last run have it for now"
            );
            access.book.put(book);
        }
        access
    }

    /// This node's copy, for guards.
    pub fn book(&self) -> &SharedBook {
        &self.book
    }

    /// Brings the copy up to date.
    ///
    /// # Errors
    /// The store does not answer. The copy stays as it was.
    pub async fn refresh(&self) -> Result<(), SinkError> {
        let version = self.store.access_version().await?;
        // Another version may be a lower one, where the store was put back to an earlier state.
        if self.book.current().is_some_and(|book| book.stored().version == version) {
            return Ok(());
        }
        self.reload().await.map(drop)
    }

    async fn reload(&self) -> Result<Arc<Book>, SinkError> {
        let book = Book::new(self.store.access_book().await?);
        if let Some(kept) = &self.kept {
            kept.write(&book).await;
        }
        self.book.put(book);
        Ok(self.book.current().expect("it was put there"))
    }

    /// Changes the book. `make` works the change out on a copy, and does so again where somebody else
    /// came first; `None` is for nothing to change. Returns the identity as it is now.
    ///
    /// # Errors
    /// The change breaks a rule, or the store does not take it.
    pub async fn change(
        &self,
        make: impl Fn(&Book) -> Result<Option<AccessChange>, AccessFault>,
    ) -> Result<Option<Identity>, ChangeError> {
        for _ in 0..ATTEMPTS {
            let book = self.reload().await?;
            let Some(change) = make(&book)? else { return Ok(None) };
            if self.store.change_access(&change).await? {
                let AuditEntry { actor, action, kind, name, .. } = &change.audit;
                tracing::info!(actor, action, kind, name, "access changed");
                // In force here at once. Where the store goes away just now, the next refresh does it.
                let _ = self.reload().await;
                return Ok(Some(change.identity));
            }
        }
        Err(ChangeError::Contended)
    }

    /// At most `limit` lines of the audit, the newest first, with versions below `before`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn audit(&self, before: i64, limit: usize) -> Result<Vec<AuditEntry>, SinkError> {
        self.store.access_audit(before, limit).await
    }

    /// Keeps the copy up to date, for as long as the server runs.
    pub async fn follow(self, health: Health) {
        loop {
            tokio::time::sleep(REFRESH_EVERY).await;
            match self.refresh().await {
                Ok(()) => health.well(PART),
                Err(e) => health.trouble(PART, e.kind.as_str(), &e.message),
            }
        }
    }
}
