//! The part of a spanning server that is on other nodes: who runs which vCPU, who has the devices, and what
//! has to be told to whom.
//!
//! Every member holds the same list of vCPUs. Those of others are there only to be named: their local APICs
//! have an identifier and nothing else. Devices and the IOAPIC are the first member's; an access to them
//! elsewhere becomes a message, and a vCPU that reads waits for the answer with its exit unfinished.
//!
//! One register is known everywhere, the console's line status: a processor that prints polls it before each
//! character. The first member tells the others when it changes.
//!
//! A vCPU may move ([`super::moves`]): its number, its package and its APIC identifier stay those of its home. Whoever
//! gets an interrupt for a vCPU that has left passes it on to where it went.
//!
//! Invariants: an interrupt reaches exactly the member that runs its vCPU; a write to a device is sent once,
//! when its instruction completes; an answer is taken only by the read that asked for it.

use super::Machine;
use crate::cpu::Vcpu;
use crate::cpu::exits::Outcome;
use crate::cpu::lapic::{Command, Delivery, Target};
use crate::devices::ioapic::{DeliveryMode, Message};
use alloc::vec::Vec;
use weft_platform::{GuestMemory, MemError};
use weft_types::Gpa;
use weft_wire::span::{DeviceAddress, InterruptKind, SpanMessage};

/// What of a server is on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// vCPUs of each member, in order.
    members: Vec<u16>,
    /// Which member this node is.
    me: usize,
    /// The member that runs each vCPU, as far as is known here, and how often it has moved.
    lives: Vec<(usize, u32)>,
}

impl Place {
    /// A server of one node.
    pub fn whole(vcpus: usize) -> Self {
        Self::part(alloc::vec![vcpus.min(super::MAX_VCPUS) as u16], 0)
    }

    /// Member `me` of a server whose members run `members` vCPUs each, in order.
    pub fn part(members: Vec<u16>, me: usize) -> Self {
        let homes = members.iter().enumerate();
        let lives = homes.flat_map(|(member, count)| (0..*count).map(move |_| (member, 0))).collect();
        Self { members, me, lives }
    }

    /// Whether the devices are here.
    pub fn has_devices(&self) -> bool {
        self.me == 0
    }

    /// vCPUs of each member.
    pub fn members(&self) -> &[u16] {
        &self.members
    }

    /// Which member this node is.
    pub fn me(&self) -> usize {
        self.me
    }

    /// The member that runs a vCPU, as far as is known here.
    pub fn lives_at(&self, vcpu: usize) -> Option<usize> {
        self.lives.get(vcpu).map(|(member, _)| *member)
    }

    /// How often a vCPU has moved, as far as is known here.
    pub fn moves(&self, vcpu: usize) -> u32 {
        self.lives.get(vcpu).map_or(0, |(_, moves)| *moves)
    }

    /// Notes where a vCPU is after that many moves; older words are forgotten.
    pub(super) fn note(&mut self, vcpu: usize, member: usize, moves: u32) {
        if let Some(known) = self.lives.get_mut(vcpu)
            && moves > known.1
            && member < self.members.len()
        {
            *known = (member, moves);
        }
    }

    /// The member that is a vCPU's home, and the number of the vCPU there.
    pub fn member_of(&self, vcpu: usize) -> Option<(usize, usize)> {
        let mut first = 0;
        for (member, count) in self.members.iter().enumerate() {
            let end = first + usize::from(*count);
            if vcpu < end {
                return Some((member, vcpu - first));
            }
            first = end;
        }
        None
    }

    /// Whether a vCPU runs here.
    pub fn is_local(&self, vcpu: usize) -> bool {
        self.lives_at(vcpu) == Some(self.me)
    }

    /// vCPUs of the member that is a vCPU's home.
    pub fn package_vcpus(&self, vcpu: usize) -> u32 {
        let member = self.member_of(vcpu).and_then(|(member, _)| self.members.get(member));
        member.map_or(1, |count| u32::from(*count))
    }

    /// Bits of an APIC identifier that number the vCPUs of one member: a member is a package.
    pub fn core_bits(&self) -> u32 {
        let most = self.members.iter().copied().max().unwrap_or(1).max(1);
        u32::from(most).next_power_of_two().trailing_zeros()
    }

    /// APIC identifier of a vCPU.
    pub fn apic_id(&self, vcpu: u32) -> u32 {
        self.member_of(vcpu as usize)
            .map_or(vcpu, |(member, core)| (member as u32) << self.core_bits() | core as u32)
    }
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Member.
    pub to: usize,
    /// Message.
    pub message: SpanMessage,
}

/// A read of a device that is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum RemoteRead {
    /// None.
    #[default]
    Idle,
    /// Asked; the answer to this number is awaited.
    Asked(u32),
    /// Answered.
    Answered(u32, u64),
}

/// Delivers interrupts: here, or into the list of what is to be sent.
pub(super) struct Router<'a> {
    pub(super) vcpus: &'a mut [Vcpu],
    pub(super) kicks: &'a mut u64,
    pub(super) place: &'a Place,
    pub(super) outgoing: &'a mut Vec<Outgoing>,
}

