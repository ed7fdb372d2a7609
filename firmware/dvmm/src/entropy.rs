//! The node's random generator: a SHA-256 chain over what the firmware gave, the processor's generator and the
//! counter's jitter; every output steps the chain, so that earlier ones cannot be computed from its state.

use sha2::{Digest, Sha256};
use weft_hal::{cpu, entropy};
use weft_platform::Entropy;

/// Counter readings mixed into a new state.
const JITTER: usize = 256;

/// A generator with a state of its own.
pub(crate) struct NodeEntropy {
    state: [u8; 32],
}

impl NodeEntropy {
    /// A generator seeded by the hardware and `firmware`.
    pub(crate) fn new(firmware: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"weft entropy v1");
        hash.update(firmware);
        for _ in 0..JITTER {
            hash.update(cpu::rdtsc().to_le_bytes());
        }
        let mut hardware = [0; 64];
        if entropy::hardware(&mut hardware) {
            hash.update(hardware);
        }
        Self { state: hash.finalize().into() }
    }

    fn step(&mut self, purpose: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(purpose);
        hash.update(self.state);
        hash.update(cpu::rdtsc().to_le_bytes());
        let mut fresh = [0; 8];
        if entropy::hardware(&mut fresh) {
            hash.update(fresh);
        }
        hash.finalize().into()
    }
}

impl Entropy for NodeEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = self.step(b"output");
            chunk.copy_from_slice(&block[..chunk.len()]);
            self.state = self.step(b"state");
        }
    }
}
