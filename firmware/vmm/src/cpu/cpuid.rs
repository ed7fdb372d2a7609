//! What a guest's CPUID says: a subset of the node's processor, plus what the monitor emulates (x2APIC, TSC
//! deadline) and KVM's leaf for its clock. APM volume 3, appendix E; Linux
//! `Documentation/virt/kvm/x86/cpuid.rst`.

use weft_x86defs::bits;

/// Registers of one leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// The processor below.
pub trait HostCpuid: Sync {
    /// Its CPUID.
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf;
}

/// What the answer depends on besides the leaf.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// APIC identifier of this vCPU.
    pub apic_id: u32,
    /// vCPUs of its package: of those of the guest, the ones on the same node.
    pub package_vcpus: u32,
    /// Bits of an APIC identifier that number the vCPUs of a package.
    pub core_bits: u32,
    /// The guest's CR4.
    pub cr4: u64,
    /// The guest's XCR0.
    pub xcr0: u64,
}

/// State components that guests may enable: x87, SSE, AVX.
pub const XCR0_OFFERED: u64 = 7;

const LEAF1_ECX: u32 = 1 << 0 // SSE3
    | 1 << 1 // PCLMULQDQ
    | 1 << 9 // SSSE3
    | 1 << 12 // FMA
    | 1 << 13 // CMPXCHG16B
    | 1 << 19 // SSE4.1
    | 1 << 20 // SSE4.2
    | 1 << 22 // MOVBE
    | 1 << 23 // POPCNT
    | 1 << 25 // AES
    | 1 << 26 // XSAVE
    | 1 << 28 // AVX
    | 1 << 29 // F16C
    | 1 << 30; // RDRAND
const LEAF1_ECX_EMULATED: u32 = 1 << 21 // x2APIC
    | 1 << 24 // TSC deadline
    | 1 << 31; // hypervisor
const OSXSAVE: u32 = 1 << 27;
/// FPU, DE, PSE, TSC, MSR, PAE, MCE, CX8, APIC, SEP, MTRR, PGE, MCA, CMOV, PAT, PSE36, CLFSH, MMX, FXSR, SSE, SSE2.
const LEAF1_EDX: u32 = 0x078b_fbff & !(1 << 1);
const LEAF7_EBX: u32 = 1 << 0 // FSGSBASE
    | 1 << 3 // BMI1
    | 1 << 5 // AVX2
    | 1 << 7 // SMEP
    | 1 << 8 // BMI2
    | 1 << 9 // ERMS
    | 1 << 18 // RDSEED
    | 1 << 19 // ADX
    | 1 << 20 // SMAP
    | 1 << 23 // CLFLUSHOPT
    | 1 << 24 // CLWB
    | 1 << 29; // SHA
const LEAF7_EDX: u32 = 1 << 4; // FSRM
const EXT1_ECX: u32 = 1 << 0 // LAHF
    | 1 << 1 // core-multiprocessing legacy
    | 1 << 4 // CR8 in 32-bit mode
    | 1 << 5 // LZCNT
    | 1 << 6 // SSE4A
    | 1 << 7 // misaligned SSE
    | 1 << 8; // PREFETCH
/// As leaf 1, and SYSCALL, NX, MMX extensions, fast FXSAVE, 1 GiB pages, RDTSCP, long mode.
const EXT1_EDX: u32 =
    0x0183_f3ff & !(1 << 1) | 1 << 11 | 1 << 20 | 1 << 22 | 1 << 25 | 1 << 26 | 1 << 27 | 1 << 29;

fn words(text: &[u8; 12]) -> [u32; 3] {
    let word = |i: usize| u32::from_le_bytes([text[i], text[i + 1], text[i + 2], text[i + 3]]);
    [word(0), word(4), word(8)]
}

/// Physical address bits that guests are told of: one less than the processor has at least. Above them lies the
/// window of shadow tables (docs/shadow.md), and the width may not change when a guest begins to need them.
pub fn physical_bits(host: &dyn HostCpuid) -> u32 {
    (host.cpuid(0x8000_0008, 0).eax & 0xff).saturating_sub(1).clamp(35, 46)
}

/// The answer to CPUID `leaf`, `subleaf`.
pub fn answer(host: &dyn HostCpuid, context: Context, leaf: u32, subleaf: u32) -> Leaf {
    match leaf {
        0 => {
            let [ebx, edx, ecx] = words(b"AuthenticAMD");
            Leaf { eax: host.cpuid(0, 0).eax.clamp(1, 0xd), ebx, ecx, edx }
        }
        1 => basic(host, context),
        // ARAT: the emulated timer runs whatever the processor does. Without it Linux ticks for ever, idle or not.
        6 => Leaf { eax: 1 << 2, ..Leaf::default() },
        7 if subleaf == 0 => {
            let h = host.cpuid(7, 0);
            Leaf { eax: 0, ebx: h.ebx & LEAF7_EBX, ecx: 0, edx: h.edx & LEAF7_EDX }
        }
        0xb => topology(context, subleaf),
        0xd => xsave(host, context, subleaf),
        0x4000_0000 => {
            let [ebx, ecx, edx] = words(b"KVMKVMKVM\0\0\0");
            Leaf { eax: 0x4000_0001, ebx, ecx, edx }
        }
        // CLOCKSOURCE2 and the promise that the clock is stable; nothing that would have the monitor write
        // into guest pages later on.
        0x4000_0001 => Leaf { eax: 1 << 3 | 1 << 24, ..Leaf::default() },
        0x8000_0000 => {
            let [ebx, edx, ecx] = words(b"AuthenticAMD");
            Leaf { eax: 0x8000_0008, ebx, ecx, edx }
        }
        0x8000_0001 => {
            let h = host.cpuid(leaf, 0);
            Leaf { eax: h.eax, ebx: 0, ecx: h.ecx & EXT1_ECX, edx: h.edx & EXT1_EDX }
        }
        0x8000_0002..=0x8000_0006 => host.cpuid(leaf, 0),
        0x8000_0008 => {
            let h = host.cpuid(leaf, 0);
            let physical = physical_bits(host);
            let ecx = context.core_bits << 12 | (context.package_vcpus.max(1) - 1);
            Leaf { eax: h.eax & 0xff00 | physical, ebx: 0, ecx, edx: 0 }
        }
        _not_offered => Leaf::default(),
    }
}

