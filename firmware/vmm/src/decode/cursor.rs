//! Instruction bytes in order, never more than fifteen, and the prefixes before the opcode.

use super::address::Segment;
use super::{MAX_BYTES, Mode, Undecodable};

/// A position in the bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn u8(&mut self) -> Result<u8, Undecodable> {
        if self.at >= MAX_BYTES {
            return Err(Undecodable::TooLong);
        }
        let byte = self.bytes.get(self.at).copied().ok_or(Undecodable::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let mut out = [0; N];
        for byte in &mut out {
            *byte = self.u8()?;
        }
        Ok(out)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Undecodable> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Undecodable> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Undecodable> {
        self.array().map(u64::from_le_bytes)
    }
}

/// What stood before the opcode.
#[derive(Default)]
pub(super) struct Prefixes {
    /// 66.
    pub(super) operand_size: bool,
    /// 67.
    pub(super) address_size: bool,
    /// F0.
    pub(super) lock: bool,
    /// The last of F2 and F3.
    pub(super) repeat: Option<u8>,
    /// The segment override that counts.
    pub(super) segment: Option<Segment>,
    rex: u8,
}

impl Prefixes {
    /// Reads prefixes and the first opcode byte. A REX that is not the last of them has no effect.
    pub(super) fn read(cursor: &mut Cursor<'_>, mode: Mode) -> Result<(Self, u8), Undecodable> {
        let mut found = Self::default();
        loop {
            let byte = cursor.u8()?;
            let rex = match byte {
                0x40..=0x4f if mode == Mode::Bits64 => byte,
                0x66 => {
                    found.operand_size = true;
                    0
                }
                0x67 => {
                    found.address_size = true;
                    0
                }
                0xf0 => {
                    found.lock = true;
                    0
                }
                0xf2 | 0xf3 => {
                    found.repeat = Some(byte);
                    0
                }
                0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => {
                    found.override_segment(byte, mode);
                    0
                }
                opcode => return Ok((found, opcode)),
            };
            found.rex = rex;
        }
    }

    /// In 64-bit mode only FS and GS count, and the others do not undo them.
    fn override_segment(&mut self, byte: u8, mode: Mode) {
        let segment = match byte {
            0x64 => Segment::Fs,
            0x65 => Segment::Gs,
            _ if mode == Mode::Bits64 => return,
            0x26 => Segment::Es,
            0x2e => Segment::Cs,
            0x36 => Segment::Ss,
            _ => Segment::Ds,
        };
        self.segment = Some(segment);
    }

    pub(super) fn has_rex(&self) -> bool {
        self.rex != 0
    }

    /// REX.W.
    pub(super) fn wide(&self) -> bool {
        self.rex & 8 != 0
    }

    /// REX.R as bit 3 of a register.
    pub(super) fn rex_r(&self) -> u8 {
        (self.rex & 4) << 1
    }

    /// REX.X as bit 3 of a register.
    pub(super) fn rex_x(&self) -> u8 {
        (self.rex & 2) << 2
    }

    /// REX.B as bit 3 of a register.
    pub(super) fn rex_b(&self) -> u8 {
        (self.rex & 1) << 3
    }

    /// Operand size of an instruction that has no byte form.
    pub(super) fn operand_bytes(&self, mode: Mode) -> u8 {
        match (mode, self.operand_size) {
            _ if self.wide() => 8,
            (Mode::Bits16, false) | (Mode::Bits32 | Mode::Bits64, true) => 2,
            (Mode::Bits16, true) | (Mode::Bits32 | Mode::Bits64, false) => 4,
        }
    }

    /// Address size.
    pub(super) fn address_bytes(&self, mode: Mode) -> u8 {
        match (mode, self.address_size) {
            (Mode::Bits64, false) => 8,
            (Mode::Bits64 | Mode::Bits16, true) | (Mode::Bits32, false) => 4,
            (Mode::Bits32, true) | (Mode::Bits16, false) => 2,
        }
    }
}
