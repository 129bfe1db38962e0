//! See `floodmark::fuzz::native`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::native(data));
