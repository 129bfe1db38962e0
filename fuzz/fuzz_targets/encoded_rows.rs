//! See `floodmark::fuzz::encoded_rows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::encoded_rows(data));
