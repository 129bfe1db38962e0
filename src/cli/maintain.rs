//! `floodmark migrate` and `floodmark rebuild`: each does one piece of work on the stores and
//! ends.

use std::process::ExitCode;

use super::connect;
use crate::config::Config;

/// Runs `floodmark migrate`.
pub fn migrate(config: Config) -> ExitCode {
    once("migrate", connect::migrate(&config))
}

/// Runs `floodmark rebuild`.
pub fn rebuild(config: Config) -> ExitCode {
    once("rebuild", connect::rebuild(&config))
}

/// Does the work in an actix system, and prints what came of it.
fn once(command: &str, work: impl Future<Output = Result<String, String>>) -> ExitCode {
    match actix::System::new().block_on(work) {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("floodmark {command}: {words}");
            ExitCode::FAILURE
        }
    }
}
