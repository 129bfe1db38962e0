//! See `floodmark::fuzz::unpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::unpack(data));
