//! vCPUs that go to another node and come from one. Whether is decided by [`weft_node::span::wander`]; what goes is
//! [`weft_vmm::cpu::travel`].
//!
//! ```text
//!  here: out of the processor ─▶ out of shadow tables ─▶ out of the machine ──Moves, part by part──▶
//!  there: ─▶ into the machine ─▶ into shadow tables ─▶ to a processor ──Lives──▶ all
//! ```
//!
//! From the moment it is out of the machine, under the machine's lock, interrupts for it follow it on the same link, so
//! that they come after it.

use super::{Guest, Member, Vcpu};
use crate::guest::End;
use crate::schedule;
use alloc::string::String;
use alloc::vec::Vec;
use spin::Mutex;
use weft_hal::time;
use weft_node::span::wander::{Wander, Way};
use weft_vmm::machine::moves::Registers;
use weft_wire::span::{MAX_SPAN_PAYLOAD, SpanMessage};
use weft_wire::vcpu::{MAX_VCPU_STATE, VcpuState};

/// What has come of each vCPU that is on its way here: from whom, how many parts, which bytes.
pub(super) struct Arrivals(Mutex<Vec<Parts>>);

#[derive(Clone, Default)]
struct Parts {
    from: u8,
    count: u8,
    bytes: Vec<u8>,
}

impl Arrivals {
    pub(super) fn new(vcpus: usize) -> Self {
        Self(Mutex::new(alloc::vec![Parts::default(); vcpus]))
    }

    /// Takes a part; the whole, when this was the last one. `Err`: they do not make sense.
    fn take(
        &self,
        from: u8,
        vcpu: usize,
        (part, parts): (u8, u8),
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, ()> {
        let mut all = self.0.lock();
        let waiting = all.get_mut(vcpu).ok_or(())?;
        if part == 0 {
            *waiting = Parts { from, ..Parts::default() };
        }
        let length = waiting.bytes.len() + bytes.len();
        if waiting.from != from || waiting.count != part || part >= parts || length > MAX_VCPU_STATE {
            return Err(());
        }
        waiting.count += 1;
        waiting.bytes.extend_from_slice(bytes);
        Ok((waiting.count == parts).then(|| core::mem::take(waiting).bytes))
    }
}

impl Guest {
    /// Whether a vCPU, which is to be entered next, has gone to another node instead.
    pub(super) fn moves_on(&self, index: usize, vcpu: &mut Vcpu, now_ns: u64) -> bool {
        let (Some(member), Some(origins)) = (self.member(), &self.origins) else { return false };
        let Some(home) = origins.get(index).copied() else { return false };
        let at_home = home == member.me();
        let to = match vcpu.wander.judge(now_ns, at_home) {
            // It is to have a certain processor of its home.
            _ if self.processors.stays(index) => (!at_home).then_some(home),
            None => None,
            Some(Way::Home) => Some(home),
            Some(Way::Away) => member.busiest_before(),
        };
        to.is_some_and(|to| to != member.me() && self.give(member, index, vcpu, to))
    }

    /// Sends a vCPU to another member.
    fn give(&self, member: &Member, index: usize, vcpu: &mut Vcpu, to: u8) -> bool {
        if !self.machine.lock().may_leave(index) {
            return false;
        }
        vcpu.asked_at = None;
        member.retired(index as u16);
        let hardware = &mut vcpu.hardware;
        hardware.unload();
        if let Some(shadow) = &self.shadow {
            shadow.leave(index, hardware, &self.tables, &self.view(index as u16));
        }
        let mut machine = self.machine.lock();
        let (vmcb, gprs, debug) = hardware.registers();
        let registers = Registers { vmcb, gprs, debug };
        // What can keep it here was asked above, and only its own processor changes that.
        let Some(mut state) = machine.depart(index, usize::from(to), registers, self.now()) else {
            drop(machine);
            self.stop(End::Failed(alloc::format!("virtual processor {index} was not let go")));
            return false;
        };
        let (xcr0, extended) = hardware.extended();
        (state.xcr0, state.extended) = (xcr0, extended.to_vec());
        state.stay_ms = vcpu.wander.stay_ms();
        let bytes = state.encode();
        self.processors.set_home(index, None);
        let chunks = bytes.chunks(MAX_SPAN_PAYLOAD);
        let parts = chunks.len() as u8;
        for (part, chunk) in (0u8..).zip(chunks) {
            member.send(to, &SpanMessage::Moves { vcpu: index as u8, part, parts }, chunk);
        }
        self.release(machine);
        schedule::announce();
        true
    }

    /// Takes a part of a vCPU that another member sends.
    pub(super) fn arrives(&self, member: &Member, from: u8, index: usize, part: (u8, u8), bytes: &[u8]) {
        let Ok(whole) = self.arrivals.take(from, index, part, bytes) else {
            member.count_refused();
            return;
        };
        let Some(whole) = whole.filter(|_| !self.is_stopping()) else { return };
        // The sender has it no more: what cannot run here ends the server.
        if let Err(cause) = self.settle(index, &whole) {
            self.stop(End::Failed(alloc::format!(
                "virtual processor {index} came from member {from} and cannot go on: {cause}"
            )));
        }
    }

    fn settle(&self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let state = VcpuState::decode(bytes).map_err(|error| alloc::format!("{error}"))?;
        let slot = self.vcpus.get(index).ok_or("there is no such processor")?;
        let mut vcpu = slot.lock();
        if !self.machine.lock().may_come(index, state.moves) {
            return Err("it is somewhere else".into());
        }
        if !vcpu.hardware.set_extended(state.xcr0, &state.extended) {
            return Err("its extended state is not one of this node's processors".into());
        }
        if let Some(shadow) = &self.shadow {
            shadow.make_room(index, &self.tables)?;
        }
        let home = schedule::place(&[self.processors.pin(index)]).first().copied().unwrap_or(0);
        let mut machine = self.machine.lock();
        let (vmcb, gprs, debug) = vcpu.hardware.registers();
        if !machine.arrive(index, &state, Registers { vmcb, gprs, debug }, self.now()) {
            return Err("it is somewhere else".into());
        }
        if let Some(shadow) = &self.shadow {
            shadow.adopt(index, &mut vcpu.hardware, &self.tables, &self.view(index as u16));
        }
        vcpu.hardware.flush();
        (vcpu.unfinished, vcpu.asked_at, vcpu.halted) = (false, None, false);
        vcpu.wander = Wander::new(state.stay_ms, time::now_ns());
        drop(vcpu);
        self.processors.set_home(index, Some(home));
        self.release(machine);
        schedule::announce();
        Ok(())
    }
}
