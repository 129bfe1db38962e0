//! `GET /api/analytics/explain`: why a metric has changed. How that is found out is in
//! [`crate::domain::cause`].

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use crate::{
    causes::{
        CauseFault, CauseQuery, Explainer,
        spans::{self, Moments, USUAL_LENGTH},
    },
    domain::{
        occasion::Occasions,
        time::{BusinessZone, Millis},
    },
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::Mirror,
};

/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;

const PARAMETERS: [&str; 6] = ["metric", "from", "to", "baseline", "baseline_from", "baseline_to"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/explain", explain).parameters(&PARAMETERS);
}

async fn explain(
    request: HttpRequest,
    explainer: web::Data<Explainer>,
    mirror: web::Data<Mirror>,
    occasions: web::Data<Occasions>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let sight = principal.rights.sight;
    let (metric, now, was) =
        asked(request.query_string(), mirror.now(), mirror.zone(), &occasions)?;
    let metric_set = mirror.metric_set();
    if metric_set.metric(&metric).is_some() && !metric_set.shows(sight, &metric) {
        return Err(hidden());
    }
    let answer = explainer.explain(&CauseQuery { metric, now, was, sight }).await;
    let answer = answer.map_err(|fault| match fault {
        CauseFault::Unknown(_) | CauseFault::NoSum(_) => {
            ApiError::bad_request("invalid_parameter", format!("metric: {fault}"))
        }
        CauseFault::Gone(words) => ApiError::new(StatusCode::GONE, "rows_removed", words),
        CauseFault::Store(error) => {
            // What the store said is for the log; it may name hosts and tables.
            tracing::warn!(%error, "the store can't say why a metric has changed");
            ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN)
        }
    })?;
    Ok(no_store().json(answer))
}

/// Reads the query: the metric, the span and the one that it is compared with.
fn asked(
    text: &str,
    now: Millis,
    zone: &BusinessZone,
    occasions: &Occasions,
) -> Result<(String, Moments, Moments), ApiError> {
    let [metric, from, to, baseline, baseline_from, baseline_to] = query::read(text, &PARAMETERS)?;
    let invalid = |message: &str| ApiError::bad_request("invalid_parameter", message);
    let metric = metric.ok_or_else(|| invalid("metric: which one? metric=checkout_error_rate"))?;
    let moment =
        |name, text: Option<String>| text.map(|text| query::moment(name, &text)).transpose();
    let to = moment("to", to)?.unwrap_or(now).min(now);
    let from = moment("from", from)?.unwrap_or(to - USUAL_LENGTH);
    let given = (moment("baseline_from", baseline_from)?, moment("baseline_to", baseline_to)?);
    let was = match (baseline, given) {
        (None, (Some(begin), Some(end))) => (begin, end),
        (baseline, (None, None)) => {
            let word = baseline.as_deref().unwrap_or("last_hour");
            let was = spans::named((from, to), word, zone, occasions);
            was.map_err(|words| invalid(&format!("baseline: {words}")))?
        }
        (None, _) => return Err(invalid("baseline_from and baseline_to go together")),
        (Some(_), _) => {
            return Err(invalid("baseline goes without baseline_from and baseline_to"));
        }
    };
    spans::check((from, to), was).map_err(invalid)?;
    Ok((metric, (from, to), was))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{DAY, HOUR, MINUTE};

    const NOW: Millis = 1_795_521_600_000;

    #[test]
    fn spans_are_read_and_what_makes_no_sense_is_refused() {
        let zone = BusinessZone::named("UTC").unwrap();
        let occasions = Occasions::default();
        let asked =
            |text: &str| asked(text, NOW, &zone, &occasions).map(|(_, now, was)| (now, was));
        let last = (NOW - 10 * MINUTE, NOW);
        assert_eq!(asked("metric=errors").unwrap(), (last, (last.0 - HOUR, last.0)));
        assert_eq!(
            asked("metric=errors&baseline=last_week").unwrap().1,
            (last.0 - 7 * DAY, NOW - 7 * DAY)
        );
        let (from, to) = (NOW - 2 * HOUR, NOW - HOUR);
        let given = format!("metric=errors&baseline_from={from}&baseline_to={to}");
        assert_eq!(asked(&given).unwrap(), (last, (from, to)));
        for wrong in [
            "",
            "metric=errors&baseline=noon",
            "metric=errors&baseline_from=5",
            &format!("{given}&baseline=yesterday"),
            &format!("metric=errors&from={NOW}"),
            &format!("metric=errors&from={}&to={to}", to - 40 * DAY),
            &format!("metric=errors&baseline_from={from}&baseline_to={NOW}"),
            "metric=errors&from=x",
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
