//! Fuzzes the decoder of NDJSON bodies; `floodmark::fuzz::ndjson` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::ndjson(data));
