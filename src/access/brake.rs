//! A brake on guessing: after some failures, an account and an address have to wait.
//!
//! Each failure fills a bucket, which leaks slowly. An attempt takes its drop before it is looked at, so
//! that many at once are no way around, and gets it back where it was right. There is a fixed number of
//! buckets, and a name or address is hashed to one of them: however many names and addresses an attacker
//! has, that costs no memory. Two that share a bucket only wait a little earlier.
//!
//! An account that somebody else tries to guess has to wait, too. That is the price of a brake by account;
//! who is signed in stays so.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How many buckets there are of each kind.
const BUCKETS: usize = 8192;

/// How much a bucket holds, and how fast it leaks.
#[derive(Clone, Copy, Debug)]
struct Leak {
    /// So many failures fill it.
    holds: f64,
    /// One failure leaks away in so long.
    one_in: Duration,
}

/// Ten wrong passwords for an account, then one a minute.
const OF_ACCOUNT: Leak = Leak { holds: 10.0, one_in: Duration::from_secs(60) };
/// Thirty wrong passwords or secrets from an address, then one in twenty seconds.
const OF_ADDRESS: Leak = Leak { holds: 30.0, one_in: Duration::from_secs(20) };

/// Brakes guessing on this node. A clone is the same.
#[derive(Clone, Debug)]
pub struct Brake(Arc<BrakeState>);

#[derive(Debug)]
struct BrakeState {
    accounts: Mutex<Vec<Filled>>,
    addresses: Mutex<Vec<Filled>>,
    /// Its random keys keep others from knowing which names share a bucket.
    hasher: RandomState,
}

/// How full a bucket was at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    level: f64,
    /// `None` for one that never was filled.
    at: Option<Instant>,
}

/// An attempt that is looked at now. It counts as a failure unless it is said to be right.
#[derive(Debug)]
#[must_use]
pub struct Attempted {
    of: Arc<BrakeState>,
    account: Option<usize>,
    address: Option<usize>,
}

impl Default for Brake {
    fn default() -> Brake {
        let buckets = || Mutex::new(vec![Filled::default(); BUCKETS]);
        Brake(Arc::new(BrakeState {
            accounts: buckets(),
            addresses: buckets(),
            hasher: RandomState::new(),
        }))
    }
}

impl Brake {
    /// Lets an attempt through. The account is whatever somebody tries to get into, whether it exists or
    /// not, and `None` where there is none; the address is `None` where many clients share it.
    ///
    /// # Errors
    /// How long to wait.
    pub fn attempt(
        &self,
        account: Option<&str>,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<Attempted, Duration> {
        let BrakeState { accounts, addresses, hasher } = &*self.0;
        let place = |of: &dyn Fn() -> u64| (of() % BUCKETS as u64) as usize;
        let account = account.map(|account| place(&|| hash(hasher, account)));
        let address = address.map(|address| place(&|| hash(hasher, address)));
        let mut by_address = addresses.lock();
        let mut by_account = accounts.lock();
        let waits = [
            account.and_then(|at| by_account[at].waits(OF_ACCOUNT, now)),
            address.and_then(|at| by_address[at].waits(OF_ADDRESS, now)),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        if let Some(at) = account {
            by_account[at].add(1.0, OF_ACCOUNT, now);
        }
        if let Some(at) = address {
            by_address[at].add(1.0, OF_ADDRESS, now);
        }
        Ok(Attempted { of: self.0.clone(), account, address })
    }
}

impl Attempted {
    /// It was right: it does not count, and neither do the account's failures of before. Those of the
    /// address stay, or one account would do to guess all others.
    pub fn was_right(self, now: Instant) {
        if let Some(at) = self.account {
            self.of.accounts.lock()[at] = Filled::default();
        }
        self.take_back_address(now);
    }

    /// It was not looked at, since the server was busy: it does not count.
    pub fn was_not_looked_at(self, now: Instant) {
        if let Some(at) = self.account {
            self.of.accounts.lock()[at].add(-1.0, OF_ACCOUNT, now);
        }
        self.take_back_address(now);
    }

    fn take_back_address(&self, now: Instant) {
        if let Some(at) = self.address {
            self.of.addresses.lock()[at].add(-1.0, OF_ADDRESS, now);
        }
    }
}

impl Filled {
    /// How full it is now.
    fn level(&self, leak: Leak, now: Instant) -> f64 {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        (self.level - passed.as_secs_f64() / leak.one_in.as_secs_f64()).max(0.0)
    }

    /// How long until there is room for one more; `None` where there is now.
    fn waits(&self, leak: Leak, now: Instant) -> Option<Duration> {
        let over = self.level(leak, now) + 1.0 - leak.holds;
        (over > 0.0).then(|| leak.one_in.mul_f64(over))
    }

    fn add(&mut self, drops: f64, leak: Leak, now: Instant) {
        let level = (self.level(leak, now) + drops).max(0.0);
        *self = Filled { level, at: Some(now) };
    }
}

fn hash(hasher: &RandomState, of: impl Hash) -> u64 {
    hasher.hash_one(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_account_is_not_guessed_from_many_addresses() {
        let (brake, now) = (Brake::default(), Instant::now());
        let through = |n: u8| brake.attempt(Some("alice"), address(n), now).is_ok();
        assert_eq!((0..100).filter(|n| through(*n)).count(), 10);
        let wait = brake.attempt(Some("alice"), address(200), now).unwrap_err();
        assert!(wait <= Duration::from_secs(60), "{wait:?}");
        let later = now + wait;
        assert!(brake.attempt(Some("alice"), address(201), later).is_ok());
        assert!(brake.attempt(Some("alice"), address(202), later).is_err(), "one a minute");
    }

    #[test]
    fn an_address_does_not_guess_many_accounts() {
        let (brake, now) = (Brake::default(), Instant::now());
        let through = |n: u32| brake.attempt(Some(&format!("user-{n}")), address(1), now).is_ok();
        assert_eq!((0..200).filter(|n| through(*n)).count(), 30);
        assert!(brake.attempt(Some("somebody"), address(2), now).is_ok(), "others go on");
        assert!(
            brake.attempt(Some("else"), None, now).is_ok(),
            "an address that many share is not braked"
        );
    }

    #[test]
    fn a_right_attempt_costs_nothing_and_frees_its_account() {
        let (brake, now) = (Brake::default(), Instant::now());
        for _ in 0..100 {
            brake.attempt(Some("alice"), address(1), now).unwrap().was_right(now);
        }
        let attempts: Vec<_> =
            (0..9).map(|_| brake.attempt(Some("alice"), address(1), now).unwrap()).collect();
        brake.attempt(Some("alice"), address(1), now).unwrap().was_right(now);
        assert!(brake.attempt(Some("alice"), address(1), now).is_ok());
        assert_eq!(attempts.len(), 9);
        for _ in 0..100 {
            brake.attempt(Some("bob"), address(3), now).unwrap().was_not_looked_at(now);
        }
    }

    #[test]
    fn many_names_cost_no_memory() {
        let (brake, now) = (Brake::default(), Instant::now());
        for n in 0..50_000u32 {
            let _ = brake.attempt(Some(&format!("user-{n}")), None, now);
        }
        assert_eq!(brake.0.accounts.lock().len(), BUCKETS);
    }
}
