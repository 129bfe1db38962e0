//! The `floodmark` program: all of it is in the library, so that tests and benchmarks
//! reach it too.

fn main() -> std::process::ExitCode {
    floodmark::cli::run()
}
