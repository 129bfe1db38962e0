//! Whose counters Redis has. Each lane's `meta` names the installation that counts there, with its
//! time zone and currency, since days and sums mean nothing without them. Every script that writes
//! compares it in the same step.
//!
//! A Redis may come back with the file of another shop's Redis. A node that has counted there before
//! then puts its own counters in place again. A node that has not can't tell that from a Redis that
//! another shop is using right now, and leaves it alone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jiff::civil::Date;
use uuid::Uuid;

use super::{
    RedisShared,
    connection::Connection,
    error::{rebuilding, unavailable},
    keys::ACTIVE_SHARDS,
};
use crate::{
    domain::time::now_ms,
    sink::{Installation, SinkError, Terms},
};

/// What messages call these keys.
const PLACE: &str = "Redis under this redis.prefix";

/// Knows whose counters Redis must have.
pub(super) struct Owner {
    installation: Arc<Installation>,
    /// Whether this process has found its own installation in Redis.
    seen: AtomicBool,
    /// Whether another's counters were found that have to be replaced.
    replaces: AtomicBool,
}

impl Owner {
    /// Counters of this installation.
    pub fn new(installation: Arc<Installation>) -> Owner {
        Owner { installation, seen: AtomicBool::new(false), replaces: AtomicBool::new(false) }
    }

    /// What the field `installation` has to say: the id, the currency and the zone; `None` while
    /// nobody has said which installation this is.
    pub fn token(&self) -> Option<String> {
        self.installation.known().map(|id| self.installation.terms.token(id))
    }

    /// Compares what a lane says with what it has to say; it says nothing where no version that wrote
    /// this has counted there yet. `true` where the lane is another's by now and may be replaced.
    ///
    /// # Errors
    /// The lane is another installation's, or was counted by other settings.
    pub fn judge(&self, found: Option<&str>) -> Result<bool, SinkError> {
        let Some(found) = found else { return Ok(false) };
        let mut words = found.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (id, currency, zone) = (Uuid::try_parse(word()).ok(), word(), word());
        let settled = match id {
            Some(_) => self.installation.settle(id, PLACE).map(drop),
            None => Err(self.installation.foreign(found, PLACE)),
        };
        if let Err(foreign) = settled {
            if !self.seen.load(Ordering::Relaxed) {
                return Err(foreign);
            }
            self.replaces.store(true, Ordering::Relaxed);
            return Ok(true);
        }
        let Terms { redis_prefix, .. } = self.installation.terms.clone();
        let kept = Terms { zone: zone.to_owned(), currency: currency.to_owned(), redis_prefix };
        self.installation.terms.agree(&kept, PLACE)?;
        self.seen.store(true, Ordering::Relaxed);
        Ok(false)
    }
}

impl RedisShared {
    /// What lanes have to say of their owner. Where this node does not know its installation yet,
    /// Redis is asked first.
    pub(super) async fn token(&self) -> Result<String, SinkError> {
        if let Some(token) = self.owner.token() {
            return Ok(token);
        }
        self.look_at_owner().await?;
        let Owner { installation, .. } = &self.owner;
        if installation.known().is_none() {
            // Nodes that start at once must agree, so Redis takes the offer of one of them.
            let offer = installation.terms.token(installation.offer());
            let give = async |mut connection: Connection| {
                let mut set = redis::cmd("HSETNX");
                set.arg(self.keys.lane(0).meta()).arg("installation").arg(&offer);
                set.exec_async(&mut connection).await
            };
            self.servers.run("offer an installation", give).await?;
            self.look_at_owner().await?;
        }
        let token = self.owner.token();
        token.ok_or_else(|| unavailable("Redis was emptied while it was asked whose it is"))
    }

    /// Asks every lane whose it is.
    ///
    /// # Errors
    /// One is another's; where it may be replaced, a rebuild is under way.
    pub(super) async fn look_at_owner(&self) -> Result<(), SinkError> {
        let look = async |mut connection: Connection| {
            let mut found = Vec::new();
            for lane in self.keys.lanes() {
                let mut ask = redis::cmd("HGET");
                ask.arg(lane.meta()).arg("installation");
                found.push(ask.query_async::<Option<String>>(&mut connection).await?);
            }
            Ok(found)
        };
        let found = self.servers.run("ask whose counters these are", look).await?;
        found.iter().try_for_each(|lane| self.of_owner(lane.as_deref()))
    }

    /// Forgets who was active, and which values were seen, where another's lanes were found: Redis has
    /// come back with the visitors of that installation, too. Those of our own are noted again from
    /// the ledger. Ids of the other one (`dedupe.shared`) stay until they run out.
    pub(super) async fn forget_foreign_visitors(&self) -> Result<(), SinkError> {
        if !self.owner.replaces.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let today = self.zone.day_of(now_ms()).date;
        let days: Vec<Date> = [today.yesterday(), Ok(today)].into_iter().flatten().collect();
        let mut names = Vec::new();
        for shard in 0..ACTIVE_SHARDS {
            names.push(self.keys.active(shard));
            let generation = self.visitor_terms().generation();
            names.extend([generation, generation - 1].map(|it| self.keys.links(shard, it)));
            for (day, metric) in
                days.iter().flat_map(|day| self.distinct.iter().map(move |m| (day, m)))
            {
                names.extend(<[String; 2]>::from(self.keys.distinct(shard, *day, metric)));
            }
        }
        let forget = async |mut connection: Connection| {
            for name in &names {
                redis::cmd("UNLINK").arg(name).exec_async(&mut connection).await?;
            }
            Ok(())
        };
        self.servers.run("forget another installation's visitors", forget).await
    }

    /// Makes sure that Redis is ours before something is written that no script guards.
    pub(super) async fn is_ours(&self) -> Result<(), SinkError> {
        match self.owner.seen.load(Ordering::Relaxed) {
            true => Ok(()),
            false => self.look_at_owner().await,
        }
    }

    /// Compares what a lane says of its owner, and asks for a rebuild where it is another's and may be
    /// replaced.
    pub(super) fn of_owner(&self, found: Option<&str>) -> Result<(), SinkError> {
        if !self.owner.judge(found)? {
            return Ok(());
        }
        tracing::error!(found, "Redis has come back with the counters of another installation");
        self.rebuild_wanted.notify_one();
        Err(rebuilding())
    }
}
