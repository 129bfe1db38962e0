//! Fuzzes the reading of a segment of the spool; `floodmark::fuzz::segment` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The files lie in memory, since thousands of fsyncs a minute would be slow and none matters here.
    let memory = std::path::Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    floodmark::fuzz::segment(data, dir.expect("a temporary folder").path());
});
