//! The floodmark command.

fn main() -> std::process::ExitCode {
    floodmark::failpoint::arm();
    floodmark::run()
}
