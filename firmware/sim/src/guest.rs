//! What happens inside of the members: instructions, store buffers, flushes.

use weft_coherence::{Access, Member, Ticket, Want, Wanted};

use crate::memory::split;
use crate::node::{Broken, broken};
use crate::program::Op;
use crate::world::{Canary, Event, World};

impl World {
    pub(crate) fn flushed(&mut self, member: Member, ticket: Ticket) -> Result<(), Broken> {
        let index = usize::from(member.0);
        if self.nodes[index].crashed {
            return Ok(());
        }
        // The interruption of every vCPU lets its stores take effect first.
        for vcpu in 0..self.vcpus.len() {
            if self.vcpus[vcpu].member == member {
                self.drain(vcpu, usize::MAX)?;
            }
        }
        self.nodes[index].end_flush(ticket);
        if self.setup.canary == Some(Canary::EarlyFlush) {
            return Ok(());
        }
        let mut out = Vec::new();
        self.nodes[index].engine.flushed(self.now, ticket, &mut out);
        self.perform(index, out, &[])
    }

    pub(crate) fn step(&mut self, index: usize) -> Result<(), Broken> {
        let (member, waiter) = (self.vcpus[index].member, self.vcpus[index].waiter);
        let place = usize::from(member.0);
        if self.nodes[place].crashed || self.nodes[place].stopped.is_some() {
            return Ok(());
        }
        let Some(op) = self.vcpus[index].program.front().copied() else { return Ok(()) };
        if op.drains() {
            self.drain(index, usize::MAX)?;
        }
        for (page, write) in op.pages() {
            if self.nodes[place].reaches(page, write) {
                continue;
            }
            if !std::mem::replace(&mut self.vcpus[index].faulted, true) {
                self.vcpus[index].since = self.now;
            }
            let access = if write { Access::Write } else { Access::Read };
            let mut out = Vec::new();
            let want = Want { waiter, page, access, walk: false };
            let wanted = self.nodes[place].engine.want(self.now, want, &mut out);
            self.note(|| format!("{member}: vCPU {} wants {page} {access:?}: {wanted:?}", waiter.0));
            self.vcpus[index].parked = wanted == Wanted::Parked;
            self.perform(place, out, &[])?;
            match wanted {
                Wanted::Parked => return Ok(()),
                Wanted::Held if self.nodes[place].reaches(page, write) => {}
                Wanted::Held | Wanted::Outside => {
                    return Err(broken("held is mapped", format!("{page} at member {member}: {wanted:?}")));
                }
            }
        }
        self.execute(index, op)?;
        let vcpu = &mut self.vcpus[index];
        vcpu.program.pop_front();
        vcpu.done += 1;
        if std::mem::take(&mut vcpu.faulted) {
            vcpu.longest_ns = vcpu.longest_ns.max(self.now - vcpu.since);
            let mut out = Vec::new();
            self.nodes[place].engine.retired(self.now, waiter, &mut out);
            self.perform(place, out, &[])?;
        }
        let delay = if let Op::Think(ns) = op { ns } else { self.random.between(20, 200) };
        self.at(delay, Event::Step(index));
        Ok(())
    }

    pub(crate) fn execute(&mut self, index: usize, op: Op) -> Result<(), Broken> {
        let member = self.vcpus[index].member;
        match op {
            Op::Load(at) => {
                let value = self.load_word(index, at)?;
                self.vcpus[index].results.push(value);
            }
            Op::Store(at, value) => self.store(index, at, value)?,
            Op::Copy(from, to) => {
                let value = self.load_word(index, from)?;
                self.store(index, to, value)?;
            }
            Op::Add(at, value) => {
                let old = self.load_word(index, at)?;
                self.apply(member, at, old.wrapping_add(value))?;
            }
            Op::Exchange(at, value) => {
                let old = self.load_word(index, at)?;
                self.vcpus[index].results.push(old);
                self.apply(member, at, value)?;
            }
            Op::Fence | Op::Think(_) => {}
        }
        Ok(())
    }

    pub(crate) fn load_word(&mut self, index: usize, address: u64) -> Result<u64, Broken> {
        let member = self.vcpus[index].member;
        let node = &self.nodes[usize::from(member.0)];
        let mut bytes = [0; 8];
        for (i, out) in (0..).zip(&mut bytes) {
            let at = address + i;
            let (page, offset) = split(at);
            let held = node.frames.get(&page).map(|frame| frame.bytes[offset]);
            if held != Some(self.golden.byte(at)) {
                let want = self.golden.byte(at);
                return Err(broken(
                    "no stale read",
                    format!("{at:#x} at member {member}: {held:?}, not {want}"),
                ));
            }
            *out = self.vcpus[index].buffered(at).or(held).unwrap_or(0);
        }
        self.note(|| format!("{member}: load {address:#x} = {bytes:x?}"));
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn store(&mut self, index: usize, address: u64, value: u64) -> Result<(), Broken> {
        let member = self.vcpus[index].member;
        if self.setup.drain_ns == 0 {
            return self.apply(member, address, value);
        }
        self.vcpus[index].buffer.push_back((address, value));
        let delay = self.random.below(self.setup.drain_ns);
        self.at(delay, Event::Drain(index));
        Ok(())
    }

    /// The oldest `count` stores of a vCPU take effect.
    pub(crate) fn drain(&mut self, index: usize, count: usize) -> Result<(), Broken> {
        let member = self.vcpus[index].member;
        if self.nodes[usize::from(member.0)].crashed || self.nodes[usize::from(member.0)].stopped.is_some() {
            return Ok(());
        }
        for _ in 0..count.min(self.vcpus[index].buffer.len()) {
            if let Some((address, value)) = self.vcpus[index].buffer.pop_front() {
                self.apply(member, address, value)?;
            }
        }
        Ok(())
    }

    /// A store takes effect.
    pub(crate) fn apply(&mut self, member: Member, address: u64, value: u64) -> Result<(), Broken> {
        self.note(|| format!("{member}: store {address:#x} = {value:#x}"));
        let node = &mut self.nodes[usize::from(member.0)];
        for (i, byte) in (0..).zip(value.to_le_bytes()) {
            let (page, offset) = split(address + i);
            let may = node.reaches(page, true);
            let Some(frame) = node.frames.get_mut(&page).filter(|_| may) else {
                return Err(broken(
                    "no lost update",
                    format!("{page} at member {member} went before a store"),
                ));
            };
            frame.bytes[offset] = byte;
            self.golden.set_byte(address + i, byte);
        }
        Ok(())
    }
}
