//! `floodmark demo`: runs a server, and a simulated shop that sends traffic to it over HTTP like
//! any collector. With `--write`, there is no server and the traffic goes to a file.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::HumanCount;
use serde::Deserialize;
use tokio::{sync::Semaphore, time::sleep};

use super::{ServeArgs, exit::Exit, moment, positive, sender::Sender, serve, signals::Signals};
use crate::{
    config::Config,
    demo::{
        event::ShopEvent,
        file::{self, TrafficPlan},
        shop::Shop,
    },
    domain::time::{HOUR, Millis, now_ms},
};

/// The demo's data dir unless another is given: apart from real data.
const DEMO_DIR: &str = "floodmark-demo";
/// How often the shop sends the events that have happened since the last time.
const TICK: Duration = Duration::from_millis(100);
/// At most this many events are sent in one round. If the shop is behind by more, the next
/// round follows at once.
const ROUND_EVENTS: usize = 2000;
/// The shop has this many front ends. Each round is split among them by session.
const FRONTS: usize = 4;
/// Requests under way at most, so that a server that is slow slows the shop.
const MAX_REQUESTS: usize = 8;
/// How long a request is tried. A day is longer than any pause of a demo's server.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// How long to wait until the server has rebuilt its counters.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// `floodmark demo`
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Events a second, on average
    #[arg(long, value_name = "N", default_value_t = 40.0, value_parser = positive)]
    rate: f64,
    /// Another seed is another shop day
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the data in a temporary folder and delete it at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Run no server: write the traffic to this NDJSON file (gzipped if it ends in .gz)
    #[arg(long, value_name = "FILE", requires = "events")]
    write: Option<PathBuf>,
    /// With --write: exactly this many events
    #[arg(long, value_name = "N", requires = "write")]
    events: Option<u64>,
    /// With --write: the moment (RFC 3339) of the first event [default: --hours ago]
    #[arg(long, value_name = "MOMENT", requires = "write", value_parser = moment)]
    from: Option<Millis>,
    /// With --write: the hours that the events spread over
    #[arg(long, value_name = "H", default_value_t = 1.0, requires = "write",
          value_parser = positive)]
    hours: f64,
}

/// So many of the visitors whom the server of the demo gets are crawlers, which the numbers leave out.
const CRAWLERS: f64 = 0.03;

/// Runs the command.
pub fn run(args: &DemoArgs) -> ExitCode {
    let result = match (&args.write, args.events) {
        (Some(path), Some(events)) => write(args, path, events),
        _ => serve_shop(args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(message) => {
            eprintln!("floodmark demo: {message}");
            Exit::Failed.into()
        }
    }
}

/// Writes the traffic to a file.
fn write(args: &DemoArgs, path: &Path, events: u64) -> Result<Exit, String> {
    let config = args.serve.load().map_err(|e| e.to_string())?;
    let span = (args.hours * HOUR as f64) as Millis;
    let plan = TrafficPlan {
        seed: args.seed,
        events,
        from: args.from.unwrap_or_else(|| now_ms() - span),
        span,
        currency: config.currency,
    };
    let bytes = file::write(&plan, path).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{}: {} events, {}", path.display(), HumanCount(events), indicatif::HumanBytes(bytes));
    Ok(Exit::Done)
}

/// Runs the server and the shop.
fn serve_shop(args: &DemoArgs) -> Result<Exit, String> {
    let mut config = args.serve.load().map_err(|e| e.to_string())?;
    let is_default = config.data_dir == Config::default().data_dir;
    if args.ephemeral {
        let name = format!("{DEMO_DIR}-{}", uuid::Uuid::new_v4().simple());
        config.data_dir = std::env::temp_dir().join(name);
    } else if is_default && args.serve.data_dir.is_none() {
        config.data_dir = PathBuf::from(DEMO_DIR);
    }
    let result = actix::System::new().block_on(serve_until_stopped(args, &config));
    if args.ephemeral && config.data_dir.exists() {
        std::fs::remove_dir_all(&config.data_dir)
            .map_err(|e| format!("{} stays behind: {e}", config.data_dir.display()))?;
    }
    result
}

async fn serve_until_stopped(args: &DemoArgs, config: &Config) -> Result<Exit, String> {
    let mut signals = Signals::listen();
    let running = serve::start(config.clone()).await.map_err(|e| e.to_string())?;
    let base = format!("http://{}", reachable(running.addr));
    println!(
        "\n  Floodmark demo: a simulated shop, about {} events a second\n\n  \
         Dashboard   {base}\n  \
         Data        {}{}\n  \
         Stop        Ctrl-C\n",
        args.rate,
        config.data_dir.display(),
        if args.ephemeral { ", deleted at the end" } else { "" },
    );
    let result = tokio::select! {
        result = open_shop(args, config, &base) => result.map(|()| None),
        ended = serve::told_to_stop(&running, &mut signals) => Ok(ended),
    };
    let ended = match result {
        Ok(Some(Exit::CutShort)) => return Ok(Exit::CutShort),
        Ok(ended) => ended,
        Err(message) => {
            serve::stop(running, &mut signals).await;
            return Err(message);
        }
    };
    let stopped = serve::stop(running, &mut signals).await;
    Ok(ended.unwrap_or(stopped))
}

/// The address by which to reach a server that listens on `addr`: 0.0.0.0 listens everywhere
/// but can't be connected to on every system.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    addr
}

