//! A guest's counter where the processor's runs at another frequency than the guest was told: RDTSC and RDTSCP leave the
//! guest, and the monitor answers.
//!
//! Only members of a spanning server need it whose processors differ from the first member's: offsets cannot make
//! frequencies equal. Frequencies that differ by less than [`TOLERANCE_PERMILLE`] count as equal, since they are measured
//! no better; what remains is taken up by the steps that messages bring.

use super::Exception;
use super::exits::{Env, Outcome, advance, report};
use super::mmio::{self, FetchFailure};
use crate::decode::{self, Insn, MAX_BYTES, Operation, Plain};
use crate::machine::Machine;
use weft_x86defs::vmcb::{Vmcb, intercept1, intercept2};
use weft_x86defs::{Gprs, bits};

/// See the module.
pub const TOLERANCE_PERMILLE: u64 = 20;

/// Guest ticks for each tick of the processor, 32 bits after the point.
pub type Ratio = u64;
/// Both run equally fast.
pub const EQUAL: Ratio = 1 << 32;

/// What turns ticks of a processor of `own_hz` into those of a guest that was told `guest_hz`.
pub fn ratio(guest_hz: u64, own_hz: u64) -> Ratio {
    let (guest, own) = (u128::from(guest_hz.max(1)), u128::from(own_hz.max(1)));
    if guest.abs_diff(own) * 1000 <= own * u128::from(TOLERANCE_PERMILLE) {
        return EQUAL;
    }
    u64::try_from((guest << 32) / own).unwrap_or(EQUAL)
}

/// Ticks of a processor as ticks of the guest.
pub fn scaled(ticks: u64, ratio: Ratio) -> u64 {
    if ratio == EQUAL { ticks } else { ((u128::from(ticks) * u128::from(ratio)) >> 32) as u64 }
}

/// Lets readings of the counter leave the guest.
pub fn intercept(vmcb: &mut Vmcb) {
    vmcb.control.intercept1 |= intercept1::RDTSC;
    vmcb.control.intercept2 |= intercept2::RDTSCP;
}

impl Machine {
    /// RDTSC or RDTSCP. An emulator may have one exit for both: the instruction tells.
    pub(super) fn read_counter(
        &mut self,
        index: usize,
        vmcb: &mut Vmcb,
        gprs: &mut Gprs,
        env: Env<'_>,
    ) -> Outcome {
        let mut bytes = [0; MAX_BYTES];
        let fetched = match mmio::fetch(vmcb, env, &mut bytes) {
            Ok(fetched) => fetched,
            Err(FetchFailure::Need(error)) => return Outcome::Need(error),
            // The mapping went away since: the guest executes it again and sees for itself.
            Err(FetchFailure::Fault(..) | FetchFailure::Lost) => return Outcome::Resume,
        };
        let insn = decode::decode(bytes.get(..fetched).unwrap_or(&[]), mmio::mode(vmcb));
        let (length, names_processor) = match insn {
            Ok(Insn { length, operation: Operation::Plain(Plain::Rdtsc) }) => (length, false),
            Ok(Insn { length, operation: Operation::Plain(Plain::Rdtscp) }) => (length, true),
            Ok(_) | Err(_) => {
                return Outcome::Stop(report("the counter is read in an unknown way", vmcb, gprs));
            }
        };
        if vmcb.save.cr4 & bits::CR4_TSD != 0 && vmcb.save.cpl != 0 {
            self.vcpus[index].raise(Exception::GP);
            return Outcome::Resume;
        }
        vmcb.save.rax = env.now.guest_tsc & 0xffff_ffff;
        gprs.by_encoding[Gprs::RDX] = env.now.guest_tsc >> 32;
        if names_processor {
            gprs.by_encoding[Gprs::RCX] = u64::from(self.vcpus[index].tsc_aux());
        }
        advance(vmcb, u64::from(length));
        Outcome::Resume
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::clock::Now;
    use crate::cpu::cpuid::{HostCpuid, Leaf};
    use crate::machine::MachineConfig;
    use crate::machine::remote::Place;
    use weft_platform::GuestMemory as _;
    use weft_types::Gpa;
    use weft_x86defs::exit;

    #[test]
    fn frequencies_that_differ_little_are_equal_and_others_are_scaled() {
        assert_eq!(ratio(2_600_000_000, 2_600_000_000), EQUAL);
        assert_eq!(ratio(2_621_000_000, 2_607_000_000), EQUAL, "as far as measurements differ");
        let slow = ratio(2_000_000_000, 3_000_000_000);
        assert_eq!(scaled(3_000_000_000, slow).abs_diff(2_000_000_000), 1);
        let hour = 3_000_000_000 * 3600;
        assert!(scaled(hour, slow).abs_diff(hour / 3 * 2) < 10_000, "a few microseconds in an hour");
        assert_eq!(scaled(u64::MAX, EQUAL), u64::MAX);
    }

    struct NoLeaves;
    impl HostCpuid for NoLeaves {
        fn cpuid(&self, _leaf: u32, _subleaf: u32) -> Leaf {
            Leaf::default()
        }
    }

    /// Runs `code` in real mode at 0x1000 as the instruction that left the guest.
    fn read(code: &[u8], tsc: u64) -> (Outcome, Vmcb, Gprs) {
        let mem = crate::fake::Memory::new(0x4000);
        mem.write(Gpa(0x1000), code).unwrap();
        let mut machine = Machine::new(MachineConfig {
            vcpus: 1,
            ram_bytes: 64 << 20,
            base_unix_ns: 0,
            slots: crate::devices::virtio::Slots::new(),
            place: Place::whole(1),
        });
        let mut vmcb = Vmcb::zeroed();
        vmcb.save.rip = 0x1000;
        vmcb.control.exit_code = exit::RDTSC;
        let mut gprs = Gprs::default();
        let now = Now { ns: 0, guest_tsc: tsc, tsc_hz: 1 };
        let env = Env { mem: &mem, host: &NoLeaves, now, xcr0: 1, guest_cr3: None };
        let outcome = machine.handle_exit(0, &mut vmcb, &mut gprs, env);
        (outcome, vmcb, gprs)
    }

    #[test]
    fn the_guest_reads_its_own_time_by_both_instructions() {
        let tsc = 0x1234_5678_9abc_def0;
        for (code, length) in [(&[0x0f, 0x31][..], 2), (&[0x0f, 0x01, 0xf9][..], 3)] {
            let (outcome, vmcb, gprs) = read(code, tsc);
            assert!(matches!(outcome, Outcome::Resume));
            assert_eq!((vmcb.save.rax, gprs.by_encoding[Gprs::RDX]), (0x9abc_def0, 0x1234_5678));
            assert_eq!(vmcb.save.rip, 0x1000 + length);
        }
    }

    #[test]
    fn another_instruction_stops_the_guest() {
        assert!(matches!(read(&[0x90], 1).0, Outcome::Stop(_)));
    }
}
