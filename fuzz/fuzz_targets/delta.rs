//! See `floodmark::fuzz::delta`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::delta(data));
