//! Memory operands: ModRM, SIB and displacement, and the addresses that they mean.

use super::cursor::{Cursor, Prefixes};
use super::{Mode, Undecodable, mask};

/// A segment register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    /// ES.
    Es,
    /// CS.
    Cs,
    /// SS.
    Ss,
    /// DS.
    Ds,
    /// FS.
    Fs,
    /// GS.
    Gs,
}

/// A memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// Segment, by default or override.
    pub segment: Segment,
    /// Base register's encoding.
    pub base: Option<u8>,
    /// Index register's encoding.
    pub index: Option<u8>,
    /// Factor of the index: 1, 2, 4 or 8.
    pub scale: u8,
    /// Displacement, sign-extended.
    pub displacement: u64,
    /// Relative to the next instruction.
    pub rip_relative: bool,
    /// Address size in bytes: 2, 4 or 8.
    pub bytes: u8,
}

impl Address {
    /// Offset within the segment. `register` gives whole registers by encoding, `next_rip` is the
    /// address of the next instruction.
    pub fn effective(&self, register: impl Fn(u8) -> u64, next_rip: u64) -> u64 {
        let base = match (self.rip_relative, self.base) {
            (true, _) => next_rip,
            (false, Some(encoding)) => register(encoding),
            (false, None) => 0,
        };
        let index = self.index.map_or(0, register).wrapping_mul(u64::from(self.scale));
        base.wrapping_add(index).wrapping_add(self.displacement) & mask(self.bytes)
    }

    /// Linear address: the effective address plus the segment's base. In 64-bit mode only FS and GS
    /// have one; elsewhere the sum wraps at 4 GiB.
    pub fn linear(
        &self,
        mode: Mode,
        register: impl Fn(u8) -> u64,
        next_rip: u64,
        segment_base: impl Fn(Segment) -> u64,
    ) -> u64 {
        let offset = self.effective(register, next_rip);
        match (mode, self.segment) {
            (Mode::Bits64, Segment::Fs | Segment::Gs) => segment_base(self.segment).wrapping_add(offset),
            (Mode::Bits64, Segment::Es | Segment::Cs | Segment::Ss | Segment::Ds) => offset,
            (Mode::Bits16 | Mode::Bits32, segment) => segment_base(segment).wrapping_add(offset) & mask(4),
        }
    }
}

/// Sign-extends a displacement.
fn signed(value: i64) -> u64 {
    value as u64
}

/// The memory operand of `modrm`, or `None` when the operand is a register.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    prefixes: &Prefixes,
    mode: Mode,
    modrm: u8,
) -> Result<Option<Address>, Undecodable> {
    if modrm >= 0xc0 {
        return Ok(None);
    }
    let bytes = prefixes.address_bytes(mode);
    if bytes == 2 { short(cursor, prefixes, modrm) } else { long(cursor, prefixes, mode, modrm, bytes) }
        .map(Some)
}

/// An address given whole, as A0 to A3 have it.
pub(super) fn absolute(
    cursor: &mut Cursor<'_>,
    prefixes: &Prefixes,
    mode: Mode,
) -> Result<Address, Undecodable> {
    let bytes = prefixes.address_bytes(mode);
    let displacement = match bytes {
        2 => u64::from(cursor.u16()?),
        4 => u64::from(cursor.u32()?),
        _ => cursor.u64()?,
    };
    Ok(Address {
        segment: prefixes.segment.unwrap_or(Segment::Ds),
        base: None,
        index: None,
        scale: 1,
        displacement,
        rip_relative: false,
        bytes,
    })
}

/// 16-bit addressing.
fn short(cursor: &mut Cursor<'_>, prefixes: &Prefixes, modrm: u8) -> Result<Address, Undecodable> {
    const BX: u8 = 3;
    const BP: u8 = 5;
    const SI: u8 = 6;
    const DI: u8 = 7;
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let (base, index) = match rm {
        0 => (Some(BX), Some(SI)),
        1 => (Some(BX), Some(DI)),
        2 => (Some(BP), Some(SI)),
        3 => (Some(BP), Some(DI)),
        4 => (Some(SI), None),
        5 => (Some(DI), None),
        6 if mode == 0 => (None, None),
        6 => (Some(BP), None),
        _ => (Some(BX), None),
    };
    let displacement = match mode {
        0 if base.is_some() => 0,
        1 => signed(i64::from(cursor.u8()? as i8)),
        _ => signed(i64::from(cursor.u16()? as i16)),
    };
    let default = if base == Some(BP) { Segment::Ss } else { Segment::Ds };
    Ok(Address {
        segment: prefixes.segment.unwrap_or(default),
        base,
        index,
        scale: 1,
        displacement,
        rip_relative: false,
        bytes: 2,
    })
}

/// 32- and 64-bit addressing.
fn long(
    cursor: &mut Cursor<'_>,
    prefixes: &Prefixes,
    mode: Mode,
    modrm: u8,
    bytes: u8,
) -> Result<Address, Undecodable> {
    const SP: u8 = 4;
    const BP: u8 = 5;
    let (form, rm) = (modrm >> 6, modrm & 7);
    let mut index = None;
    let mut scale = 1;
    let mut rip_relative = false;
    let mut base = Some(rm | prefixes.rex_b());
    if rm == 4 {
        let sib = cursor.u8()?;
        let encoding = (sib >> 3 & 7) | prefixes.rex_x();
        if encoding != SP {
            index = Some(encoding);
            scale = 1 << (sib >> 6);
        }
        base = Some((sib & 7) | prefixes.rex_b());
        if sib & 7 == 5 && form == 0 {
            base = None;
        }
    } else if rm == 5 && form == 0 {
        base = None;
        rip_relative = mode == Mode::Bits64;
    }
    let displacement = match form {
        0 if base.is_some() => 0,
        1 => signed(i64::from(cursor.u8()? as i8)),
        _ => signed(i64::from(cursor.u32()? as i32)),
    };
    let default = if matches!(base, Some(SP | BP)) { Segment::Ss } else { Segment::Ds };
    Ok(Address {
        segment: prefixes.segment.unwrap_or(default),
        base,
        index,
        scale,
        displacement,
        rip_relative,
        bytes,
    })
}
