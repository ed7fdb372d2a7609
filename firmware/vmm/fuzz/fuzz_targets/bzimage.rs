//! Fuzz target: any bytes as a kernel.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    weft_vmm_fuzz::bzimage(data);
});
