//! vCPUs that come from other members and go to them. A vCPU moves between two entries, when nothing that it asked for
//! is under way; its interrupts find it by [`super::remote`].

use super::Machine;
use super::remote::{Outgoing, RemoteRead};
use crate::cpu::Vcpu;
use crate::cpu::clock::Now;
pub use crate::cpu::travel::Registers;
use weft_wire::span::SpanMessage;
use weft_wire::vcpu::VcpuState;

impl Machine {
    /// Whether a vCPU could leave now: it is here, and waits for no device.
    pub fn may_leave(&self, index: usize) -> bool {
        self.place.is_local(index)
            && self.vcpus.get(index).is_some_and(|vcpu| vcpu.remote_read == RemoteRead::Idle)
    }

    /// Takes a vCPU out of this machine, for member `to`. Interrupts for it go there from now on.
    pub fn depart(
        &mut self,
        index: usize,
        to: usize,
        registers: Registers<'_>,
        now: Now,
    ) -> Option<VcpuState> {
        if !self.may_leave(index) || to == self.place.me() || to >= self.place.members().len() {
            return None;
        }
        let vcpu = self.vcpus.get_mut(index)?;
        let mut state = vcpu.pack(registers, now);
        let (id, rests) = (vcpu.lapic.id(), vcpu.lapic.rests());
        *vcpu = Vcpu::new(id);
        vcpu.lapic.set_rests(rests);
        state.moves = self.place.moves(index).saturating_add(1);
        self.place.note(index, to, state.moves);
        Some(state)
    }

    /// Whether a vCPU that another member sends may come: it is not here, and has not been anywhere since.
    pub fn may_come(&self, index: usize, moves: u32) -> bool {
        self.place.lives_at(index).is_some_and(|at| at != self.place.me()) && moves > self.place.moves(index)
    }

