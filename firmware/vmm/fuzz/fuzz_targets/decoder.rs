//! Fuzz target: any bytes as an instruction.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    weft_vmm_fuzz::decoder(data);
});
