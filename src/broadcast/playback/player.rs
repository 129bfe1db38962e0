//! The player: makes the frames of one viewer's playback.

use std::{sync::Arc, time::Duration};

use actix_web_actors::ws::CloseCode;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use crate::{
    broadcast::{
        frame::{
            self, DeltaFrame, Empty, Firings, FrameError, Playback, Snapshot, SnapshotFrame,
            TimeBucket, hidden,
        },
        hub::{Pulse, ViewerId},
        playback::{Played, PlayedFrame, Projector, WantedPast},
        timeline::FramePace,
        wire_frame::WireFrame,
    },
    domain::{
        access::Sight,
        time::{MINUTE, Millis, SECOND, bucket},
        totals::Totals,
    },
    numbers::{
        Unavailable, current,
        moment::Resolution,
        playback::{PastReel, PastStep},
    },
};

/// From this speed on, steps are whole minutes: nobody could see a second.
const BY_MINUTE: u32 = 60;
/// How often it is looked up who was active.
const LOOK_AT_ACTIVE: Duration = Duration::from_secs(1);

/// Makes the frames of one viewer's playback, each once the one before was taken.
pub struct Player {
    id: ViewerId,
    sight: Sight,
    reel: PastReel,
    wanted: watch::Receiver<WantedPast>,
    projector: Projector,
    pulse: Arc<Pulse>,
    pace: FramePace,
    /// Frames that were sent.
    sent: u64,
    epoch: String,
    shown: Shown,
    _permit: OwnedSemaphorePermit,
}

/// What the viewer was shown last.
struct Shown {
    wanted: WantedPast,
    /// The moment that is shown, Unix ms.
    position: Millis,
    /// Up to which moment is counted.
    counted: Millis,
    resolution: Resolution,
    active_users: Option<u64>,
    /// When it was looked up who was active.
    looked_at: Instant,
    /// The ids of the alerts that fired.
    firing: Vec<String>,
}

/// Whether there is another frame.
enum NextFrame {
    At(Instant),
    End(CloseCode, &'static str),
}

/// For whom a player plays, and how.
pub struct Audience {
    /// The viewer.
    pub id: ViewerId,
    /// What it sees.
    pub sight: Sight,
    /// What its session and the hub share.
    pub pulse: Arc<Pulse>,
    /// How often there are frames.
    pub pace: FramePace,
}

impl Drop for Player {
    /// A panic ends the playback with a word, since nobody else knows that there will be no further frame.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.project(PlayedFrame::End(CloseCode::Error, "the server has failed; ask again"));
        }
    }
}

impl Player {
    /// Plays what is wanted, once it runs. It holds the permit for as long as it does.
    pub fn new(
        audience: Audience,
        reel: PastReel,
        wanted: watch::Receiver<WantedPast>,
        projector: Projector,
        permit: OwnedSemaphorePermit,
    ) -> Player {
        let Audience { id, sight, pulse, pace } = audience;
        let first = wanted.borrow().clone();
        let shown = Shown {
            position: first.from,
            counted: first.from,
            wanted: first,
            resolution: Resolution::Second,
            active_users: None,
            looked_at: Instant::now(),
            firing: Vec::new(),
        };
        let epoch = Uuid::new_v4().simple().to_string();
        let sent = 0;
        Player {
            id,
            sight,
            reel,
            wanted,
            projector,
            pulse,
            pace,
            sent,
            epoch,
            shown,
            _permit: permit,
        }
    }

    /// Plays until the session ends, or there is nothing more to play.
    pub async fn run(mut self) {
        let (code, why) = match self.play().await {
            Ok(None) => return,
            Ok(Some(end)) => end,
            Err(Unavailable { .. }) => (CloseCode::Error, "the store does not answer; ask again"),
        };
        self.project(PlayedFrame::End(code, why));
    }

