//! The read replica: charts, breakdowns and searches are answered by it while it keeps up, so that they take
//! nothing of the primary's time. What is written, folded, rebuilt or decided by is read from the primary.
//!
//! How far it is behind is told by what nodes write: each says every 5 s that it lives
//! ([`crate::store::nodes`]), so the newest such sign on the replica is 5 s old at most where it keeps up. The
//! positions in its log say nothing while it is cut off from its primary, and times of commits nothing in quiet hours.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::{
    errors::Failure,
    installation,
    rollups::CHART_TIMEOUT_MS,
    session::{PostgresSessions, Session},
};
use crate::{
    config::{PostgresAddress, PostgresConfig},
    domain::time::Millis,
    sink::{Installation, SinkError, SinkErrorKind},
    store::nodes::ALIVE_MS,
};

/// Connections to the replica: more than charts have to the primary, since nobody else needs it.
const CONNECTIONS: usize = 4;
/// Connecting may take no longer: whoever asks is waiting, and the primary can answer, too.
const CONNECT_TIMEOUT_MS: u64 = 1_000;
/// How often it is looked up how far the replica is behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a replica is left alone that can't be used.
const REST: Duration = Duration::from_secs(5);
/// The age of the newest sign of life, in ms, by the clock of the replica.
const AGE: &str = "SELECT (extract(epoch FROM clock_timestamp() - max(until)) * 1000)::bigint + $1
                   FROM leases WHERE name LIKE 'node:%'";

/// The metric of how far the replica is behind.
const LAG: &str = "floodmark_store_read_lag_seconds";

/// A server that follows the primary.
pub(super) struct Replica {
    sessions: PostgresSessions,
    /// Host, port and database, for messages.
    place: String,
    installation: Arc<Installation>,
    /// Beyond this age of the newest sign of life the primary is asked instead.
    max_lag_ms: Millis,
    seen: Mutex<ReplicaSeen>,
}

/// What was found when it was last looked at.
#[derive(Default)]
struct ReplicaSeen {
    at: Option<Instant>,
    /// Why it can't be used; `None` where it can.
    why_not: Option<String>,
}

impl Replica {
    /// The replica of the configuration, if there is one. Connects to nothing yet.
    pub fn of(
        config: &PostgresConfig,
        installation: &Arc<Installation>,
    ) -> Result<Option<Replica>, SinkError> {
        if config.read_url.is_empty() {
            return Ok(None);
        }
        let mut impatient = config.clone();
        impatient.connect_timeout_ms = config.connect_timeout_ms.min(CONNECT_TIMEOUT_MS);
        impatient.statement_timeout_ms = config.statement_timeout_ms.min(CHART_TIMEOUT_MS);
        let connect_timeout = Duration::from_millis(impatient.connect_timeout_ms);
        let address = PostgresAddress::parse(&config.read_url, connect_timeout)
            .map_err(|words| SinkError::new(SinkErrorKind::Other, words))?;
        Ok(Some(Replica {
            sessions: PostgresSessions::new(&impatient, &address, ("replica", CONNECTIONS))?,
            place: address.name,
            installation: installation.clone(),
            max_lag_ms: config.read_max_lag_ms as Millis,
            seen: Mutex::default(),
        }))
    }

    /// A session in a transaction for a chart; `None` where the primary has to be asked.
    pub async fn session(&self) -> Option<Session> {
        let (due, rests) = {
            let seen = self.seen.lock();
            let passed = seen.at.map(|at| at.elapsed());
            let rests = seen.why_not.is_some() && passed.is_some_and(|it| it < REST);
            (passed.is_none_or(|it| it >= LOOK_EVERY), rests)
        };
        if rests {
            return None;
        }
        match self.begin(due).await {
            Ok(session) => {
                self.note(due, None);
                Some(session)
            }
            Err(failure) => {
                self.note(true, Some(failure.at(&self.place).message));
                None
            }
        }
    }

    async fn begin(&self, look: bool) -> Result<Session, Failure> {
        let session = self.sessions.get().await?;
        session.begin("READ ONLY").await?;
        if !look {
            return Ok(session);
        }
        if !installation::compare_with(&self.installation, &session).await? {
            return Err(Failure::new(SinkErrorKind::Schema, "it has nothing of this shop"));
        }
        let age: Option<Millis> =
            session.query(AGE, &[(&ALIVE_MS, Type::INT8)]).await?[0].try_get(0)?;
        let age = age.unwrap_or(Millis::MAX).max(0);
        metrics::gauge!(LAG).set(age as f64 / 1000.0);
        if age > self.max_lag_ms {
            let why = format!("it is {} s behind", age / 1000);
            return Err(Failure::new(SinkErrorKind::ReadOnly, why));
        }
        Ok(session)
    }

    /// Notes how it is, and says so where that has changed.
    fn note(&self, looked: bool, why_not: Option<String>) {
        let mut seen = self.seen.lock();
        if looked {
            seen.at = Some(Instant::now());
        }
        match (&seen.why_not, &why_not) {
            (None, Some(why)) => {
                tracing::warn!(why, "the read replica can't be used: charts ask the primary");
            }
            (Some(_), None) => tracing::info!("the read replica is used again"),
            _ => {}
        }
        seen.why_not = why_not;
    }

    /// Why it can't be used, as it was last seen.
    pub async fn trouble(&self) -> Option<String> {
        if let Some(session) = self.session().await
            && session.run("COMMIT").await.is_ok()
        {
            session.done();
        }
        self.seen.lock().why_not.clone()
    }
}
