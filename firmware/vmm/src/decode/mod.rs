//! A decoder for the instructions that the monitor completes for the guest: moves between a register
//! and memory (devices), moves of control and debug registers, INVLPG, and those of fixed form whose
//! length an older processor does not report.
//!
//! What is not listed in [`Operation`] is [`Undecodable`], and the virtual server stops with a report:
//! guessing would change the guest's state. Bytes come from the guest and may be anything.
//!
//! - [`cursor`]: bytes and prefixes.
//! - [`address`]: ModRM, SIB, displacement; effective addresses.
//!
//! Source: APM volume 3, chapter 1 (encoding), appendix A (opcode maps).

use core::fmt;

mod address;
mod cursor;

pub use address::{Address, Segment};
use cursor::Cursor;
use cursor::Prefixes;

/// Longest instruction, bytes.
pub const MAX_BYTES: usize = 15;

/// Default operand and address size of the code segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Real mode, or a 16-bit code segment.
    Bits16,
    /// A 32-bit code segment.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

/// Part of a general register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// Encoding, 0 (rax) to 15.
    pub encoding: u8,
    /// Bytes: 1, 2, 4 or 8.
    pub bytes: u8,
    /// Bits 8 to 15 (AH, CH, DH, BH); `bytes` is 1.
    pub high: bool,
}

impl Register {
    fn new(encoding: u8, bytes: u8, rex: bool) -> Self {
        if bytes == 1 && !rex && (4..8).contains(&encoding) {
            return Self { encoding: encoding - 4, bytes, high: true };
        }
        Self { encoding, bytes, high: false }
    }

    /// This part of `full`, the whole register.
    pub fn extract(self, full: u64) -> u64 {
        let shifted = if self.high { full >> 8 } else { full };
        shifted & mask(self.bytes)
    }

    /// `full` with this part replaced: a write of 4 bytes clears the upper half.
    pub fn merge(self, full: u64, value: u64) -> u64 {
        let value = value & mask(self.bytes);
        match (self.bytes, self.high) {
            (1, true) => (full & !0xff00) | value << 8,
            (1 | 2, _) => (full & !mask(self.bytes)) | value,
            _ => value,
        }
    }
}

/// The low `bytes` bytes set.
pub fn mask(bytes: u8) -> u64 {
    match bytes {
        1 => 0xff,
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// What a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A register.
    Register(Register),
    /// A value, extended to the size of the store.
    Immediate(u64),
}

/// An instruction without operands of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plain {
    /// CLTS.
    Clts,
    /// CPUID.
    Cpuid,
    /// HLT.
    Hlt,
    /// INVD.
    Invd,
    /// IRET, any size.
    Iret,
    /// MONITOR.
    Monitor,
    /// MWAIT.
    Mwait,
    /// PAUSE.
    Pause,
    /// RDMSR.
    Rdmsr,
    /// RDPMC.
    Rdpmc,
    /// RDTSC.
    Rdtsc,
    /// RDTSCP.
    Rdtscp,
    /// VMMCALL.
    Vmmcall,
    /// WBINVD.
    Wbinvd,
    /// WBNOINVD.
    Wbnoinvd,
    /// WRMSR.
    Wrmsr,
    /// XSETBV.
    Xsetbv,
}

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// `bytes` of memory to a register at least as wide; the rest of it by zeros or by the sign.
    Load {
        /// From.
        memory: Address,
        /// Bytes read.
        bytes: u8,
        /// To.
        register: Register,
        /// Extend by the sign.
        signed: bool,
    },
    /// A register or value to `bytes` of memory.
    Store {
        /// To.
        memory: Address,
        /// Bytes written.
        bytes: u8,
        /// From.
        source: Source,
    },
    /// Register and memory change places, atomically.
    Exchange {
        /// Memory operand.
        memory: Address,
        /// Register operand, whose size is the access's.
        register: Register,
    },
    /// A control register to a general one.
    ReadControl {
        /// Control register: 0, 2, 3, 4 or 8.
        number: u8,
        /// To.
        register: Register,
    },
    /// A general register to a control register.
    WriteControl {
        /// Control register: 0, 2, 3, 4 or 8.
        number: u8,
        /// From.
        register: Register,
    },
    /// A debug register to a general one.
    ReadDebug {
        /// Debug register, 0 to 7.
        number: u8,
        /// To.
        register: Register,
    },
    /// A general register to a debug register.
    WriteDebug {
        /// Debug register, 0 to 7.
        number: u8,
        /// From.
        register: Register,
    },
    /// INVLPG.
    InvalidatePage {
        /// Address whose translation is dropped.
        memory: Address,
    },
    /// LMSW of a register.
    LoadStatus {
        /// From: its low four bits.
        register: Register,
    },
    /// SMSW to a register.
    StoreStatus {
        /// To.
        register: Register,
    },
    /// No operands.
    Plain(Plain),
}

/// A decoded instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// Its bytes, 1 to 15.
    pub length: u8,
    /// What it does.
    pub operation: Operation,
}

