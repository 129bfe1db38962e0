//! Connects many viewers at once and measures what they cost the server: memory for each viewer,
//! CPU for each frame delivered, and the time between the first and the last viewer that gets a
//! frame.
//!
//! `watchers URL PID VIEWERS SECONDS [POST_URL]`: connects to the WebSocket URL of the server
//! with this process id (any server whose text frames have `"seq":N`), and posts events to
//! POST_URL meanwhile, so that each tick has a frame. `load-tests/fanout.sh` runs it. The
//! frames are read by hand: a WebSocket library would cost more than what is measured. With
//! DEFLATE=1 in the environment the viewers offer permessage-deflate, as browsers do.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use flate2::{Decompress, FlushDecompress};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// The number of connections that are being opened at the same time.
const CONNECTING: usize = 100;
/// The pause between the last connection and the first reading of the memory.
const SETTLE: Duration = Duration::from_secs(3);
/// The types of one posted batch; a burst has many more, and so much larger frames.
const TYPES: usize = 5;
const BURST_TYPES: usize = 400;
const BURST: Duration = Duration::from_secs(4);
/// Several a tick.
const POST_EVERY: Duration = Duration::from_millis(50);

/// When each frame came, in µs since the start; by its seq.
#[derive(Default)]
struct Arrivals {
    on: AtomicBool,
    connected: AtomicUsize,
    closed: AtomicUsize,
    of: Mutex<HashMap<u64, Vec<u64>>>,
    bytes: AtomicUsize,
    deflated: AtomicUsize,
}

/// What browsers offer.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, pid, viewers, seconds, post @ ..] = &args[..] else {
        return Err("watchers URL PID VIEWERS SECONDS [POST_URL]".into());
    };
    let (viewers, seconds): (usize, u64) = (viewers.parse()?, seconds.parse()?);
    let (host, path) = split(url, "ws://")?;
    let arrivals = Arc::new(Arrivals::default());
    let types = Arc::new(AtomicUsize::new(TYPES));
    if let Some(post) = post.first() {
        let (host, path) = split(post, "http://")?;
        tokio::spawn(feed(host, path, types.clone()));
    }
    let start = Instant::now();
    // What the server needs for its first viewer is not a viewer's cost.
    let first = watch(host.clone(), path.clone(), start, Arc::default());
    let _ = tokio::time::timeout(Duration::from_secs(2), first).await;
    sleep(SETTLE).await;
    let before = memory(pid)?;

    connect_all(viewers, (&host, &path), start, &arrivals).await;
    sleep(SETTLE).await;
    let idle = memory(pid)?;

    let cpu_before = cpu(pid)?;
    arrivals.on.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(seconds)).await;
    arrivals.on.store(false, Ordering::Relaxed);
    let (user, system) = cpu(pid)?;
    let spent = [user - cpu_before.0, system - cpu_before.1];
    let followed = memory(pid)?;
    tell_frames(&arrivals, viewers, seconds, spent);

    let a_viewer = |now: u64| now.saturating_sub(before) as f64 / viewers as f64;
    println!(
        "  memory a viewer        {:.1} kB idle, {:.1} kB after following",
        a_viewer(idle),
        a_viewer(followed)
    );
    if !post.is_empty() {
        types.store(BURST_TYPES, Ordering::Relaxed);
        sleep(BURST).await;
        let burst = memory(pid)?;
        types.store(TYPES, Ordering::Relaxed);
        sleep(SETTLE).await;
        let after = memory(pid)?;
        println!(
            "                         {:.1} kB in a burst of large frames, {:.1} kB after it",
            a_viewer(burst),
            a_viewer(after)
        );
    }
    Ok(())
}

