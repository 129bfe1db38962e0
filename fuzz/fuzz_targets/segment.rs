//! See `floodmark::fuzz::segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Thousands of fsyncs a minute, none of which matters here: memory will do.
    let memory = std::path::Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    floodmark::fuzz::segment(data, dir.expect("a temporary folder").path());
});
