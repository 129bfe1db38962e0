//! Fuzzes the decompression of bodies; `floodmark::fuzz::unpack` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floodmark::fuzz::unpack(data));