/// Why bytes were not decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undecodable {
    /// The instruction goes on after the bytes given.
    Truncated,
    /// It is longer than [`MAX_BYTES`].
    TooLong,
    /// The opcode is not one that the monitor completes.
    Opcode {
        /// Opcode byte.
        opcode: u8,
        /// Whether it followed 0F.
        two_byte: bool,
    },
    /// The operands or prefixes are not valid with the opcode, or not those the monitor completes.
    Form {
        /// Opcode byte.
        opcode: u8,
        /// Whether it followed 0F.
        two_byte: bool,
    },
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |two_byte: &bool| if *two_byte { "0f " } else { "" };
        match self {
            Self::Truncated => write!(f, "the instruction goes on after the bytes given"),
            Self::TooLong => write!(f, "the instruction is longer than {MAX_BYTES} bytes"),
            Self::Opcode { opcode, two_byte } => {
                write!(f, "opcode {}{opcode:02x} is not completed by the monitor", escape(two_byte))
            }
            Self::Form { opcode, two_byte } => {
                write!(f, "this form of opcode {}{opcode:02x} is not completed", escape(two_byte))
            }
        }
    }
}

impl core::error::Error for Undecodable {}

/// Decodes the instruction at the start of `bytes`.
pub fn decode(bytes: &[u8], mode: Mode) -> Result<Insn, Undecodable> {
    let mut cursor = Cursor::new(bytes);
    let (prefixes, first) = Prefixes::read(&mut cursor, mode)?;
    let (opcode, two_byte) = if first == 0x0f { (cursor.u8()?, true) } else { (first, false) };
    let mut decoder = Decoder { cursor, prefixes, mode, opcode, two_byte };
    let operation = if two_byte { decoder.two_byte()? } else { decoder.one_byte()? };
    let length = decoder.cursor.position() as u8;
    Ok(Insn { length, operation })
}

struct Decoder<'a> {
    cursor: Cursor<'a>,
    prefixes: Prefixes,
    mode: Mode,
    opcode: u8,
    two_byte: bool,
}

