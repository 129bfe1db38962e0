//! Fuzzes one dialect, whose name is that of the program; `floodmark::fuzz::body_of` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let name = env!("CARGO_BIN_NAME").trim_start_matches("dialect_");
    let dialects = floodmark::fuzz::dialects();
    let dialect = dialects.iter().find(|known| known.replace('-', "_") == name);
    floodmark::fuzz::body_of(dialect.expect("a dialect of this name"), data);
});