    /// `None` where the session has ended.
    async fn play(&mut self) -> Result<Option<(CloseCode, &'static str)>, Unavailable> {
        let position = self.shown.position;
        self.jump(position).await?;
        let mut next = Instant::now() + self.interval();
        loop {
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return Ok(None);
                    }
                    next = next.min(Instant::now() + self.tick());
                }
                () = sleep_until(next) => {
                    if !self.is_taken() {
                        next = Instant::now() + self.tick();
                        continue;
                    }
                    match self.frame().await? {
                        NextFrame::At(at) => next = at,
                        NextFrame::End(code, why) => return Ok(Some((code, why))),
                    }
                }
            }
        }
    }

    /// Sends the next frame.
    async fn frame(&mut self) -> Result<NextFrame, Unavailable> {
        let began = Instant::now();
        let wanted = self.wanted.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.shown.wanted, wanted.clone());
        if wanted.refused.0 != before.refused.0 {
            self.stand(Some(&wanted.refused.1));
        }
        if wanted.jumps != before.jumps {
            self.jump(wanted.from).await?;
        } else if wanted.speed == 0 {
            self.stand(None);
        } else {
            let unit = self.unit();
            let to = bucket(self.shown.position, unit) + self.stride();
            if to > self.reel.now() {
                return Ok(NextFrame::End(CloseCode::Normal, "this is now; watch the live stream"));
            }
            match self.reel.same_day(self.shown.position, to) {
                true => self.step(to).await?,
                false => self.jump(to).await?,
            }
        }
        Ok(NextFrame::At(began + self.interval()))
    }

    /// Sends a snapshot of a moment.
    async fn jump(&mut self, to: Millis) -> Result<(), Unavailable> {
        let state = self.reel.state(to, self.sight).await?;
        self.shown.position = bucket(to, SECOND);
        self.shown.counted = state.at.as_of;
        self.shown.resolution = state.at.resolution;
        self.shown.active_users = state.at.current.active_users;
        self.shown.looked_at = Instant::now();
        let firing = self.reel.firing(self.shown.position, self.sight);
        self.shown.firing = firing.iter().map(|it| it.id.clone()).collect();
        let seen = |all: Vec<(Millis, Totals)>| -> Vec<TimeBucket> {
            all.into_iter().map(|(at, it)| TimeBucket::seen_by(self.sight, at, it)).collect()
        };
        let text = frame::write(&SnapshotFrame {
            seq: self.sent + 1,
            epoch: &self.epoch,
            counts: Empty {},
            revenue: 0,
            timestamp: self.shown.position,
            behind_ms: None,
            alerts: Firings { version: self.sent + 1, firing: &firing },
            marks: None,
            playback: Some(self.playback()),
            hidden: hidden(self.sight),
            snapshot: Snapshot {
                current: state.at.current,
                seconds: seen(state.seconds),
                minutes: seen(state.minutes),
            },
        });
        self.show(text);
        Ok(())
    }

    /// Sends what comes up to a moment.
    async fn step(&mut self, to: Millis) -> Result<(), Unavailable> {
        let by_second = self.shown.wanted.speed < BY_MINUTE;
        let step = self.reel.step(self.shown.counted, to, by_second).await?;
        self.shown.position = to;
        self.shown.counted = step.as_of;
        self.shown.resolution = step.resolution;
        if self.shown.looked_at.elapsed() >= LOOK_AT_ACTIVE {
            self.shown.looked_at = Instant::now();
            self.shown.active_users = self.reel.active_users(step.as_of).await?;
        }
        let text = self.delta(step, None);
        self.show(text);
        Ok(())
    }

    /// Sends a frame that adds nothing, by which the viewer knows that the server is there; with why something
    /// can't be done, if it can't.
    fn stand(&mut self, refused: Option<&str>) {
        let step = PastStep {
            totals: Totals::default(),
            seconds: Vec::new(),
            minutes: Vec::new(),
            as_of: self.shown.counted,
            resolution: self.shown.resolution,
        };
        let text = self.delta(step, refused);
        self.show(text);
    }

    /// A frame that adds a step.
    fn delta(&mut self, step: PastStep, refused: Option<&str>) -> WireFrame {
        let firing = self.reel.firing(self.shown.position, self.sight);
        let ids: Vec<_> = firing.iter().map(|it| it.id.clone()).collect();
        let seq = self.sent + 1;
        let alerts =
            (ids != self.shown.firing).then_some(Firings { version: seq, firing: &firing });
        self.shown.firing = ids;
        let seen = |all: Vec<(Millis, Totals)>| -> Vec<TimeBucket> {
            all.into_iter().map(|(at, it)| TimeBucket::seen_by(self.sight, at, it)).collect()
        };
        frame::write(&DeltaFrame {
            seq,
            revenue: current::revenue_of(&step.totals, self.sight),
            counts: step.totals,
            active_users: self.shown.active_users,
            timestamp: self.shown.position,
            behind_ms: None,
            alerts,
            marks: None,
            playback: Some(self.playback()),
            error: refused.map(|message| FrameError { code: "invalid_parameter", message }),
            seconds: seen(step.seconds),
            minutes: seen(step.minutes),
            hidden: hidden(self.sight),
        })
    }

    fn playback(&self) -> Playback {
        Playback {
            speed: self.shown.wanted.speed,
            as_of: self.shown.counted,
            resolution: self.shown.resolution,
        }
    }

    fn show(&mut self, text: WireFrame) {
        self.project(PlayedFrame::Frame(text));
        self.sent += 1;
    }

    fn project(&self, what: PlayedFrame) {
        // `do_send` ignores the mailbox's limit. That is safe, since a player waits until its frames were taken.
        self.projector.do_send(Played { id: self.id, what });
    }

    /// Whether the viewer has taken all frames so far.
    fn is_taken(&self) -> bool {
        self.pulse.taken() >= self.sent
    }

    fn tick(&self) -> Duration {
        Duration::from_millis(self.pace.tick_ms)
    }

    /// What the moments of frames are whole numbers of.
    fn unit(&self) -> Millis {
        if self.shown.wanted.speed < BY_MINUTE { SECOND } else { MINUTE }
    }

    /// How far a frame goes: what passes in a tick, in full units.
    fn stride(&self) -> Millis {
        let passes = u64::from(self.shown.wanted.speed) * self.pace.tick_ms;
        let unit = self.unit() as u64;
        (passes.div_ceil(unit).max(1) * unit) as Millis
    }

    /// The time between two frames.
    fn interval(&self) -> Duration {
        match self.shown.wanted.speed {
            0 => Duration::from_millis(self.pace.heartbeat_ms),
            speed => Duration::from_millis(self.stride() as u64 / u64::from(speed)),
        }
    }
}
