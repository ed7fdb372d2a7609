//! Fuzz target: any accesses to device registers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    weft_vmm_fuzz::registers(data);
});
