//! Starts a script of `examples/` and reads its output.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use crate::support::program::PATIENCE;
pub use crate::support::program::installed as program;

/// The path of a file of `examples/`.
pub fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// A running script and its output, line by line. It is killed when this is dropped.
pub struct Script {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Script {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Script {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.expect("setpriv (apt-get install util-linux) starts it");
        let stdout = child.stdout.take().expect("it is piped");
        Script { child, lines: lines(stdout), seen: Vec::new() }
    }

    /// Waits for the next line that has this text in it. Panics if none comes.
    pub fn line_with(&mut self, text: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line with {text:?} came, but {:?}", self.seen),
            }
        }
    }

    /// Waits until the script has ended with success, and returns all its lines.
    pub fn finish(mut self) -> Vec<String> {
        let lines: Vec<String> = self.lines.iter().collect();
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "it ended with {status} and said {lines:?}");
        lines
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    // This thread reads until the script ends, since a full pipe would block it.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}
