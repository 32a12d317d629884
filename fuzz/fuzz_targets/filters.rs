#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cacheness_fuzz::run("filters", bytes));