impl Decoder<'_> {
    fn one_byte(&mut self) -> Result<Operation, Undecodable> {
        if self.opcode == 0x90 && self.prefixes.repeat == Some(0xf3) && !self.prefixes.lock {
            return if self.prefixes.rex_b() == 0 {
                Ok(Operation::Plain(Plain::Pause))
            } else {
                Err(self.form())
            };
        }
        let exchange = matches!(self.opcode, 0x86 | 0x87);
        self.no_repeat()?;
        if self.prefixes.lock && !exchange {
            return Err(self.form());
        }
        match self.opcode {
            0x88 | 0x89 => self.store_register(),
            0x8a | 0x8b => self.load(),
            0x86 | 0x87 => self.exchange(),
            0xa0..=0xa3 => self.move_by_offset(),
            0xc6 | 0xc7 => self.store_immediate(),
            0x63 if self.mode == Mode::Bits64 && self.prefixes.wide() => {
                let (memory, register) = self.memory_and_register(8)?;
                Ok(Operation::Load { memory, bytes: 4, register, signed: true })
            }
            0xcf => Ok(Operation::Plain(Plain::Iret)),
            0xf4 => Ok(Operation::Plain(Plain::Hlt)),
            opcode => Err(Undecodable::Opcode { opcode, two_byte: false }),
        }
    }

    fn two_byte(&mut self) -> Result<Operation, Undecodable> {
        if self.prefixes.lock {
            return Err(self.form());
        }
        if self.opcode == 0x09 && self.prefixes.repeat == Some(0xf3) {
            return Ok(Operation::Plain(Plain::Wbnoinvd));
        }
        self.no_repeat()?;
        let plain = match self.opcode {
            0x01 => return self.group_seven(),
            0x20..=0x23 => return self.special_register(),
            0xb6 | 0xb7 | 0xbe | 0xbf => return self.extend(),
            0x06 => Plain::Clts,
            0x08 => Plain::Invd,
            0x09 => Plain::Wbinvd,
            0x30 => Plain::Wrmsr,
            0x31 => Plain::Rdtsc,
            0x32 => Plain::Rdmsr,
            0x33 => Plain::Rdpmc,
            0xa2 => Plain::Cpuid,
            opcode => return Err(Undecodable::Opcode { opcode, two_byte: true }),
        };
        Ok(Operation::Plain(plain))
    }

    fn form(&self) -> Undecodable {
        Undecodable::Form { opcode: self.opcode, two_byte: self.two_byte }
    }

    fn no_repeat(&self) -> Result<(), Undecodable> {
        if self.prefixes.repeat.is_some() { Err(self.form()) } else { Ok(()) }
    }

    /// Size of the operands: a byte for even opcodes, else by mode and prefixes.
    fn operand_bytes(&self) -> u8 {
        if self.opcode & 1 == 0 { 1 } else { self.prefixes.operand_bytes(self.mode) }
    }

    /// ModRM with a memory operand, and the register of `bytes` that it names.
    fn memory_and_register(&mut self, bytes: u8) -> Result<(Address, Register), Undecodable> {
        let modrm = self.cursor.u8()?;
        let memory =
            address::read(&mut self.cursor, &self.prefixes, self.mode, modrm)?.ok_or_else(|| self.form())?;
        let encoding = (modrm >> 3 & 7) | self.prefixes.rex_r();
        Ok((memory, Register::new(encoding, bytes, self.prefixes.has_rex())))
    }

    fn load(&mut self) -> Result<Operation, Undecodable> {
        let bytes = self.operand_bytes();
        let (memory, register) = self.memory_and_register(bytes)?;
        Ok(Operation::Load { memory, bytes, register, signed: false })
    }

    fn store_register(&mut self) -> Result<Operation, Undecodable> {
        let bytes = self.operand_bytes();
        let (memory, register) = self.memory_and_register(bytes)?;
        Ok(Operation::Store { memory, bytes, source: Source::Register(register) })
    }

    fn exchange(&mut self) -> Result<Operation, Undecodable> {
        let bytes = self.operand_bytes();
        let (memory, register) = self.memory_and_register(bytes)?;
        Ok(Operation::Exchange { memory, register })
    }

    fn extend(&mut self) -> Result<Operation, Undecodable> {
        let bytes = if self.opcode & 1 == 0 { 1 } else { 2 };
        let target = self.prefixes.operand_bytes(self.mode);
        let (memory, register) = self.memory_and_register(target)?;
        Ok(Operation::Load { memory, bytes, register, signed: self.opcode >= 0xbe })
    }

    fn move_by_offset(&mut self) -> Result<Operation, Undecodable> {
        let bytes = self.operand_bytes();
        let memory = address::absolute(&mut self.cursor, &self.prefixes, self.mode)?;
        let register = Register { encoding: 0, bytes, high: false };
        Ok(match self.opcode {
            0xa0 | 0xa1 => Operation::Load { memory, bytes, register, signed: false },
            _ => Operation::Store { memory, bytes, source: Source::Register(register) },
        })
    }

    fn store_immediate(&mut self) -> Result<Operation, Undecodable> {
        let bytes = self.operand_bytes();
        let (memory, register) = self.memory_and_register(8)?;
        if register.encoding & 7 != 0 {
            return Err(self.form());
        }
        let value = match bytes {
            1 => u64::from(self.cursor.u8()?),
            2 => u64::from(self.cursor.u16()?),
            4 => u64::from(self.cursor.u32()?),
            _ => i64::from(self.cursor.u32()? as i32) as u64,
        };
        Ok(Operation::Store { memory, bytes, source: Source::Immediate(value) })
    }

    fn special_register(&mut self) -> Result<Operation, Undecodable> {
        // The mode field of ModRM is ignored: the operand is always a register.
        let modrm = self.cursor.u8()?;
        let number = (modrm >> 3 & 7) | self.prefixes.rex_r();
        let bytes = if self.mode == Mode::Bits64 { 8 } else { 4 };
        let encoding = (modrm & 7) | self.prefixes.rex_b();
        let register = Register { encoding, bytes, high: false };
        let control = self.opcode & 1 == 0;
        let valid = if control { matches!(number, 0 | 2 | 3 | 4 | 8) } else { number < 8 };
        if !valid {
            return Err(self.form());
        }
        Ok(match (control, self.opcode < 0x22) {
            (true, true) => Operation::ReadControl { number, register },
            (true, false) => Operation::WriteControl { number, register },
            (false, true) => Operation::ReadDebug { number, register },
            (false, false) => Operation::WriteDebug { number, register },
        })
    }

    /// 0F 01: INVLPG, LMSW, SMSW, and instructions that a whole ModRM byte names.
    fn group_seven(&mut self) -> Result<Operation, Undecodable> {
        let modrm = self.cursor.u8()?;
        if modrm < 0xc0 {
            if modrm >> 3 & 7 != 7 {
                return Err(self.form());
            }
            let memory = address::read(&mut self.cursor, &self.prefixes, self.mode, modrm)?
                .ok_or_else(|| self.form())?;
            return Ok(Operation::InvalidatePage { memory });
        }
        let encoding = (modrm & 7) | self.prefixes.rex_b();
        let of = |bytes| Register { encoding, bytes, high: false };
        match modrm >> 3 & 7 {
            4 => return Ok(Operation::StoreStatus { register: of(self.prefixes.operand_bytes(self.mode)) }),
            6 => return Ok(Operation::LoadStatus { register: of(2) }),
            _named_by_the_whole_byte => {}
        }
        if self.prefixes.operand_size {
            return Err(self.form());
        }
        let plain = match modrm {
            0xc8 => Plain::Monitor,
            0xc9 => Plain::Mwait,
            0xd1 => Plain::Xsetbv,
            0xd9 => Plain::Vmmcall,
            0xf9 => Plain::Rdtscp,
            _ => return Err(self.form()),
        };
        Ok(Operation::Plain(plain))
    }
}

#[cfg(test)]
mod tests;
