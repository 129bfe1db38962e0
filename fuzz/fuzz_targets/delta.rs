//! Fuzzes the decoder of deltas; `floodmark::fuzz::delta` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::delta(data));
