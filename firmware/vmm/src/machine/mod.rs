//! A virtual server on this node: its vCPUs and its devices, behind one lock of the caller's.
//!
//! - [`devices`]: console, virtio slots, frames.
//!
//! Interrupts find their vCPUs here: devices raise lines at the IOAPIC, the IOAPIC and the local APICs send
//! messages, and a vCPU that has something new is noted in [`Machine::take_kicks`], so that the caller wakes
//! the processor that runs it.

use crate::cpu::Vcpu;
use crate::cpu::clock::Now;
use crate::cpu::events::Entry;
use crate::cpu::exits::{EXIT_CLASSES, ExitClass};
use crate::cpu::lapic::{Action, Command, Delivery, Target};
use crate::devices::ioapic::{DeliveryMode, IoApic, Message};
use crate::devices::ring::OutputRing;
use crate::devices::uart::Uart;
use crate::devices::virtio::{Fault, Slots};
use crate::layout;
use alloc::vec::Vec;
use weft_types::Gpa;
use weft_x86defs::Gprs;
use weft_x86defs::vmcb::Vmcb;

pub mod devices;

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
    exits: [u64; EXIT_CLASSES],
    base_unix_ns: u64,
    ram_bytes: u64,
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
}

impl Machine {
    /// A machine after power-on.
    pub fn new(config: MachineConfig) -> Self {
        let vcpus = config.vcpus.clamp(1, MAX_VCPUS) as u32;
        Self {
            vcpus: (0..vcpus).map(Vcpu::new).collect(),
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
            exits: [0; EXIT_CLASSES],
            base_unix_ns: config.base_unix_ns,
            ram_bytes: config.ram_bytes,
        }
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
        self.vcpus.get_mut(index).map_or(Entry::Wait, |vcpu| vcpu.prepare(vmcb, gprs, now))
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
        let (vcpus, kicks) = (&mut self.vcpus, &mut self.kicks);
        work(&mut self.ioapic, &mut |message| deliver_message(vcpus, kicks, message));
    }

    /// Does what a local APIC's register write asked for.
    pub(crate) fn apic_action(&mut self, index: usize, action: Action) {
        match action {
            Action::None => {}
            Action::EndOfInterrupt(vector) => {
                self.with_ioapic(|ioapic, send| ioapic.end_of_interrupt(vector, send));
            }
            Action::Command(command) => {
                let sender = self.vcpus.get(index).map_or(0, |v| v.lapic.id());
                deliver(&mut self.vcpus, &mut self.kicks, command, sender);
            }
        }
    }
}

fn deliver_message(vcpus: &mut [Vcpu], kicks: &mut u64, message: Message) {
    let target = match (message.logical, message.destination) {
        (_, 0xff) => Target::All,
        // In x2APIC mode an 8-bit logical destination can only name the first cluster.
        (true, mask) => Target::Logical(u32::from(mask)),
        (false, id) => Target::Physical(u32::from(id)),
    };
    let delivery = match message.delivery {
        DeliveryMode::Fixed => Delivery::Fixed,
        DeliveryMode::LowestPriority => Delivery::LowestPriority,
        DeliveryMode::Nmi => Delivery::Nmi,
        DeliveryMode::Init => Delivery::Init,
        // This machine has no SMM and no 8259.
        DeliveryMode::Smi | DeliveryMode::ExtInt | DeliveryMode::Reserved(_) => return,
    };
    deliver(vcpus, kicks, Command { delivery, vector: message.vector, target }, u32::MAX);
}

fn deliver(vcpus: &mut [Vcpu], kicks: &mut u64, command: Command, sender: u32) {
    let mut targets = vcpus.iter_mut().enumerate().filter(|(_, v)| v.lapic.is_target(command.target, sender));
    match command.delivery {
        // One of the targets: the first, so that it is the same each time.
        Delivery::LowestPriority => {
            if let Some((index, vcpu)) = targets.next() {
                vcpu.lapic.request(command.vector);
                *kicks |= 1 << index;
            }
        }
        Delivery::Fixed => targets.for_each(|(index, vcpu)| {
            vcpu.lapic.request(command.vector);
            *kicks |= 1 << index;
        }),
        Delivery::Nmi => targets.for_each(|(index, vcpu)| {
            vcpu.nmi();
            *kicks |= 1 << index;
        }),
        Delivery::Init => targets.for_each(|(index, vcpu)| {
            vcpu.init();
            *kicks |= 1 << index;
        }),
        Delivery::StartUp => targets.for_each(|(index, vcpu)| {
            vcpu.start_up(command.vector);
            *kicks |= 1 << index;
        }),
    }
}