    /// Puts a vCPU into this machine that came from another member, and has the others told.
    pub fn arrive(&mut self, index: usize, state: &VcpuState, registers: Registers<'_>, now: Now) -> bool {
        if !self.may_come(index, state.moves) {
            return false;
        }
        let Some(vcpu) = self.vcpus.get_mut(index) else { return false };
        vcpu.unpack(state, registers, now);
        let me = self.place.me();
        self.place.note(index, me, state.moves);
        let message = SpanMessage::Lives { vcpu: index as u8, member: me as u8, moves: state.moves };
        let others = (0..self.place.members().len()).filter(|member| *member != me);
        self.outgoing.extend(others.map(|to| Outgoing { to, message }));
        self.kicks |= 1 << index;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::lapic::Action;
    use crate::cpu::lapic::{Command, Delivery, Target};
    use crate::devices::virtio::Slots;
    use crate::fake::Memory;
    use crate::layout;
    use crate::machine::MachineConfig;
    use crate::machine::remote::tests::{NOW, enable_apics, exchange, member};
    use crate::machine::remote::{Place, Received};
    use alloc::boxed::Box;
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;
    use weft_types::Gpa;
    use weft_wire::span::InterruptKind;
    use weft_x86defs::Gprs;
    use weft_x86defs::vmcb::Vmcb;

    fn leave(machine: &mut Machine, vcpu: usize, to: usize) -> Option<VcpuState> {
        let (mut vmcb, mut gprs, mut debug) = (Vmcb::zeroed(), Gprs::default(), [0; 4]);
        machine.depart(vcpu, to, Registers { vmcb: &mut vmcb, gprs: &mut gprs, debug: &mut debug }, NOW)
    }

    fn come(machine: &mut Machine, vcpu: usize, state: &VcpuState) -> bool {
        let (mut vmcb, mut gprs, mut debug) = (Vmcb::zeroed(), Gprs::default(), [0; 4]);
        machine.arrive(vcpu, state, Registers { vmcb: &mut vmcb, gprs: &mut gprs, debug: &mut debug }, NOW)
    }

    /// The far vCPU of two members lives at the first.
    fn moved() -> [Machine; 2] {
        let mut members = [member(0), member(1)];
        members.iter_mut().for_each(enable_apics);
        let state = leave(&mut members[1], 2, 0).expect("it leaves");
        assert!(come(&mut members[0], 2, &state));
        exchange(&mut members);
        assert_eq!(members[0].take_kicks(), 1 << 2);
        members
    }

    fn interrupt(target: u32) -> Action {
        let target = Target::Physical(target);
        Action::Command(Command { delivery: Delivery::Fixed, vector: 0x41, target })
    }

    #[test]
    fn its_interrupts_find_it_and_its_name_stays() {
        let mut members = moved();
        let far = members[0].place().apic_id(2);
        assert_eq!(members[0].place().member_of(2), Some((1, 0)), "its package is that of its home");
        members[0].apic_action(0, interrupt(far));
        assert_eq!(members[0].take_outgoing(), []);
        assert_eq!(members[0].vcpus[2].lapic.pending(), Some(0x41));
        // One that was sent to its home before the move was known passes on.
        let early = SpanMessage::Interrupt { vcpu: 2, kind: InterruptKind::Vector(0x51), level: false };
        assert_eq!(members[1].receive(0, early, &Memory::new(4096)), Received::Done);
        exchange(&mut members);
        assert_eq!(members[0].vcpus[2].lapic.pending(), Some(0x51));
        assert_eq!(members[1].take_kicks(), 0);
    }

    #[test]
    fn it_comes_back_with_what_it_got_meanwhile() {
        let mut members = moved();
        let far = members[0].place().apic_id(2);
        members[0].apic_action(1, interrupt(far));
        let state = leave(&mut members[0], 2, 1).expect("it leaves");
        assert_eq!(state.moves, 2);
        assert!(!members[0].may_leave(2), "it is there once");
        assert!(come(&mut members[1], 2, &state));
        assert!(!come(&mut members[1], 2, &state), "and comes once");
        exchange(&mut members);
        assert_eq!(members[1].vcpus[2].lapic.pending(), Some(0x41));
        // An older word does not bring it back.
        let old = SpanMessage::Lives { vcpu: 2, member: 0, moves: 1 };
        assert_eq!(members[1].receive(0, old, &Memory::new(4096)), Received::Done);
        assert!(members[1].place().is_local(2));
    }

    #[test]
    fn a_level_interrupt_that_it_took_along_still_ends_at_the_devices() {
        let mut members = moved();
        let far = members[0].place().apic_id(2);
        let mem = Memory::new(4096);
        for (select, value) in [(0x10 + 2 * 4, 0x8031u64), (0x11 + 2 * 4, u64::from(far) << 24)] {
            members[0].register_write(layout::IOAPIC, 4, select, &mem).unwrap();
            members[0].register_write(Gpa(layout::IOAPIC.0 + 0x10), 4, value, &mem).unwrap();
        }
        members[0].port_write(layout::COM1_PORT + 1, 1, 2);
        members[0].vcpus[2].lapic.acknowledge(0x31, NOW);
        let state = leave(&mut members[0], 2, 1).expect("it leaves");
        assert!(come(&mut members[1], 2, &state));
        exchange(&mut members);
        let action = members[1].vcpus[2].lapic.write(0x0b, 0, NOW).unwrap();
        members[1].apic_action(2, action);
        // The line is still high: the end brings it again.
        exchange(&mut members);
        assert_eq!(members[1].vcpus[2].lapic.pending(), Some(0x31));
    }

    /// What is on the way from one member to another.
    enum Item {
        Message(SpanMessage),
        State(usize, Box<VcpuState>),
    }

    /// Three members, a vCPU that moves about, and interrupts for it from everywhere, over links that keep their order
    /// and take any time.
    #[test]
    fn no_interrupt_is_lost_however_often_it_moves() {
        for seed in 1..200u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut draw = |below: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random % below as u64) as usize
            };
            let place = |me| Place::part(alloc::vec![1, 1, 1], me);
            let mut members = [0, 1, 2].map(|me| {
                Machine::new(MachineConfig {
                    vcpus: 3,
                    ram_bytes: 64 << 20,
                    base_unix_ns: 0,
                    slots: Slots::new(),
                    place: place(me),
                })
            });
            members.iter_mut().for_each(enable_apics);
            let mut links: [[VecDeque<Item>; 3]; 3] = Default::default();
            let mem = Memory::new(4096);
            let target = members[0].place().apic_id(1);
            let (mut sent, mut moves) = (0u32, 0);
            loop {
                let (from, to, done) = (draw(3), draw(3), sent == 200);
                match draw(4) {
                    0 if !done => {
                        let vector = 32 + sent as u8;
                        sent += 1;
                        let target = Target::Physical(target);
                        let command = Command { delivery: Delivery::Fixed, vector, target };
                        members[from].apic_action(from, Action::Command(command));
                    }
                    1 if !done => {
                        if let Some(state) = leave(&mut members[from], 1, to) {
                            moves += 1;
                            links[from][to].push_back(Item::State(1, Box::new(state)));
                        }
                    }
                    _ => match links[from][to].pop_front() {
                        Some(Item::Message(message)) => {
                            assert_eq!(
                                members[to].receive(from, message, &mem),
                                Received::Done,
                                "seed {seed}"
                            );
                        }
                        Some(Item::State(vcpu, state)) => {
                            assert!(come(&mut members[to], vcpu, &state), "seed {seed}");
                        }
                        None if done && links.iter().flatten().all(VecDeque::is_empty) => break,
                        None => {}
                    },
                }
                for (member, machine) in members.iter_mut().enumerate() {
                    for outgoing in machine.take_outgoing() {
                        links[member][outgoing.to].push_back(Item::Message(outgoing.message));
                    }
                }
            }
            let here: Vec<usize> = (0..3).filter(|member| members[*member].place().is_local(1)).collect();
            let [at] = here[..] else { panic!("seed {seed}: it is at {here:?}") };
            assert!(members.iter().all(|machine| machine.place().lives_at(1) == Some(at)), "seed {seed}");
            let word = |index| members[at].vcpus[1].lapic.read(index, NOW).expect("a word of the requests");
            let got = (0x20..0x28).map(|index| word(index).count_ones()).sum::<u32>();
            assert_eq!(got, 200, "seed {seed}: after {moves} moves");
            assert!(moves > 0, "seed {seed}: {moves} moves");
        }
    }

    #[test]
    fn nobody_leaves_for_nowhere_or_from_elsewhere() {
        let mut first = member(0);
        assert!(leave(&mut first, 2, 1).is_none(), "it is not here");
        assert!(leave(&mut first, 1, 0).is_none());
        assert!(leave(&mut first, 1, 2).is_none());
        assert!(leave(&mut first, 9, 1).is_none());
        assert!(!come(&mut first, 9, &VcpuState { moves: 1, ..VcpuState::default() }));
        assert!(!come(&mut first, 1, &VcpuState { moves: 1, ..VcpuState::default() }), "it is here");
        assert_eq!(first.place(), &Place::part(alloc::vec![2, 1], 0));
    }
}
