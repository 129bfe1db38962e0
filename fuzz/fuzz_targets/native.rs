//! Fuzzes the decoder of JSON bodies; `floodmark::fuzz::native` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::native(data));
