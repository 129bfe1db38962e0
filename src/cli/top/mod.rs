//! `floodmark top`: a running server in a terminal, second by second: rates, queue, sinks, alerts, viewers.
//! It reads what everybody else can read, `/readyz` and `/metrics`, so it works from any machine and changes
//! nothing.

mod glance;
mod panels;
mod samples;
mod screen;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::{
    signal::unix::{Signal, SignalKind},
    time::{Instant, sleep},
};

use self::{glance::Asker, screen::TopScreen};
use super::{ask, exit::Exit, positive};

/// How often keys are looked for.
const KEYS_EVERY: Duration = Duration::from_millis(50);

/// The least time between two looks.
const LEAST_EVERY: Duration = Duration::from_millis(100);

/// `floodmark top`
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// The server
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A file that has a viewer token, where the server asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Seconds between two looks, at least 0.1
    #[arg(long, value_name = "SECONDS", value_parser = positive, default_value = "1")]
    every: f64,
}

/// Runs the command, until somebody presses q.
pub fn run(args: &TopArgs) -> ExitCode {
    match actix::System::new().block_on(top(args)) {
        Ok(()) => Exit::Done.into(),
        Err(words) => {
            eprintln!("floodmark top: {words}");
            Exit::Failed.into()
        }
    }
}

async fn top(args: &TopArgs) -> Result<(), String> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err("it draws on a terminal, and this is none; programs read /metrics".to_owned());
    }
    let token = args.token_file.as_deref().map(ask::secret_in).transpose()?;
    let asker = Asker::new(&args.server, token);
    // A signal must not leave the terminal in its raw state, so it ends the drawing and not the process.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminal = ratatui::try_init().map_err(|e| format!("the terminal: {e}"))?;
    let drawn = tokio::select! {
        drawn = draw(&mut terminal, &asker, args) => drawn,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    ratatui::restore();
    drawn
}

fn signal(kind: SignalKind) -> Result<Signal, String> {
    tokio::signal::unix::signal(kind).map_err(|e| format!("signals: {e}"))
}

/// Looks and draws until somebody wants to quit.
async fn draw(terminal: &mut DefaultTerminal, asker: &Asker, args: &TopArgs) -> Result<(), String> {
    let every = Duration::try_from_secs_f64(args.every).map_err(|e| format!("--every: {e}"))?;
    // Each look makes the server render all of its metrics.
    let every = every.max(LEAST_EVERY);
    let mut screen = TopScreen::new(args.server.clone());
    loop {
        terminal.draw(|frame| screen.draw(frame)).map_err(|e| format!("the terminal: {e}"))?;
        // A server that does not answer must not keep anybody from ending this.
        screen.note(tokio::select! {
            look = asker.look() => look,
            quit = quit() => return quit,
        });
        let next = Instant::now() + every;
        loop {
            terminal.draw(|frame| screen.draw(frame)).map_err(|e| format!("the terminal: {e}"))?;
            match wait_for_key(next).await? {
                Pressed::Quit => return Ok(()),
                Pressed::Redraw => {}
                Pressed::None => break,
            }
        }
    }
}

/// Waits until somebody wants to quit.
async fn quit() -> Result<(), String> {
    loop {
        if let Pressed::Quit = wait_for_key(Instant::now() + KEYS_EVERY).await? {
            return Ok(());
        }
    }
}

/// What somebody has pressed.
enum Pressed {
    Quit,
    /// The terminal has another size, or some other key was pressed.
    Redraw,
    None,
}

/// Waits for a key until a moment.
async fn wait_for_key(until: Instant) -> Result<Pressed, String> {
    loop {
        // This does not wait, so that the one thread goes on with what it is asking the server.
        while event::poll(Duration::ZERO).map_err(|e| format!("the terminal: {e}"))? {
            match event::read().map_err(|e| format!("the terminal: {e}"))? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL)
                        && key.code == KeyCode::Char('c');
                    if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                        return Ok(Pressed::Quit);
                    }
                }
                Event::Resize(..) => return Ok(Pressed::Redraw),
                _ => {}
            }
        }
        if Instant::now() >= until {
            return Ok(Pressed::None);
        }
        sleep(KEYS_EVERY.min(until - Instant::now())).await;
    }
}
