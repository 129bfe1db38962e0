//! Hands a request to the ingest actor, and waits until it is on disk.
//!
//! Where nodes share their ids (`dedupe.shared`), those of the request are claimed first: claim
//! in Redis, write to disk, keep the claim or give it back.

use std::sync::Arc;

use super::{Intake, quota::Admission};
use crate::{
    failpoint::kill_point,
    http::error::ApiError,
    ingest::{
        Accepted, NotTaken, Request,
        hand_over::{HandOver, NotAppended},
    },
    live::redis::claims::Claims,
};

/// Appends the events and dead letters of a request that was admitted.
///
/// # Errors
/// 503 where the actor is behind, the spool is full, its disk failed, or nobody can say
/// whether an id is new.
pub async fn append(
    intake: &Intake,
    hand_over: &HandOver,
    _: Admission,
    request: Request,
) -> Result<Accepted, ApiError> {
    if request.events == 0 && request.dead_letters.is_empty() {
        return Ok(Accepted::default());
    }
    match intake.claims.clone() {
        Some(claims) if !request.client_ids.is_empty() => {
            // In a task of its own, which ends though the client may go: its claim has to be
            // kept or released.
            let claimed = append_claimed(hand_over.clone(), claims, request);
            let appended = actix_web::rt::spawn(claimed).await;
            appended.unwrap_or_else(|_| Err(NotAppended::Stopping.into()))
        }
        _ => hand_over.request(request).await.map_err(ApiError::from),
    }
}

async fn append_claimed(
    hand_over: HandOver,
    claims: Arc<Claims>,
    mut request: Request,
) -> Result<Accepted, ApiError> {
    let ids = request.client_ids.iter().map(|(_, id)| id.clone()).collect();
    let claim = claims.claim(ids).await.map_err(|e| {
        metrics::counter!("floodmark_dedupe_undecided_total").increment(1);
        ApiError::unavailable("dedupe", e.to_string(), 1)
    })?;
    request.known = claim.known.iter().map(|at| request.client_ids[*at].0).collect();
    kill_point!("ids-claimed");
    let appended = hand_over.request(request).await;
    kill_point!("ids-appended");
    match &appended {
        Ok(_) => claims.keep(claim).await,
        Err(NotAppended::NotTaken(NotTaken::Full) | NotAppended::Overloaded) => {
            claims.release(claim)
        }
        // It may be on the disk: the next start finds out.
        Err(NotAppended::NotTaken(NotTaken::Failed(_)) | NotAppended::Stopping) => drop(claim),
    }
    Ok(appended?)
}

impl From<NotAppended> for ApiError {
    fn from(why: NotAppended) -> ApiError {
        let (code, seconds) = match why {
            NotAppended::Overloaded => ("overloaded", 1),
            NotAppended::Stopping => ("stopping", 1),
            NotAppended::NotTaken(NotTaken::Full) => ("spool_full", 5),
            NotAppended::NotTaken(NotTaken::Failed(_)) => ("spool_failed", 30),
        };
        ApiError::unavailable(code, why.to_string(), seconds)
    }
}
