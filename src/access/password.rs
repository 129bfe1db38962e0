//! Passwords: hashed with Argon2id, on few threads of their own.
//!
//! A hash costs 19 MiB and some ten milliseconds on purpose. So no more than [`AT_ONCE`] are computed at
//! a time, and no more than [`WAITING`] wait: whoever comes beyond that is told to come back. An attempt
//! for a user that does not exist costs the same, so that time tells nobody who exists.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::{PasswordHash as PhcString, SaltString},
};
use tokio::sync::Semaphore;

use crate::domain::access::PasswordHash;

/// How many hashes are computed at a time.
const AT_ONCE: usize = 2;
/// How many may wait for their turn.
const WAITING: usize = 32;
/// How many may be there at all.
pub(super) const MOST: usize = AT_ONCE + WAITING;
/// The longest password, in bytes. A longer one makes no guess harder.
pub const MAX_BYTES: usize = 1024;

/// A hash that no password has, for users that do not exist. Its parameters are those of all others.
static NOBODY: LazyLock<PasswordHash> = LazyLock::new(|| hash_now(&super::secret::password()));

/// Computes and compares hashes. A clone shares the limit.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    running: Semaphore,
    here: AtomicUsize,
}

/// Too many passwords are being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being compared; try again")]
pub struct TooManyPasswords;

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords(Arc::new(Turns { running: Semaphore::new(AT_ONCE), here: AtomicUsize::new(0) }))
    }
}

impl Passwords {
    /// Hashes a password.
    ///
    /// # Errors
    /// Too many are waiting.
    pub async fn hash(&self, password: String) -> Result<PasswordHash, TooManyPasswords> {
        self.run(move || hash_now(&password)).await
    }

    /// Whether a password is the one with this hash. `None` stands for a user that does not exist or
    /// has no password: the answer is no, after the same time.
    ///
    /// # Errors
    /// Too many are waiting.
    pub async fn is_right(
        &self,
        password: String,
        hash: Option<PasswordHash>,
    ) -> Result<bool, TooManyPasswords> {
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.clone());
            let Ok(phc) = PhcString::new(&hash.0) else { return false };
            // The parameters are those in the string, so a hash of earlier ones stays good.
            let same = Argon2::default().verify_password(password.as_bytes(), &phc).is_ok();
            same && known
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TooManyPasswords> {
        let Turns { running, here } = &*self.0;
        let _here = Here::enter(here).ok_or(TooManyPasswords)?;
        let _turn = running.acquire().await.expect("it is never closed");
        // Only a panic or the end of the runtime makes this an error.
        tokio::task::spawn_blocking(work).await.map_err(|_| TooManyPasswords)
    }
}

/// The place of one that waits or runs.
struct Here<'a>(&'a AtomicUsize);

impl<'a> Here<'a> {
    fn enter(here: &'a AtomicUsize) -> Option<Here<'a>> {
        if here.fetch_add(1, Ordering::Relaxed) >= MOST {
            here.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Here(here))
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Hashes a password at once: for commands, which have one to hash.
pub fn hash_now(password: &str) -> PasswordHash {
    let random: [u8; 16] = rand::random();
    let salt = SaltString::encode_b64(&random).expect("16 bytes are a salt");
    // The defaults are those that OWASP names first: 19 MiB, two passes, one lane.
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    PasswordHash(hash.expect("the parameters are the crate's own").to_string())
}

/// Whether a password may be chosen: long enough, and not one that everybody tries.
///
/// # Errors
/// Why not, in words.
pub fn check_choice(password: &str, least_chars: usize, user: &str) -> Result<(), String> {
    if password.len() > MAX_BYTES {
        return Err(format!("a password has at most {MAX_BYTES} bytes"));
    }
    if password.chars().count() < least_chars {
        return Err(format!(
            "a password has at least {least_chars} characters (auth.min_password_chars)"
        ));
    }
    let mut seen: Vec<char> = password.to_lowercase().chars().collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() < 5 || (!user.is_empty() && password.to_lowercase() == user.repeat(2)) {
        return Err("this password is too easy to guess".to_owned());
    }
    Ok(())
}
