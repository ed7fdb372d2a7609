//! What all processors of a spanning server can do: its vCPUs may run on any of its nodes, so the guest is
//! told of nothing that one of them lacks.
//!
//! Each node collects the leaves from which [`cpuid::answer`](super::cpuid::answer) makes its answers, the
//! first member intersects them, and all use the result in place of their own processor.

use super::cpuid::{HostCpuid, Leaf};
use alloc::vec::Vec;
use weft_wire::span::{FeatureLeaf, Features};

/// The leaves that answers are made from, and how two nodes' answers become one.
const RULES: [(u32, u32, [Rule; 4]); 14] = {
    use Rule::{Both, First, Least, Widths};
    [
        (0, 0, [Least, First, First, First]),
        (1, 0, [First, First, Both, Both]),
        (7, 0, [Least, Both, Both, Both]),
        (0xd, 0, [Both, First, First, Both]),
        (0xd, 1, [Both, First, Both, Both]),
        (0xd, 2, [First, First, First, First]),
        (0x8000_0000, 0, [Least, First, First, First]),
        (0x8000_0001, 0, [First, First, Both, Both]),
        (0x8000_0002, 0, [First; 4]),
        (0x8000_0003, 0, [First; 4]),
        (0x8000_0004, 0, [First; 4]),
        (0x8000_0005, 0, [First; 4]),
        (0x8000_0006, 0, [First; 4]),
        (0x8000_0008, 0, [Widths, Both, First, Both]),
    ]
};
const STATE_COMPONENTS: (u32, u32) = (0xd, 0);
const AVX_COMPONENT: (u32, u32) = (0xd, 2);
const AVX_STATE: u32 = 1 << 2;
/// FMA, AVX, F16C in ECX of leaf 1; AVX2 in EBX of leaf 7.
const NEED_AVX_1: u32 = 1 << 12 | 1 << 28 | 1 << 29;
const NEED_AVX_7: u32 = 1 << 5;

/// How the registers of two nodes become one.
#[derive(Clone, Copy)]
enum Rule {
    /// Bits that both have.
    Both,
    /// The smaller number.
    Least,
    /// The first member's: names and sizes that guests only show.
    First,
    /// Address widths in bytes: the smaller of each.
    Widths,
}

impl Rule {
    fn apply(self, first: u32, other: u32) -> u32 {
        match self {
            Self::Both => first & other,
            Self::Least => first.min(other),
            Self::First => first,
            Self::Widths => {
                let (a, b) = (first.to_le_bytes(), other.to_le_bytes());
                u32::from_le_bytes([a[0].min(b[0]), a[1].min(b[1]), a[2].min(b[2]), a[3].min(b[3])])
            }
        }
    }
}

/// The leaves of this processor.
pub fn collect(host: &dyn HostCpuid) -> Features {
    let leaf = |(leaf, subleaf, _): &(u32, u32, [Rule; 4])| {
        let a = host.cpuid(*leaf, *subleaf);
        FeatureLeaf { leaf: *leaf, subleaf: *subleaf, answer: [a.eax, a.ebx, a.ecx, a.edx] }
    };
    Features { leaves: RULES.iter().map(leaf).collect() }
}

/// What both have. A leaf that one does not name counts as zeros.
pub fn common(first: &Features, other: &Features) -> Features {
    let mut leaves: Vec<FeatureLeaf> = RULES
        .iter()
        .map(|(leaf, subleaf, rules)| {
            let (a, b) = (find(first, (*leaf, *subleaf)), find(other, (*leaf, *subleaf)));
            let mut answer = [0; 4];
            for (out, (rule, (a, b))) in answer.iter_mut().zip(rules.iter().zip(a.iter().zip(b))) {
                *out = rule.apply(*a, b);
            }
            FeatureLeaf { leaf: *leaf, subleaf: *subleaf, answer }
        })
        .collect();
    // The place and size of AVX state must be the same wherever a vCPU runs.
    if find(first, AVX_COMPONENT) != find(other, AVX_COMPONENT) {
        for entry in &mut leaves {
            match (entry.leaf, entry.subleaf) {
                STATE_COMPONENTS => entry.answer[0] &= !AVX_STATE,
                (1, 0) => entry.answer[2] &= !NEED_AVX_1,
                (7, 0) => entry.answer[1] &= !NEED_AVX_7,
                AVX_COMPONENT => entry.answer = [0; 4],
                _same_for_both => {}
            }
        }
    }
    Features { leaves }
}