/// Sends the shop's traffic for ever. A server that has no event of the last hour gets that
/// hour first, so that its charts are not empty.
async fn open_shop(args: &DemoArgs, config: &Config, base: &str) -> Result<(), String> {
    let api = Api::new(base, config);
    let is_empty = api.ready().await && api.last_hour_is_empty().await;
    let now = now_ms();
    let start = if is_empty { now - HOUR } else { now };
    let shop = Shop::new(args.seed, start, args.rate, &config.currency).with_crawlers(CRAWLERS);
    if is_empty {
        println!("  The hour before this moment is being filled in.");
    }
    let sender = Sender::new(base, config.first_write_key(), MAX_REQUESTS, PATIENCE)?;
    send_traffic(shop, Rc::new(sender)).await
}

/// Sends each event once its moment has come. Ends only when the server refuses a request.
async fn send_traffic(shop: Shop, sender: Rc<Sender>) -> Result<(), String> {
    let mut shop = shop.peekable();
    let free = Arc::new(Semaphore::new(MAX_REQUESTS));
    let refusal = Rc::new(Cell::new(None));
    loop {
        let now = now_ms();
        // Events older than two hours are skipped. They come up if the machine slept, and nobody
        // wants to wait until hours of traffic are made up for.
        while shop.next_if(|event| event.timestamp < now - 2 * HOUR).is_some() {}
        let round: Vec<ShopEvent> =
            std::iter::from_fn(|| shop.next_if(|event| event.timestamp <= now))
                .take(ROUND_EVENTS)
                .collect();
        for (body, events) in split(&round) {
            let slot = Arc::clone(&free).acquire_owned().await;
            let (sender, refusal) = (Rc::clone(&sender), Rc::clone(&refusal));
            actix::spawn(async move {
                match sender.send(body.into(), events).await {
                    Ok(answer) => {
                        if let Some(first) = answer.rejected.first() {
                            tracing::warn!(first.code, first.message, "the demo's events");
                        }
                    }
                    Err(e) => refusal.set(Some(e.to_string())),
                }
                drop(slot);
            });
        }
        if let Some(message) = refusal.take() {
            return Err(message);
        }
        if round.len() < ROUND_EVENTS {
            sleep(TICK).await;
        }
    }
}

/// Makes one request for each front end that has something to send: NDJSON, and how many lines it
/// has. A session always stays with one front end, so that its events arrive in order.
fn split(round: &[ShopEvent]) -> Vec<(Vec<u8>, u64)> {
    let mut fronts = vec![(Vec::new(), 0); FRONTS];
    for event in round {
        let front = xxhash_rust::xxh3::xxh3_64(event.session_id.as_bytes()) as usize % FRONTS;
        let (body, events) = &mut fronts[front];
        event.write_line(body);
        *events += 1;
    }
    fronts.retain(|(_, events)| *events > 0);
    fronts
}

/// The questions that the demo asks its server.
struct Api {
    client: awc::Client,
    base: String,
    token: Option<String>,
}

impl Api {
    fn new(base: &str, config: &Config) -> Api {
        Api {
            client: awc::Client::default(),
            base: base.to_owned(),
            token: config.auth.viewer_tokens.first().cloned(),
        }
    }

    /// Waits until the server is ready, since its counters may not be rebuilt before. `false` if
    /// that took too long.
    async fn ready(&self) -> bool {
        let ask = async {
            loop {
                let answer = self.client.get(format!("{}/readyz?sinks", self.base)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                sleep(TICK).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ask).await.is_ok()
    }

    /// Whether there was no page view in the last hour. `false` if the server doesn't answer,
    /// so that nothing is filled in twice.
    async fn last_hour_is_empty(&self) -> bool {
        #[derive(Deserialize)]
        struct MinuteCount {
            count: f64,
        }
        let path = "/api/analytics/timeseries?type=page_view&hours=1";
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let Ok(mut answer) = request.send().await else {
            return false;
        };
        match answer.json::<Vec<MinuteCount>>().await {
            Ok(points) => points.iter().all(|point| point.count == 0.0),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stays_with_one_front_end_and_nothing_is_lost() {
        let round: Vec<_> = Shop::new(1, 1_795_420_800_000, 40.0, "USD").take(500).collect();
        let requests = split(&round);
        assert_eq!(requests.len(), FRONTS);
        assert_eq!(requests.iter().map(|(_, events)| events).sum::<u64>(), 500);
        let mut front_of = hashbrown::HashMap::new();
        for (front, (body, events)) in requests.iter().enumerate() {
            let text = std::str::from_utf8(body).unwrap();
            assert_eq!(text.lines().count() as u64, *events);
            for line in text.lines() {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                let session = event["sessionId"].as_str().unwrap().to_owned();
                assert_eq!(*front_of.entry(session).or_insert(front), front);
            }
        }
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn a_round_fits_into_requests_that_the_server_takes() {
        let round: Vec<_> =
            Shop::new(1, 1_795_420_800_000, 40.0, "USD").take(ROUND_EVENTS).collect();
        let limit = Config::default().http.max_body_bytes;
        assert!(split(&round).iter().all(|(body, _)| body.len() < limit));
    }

    #[test]
    fn any_address_is_reached_by_the_loopback() {
        let reach = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reach("[::]:80"), "127.0.0.1:80");
        assert_eq!(reach("192.0.2.1:80"), "192.0.2.1:80");
    }
}
