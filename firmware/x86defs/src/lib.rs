//! x86-64 and SVM definitions: MSRs, VMCB, exit codes, page-table bits.
//!
//! Numbers and layouts only, no instruction. Source: AMD64 Architecture Programmer's Manual (APM)
//! volume 2, revision 3.42, chapters 5 and 15 and appendices B and C.
#![no_std]

pub mod bits;
pub mod exit;
pub mod msr;
pub mod vmcb;

/// General registers that the VMCB does not hold, in the order of their encoding. `rax` and `rsp`
/// live in the VMCB's save area and their places here are unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Gprs {
    /// Registers by encoding: 0 rax (unused), 1 rcx, 2 rdx, 3 rbx, 4 rsp (unused), 5 rbp, 6 rsi, 7 rdi,
    /// 8–15 r8–r15.
    pub by_encoding: [u64; 16],
}

impl Gprs {
    /// Encoding of rcx.
    pub const RCX: usize = 1;
    /// Encoding of rdx.
    pub const RDX: usize = 2;
    /// Encoding of rbx.
    pub const RBX: usize = 3;
    /// Encoding of rsi.
    pub const RSI: usize = 6;
    /// Encoding of rdi.
    pub const RDI: usize = 7;

    /// Reads a register by encoding, taking rax and rsp from the VMCB.
    pub fn get(&self, vmcb: &vmcb::Vmcb, encoding: u8) -> u64 {
        match encoding & 15 {
            0 => vmcb.save.rax,
            4 => vmcb.save.rsp,
            other => self.by_encoding[usize::from(other)],
        }
    }

    /// Writes a register by encoding, rax and rsp in the VMCB.
    pub fn set(&mut self, vmcb: &mut vmcb::Vmcb, encoding: u8, value: u64) {
        match encoding & 15 {
            0 => vmcb.save.rax = value,
            4 => vmcb.save.rsp = value,
            other => self.by_encoding[usize::from(other)] = value,
        }
    }
}
