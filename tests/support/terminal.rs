//! A program in a terminal of 80 columns and 24 rows: a real pseudo-terminal, and an emulator that knows
//! what stands on its screen.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::fd::OwnedFd,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{Termios, tcgetattr},
    },
    unistd::Pid,
};

use super::program::{floodmark, wait_until};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// `floodmark` in a terminal; killed when dropped.
pub struct Terminal {
    child: Child,
    /// What the program draws comes out here, and keys go in.
    keys: File,
    /// The program's side. It is kept open, so that its modes can be read when the program has ended.
    side: OwnedFd,
    before: Termios,
    emulator: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts the program with these arguments.
    pub fn run(args: &[&str]) -> Terminal {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
        let before = tcgetattr(&pty.slave).expect("the modes of a terminal");
        let stdio = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let mut command = std::process::Command::new("setpriv");
        // The terminal controls the program, so that the program hears of a new size.
        command.args(["--pdeathsig", "KILL", "setsid", "--ctty"]);
        command.arg(floodmark().get_program()).args(args).env("TERM", "xterm-256color");
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn();
        let child = child.expect("setsid is a part of util-linux");
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(cells(ROWS), cells(COLUMNS), 0)));
        let mut drawn = File::from(pty.master.try_clone().expect("a descriptor"));
        let seen = emulator.clone();
        // It ends with the terminal: reading fails when nobody has the program's side open any more.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = drawn.read(&mut bytes) {
                seen.lock().unwrap().process(&bytes[..read]);
            }
        });
        Terminal { child, keys: File::from(pty.master), side: pty.slave, before, emulator }
    }

    /// All rows, without the spaces at their ends.
    pub fn screen(&self) -> String {
        self.emulator.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is as it should be.
    pub fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        wait_until(what, || {
            let screen = self.screen();
            if is(&screen) { Ok(()) } else { Err(Lines(screen)) }
        });
    }

    /// Waits until these words stand on the screen.
    pub fn shows(&self, words: &str) {
        self.until(words, |screen| screen.contains(words));
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.emulator.lock().unwrap().screen_mut().set_size(cells(rows), cells(columns));
        let size = format!("rows {rows} cols {columns}");
        let mut stty = std::process::Command::new("stty");
        stty.args(size.split(' ')).stdin(self.side.try_clone().expect("a descriptor"));
        assert!(stty.status().expect("stty is a part of coreutils").success());
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Waits until the program has ended, and checks that the terminal is as it was before.
    pub fn ended_whole(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it was started here");
        let after = tcgetattr(&self.side).expect("the modes of a terminal");
        assert_eq!(after.local_flags, self.before.local_flags, "echo and lines");
        assert_eq!(after.input_flags, self.before.input_flags);
        assert_eq!(after.output_flags, self.before.output_flags);
        // The last bytes may still be on their way to the emulator.
        wait_until("the screen of before, with a cursor", || {
            let emulator = self.emulator.lock().unwrap();
            let screen = emulator.screen();
            match (screen.alternate_screen(), screen.hide_cursor()) {
                (false, false) => Ok(()),
                other => Err(other),
            }
        });
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has rows and columns")
}

/// Prints as it stands on a screen where a test fails.
struct Lines(String);

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "\n{}", self.0)
    }
}