impl Router<'_> {
    /// Delivers a message of the IOAPIC.
    pub(super) fn message(&mut self, message: Message) {
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
        self.deliver(Command { delivery, vector: message.vector, target }, u32::MAX, message.level);
    }

    /// Delivers an interrupt command of the APIC `sender`.
    pub(super) fn deliver(&mut self, command: Command, sender: u32, level: bool) {
        let kind = match command.delivery {
            Delivery::Fixed | Delivery::LowestPriority => InterruptKind::Vector(command.vector),
            Delivery::Nmi => InterruptKind::Nmi,
            Delivery::Init => InterruptKind::Init,
            Delivery::StartUp => InterruptKind::StartUp(command.vector),
        };
        for index in 0..self.vcpus.len() {
            let named = self.vcpus.get(index).is_some_and(|v| v.lapic.is_target(command.target, sender));
            if !named {
                continue;
            }
            self.interrupt_vcpu(index, kind, level);
            // One of the targets: the first, so that it is the same each time.
            if command.delivery == Delivery::LowestPriority {
                return;
            }
        }
    }

    fn interrupt_vcpu(&mut self, index: usize, kind: InterruptKind, level: bool) {
        match self.place.lives_at(index) {
            Some(member) if member != self.place.me => {
                let message = SpanMessage::Interrupt { vcpu: index as u8, kind, level };
                self.outgoing.push(Outgoing { to: member, message });
            }
            Some(_) | None => self.here(index, kind, level),
        }
    }

    /// Gives an interrupt to a vCPU of this node. `level`: its end is to be told to the first member, if it ends elsewhere.
    pub(super) fn here(&mut self, index: usize, kind: InterruptKind, level: bool) {
        let Some(vcpu) = self.vcpus.get_mut(index) else { return };
        match kind {
            InterruptKind::Vector(vector) => {
                vcpu.lapic.request(vector);
                vcpu.note_level(vector, level);
            }
            InterruptKind::Nmi => vcpu.nmi(),
            InterruptKind::Init => vcpu.init(),
            InterruptKind::StartUp(page) => vcpu.start_up(page),
        }
        *self.kicks |= 1 << index;
    }
}

/// What came of a message from another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is done.
    Done,
    /// A page is needed first: give the message again when it is there.
    Need(MemError),
    /// The guest wrote the register that resets it or switches it off.
    Ends(Outcome),
    /// It makes no sense here: the sender is at fault.
    Refused,
}