fn find(features: &Features, which: (u32, u32)) -> [u32; 4] {
    let found = features.leaves.iter().find(|entry| (entry.leaf, entry.subleaf) == which);
    found.map_or([0; 4], |entry| entry.answer)
}

/// A processor that has what all members have.
#[derive(Clone, Debug, Default)]
pub struct CommonProcessor(pub Features);

impl HostCpuid for CommonProcessor {
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf {
        let [eax, ebx, ecx, edx] = find(&self.0, (leaf, subleaf));
        Leaf { eax, ebx, ecx, edx }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cpuid::{Context, answer};

    /// A processor whose every feature bit is `bits`, with AVX state of `avx` bytes.
    struct Processor {
        bits: u32,
        avx: u32,
        width: u32,
    }

    impl HostCpuid for Processor {
        fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf {
            match (leaf, subleaf) {
                (0xd, 2) => Leaf { eax: self.avx, ebx: 576, ecx: 0, edx: 0 },
                (0x8000_0008, _) => Leaf { eax: 0x3000 | self.width, ..Leaf::default() },
                _all => Leaf { eax: self.bits, ebx: self.bits, ecx: self.bits, edx: self.bits },
            }
        }
    }

    const CONTEXT: Context = Context { apic_id: 0, package_vcpus: 1, core_bits: 0, cr4: 0, xcr0: 1 };
    const RICH: Processor = Processor { bits: u32::MAX, avx: 256, width: 48 };
    const POOR: Processor = Processor { bits: 0x7fff_f0ff, avx: 256, width: 40 };

    fn both(a: &Processor, b: &Processor) -> CommonProcessor {
        CommonProcessor(common(&collect(a), &collect(b)))
    }

    #[test]
    fn the_guest_is_told_of_nothing_that_one_node_lacks() {
        let shared = both(&RICH, &POOR);
        for leaf in [1, 7, 0x8000_0001] {
            let (got, poor) = (answer(&shared, CONTEXT, leaf, 0), answer(&POOR, CONTEXT, leaf, 0));
            assert_eq!(got.ecx & !poor.ecx, 0, "leaf {leaf:#x}");
            assert_eq!(got.edx & !poor.edx, 0, "leaf {leaf:#x}");
        }
        assert_eq!(answer(&shared, CONTEXT, 0x8000_0008, 0).eax & 0xff, 39);
    }

    #[test]
    fn one_processor_twice_answers_as_itself() {
        let shared = both(&RICH, &RICH);
        for leaf in [0, 1, 7, 0xd, 0x8000_0000, 0x8000_0001, 0x8000_0004, 0x8000_0008] {
            for subleaf in 0..3 {
                let own = answer(&RICH, CONTEXT, leaf, subleaf);
                assert_eq!(answer(&shared, CONTEXT, leaf, subleaf), own, "leaf {leaf:#x} {subleaf}");
            }
        }
    }

    #[test]
    fn avx_is_gone_where_its_state_lies_differently() {
        let odd = Processor { avx: 512, ..RICH };
        let shared = both(&RICH, &odd);
        assert_eq!(answer(&shared, CONTEXT, 0xd, 0).eax & AVX_STATE, 0);
        assert_eq!(answer(&shared, CONTEXT, 1, 0).ecx & NEED_AVX_1, 0);
        assert_eq!(answer(&shared, CONTEXT, 7, 0).ebx & NEED_AVX_7, 0);
        assert_ne!(answer(&both(&RICH, &RICH), CONTEXT, 1, 0).ecx & NEED_AVX_1, 0);
    }

    #[test]
    fn a_peer_that_names_no_leaves_has_no_features() {
        let nothing = CommonProcessor(common(&collect(&RICH), &Features::default()));
        assert_eq!(nothing.cpuid(1, 0).ecx, 0);
        assert_eq!(nothing.cpuid(7, 0).ebx, 0);
    }
}
