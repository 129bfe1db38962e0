//! Fuzzes the decoder of encoded rows; `floodmark::fuzz::encoded_rows` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::encoded_rows(data));
