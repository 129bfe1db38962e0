//! `floodmark migrate` and `floodmark rebuild`: one piece of work on the stores, then out.

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
