//! See `floodmark::fuzz::ndjson`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::ndjson(data));
