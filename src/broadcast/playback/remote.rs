//! What a viewer of the past wants: from where, and how fast. It says so when it comes and, in text frames, at any
//! later time.

use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    broadcast::playback::MAX_SPEED,
    domain::time::{LATEST, Millis, parse_rfc3339},
    numbers::Clock,
};

/// What a viewer wants by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedPast {
    /// The moment to go on from, Unix ms.
    pub from: Millis,
    /// Goes up by one with each new `from`.
    pub jumps: u64,
    /// Seconds of the past in a second; 0 is a pause.
    pub speed: u32,
    /// Goes up by one with each thing that was wanted and can't be, and says why.
    pub refused: (u64, String),
}

/// By this a session tells its player what the viewer wants. The player ends when it is dropped.
pub struct Remote {
    wanted: watch::Sender<WantedPast>,
    clock: Clock,
}

/// What a viewer may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    from: Option<SaidMoment>,
    speed: Option<u32>,
}

/// Unix ms or RFC 3339.
#[derive(Deserialize)]
#[serde(untagged)]
enum SaidMoment {
    Number(u64),
    Text(String),
}

impl Remote {
    /// A playback from `from` (Unix ms) at a speed.
    pub fn new(from: Millis, speed: u32, clock: Clock) -> (Remote, watch::Receiver<WantedPast>) {
        let (sender, wanted) = watch::channel(WantedPast { from, speed, ..WantedPast::default() });
        (Remote { wanted: sender, clock }, wanted)
    }

    /// Notes what the viewer says: `{"from":…,"speed":…}`, both or one of them. What it does not say stays. Of
    /// what it says in one go, only the last counts.
    pub fn hear(&self, text: &[u8]) {
        self.wanted.send_modify(|wanted| match read(text, (self.clock)()) {
            Ok((from, speed)) => {
                if let Some(from) = from {
                    wanted.from = from;
                    wanted.jumps += 1;
                }
                wanted.speed = speed.unwrap_or(wanted.speed);
            }
            Err(why) => wanted.refused = (wanted.refused.0 + 1, why),
        });
    }
}

fn read(text: &[u8], now: Millis) -> Result<(Option<Millis>, Option<u32>), String> {
    let said: Said = serde_json::from_slice(text)
        .map_err(|error| format!("what may be said is {{\"from\":TIME,\"speed\":N}}: {error}"))?;
    let from = said.from.map(|from| match from {
        SaidMoment::Number(at) => Millis::try_from(at).ok().filter(|at| *at <= LATEST),
        SaidMoment::Text(text) => parse_rfc3339(&text),
    });
    let from = match from {
        Some(None) => return Err("from: Unix milliseconds, or RFC 3339".into()),
        Some(Some(at)) if at > now => return Err("from: that moment has not come yet".into()),
        Some(at) => at,
        None => None,
    };
    match said.speed {
        Some(speed) if speed > MAX_SPEED => Err(format!("speed: a whole number up to {MAX_SPEED}")),
        speed => Ok((from, speed)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    #[test]
    fn what_is_not_said_stays_and_what_cannot_be_is_refused() {
        let (remote, wanted) = Remote::new(NOW - 1_000, 1, Arc::new(|| NOW));
        let hear = |text: &str| {
            remote.hear(text.as_bytes());
            wanted.borrow().clone()
        };
        assert_eq!(hear(r#"{"speed":0}"#), WantedPast { speed: 0, ..wanted.borrow().clone() });
        let jumped = hear(r#"{"from":"2026-11-27T10:00:00Z"}"#);
        let at = parse_rfc3339("2026-11-27T10:00:00Z").unwrap();
        assert_eq!((jumped.from, jumped.jumps, jumped.speed), (at, 1, 0));
        let both = hear(r#"{"from":1700000000000,"speed":3600}"#);
        assert_eq!((both.from, both.jumps, both.speed), (1_700_000_000_000, 2, 3_600));
        let wrong = [
            "",
            "[",
            "{}x",
            r#"{"from":"noon"}"#,
            r#"{"speed":3601}"#,
            r#"{"speed":-1}"#,
            r#"{"speed":1.5}"#,
            r#"{"pause":true}"#,
            r#"{"from":1800000000001}"#,
        ];
        for (n, wrong) in wrong.iter().enumerate() {
            let refused = hear(wrong);
            assert_eq!(refused.refused.0, n as u64 + 1, "{wrong}");
            assert_eq!((refused.from, refused.jumps, refused.speed), (both.from, 2, 3_600));
        }
    }
}
