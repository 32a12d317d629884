#![no_main]

use std::panic;
use std::sync::Once;

static HOOK: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The decoders of Arrow panic on some malformed files, which the engine takes for one more way of being malformed.
    // libFuzzer ends with the first panic, caught or not, unless its hook is replaced; one that nobody catches still ends it.
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|panicked| {
            if panicked.location().is_some_and(|place| place.file().contains("cacheness")) {
                eprintln!("{panicked}");
            }
        }));
    });
    cacheness_fuzz::run("tables", bytes);
});
