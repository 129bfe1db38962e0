//! The store and the live counters, as they answer now.

use std::{sync::Arc, time::Duration};

use super::{Finding, Fine, Wrong};
use crate::{
    config::Config,
    live,
    sink::{Installation, Looked},
    store::{self, sqlite},
};

/// How long a store may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Whether the store names who may send, and who may see the numbers. One that can't be read is another
/// finding.
pub(super) async fn stored_doors(config: &Config, installation: Arc<Installation>) -> (bool, bool) {
    if config.postgres.url.is_empty() {
        return sqlite::doors(&config.data_dir).unwrap_or_default();
    }
    let look = async { store::open_as(config, installation).await?.access.access_doors().await };
    match tokio::time::timeout(ANSWER_WITHIN, look).await {
        Ok(Ok(doors)) => doors,
        _ => (false, false),
    }
}

/// Whether the store answers and takes writes. A SQLite file that is not there yet is not made.
pub(super) async fn store(config: &Config, installation: Arc<Installation>) -> Finding {
    if config.postgres.url.is_empty() {
        return match sqlite::look(&config.data_dir) {
            Ok(None) => {
                Fine("SQLite in the data dir: not there yet, and made at the start".to_owned())
            }
            found => {
                let compared = found.and_then(|_| sqlite::compare(&config.data_dir, &installation));
                let version = sqlite::version().to_owned();
                let looked = compared.map(|()| Looked { version, doubts: Vec::new() });
                answered::<()>("SQLite", Ok(looked.map_err(|e| e.to_string())))
            }
        };
    }
    let look = async {
        let stores = store::open_as(config, installation).await.map_err(|e| e.to_string())?;
        stores.info.check().await.map_err(|e| e.to_string())
    };
    answered("PostgreSQL", tokio::time::timeout(ANSWER_WITHIN, look).await)
}

/// Whether the live counters answer and take writes.
pub(super) async fn live(config: &Config, installation: Arc<Installation>) -> Finding {
    let wanted = match config.redis.urls.len() {
        0 => return Fine("in this process: filled from the ledger at each start".to_owned()),
        1 => "Redis",
        _ => "Redis Cluster",
    };
    let look = async { live::redis_look(config, installation).await.map_err(|e| e.to_string()) };
    answered(wanted, tokio::time::timeout(ANSWER_WITHIN, look).await)
}

/// Puts the answer of a server, or its absence, into words.
fn answered<Late>(wanted: &str, answer: Result<Result<Looked, String>, Late>) -> Finding {
    match answer {
        Ok(Ok(Looked { version, doubts })) => {
            Finding::with_doubts(format!("{wanted} {version}: answers and takes writes"), &doubts)
        }
        Ok(Err(e)) => Wrong(format!("{wanted}: {e}")),
        Err(_) => Wrong(format!("{wanted}: no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}
