//! `GET /api/analytics/at`: what `/current` would have said at a moment of the past.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    domain::time::{BusinessZone, Millis},
    http::{auth::Principal, current::no_store, error::ApiError, etag::tagged, query, scope::View},
    numbers::{Mirror, PastMoments},
};

const PARAMETERS: [&str; 1] = ["time"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/at", at).parameters(&PARAMETERS);
}

async fn at(
    request: HttpRequest,
    mirror: web::Data<Mirror>,
    moments: web::Data<PastMoments>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let time = asked(request.query_string(), mirror.now(), mirror.zone())?;
    let said = moments.at(time, principal.rights.sight).await?;
    Ok(tagged(&request, no_store().json(said)))
}

fn asked(text: &str, now: Millis, zone: &BusinessZone) -> Result<Millis, ApiError> {
    let ([time], _) = query::read_exactly(text, &PARAMETERS, None)?;
    let invalid = |message: &str| ApiError::bad_request("invalid_parameter", message);
    let time = time.ok_or_else(|| invalid("time: which moment? time=2026-11-27T10:00:00Z"))?;
    let time = query::start("time", &time, zone)?;
    if time > now {
        return Err(invalid("time: that moment has not come yet"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;

    #[test]
    fn a_moment_has_to_have_come() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let asked = |text: &str| asked(text, now, &zone).ok();
        assert_eq!(asked(&format!("time={now}&token=x")), Some(now));
        assert_eq!(asked("time=2026-11-27"), parse_rfc3339("2026-11-26T23:00:00Z"));
        for wrong in ["", "time=", "time=noon", &format!("time={}", now + 1), "time=1&to=2"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
