//! Fuzz target: any rings behind the virtio devices.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    weft_vmm_fuzz::virtqueue(data);
});
