//! MSRs that exit. What is not listed does not exist: the guest gets #GP, as on a processor without it.

use super::clock::Now;
use super::lapic::{Action, Refused};
use super::{Vcpu, clock};
use weft_platform::{GuestMemory, MemError};
use weft_types::Gpa;
use weft_x86defs::vmcb::Vmcb;
use weft_x86defs::{bits, msr};

/// Why an access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrError {
    /// The guest gets #GP.
    Refused,
    /// A page of the guest is elsewhere; run again.
    Memory(MemError),
}

impl From<Refused> for MsrError {
    fn from(Refused: Refused) -> Self {
        Self::Refused
    }
}

/// EFER bits that a guest may set.
const EFER_WRITABLE: u64 = bits::EFER_SCE | bits::EFER_LME | bits::EFER_NXE;
/// APIC base: enabled, in x2APIC mode, at its usual place.
const APIC_BASE: u64 = 0xfee0_0000 | 1 << 11 | 1 << 10;
const BOOT_PROCESSOR: u64 = 1 << 8;

const MCG_STATUS: u32 = 0x17a;
const SYSCFG: u32 = 0xc001_0010;
const DE_CFG: u32 = 0xc001_1029;
const MMIO_CONFIG: u32 = 0xc001_0058;
const INT_PENDING: u32 = 0xc001_0055;

impl Vcpu {
    /// RDMSR.
    pub(super) fn read_msr(&self, number: u32, vmcb: &Vmcb, now: Now) -> Result<u64, MsrError> {
        Ok(match number {
            msr::TSC => now.guest_tsc,
            msr::APIC_BASE if self.lapic.id() == 0 => APIC_BASE | BOOT_PROCESSOR,
            msr::APIC_BASE => APIC_BASE,
            // Write-combining is known; no fixed or variable ranges.
            msr::MTRR_CAP => 1 << 10,
            msr::MTRR_DEF_TYPE => self.mtrr_default,
            msr::PAT => vmcb.save.g_pat,
            msr::MCG_CAP | MCG_STATUS | SYSCFG | MMIO_CONFIG | INT_PENDING => 0,
            msr::PATCH_LEVEL => 0x0100_0065,
            msr::TSC_DEADLINE => self.lapic.deadline(),
            msr::X2APIC_FIRST..=msr::X2APIC_LAST => self.lapic.read(number - msr::X2APIC_FIRST, now)?,
            msr::EFER => vmcb.save.efer & !bits::EFER_SVME,
            msr::TSC_AUX => u64::from(self.tsc_aux),
            // The counter does not change its frequency.
            msr::HWCR => 1 << 24,
            // SVM is locked out.
            msr::VM_CR => 1 << 4,
            // LFENCE is serialising.
            DE_CFG => 1 << 1,
            msr::KVM_SYSTEM_TIME_NEW => self.system_time_msr,
            _absent => return Err(MsrError::Refused),
        })
    }

    /// WRMSR. Nothing is changed when an error is returned.
    pub(super) fn write_msr(
        &mut self,
        number: u32,
        value: u64,
        vmcb: &mut Vmcb,
        env: WriteEnv<'_>,
    ) -> Result<Action, MsrError> {
        match number {
            // The base cannot move, nor can the mode change.
            msr::APIC_BASE if value & !BOOT_PROCESSOR == APIC_BASE => {}
            msr::MTRR_DEF_TYPE if value & !0xcff == 0 => self.mtrr_default = value,
            msr::PAT if valid_pat(value) => vmcb.save.g_pat = value,
            MCG_STATUS | msr::PATCH_LEVEL | DE_CFG | SYSCFG | msr::HWCR | INT_PENDING => {}
            msr::TSC_DEADLINE => self.lapic.set_deadline(value, env.now),
            msr::X2APIC_FIRST..=msr::X2APIC_LAST => {
                return Ok(self.lapic.write(number - msr::X2APIC_FIRST, value, env.now)?);
            }
            msr::EFER => write_efer(value, vmcb)?,
            msr::TSC_AUX => self.tsc_aux = u32::try_from(value).map_err(|_| MsrError::Refused)?,
            msr::KVM_WALL_CLOCK_NEW => {
                clock::write_wall_clock(env.mem, Gpa(value), env.base_unix_ns).map_err(MsrError::from)?;
            }
            msr::KVM_SYSTEM_TIME_NEW => {
                let page = Gpa(value & !1);
                if value & 1 != 0 {
                    clock::write_system_time(env.mem, page, env.now.tsc_hz).map_err(MsrError::from)?;
                }
                self.system_time = page;
                self.system_time_msr = value;
            }
            _absent_or_read_only => return Err(MsrError::Refused),
        }
        Ok(Action::None)
    }
}

