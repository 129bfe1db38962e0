//! Hands a request to the ingest actor, and waits until it is on disk.
//!
//! Where the nodes share event ids (`dedupe.shared`), the ids of the request are claimed first.
//! The order is: claim the ids in Redis, write the events to disk, then keep the claim, or give it
//! back if the events were not written.

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

/// Appends the events and dead letters of a request. The [`Admission`] proves that the request
/// has passed the guard and the quota.
///
/// # Errors
/// 503 where the actor is behind or stopping, the spool is full, its disk failed, or Redis can't
/// say whether an id is new.
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
            // This runs in a task of its own, so that it goes on to its end if the client
            // disconnects: a claim has to be kept or released.
            let claimed = append_claimed(hand_over.clone(), claims, request);
            let appended = actix_web::rt::spawn(claimed).await;
            appended.unwrap_or_else(|_| Err(NotAppended::Stopping.into()))
        }
        _ => hand_over.request(request).await.map_err(ApiError::from),
    }
}

/// Claims the ids of the request, appends it, and settles the claim.
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
    // Of an import some are known already.
    request.known.extend(claim.known.iter().map(|at| request.client_ids[*at].0));
    request.known.sort_unstable();
    kill_point!("ids-claimed");
    let appended = hand_over.request(request).await;
    kill_point!("ids-appended");
    match &appended {
        Ok(_) => claims.keep(claim).await,
        Err(NotAppended::NotTaken(NotTaken::Full) | NotAppended::Overloaded) => {
            claims.release(claim)
        }
        // The events may be on disk or not. The claim is neither kept nor released, and the next
        // start of the server finds out what was written.
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
