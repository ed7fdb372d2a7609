#![no_main]

#[path = "../coherence.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    checks::coherence(data);
});
