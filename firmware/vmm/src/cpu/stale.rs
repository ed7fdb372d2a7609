//! Breakpoints that an emulator goes on seeing after the guest has taken them away.
//!
//! QEMU translates guest code and forgets a translation when its bytes are written. A write by one processor that
//! another one's translation of the same bytes overtakes is missed: the translation of the old bytes stays for ever.
//! Linux changes its code while all processors run, by way of INT3 (ftrace, static keys). A processor that keeps such
//! an INT3 executes it again and again: its handler finds no breakpoint there and returns. Seen on QEMU 7.2: memory had
//! the new instruction, the processor went on with the INT3, and the other one waited for it.
//!
//! On such a processor software interrupts leave the guest. The place is written as it is, which makes the emulator
//! translate it anew, and the guest executes what is really there; if that is an interrupt, it passes this time.

use super::cpuid::HostCpuid;
use super::exits::{Env, Outcome};
use super::mmio::{self, FetchFailure};
use crate::machine::Machine;
use weft_types::Gpa;
use weft_x86defs::vmcb::{Vmcb, intercept1};

/// Leaf in which a hypervisor says its name.
const NAME_LEAF: u32 = 0x4000_0000;
/// `TCGTCGTCGTCG`: QEMU without a processor's help.
const TRANSLATOR: u32 = u32::from_le_bytes(*b"TCGT");

/// Whether the processor is an emulator that translates code.
pub fn is_translated(host: &dyn HostCpuid) -> bool {
    host.cpuid(NAME_LEAF, 0).ebx == TRANSLATOR
}

/// Lets software interrupts leave the guest, or not.
pub(crate) fn intercept(vmcb: &mut Vmcb, on: bool) {
    if on {
        vmcb.control.intercept1 |= intercept1::INTN;
    } else {
        vmcb.control.intercept1 &= !intercept1::INTN;
    }
}

impl Machine {
    /// A software interrupt, as the processor sees it.
    pub(super) fn software_interrupt(&mut self, index: usize, vmcb: &Vmcb, env: Env<'_>) -> Outcome {
        let place = match mmio::instruction(vmcb, env) {
            Ok(place) => Gpa(place.0 & !7),
            Err(FetchFailure::Need(error)) => return Outcome::Need(error),
            // The mapping went away since: the guest executes it again and sees for itself.
            Err(FetchFailure::Fault(..) | FetchFailure::Lost) => return Outcome::Resume,
        };
        // Equal or not, a locked exchange writes.
        match env.mem.compare_exchange_u64(place, 0, 0) {
            Ok(_) => {
                self.vcpus[index].passes_interrupt = true;
                Outcome::Resume
            }
            Err(error) => Outcome::Need(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::clock::Now;
    use crate::cpu::cpuid::Leaf;
    use crate::cpu::events::Entry;
    use crate::machine::MachineConfig;
    use crate::machine::remote::Place;
    use weft_platform::GuestMemory as _;
    use weft_x86defs::{Gprs, exit};

    struct Named(u32);

    impl HostCpuid for Named {
        fn cpuid(&self, leaf: u32, _subleaf: u32) -> Leaf {
            Leaf { ebx: if leaf == NAME_LEAF { self.0 } else { 0 }, ..Leaf::default() }
        }
    }

    const NOW: Now = Now { ns: 0, guest_tsc: 0, tsc_hz: 1 };

    #[test]
    fn a_processor_that_is_none_is_known_by_its_name() {
        assert!(is_translated(&Named(TRANSLATOR)));
        assert!(!is_translated(&Named(u32::from_le_bytes(*b"KVMK"))));
        assert!(!is_translated(&Named(0)));
    }

    #[test]
    fn an_interrupt_that_left_is_executed_once_where_it_stands_and_the_next_one_leaves_again() {
        let mem = crate::fake::Memory::new(0x4000);
        mem.write(Gpa(0x1003), &[0xcc, 0x90]).unwrap();
        let mut machine = Machine::new(MachineConfig {
            vcpus: 1,
            ram_bytes: 64 << 20,
            base_unix_ns: 0,
            slots: crate::devices::virtio::Slots::new(),
            place: Place::whole(1),
        });
        let (mut vmcb, mut gprs) = (Vmcb::zeroed(), Gprs::default());
        let leaves = |vmcb: &Vmcb| vmcb.control.intercept1 & intercept1::INTN != 0;
        assert_eq!(machine.prepare(0, &mut vmcb, &mut gprs, NOW), Entry::Run);
        assert!(!leaves(&vmcb), "a real processor needs nothing");
        machine.set_translated(true);
        machine.prepare(0, &mut vmcb, &mut gprs, NOW);
        assert!(leaves(&vmcb));

        (vmcb.save.rip, vmcb.control.exit_code) = (0x1003, exit::INTN);
        let env = Env { mem: &mem, host: &Named(TRANSLATOR), now: NOW, xcr0: 1, guest_cr3: None };
        assert!(matches!(machine.handle_exit(0, &mut vmcb, &mut gprs, env), Outcome::Resume));
        assert_eq!(vmcb.save.rip, 0x1003, "what stands there is executed");
        assert_eq!(mem.read_u16(Gpa(0x1003)), Ok(0x90cc));
        machine.prepare(0, &mut vmcb, &mut gprs, NOW);
        assert!(!leaves(&vmcb));
        machine.prepare(0, &mut vmcb, &mut gprs, NOW);
        assert!(leaves(&vmcb));
    }
}