/// What a write may need besides the vCPU.
#[derive(Clone, Copy)]
pub(super) struct WriteEnv<'a> {
    pub(super) mem: &'a dyn GuestMemory,
    pub(super) now: Now,
    pub(super) base_unix_ns: u64,
}

impl From<MemError> for MsrError {
    /// A clock page outside of memory is the guest's mistake.
    fn from(error: MemError) -> Self {
        match error {
            MemError::Unbacked { .. } => Self::Refused,
            MemError::Need { .. } => Self::Memory(error),
        }
    }
}

fn valid_pat(value: u64) -> bool {
    value.to_le_bytes().iter().all(|kind| matches!(kind, 0 | 1 | 4..=7))
}

fn write_efer(value: u64, vmcb: &mut Vmcb) -> Result<(), MsrError> {
    let save = &mut vmcb.save;
    if value & !(EFER_WRITABLE | bits::EFER_LMA) != 0 {
        return Err(MsrError::Refused);
    }
    // Long mode cannot be left or entered while paging is on.
    if save.cr0 & bits::CR0_PG != 0 && (value ^ save.efer) & bits::EFER_LME != 0 {
        return Err(MsrError::Refused);
    }
    save.efer = value & EFER_WRITABLE | save.efer & bits::EFER_LMA | bits::EFER_SVME;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Memory;

    const NOW: Now = Now { ns: 0, guest_tsc: 77, tsc_hz: 1_000_000_000 };

    fn write(vcpu: &mut Vcpu, vmcb: &mut Vmcb, number: u32, value: u64) -> Result<Action, MsrError> {
        let mem = Memory::new(1 << 20);
        vcpu.write_msr(number, value, vmcb, WriteEnv { mem: &mem, now: NOW, base_unix_ns: 0 })
    }

    #[test]
    fn efer_keeps_svm_on_and_hides_it() {
        let (mut vcpu, mut vmcb) = (Vcpu::new(0), Vmcb::zeroed());
        write(&mut vcpu, &mut vmcb, msr::EFER, bits::EFER_LME | bits::EFER_NXE).unwrap();
        assert_ne!(vmcb.save.efer & bits::EFER_SVME, 0);
        assert_eq!(vcpu.read_msr(msr::EFER, &vmcb, NOW), Ok(bits::EFER_LME | bits::EFER_NXE));
        assert_eq!(write(&mut vcpu, &mut vmcb, msr::EFER, bits::EFER_SVME), Err(MsrError::Refused));
    }

    #[test]
    fn long_mode_does_not_change_under_paging() {
        let (mut vcpu, mut vmcb) = (Vcpu::new(0), Vmcb::zeroed());
        vmcb.save.cr0 = bits::CR0_PG;
        assert_eq!(write(&mut vcpu, &mut vmcb, msr::EFER, bits::EFER_LME), Err(MsrError::Refused));
    }

    #[test]
    fn the_apic_stays_where_and_how_it_is() {
        let (mut vcpu, mut vmcb) = (Vcpu::new(1), Vmcb::zeroed());
        assert_eq!(vcpu.read_msr(msr::APIC_BASE, &vmcb, NOW), Ok(APIC_BASE));
        assert!(write(&mut vcpu, &mut vmcb, msr::APIC_BASE, APIC_BASE).is_ok());
        assert_eq!(write(&mut vcpu, &mut vmcb, msr::APIC_BASE, 0xfee0_0800), Err(MsrError::Refused));
        assert_eq!(write(&mut vcpu, &mut vmcb, msr::APIC_BASE, APIC_BASE + 0x1000), Err(MsrError::Refused));
    }

    #[test]
    fn a_clock_page_outside_of_memory_is_refused() {
        let (mut vcpu, mut vmcb) = (Vcpu::new(0), Vmcb::zeroed());
        let outside = 1 << 40 | 1;
        assert_eq!(write(&mut vcpu, &mut vmcb, msr::KVM_SYSTEM_TIME_NEW, outside), Err(MsrError::Refused));
        assert_eq!(vcpu.read_msr(msr::KVM_SYSTEM_TIME_NEW, &vmcb, NOW), Ok(0));
        assert!(write(&mut vcpu, &mut vmcb, msr::KVM_SYSTEM_TIME_NEW, 0x5001).is_ok());
    }

    #[test]
    fn unknown_numbers_are_refused() {
        let (mut vcpu, mut vmcb) = (Vcpu::new(0), Vmcb::zeroed());
        for number in [0x48, 0x3a, 0x4b56_4d02, 0xc001_0117, 0xdead_beef] {
            assert_eq!(vcpu.read_msr(number, &vmcb, NOW), Err(MsrError::Refused), "{number:#x}");
            assert_eq!(write(&mut vcpu, &mut vmcb, number, 0), Err(MsrError::Refused), "{number:#x}");
        }
    }
}