/// Connects all viewers, [`CONNECTING`] at once.
async fn connect_all(
    viewers: usize,
    (host, path): (&str, &str),
    start: Instant,
    arrivals: &Arc<Arrivals>,
) {
    for n in 0..viewers {
        while n >= arrivals.connected.load(Ordering::Relaxed) + CONNECTING {
            sleep(Duration::from_millis(1)).await;
        }
        tokio::spawn(watch(host.to_owned(), path.to_owned(), start, arrivals.clone()));
    }
    while arrivals.connected.load(Ordering::Relaxed) < viewers {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Prints what came, how far apart, and what it cost: `spent` is CPU time in seconds, the server's
/// own and the kernel's.
fn tell_frames(arrivals: &Arrivals, viewers: usize, seconds: u64, spent: [f64; 2]) {
    let frames = std::mem::take(&mut *arrivals.of.lock().unwrap());
    let deliveries: usize = frames.values().map(Vec::len).sum();
    let size = arrivals.bytes.load(Ordering::Relaxed) / deliveries.max(1);
    let whole: Vec<_> = frames.into_values().filter(|times| times.len() == viewers).collect();
    let mut spread: Vec<u64> = Vec::new();
    for times in &whole {
        let first = times.iter().min().copied().unwrap_or(0);
        spread.extend(times.iter().map(|at| at - first));
    }
    spread.sort_unstable();
    let at = |share: f64| match spread.len() {
        0 => f64::NAN,
        n => spread[((n - 1) as f64 * share) as usize] as f64 / 1000.0,
    };
    println!(
        "  viewers                {viewers}, {} closed",
        arrivals.closed.load(Ordering::Relaxed)
    );
    println!(
        "  frames                 {}/s of {size} bytes, {} of {deliveries} deflated",
        whole.len() as u64 / seconds.max(1),
        arrivals.deflated.load(Ordering::Relaxed)
    );
    let [user, system] = spent.map(|seconds| seconds / deliveries as f64 * 1e6);
    println!(
        "  CPU per 1M deliveries  {:.2} s: {user:.2} its own, {system:.2} the kernel's \
         ({deliveries} in {seconds} s)",
        user + system
    );
    println!(
        "  spread of one frame    p50 {:.1}, p99 {:.1}, last {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn split(url: &str, scheme: &str) -> Result<(String, String), Box<dyn Error>> {
    let rest = url.strip_prefix(scheme).ok_or_else(|| format!("{url} is not {scheme}..."))?;
    let at = rest.find('/').unwrap_or(rest.len());
    Ok((rest[..at].to_owned(), if at == rest.len() { "/".into() } else { rest[at..].to_owned() }))
}

async fn watch(host: String, path: String, start: Instant, arrivals: Arc<Arrivals>) {
    if let Err(e) = follow(&host, &path, start, &arrivals).await {
        arrivals.closed.fetch_add(1, Ordering::Relaxed);
        eprintln!("a viewer: {e}");
    }
}

async fn follow(
    host: &str,
    path: &str,
    start: Instant,
    arrivals: &Arrivals,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut socket = TcpStream::connect(host).await?;
    let offer = if std::env::var_os("DEFLATE").is_some() { OFFER } else { "" };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    while find(&buffer, b"\r\n\r\n").is_none() {
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err("refused".into());
        }
    }
    let head = find(&buffer, b"\r\n\r\n").unwrap_or(0) + 4;
    if !buffer.starts_with(b"HTTP/1.1 101") {
        return Err(String::from_utf8_lossy(&buffer[..head]).into());
    }
    buffer.drain(..head);
    let mut first = true;
    loop {
        while let Some((kind, from, to)) = frame(&buffer) {
            match kind {
                1 => {
                    if std::mem::take(&mut first) {
                        arrivals.connected.fetch_add(1, Ordering::Relaxed);
                    }
                    let deflated = buffer[0] & 0x40 != 0;
                    if arrivals.on.load(Ordering::Relaxed)
                        && let Some(seq) = match deflated {
                            true => seq(&beginning(&buffer[from..to])),
                            false => seq(&buffer[from..to]),
                        }
                    {
                        arrivals.deflated.fetch_add(deflated.into(), Ordering::Relaxed);
                        let now = start.elapsed().as_micros() as u64;
                        arrivals.bytes.fetch_add(to - from, Ordering::Relaxed);
                        arrivals.of.lock().unwrap().entry(seq).or_default().push(now);
                    }
                }
                8 => return Err("closed by the server".into()),
                // Masked with zeros: an empty pong.
                9 => socket.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await?,
                _ => {}
            }
            buffer.drain(..to);
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err("the connection ended".into());
        }
    }
}

/// Opcode, start and end of the payload of the first frame, where it is whole.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let kind = bytes.first()? & 0x0f;
    let (from, length) = match bytes.get(1)? & 0x7f {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (2, length.into()),
    };
    (bytes.len() >= from + length).then_some((kind, from, from + length))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The first bytes of a deflated message.
fn beginning(payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(128);
    // Ends for want of room; a message that can't be inflated has no seq.
    let _ = Decompress::new(false).decompress_vec(payload, &mut text, FlushDecompress::None);
    text
}

fn seq(text: &[u8]) -> Option<u64> {
    let from = find(&text[..text.len().min(100)], b"\"seq\":")? + 6;
    let digits = text[from..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |seq, digit| seq * 10 + u64::from(digit - b'0')))
}

/// Posts one event of each type, again and again.
async fn feed(host: String, path: String, types: Arc<AtomicUsize>) {
    loop {
        let events: Vec<String> = (0..types.load(Ordering::Relaxed))
            .map(|n| format!(r#"{{"type":"a-type-of-event-{n}"}}"#))
            .collect();
        let body = format!("[{}]", events.join(","));
        let post = async {
            let mut socket = TcpStream::connect(&host).await?;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await?;
            socket.write_all(body.as_bytes()).await?;
            socket.read_to_end(&mut Vec::new()).await
        };
        if let Err(e) = post.await {
            eprintln!("post: {e}");
        }
        sleep(POST_EVERY).await;
    }
}

/// `VmRSS` in kB.
fn memory(pid: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// User and system time in seconds, 100 ticks each.
fn cpu(pid: &str) -> Result<(f64, f64), Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().ok_or("stat")?.split(' ').collect();
    Ok((fields[11].parse::<f64>()? / 100.0, fields[12].parse::<f64>()? / 100.0))
}