impl Machine {
    /// What of the server is here.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Messages for other members since the last call, in order.
    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        core::mem::take(&mut self.outgoing)
    }

    pub(super) fn router(&mut self) -> Router<'_> {
        Router {
            vcpus: &mut self.vcpus,
            kicks: &mut self.kicks,
            place: &self.place,
            outgoing: &mut self.outgoing,
        }
    }

    /// A vCPU of this node has ended an interrupt.
    pub(super) fn end_of_interrupt(&mut self, index: usize, vector: u8) {
        let level = self.vcpus.get_mut(index).is_some_and(|vcpu| vcpu.take_level(vector));
        if self.place.has_devices() {
            self.with_ioapic(|ioapic, send| ioapic.end_of_interrupt(vector, send));
        } else if level {
            self.outgoing.push(Outgoing { to: 0, message: SpanMessage::EndOfInterrupt { vector } });
        }
    }

    /// Asks the first member for a register, or takes its answer: `None` while it is awaited.
    pub(crate) fn remote_read(&mut self, index: usize, address: DeviceAddress, bytes: u8) -> Option<u64> {
        let vcpu = self.vcpus.get_mut(index)?;
        match vcpu.remote_read {
            RemoteRead::Answered(_, value) => {
                vcpu.remote_read = RemoteRead::Idle;
                Some(value)
            }
            RemoteRead::Asked(_) => None,
            RemoteRead::Idle => {
                vcpu.remote_reads = vcpu.remote_reads.wrapping_add(1);
                let sequence = vcpu.remote_reads;
                vcpu.remote_read = RemoteRead::Asked(sequence);
                let message = SpanMessage::Read { vcpu: index as u8, sequence, address, bytes };
                self.outgoing.push(Outgoing { to: 0, message });
                None
            }
        }
    }

    /// Tells the other members what the console's line status has become.
    pub(super) fn tell_line_status(&mut self, status: u8) {
        if self.line_status != status {
            self.line_status = status;
            let message = SpanMessage::LineStatus { status };
            let others = 1..if self.place.has_devices() { self.place.members.len() } else { 0 };
            self.outgoing.extend(others.map(|to| Outgoing { to, message }));
        }
    }

    /// The console's line status, as far as this member knows.
    pub(crate) fn line_status(&self) -> u8 {
        self.line_status
    }

    /// Sends a register's new value to the first member.
    pub(crate) fn remote_write(&mut self, address: DeviceAddress, bytes: u8, value: u64) {
        self.outgoing.push(Outgoing { to: 0, message: SpanMessage::Write { address, bytes, value } });
    }

    /// Whether a vCPU waits for a device that is elsewhere.
    pub fn awaits_device(&self, index: usize) -> bool {
        self.vcpus.get(index).is_some_and(|vcpu| matches!(vcpu.remote_read, RemoteRead::Asked(_)))
    }

    /// Takes a message from member `from`. Messages about the server as a whole are its caller's.
    pub fn receive(&mut self, from: usize, message: SpanMessage, mem: &dyn GuestMemory) -> Received {
        match message {
            SpanMessage::Interrupt { vcpu, kind, level } => {
                let index = usize::from(vcpu);
                if self.place.lives_at(index).is_none() {
                    return Received::Refused;
                }
                // It may have moved on since.
                self.router().interrupt_vcpu(index, kind, level);
                Received::Done
            }
            SpanMessage::Answer { vcpu, sequence, value } => {
                let index = usize::from(vcpu);
                match self.vcpus.get_mut(index) {
                    Some(waiting) if from == 0 && waiting.remote_read == RemoteRead::Asked(sequence) => {
                        waiting.remote_read = RemoteRead::Answered(sequence, value);
                        self.kicks |= 1 << index;
                        Received::Done
                    }
                    Some(_) | None => Received::Refused,
                }
            }
            SpanMessage::LineStatus { status } if from == 0 && !self.place.has_devices() => {
                self.line_status = status;
                Received::Done
            }
            SpanMessage::EndOfInterrupt { vector } if self.place.has_devices() => {
                self.with_ioapic(|ioapic, send| ioapic.end_of_interrupt(vector, send));
                Received::Done
            }
            SpanMessage::Read { vcpu, sequence, address, bytes } if self.place.has_devices() => {
                // Where it is may not have been told here yet; that it is not here is certain.
                let elsewhere = self.place.lives_at(usize::from(vcpu)).is_some_and(|at| at != self.place.me);
                if !elsewhere || !matches!(bytes, 1 | 2 | 4 | 8) {
                    return Received::Refused;
                }
                let value = self.device_read(address, bytes);
                let message = SpanMessage::Answer { vcpu, sequence, value };
                self.outgoing.push(Outgoing { to: from, message });
                Received::Done
            }
            SpanMessage::Write { address, bytes, value } if self.place.has_devices() => {
                if !matches!(bytes, 1 | 2 | 4 | 8) {
                    return Received::Refused;
                }
                self.device_write(address, bytes, value, mem)
            }
            SpanMessage::Lives { vcpu, member, moves } => {
                // A member speaks for itself.
                if usize::from(member) != from || self.place.lives_at(usize::from(vcpu)).is_none() {
                    return Received::Refused;
                }
                self.place.note(usize::from(vcpu), from, moves);
                Received::Done
            }
            SpanMessage::EndOfInterrupt { .. }
            | SpanMessage::LineStatus { .. }
            | SpanMessage::Read { .. }
            | SpanMessage::Write { .. }
            | SpanMessage::Ready
            | SpanMessage::Run { .. }
            | SpanMessage::End(_)
            | SpanMessage::Moves { .. }
            | SpanMessage::Alive => Received::Refused,
        }
    }

    fn device_read(&mut self, address: DeviceAddress, bytes: u8) -> u64 {
        match address {
            DeviceAddress::Port(port) => self.port_read(port, u32::from(bytes)),
            DeviceAddress::Memory(gpa) if !self.is_ram(Gpa(gpa)) => self.register_read(Gpa(gpa), bytes),
            DeviceAddress::Memory(_) => u64::MAX,
        }
    }

    fn device_write(
        &mut self,
        address: DeviceAddress,
        bytes: u8,
        value: u64,
        mem: &dyn GuestMemory,
    ) -> Received {
        match address {
            DeviceAddress::Port(port) => match self.port_write(port, u32::from(bytes), value) {
                Outcome::Resume => Received::Done,
                end => Received::Ends(end),
            },
            DeviceAddress::Memory(gpa) if !self.is_ram(Gpa(gpa)) => {
                match self.register_write(Gpa(gpa), bytes, value, mem) {
                    Ok(()) => Received::Done,
                    Err(need) => Received::Need(need),
                }
            }
            DeviceAddress::Memory(_) => Received::Refused,
        }
    }
}

impl Vcpu {
    fn note_level(&mut self, vector: u8, level: bool) {
        if let Some(word) = self.level_vectors.get_mut(usize::from(vector / 32)) {
            let bit = 1 << (vector % 32);
            *word = if level { *word | bit } else { *word & !bit };
        }
    }

    /// Whether the interrupt of `vector` was level-triggered from elsewhere; asked once.
    fn take_level(&mut self, vector: u8) -> bool {
        let Some(word) = self.level_vectors.get_mut(usize::from(vector / 32)) else { return false };
        let bit = 1 << (vector % 32);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }
}

#[cfg(test)]
pub(super) mod tests;
