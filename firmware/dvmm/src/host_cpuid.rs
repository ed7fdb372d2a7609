//! The processor below, as the monitor's CPUID policy sees it.

use weft_hal::cpu;
use weft_vmm::cpu::cpuid::{HostCpuid, Leaf};

/// CPUID of the processor that runs this.
pub(crate) struct ThisProcessor;

impl HostCpuid for ThisProcessor {
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf {
        let r = cpu::cpuid(leaf, subleaf);
        Leaf { eax: r.eax, ebx: r.ebx, ecx: r.ecx, edx: r.edx }
    }
}
