//! Visitors of pages that send no id of theirs (Plausible, Umami, Matomo without cookies).
//!
//! Such a visitor is a hash of the address and the user agent, keyed by a salt. The salt changes every
//! day (UTC), is only in memory, and the one of yesterday is gone: nobody, we included, can tell whether
//! two days had the same visitor. Nodes have salts of their own, so a visitor whose requests come to
//! two nodes counts twice.

use std::{fmt::Write, time::Duration};

use actix_web::{HttpRequest, http::header, web};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use crate::{
    domain::time::{DAY, Millis, now_ms},
    http::collect::Intake,
};

/// The salt of one day.
struct Salt {
    day: i64,
    secret: [u8; 32],
}

/// The salt of today, once it was needed.
type DailySalt = Mutex<Option<Salt>>;

static SALT: DailySalt = Mutex::new(None);

/// How long a salt may outlive its day, at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Bytes of the hash that a session id has: enough to tell all visitors of a day apart.
const BYTES: usize = 16;

/// The visitor of a request to a site, as a session id of 32 hexadecimal digits, for today.
pub fn of_today(request: &HttpRequest, site: &str) -> String {
    let agent = request.headers().get(header::USER_AGENT).map_or(&[][..], |agent| agent.as_bytes());
    // Behind a trusted proxy this is the visitor, and not the proxy.
    let intake = request.app_data::<web::Data<Intake>>();
    let client = intake.and_then(|intake| intake.client_of(request)).or(request.peer_addr());
    let address = client.map(|client| client.ip().to_canonical().to_string()).unwrap_or_default();
    hashed(&SALT, now_ms(), &[address.as_bytes(), agent, site.as_bytes()])
}

/// Forgets the salt of each day once the day is over, also where nobody calls, for as long as the process
/// runs.
pub async fn forget_past_days() {
    loop {
        forget_past(&SALT, now_ms());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn forget_past(salt: &DailySalt, now: Millis) {
    let mut salt = salt.lock();
    *salt = salt.take().filter(|salt| salt.day == now.div_euclid(DAY));
}

fn hashed(salt: &DailySalt, now: Millis, parts: &[&[u8]]) -> String {
    forget_past(salt, now);
    let of_today = || Salt { day: now.div_euclid(DAY), secret: rand::random() };
    let secret = salt.lock().get_or_insert_with(of_today).secret;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("a key may have any length");
    for part in parts {
        // The length keeps two parts from being read as two others.
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    let mut text = String::with_capacity(2 * BYTES);
    for byte in &mac.finalize().into_bytes()[..BYTES] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_the_same_for_a_day_and_another_on_the_next() {
        let noon = 20_000 * DAY + DAY / 2;
        let salt = DailySalt::default();
        let of = |at, address: &str| hashed(&salt, at, &[address.as_bytes(), b"agent"]);
        let first = of(noon, "192.0.2.1");
        assert_eq!(first.len(), 32);
        assert_eq!(of(noon + DAY / 2 - 1, "192.0.2.1"), first);
        assert_ne!(of(noon, "192.0.2.2"), first);
        assert_ne!(hashed(&salt, noon, &[b"192.0.2.1a", b"gent"]), first);
        let next = of(noon + DAY, "192.0.2.1");
        assert_ne!(next, first);
        forget_past(&salt, noon + DAY);
        assert_eq!(of(noon + DAY, "192.0.2.1"), next, "the day is not over");
        forget_past(&salt, noon + 2 * DAY);
        assert!(salt.lock().is_none(), "nobody has called, and it is gone");
        // Not even a clock that goes back brings the salt of a day back.
        assert_ne!(of(noon, "192.0.2.1"), first);
    }
}
