//! A virtual server on this node: its vCPUs and its devices, behind one lock of the caller's.
//!
//! - [`devices`]: console, virtio slots, frames;
//! - [`moves`]: vCPUs that come from other members and go to them;
//! - [`remote`]: the processors and devices of a spanning server that are on other nodes.
//!
//! Interrupts find their vCPUs here: devices raise lines at the IOAPIC, the IOAPIC and the local APICs send
//! messages, and a vCPU that has something new is noted in [`Machine::take_kicks`], so that the caller wakes
//! the processor that runs it.

use crate::cpu::clock::Now;
use crate::cpu::events::Entry;
use crate::cpu::exits::{EXIT_CLASSES, ExitClass};
use crate::cpu::lapic::Action;
use crate::cpu::{Vcpu, stale};
use crate::devices::ioapic::{IoApic, Message};
use crate::devices::ring::OutputRing;
use crate::devices::uart::{LSR_EMPTY, Uart};
use crate::devices::virtio::{Fault, Slots};
use crate::layout;
use crate::machine::remote::{Outgoing, Place, Router};
use alloc::vec::Vec;
use weft_types::Gpa;
use weft_x86defs::Gprs;
use weft_x86defs::vmcb::Vmcb;

pub mod devices;
pub mod moves;
pub mod remote;

/// Most vCPUs of a guest.
pub const MAX_VCPUS: usize = 32;

/// A virtual server's processors and devices.
#[derive(Debug)]
pub struct Machine {
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) ioapic: IoApic,
    uart: Uart,
    slots: Slots,
    /// Slots with more to do, one bit each.
    busy_slots: u16,
    faults: Vec<(u8, Fault)>,
    /// What all consoles printed, as one stream.
    console: OutputRing,
    uart_seen: u64,
    virtio_seen: u64,
    virtio_console_last: bool,
    kicks: u64,
    /// What is here of it, and what waits to be sent to the others.
    place: Place,
    outgoing: Vec<Outgoing>,
    line_status: u8,
    exits: [u64; EXIT_CLASSES],
    base_unix_ns: u64,
    ram_bytes: u64,
    translated: bool,
}

/// What a machine is made of.
#[derive(Debug)]
pub struct MachineConfig {
    /// vCPUs, 1 to [`MAX_VCPUS`].
    pub vcpus: usize,
    /// Memory, bytes.
    pub ram_bytes: u64,
    /// Time since 1970 at guest time 0, nanoseconds.
    pub base_unix_ns: u64,
    /// Virtio devices in their places.
    pub slots: Slots,
    /// What of it is on this node.
    pub place: Place,
}

impl Machine {
    /// A machine after power-on.
    pub fn new(config: MachineConfig) -> Self {
        let vcpus = config.vcpus.clamp(1, MAX_VCPUS) as u32;
        let mut vcpus: Vec<Vcpu> = (0..vcpus).map(|index| Vcpu::new(config.place.apic_id(index))).collect();
        let spans = config.place.members().len() > 1;
        vcpus.iter_mut().for_each(|vcpu| vcpu.lapic.set_rests(spans));
        Self {
            vcpus,
            ioapic: IoApic::new(),
            uart: Uart::new(),
            slots: config.slots,
            busy_slots: 0,
            faults: Vec::new(),
            console: OutputRing::new(devices::CONSOLE_BYTES),
            uart_seen: 0,
            virtio_seen: 0,
            virtio_console_last: false,
            kicks: 0,
            place: config.place,
            outgoing: Vec::new(),
            line_status: LSR_EMPTY,
            exits: [0; EXIT_CLASSES],
            base_unix_ns: config.base_unix_ns,
            ram_bytes: config.ram_bytes,
            translated: false,
        }
    }

    /// Says whether the processors translate code ([`stale::is_translated`]).
    pub fn set_translated(&mut self, translated: bool) {
        self.translated = translated;
    }

    /// Number of vCPUs.
    pub fn vcpu_count(&self) -> usize {
        self.vcpus.len()
    }

    /// Time since 1970 at guest time 0, nanoseconds.
    pub(crate) fn base_unix_ns(&self) -> u64 {
        self.base_unix_ns
    }

    /// Whether an address is memory of this guest.
    pub(crate) fn is_ram(&self, gpa: Gpa) -> bool {
        layout::ram(self.ram_bytes).iter().any(|range| range.contains(&gpa.0))
    }

    /// Exits so far, by class.
    pub fn exits(&self) -> &[u64; EXIT_CLASSES] {
        &self.exits
    }

    pub(crate) fn count(&mut self, class: ExitClass) {
        self.exits[class as usize] += 1;
    }

    /// Counts the exit in hand in another class.
    pub(crate) fn recount(&mut self, from: ExitClass, to: ExitClass) {
        self.exits[from as usize] -= 1;
        self.exits[to as usize] += 1;
    }

    /// vCPUs that have something new since the last call, one bit each.
    pub fn take_kicks(&mut self) -> u64 {
        core::mem::take(&mut self.kicks)
    }

    /// Prepares the next entry of a vCPU.
    pub fn prepare(&mut self, index: usize, vmcb: &mut Vmcb, gprs: &mut Gprs, now: Now) -> Entry {
        let Some(vcpu) = self.vcpus.get_mut(index) else { return Entry::Wait };
        if self.translated {
            stale::intercept(vmcb, !core::mem::take(&mut vcpu.passes_interrupt));
        }
        vcpu.prepare(vmcb, gprs, now)
    }

    /// When a vCPU has something to do by itself, nanoseconds of the node's clock.
    pub fn due_ns(&self, index: usize) -> Option<u64> {
        self.vcpus.get(index).and_then(Vcpu::due_ns)
    }

    /// TSC_AUX that the processor must hold while the vCPU runs.
    pub fn tsc_aux(&self, index: usize) -> u32 {
        self.vcpus.get(index).map_or(0, Vcpu::tsc_aux)
    }

    /// Runs `work` on the IOAPIC and delivers what it sends.
    pub(crate) fn with_ioapic(&mut self, work: impl FnOnce(&mut IoApic, &mut dyn FnMut(Message))) {
        let mut router = Router {
            vcpus: &mut self.vcpus,
            kicks: &mut self.kicks,
            place: &self.place,
            outgoing: &mut self.outgoing,
        };
        work(&mut self.ioapic, &mut |message| router.message(message));
    }

    /// Does what a local APIC's register write asked for.
    pub(crate) fn apic_action(&mut self, index: usize, action: Action) {
        match action {
            Action::None => {}
            Action::EndOfInterrupt(vector) => self.end_of_interrupt(index, vector),
            Action::Command(command) => {
                let sender = self.vcpus.get(index).map_or(0, |v| v.lapic.id());
                self.router().deliver(command, sender, false);
            }
        }
    }
}
