//! A virtual processor as bytes: all that its next member needs to go on where it was stopped.
//!
//! ```text
//!  0        how often it has moved, XCR0, what was learned of its places (little-endian words of 64 bits)
//!  24       [`REGISTERS`] words, in the order of `weft_vmm::cpu::travel`, the only reader
//!  24+8*R   extended state in XSAVE's standard format, zeros at the end left out
//! ```
//!
//! Registers are the guest's own, also where the monitor shows the processor others. Times are relative to the moment of
//! sending: nodes' clocks have nothing in common.

use alloc::vec::Vec;

use crate::codec::DecodeError;

/// Longest extended state (XSAVE area), bytes.
pub const MAX_EXTENDED: usize = 4096;
/// Words of registers.
pub const REGISTERS: usize = 112;
/// Longest encoded [`VcpuState`], bytes.
pub const MAX_VCPU_STATE: usize = BEFORE + MAX_EXTENDED;

const HEAD: usize = 3;
const BEFORE: usize = (HEAD + REGISTERS) * 8;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VcpuState {
    /// How often it has moved, this time included: later words about where it is go by this.
    pub moves: u32,
    /// XCR0.
    pub xcr0: u64,
    /// How long it stays away before it tries its home again, milliseconds.
    pub stay_ms: u32,
    /// Registers and what goes with them.
    pub registers: [u64; REGISTERS],
    /// Extended state.
    pub extended: Vec<u8>,
}

impl Default for VcpuState {
    fn default() -> Self {
        Self { moves: 0, xcr0: 0, stay_ms: 0, registers: [0; REGISTERS], extended: Vec::new() }
    }
}

impl VcpuState {
    /// Encodes; of the extended state at most [`MAX_EXTENDED`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let head = [u64::from(self.moves), self.xcr0, u64::from(self.stay_ms)];
        let words = head.iter().chain(&self.registers).flat_map(|word| word.to_le_bytes());
        words.chain(self.extended.iter().copied().take(MAX_EXTENDED)).collect()
    }

    /// Decodes exactly one state.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (before, extended) = bytes.split_at_checked(BEFORE).ok_or(DecodeError::Malformed)?;
        if extended.len() > MAX_EXTENDED {
            return Err(DecodeError::TooLong { len: bytes.len(), max: MAX_VCPU_STATE });
        }
        if extended.last() == Some(&0) {
            return Err(DecodeError::NotCanonical);
        }
        let mut words =
            before.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        let mut next = || words.next().unwrap_or_default();
        let short = |word: u64| u32::try_from(word).map_err(|_| DecodeError::Malformed);
        Ok(Self {
            moves: short(next())?,
            xcr0: next(),
            stay_ms: short(next())?,
            registers: core::array::from_fn(|_| next()),
            extended: extended.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn full() -> VcpuState {
        VcpuState {
            moves: u32::MAX,
            xcr0: 0xe7,
            stay_ms: 64_000,
            registers: core::array::from_fn(|n| u64::MAX - n as u64),
            extended: vec![0xff; MAX_EXTENDED],
        }
    }

    #[test]
    fn states_come_back_as_they_were() {
        let full = full();
        assert_eq!(full.encode().len(), MAX_VCPU_STATE);
        for extended in [vec![0xff; MAX_EXTENDED], vec![0, 0, 1], vec![]] {
            let state = VcpuState { extended, ..full.clone() };
            assert_eq!(VcpuState::decode(&state.encode()), Ok(state));
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let bytes = full().encode();
        for length in 0..BEFORE {
            assert_eq!(VcpuState::decode(&bytes[..length]), Err(DecodeError::Malformed));
        }
        let long = [bytes.clone(), vec![1]].concat();
        assert!(matches!(VcpuState::decode(&long), Err(DecodeError::TooLong { .. })));
        let zero_at_the_end = [&bytes[..BEFORE], &[1, 0]].concat();
        assert_eq!(VcpuState::decode(&zero_at_the_end), Err(DecodeError::NotCanonical));
        let many_moves = [&[0xff; 8][..], &bytes[8..]].concat();
        assert_eq!(VcpuState::decode(&many_moves), Err(DecodeError::Malformed));
    }
}