fn basic(host: &dyn HostCpuid, context: Context) -> Leaf {
    let h = host.cpuid(1, 0);
    let mut ecx = h.ecx & LEAF1_ECX | LEAF1_ECX_EMULATED;
    if context.cr4 & bits::CR4_OSXSAVE != 0 {
        ecx |= OSXSAVE;
    }
    let mut edx = h.edx & LEAF1_EDX;
    if context.package_vcpus > 1 {
        edx |= 1 << 28;
    }
    let ebx = context.apic_id << 24 | context.package_vcpus.min(255) << 16 | h.ebx & 0xff00;
    Leaf { eax: h.eax, ebx, ecx, edx }
}

fn topology(context: Context, subleaf: u32) -> Leaf {
    match subleaf {
        0 => Leaf { eax: 0, ebx: 1, ecx: 1 << 8, edx: context.apic_id },
        1 => {
            Leaf { eax: context.core_bits, ebx: context.package_vcpus, ecx: 2 << 8 | 1, edx: context.apic_id }
        }
        _end => Leaf { eax: 0, ebx: 0, ecx: subleaf & 0xff, edx: context.apic_id },
    }
}

fn xsave(host: &dyn HostCpuid, context: Context, subleaf: u32) -> Leaf {
    let available = host.cpuid(0xd, 0).eax & XCR0_OFFERED as u32;
    let avx = host.cpuid(0xd, 2);
    let size = |xcr0: u32| if xcr0 & 4 != 0 { avx.ebx + avx.eax } else { 576 };
    match subleaf {
        0 => {
            Leaf { eax: available, ebx: size(context.xcr0 as u32 & available), ecx: size(available), edx: 0 }
        }
        // XSAVEOPT, XSAVEC, XGETBV with ECX = 1; no XSAVES, which would bring in XSS.
        1 => Leaf {
            eax: host.cpuid(0xd, 1).eax & 7,
            ebx: size(context.xcr0 as u32 & available),
            ..Leaf::default()
        },
        2 if available & 4 != 0 => Leaf { ecx: 0, edx: 0, ..avx },
        _not_offered => Leaf::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything;

    impl HostCpuid for Everything {
        fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf {
            match (leaf, subleaf) {
                (0xd, 2) => Leaf { eax: 256, ebx: 576, ecx: 0, edx: 0 },
                _others => Leaf { eax: u32::MAX, ebx: u32::MAX, ecx: u32::MAX, edx: u32::MAX },
            }
        }
    }

    const CONTEXT: Context = Context { apic_id: 2, package_vcpus: 3, core_bits: 2, cr4: 0, xcr0: 1 };

    #[test]
    fn nothing_is_offered_that_the_monitor_cannot_keep() {
        let one = answer(&Everything, CONTEXT, 1, 0);
        assert_eq!(one.ecx & (1 << 3 | 1 << 5 | 1 << 17), 0, "MONITOR, VMX, PCID");
        let seven = answer(&Everything, CONTEXT, 7, 0);
        assert_eq!(seven.ebx & (1 << 10 | 1 << 16), 0, "INVPCID, AVX-512");
        assert_eq!(seven.ecx, 0, "UMIP, PKU, LA57");
        assert_eq!(answer(&Everything, CONTEXT, 0x8000_0001, 0).ecx & 4, 0, "SVM");
        assert_eq!(answer(&Everything, CONTEXT, 0xd, 0).eax, 7);
        assert_eq!(answer(&Everything, CONTEXT, 0x8000_000a, 0), Leaf::default());
    }

    #[test]
    fn osxsave_mirrors_the_guests_cr4() {
        assert_eq!(answer(&Everything, CONTEXT, 1, 0).ecx & OSXSAVE, 0);
        let with = Context { cr4: bits::CR4_OSXSAVE, ..CONTEXT };
        assert_ne!(answer(&Everything, with, 1, 0).ecx & OSXSAVE, 0);
    }

    #[test]
    fn every_vcpu_finds_itself_in_one_package() {
        assert_eq!(answer(&Everything, CONTEXT, 0xb, 1), Leaf { eax: 2, ebx: 3, ecx: 0x201, edx: 2 });
        assert_eq!(answer(&Everything, CONTEXT, 0xb, 2).ecx, 2);
        assert_eq!(answer(&Everything, CONTEXT, 1, 0).ebx >> 24, 2);
    }

    #[test]
    fn the_xsave_area_grows_with_xcr0() {
        assert_eq!(answer(&Everything, CONTEXT, 0xd, 0).ebx, 576);
        let avx = Context { xcr0: 7, ..CONTEXT };
        assert_eq!(answer(&Everything, avx, 0xd, 0).ebx, 832);
        assert_eq!(answer(&Everything, avx, 0xd, 0).ecx, 832);
    }
}
