//! The floodmark command.

fn main() -> std::process::ExitCode {
    floodmark::cli::run()
}
