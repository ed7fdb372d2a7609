use super::*;
use crate::cpu::RunState;
use crate::cpu::clock::Now;
use crate::cpu::cpuid::{HostCpuid, Leaf};
use crate::cpu::events::Entry;
use crate::cpu::exits::Env;
use crate::cpu::lapic::Action;
use crate::devices::virtio::Slots;
use crate::fake::Memory;
use crate::layout;
use crate::machine::MachineConfig;
use weft_x86defs::vmcb::Vmcb;
use weft_x86defs::{Gprs, exit};

pub(in crate::machine) const NOW: Now = Now { ns: 0, guest_tsc: 0, tsc_hz: 1_000_000_000 };

struct NoLeaves;

impl HostCpuid for NoLeaves {
    fn cpuid(&self, _leaf: u32, _subleaf: u32) -> Leaf {
        Leaf::default()
    }
}

/// Member `me` of a server with two vCPUs on the first and one on the second node.
pub(in crate::machine) fn member(me: usize) -> Machine {
    Machine::new(MachineConfig {
        vcpus: 3,
        ram_bytes: 64 << 20,
        base_unix_ns: 0,
        slots: Slots::new(),
        place: Place::part(alloc::vec![2, 1], me),
    })
}

pub(in crate::machine) fn enable_apics(machine: &mut Machine) {
    for vcpu in &mut machine.vcpus {
        vcpu.lapic.write(0x0f, 0x1ff, NOW).unwrap();
    }
}

/// Hands over what waits to be sent, both ways, until nothing does.
pub(in crate::machine) fn exchange(members: &mut [Machine; 2]) {
    let mem = Memory::new(64 << 20);
    loop {
        let mut moved = false;
        for from in 0..2 {
            for outgoing in members[from].take_outgoing() {
                moved = true;
                let got = members[outgoing.to].receive(from, outgoing.message, &mem);
                assert_eq!(got, Received::Done, "{outgoing:?}");
            }
        }
        if !moved {
            return;
        }
    }
}

/// An exit of the second member's vCPU for a byte port.
fn port_exit(port: u16, input: bool, value: u8) -> Vmcb {
    let mut vmcb = Vmcb::zeroed();
    vmcb.control.exit_code = exit::IOIO;
    let direction = if input { exit::IOIO_IN } else { 0 };
    vmcb.control.exit_info1 = u64::from(port) << exit::IOIO_PORT_SHIFT | exit::IOIO_SIZE8 | direction;
    vmcb.control.exit_info2 = 0x1002;
    vmcb.save.rip = 0x1000;
    vmcb.save.rax = u64::from(value);
    vmcb
}

fn handle(machine: &mut Machine, vmcb: &mut Vmcb, again: bool) -> Outcome {
    let mem = Memory::new(4096);
    let env = Env { mem: &mem, host: &NoLeaves, now: NOW, xcr0: 1, guest_cr3: None };
    let mut gprs = Gprs::default();
    if again {
        machine.retry_exit(2, vmcb, &mut gprs, env)
    } else {
        machine.handle_exit(2, vmcb, &mut gprs, env)
    }
}

fn command(delivery: Delivery, vector: u8, target: Target) -> Action {
    Action::Command(Command { delivery, vector, target })
}

#[test]
fn an_interrupt_reaches_the_member_that_runs_its_vcpu_and_no_other() {
    let mut members = [member(0), member(1)];
    members.iter_mut().for_each(enable_apics);
    let far = members[0].place().apic_id(2);
    members[0].apic_action(0, command(Delivery::Fixed, 0x41, Target::Physical(far)));
    assert_eq!(members[0].take_kicks(), 0);
    exchange(&mut members);
    assert_eq!(members[1].take_kicks(), 1 << 2);
    assert_eq!(members[1].vcpus[2].lapic.pending(), Some(0x41));
    members[1].apic_action(2, command(Delivery::Fixed, 0x42, Target::Others));
    exchange(&mut members);
    assert_eq!(members[0].take_kicks(), 0b011);
    assert_eq!(members[1].take_kicks(), 0);
}

#[test]
fn a_processor_of_another_node_is_started_from_the_first() {
    let mut members = [member(0), member(1)];
    let far = members[0].place().apic_id(2);
    members[0].apic_action(0, command(Delivery::Init, 0, Target::Physical(far)));
    members[0].apic_action(0, command(Delivery::StartUp, 0x9a, Target::Physical(far)));
    exchange(&mut members);
    let (mut vmcb, mut gprs) = (Vmcb::zeroed(), Gprs::default());
    members[1].prepare(2, &mut vmcb, &mut gprs, NOW);
    assert_eq!(vmcb.save.cs.base, 0x9a000);
}

#[test]
fn a_halt_that_an_init_overtook_does_not_halt_what_starts_next() {
    let mut members = [member(0), member(1)];
    let far = members[0].place().apic_id(2);
    members[1].vcpus[2].run_state = RunState::Running;
    let mut halt = Vmcb::zeroed();
    halt.control.exit_code = exit::HLT;
    members[0].apic_action(0, command(Delivery::Init, 0, Target::Physical(far)));
    exchange(&mut members);
    assert_eq!(handle(&mut members[1], &mut halt, false), Outcome::Resume);
    members[0].apic_action(0, command(Delivery::StartUp, 0x9a, Target::Physical(far)));
    exchange(&mut members);
    let mut gprs = Gprs::default();
    assert_eq!(members[1].prepare(2, &mut halt, &mut gprs, NOW), Entry::RunFromReset);
    assert_eq!(members[1].prepare(2, &mut halt, &mut gprs, NOW), Entry::Run);
    members[0].apic_action(0, command(Delivery::Init, 0, Target::Physical(far)));
    exchange(&mut members);
    assert_eq!(members[1].prepare(2, &mut halt, &mut gprs, NOW), Entry::Wait, "it is reset, not halted");
}

#[test]
fn what_another_node_prints_comes_out_of_the_one_console_in_order() {
    let mut members = [member(0), member(1)];
    for byte in b"weft" {
        let mut vmcb = port_exit(layout::COM1_PORT, false, *byte);
        assert_eq!(handle(&mut members[1], &mut vmcb, false), Outcome::Resume);
        assert_eq!(vmcb.save.rip, 0x1002);
    }
    exchange(&mut members);
    assert_eq!(members[0].console_output(0, 64).1, b"weft");
    assert_eq!(members[1].console_output(0, 64).1, b"");
}

#[test]
fn a_read_of_a_far_device_completes_once_with_its_answer() {
    let mut members = [member(0), member(1)];
    // The scratch register of the console.
    members[0].port_write(layout::COM1_PORT + 7, 1, 0x5a);
    let mut vmcb = port_exit(layout::COM1_PORT + 7, true, 0);
    assert_eq!(handle(&mut members[1], &mut vmcb, false), Outcome::Remote);
    assert!(members[1].awaits_device(2));
    assert_eq!(handle(&mut members[1], &mut vmcb, true), Outcome::Remote);
    assert_eq!(vmcb.save.rip, 0x1000, "not complete before the answer");
    exchange(&mut members);
    assert_eq!(members[1].take_kicks(), 1 << 2);
    assert_eq!(handle(&mut members[1], &mut vmcb, true), Outcome::Resume);
    assert_eq!((vmcb.save.rax, vmcb.save.rip), (0x5a, 0x1002));
    assert_eq!(members[1].exits().iter().sum::<u64>(), 1, "one exit, however often it is looked at");
}

#[test]
fn a_far_processor_prints_without_asking_and_still_sees_input() {
    let mut members = [member(0), member(1)];
    let status = |machine: &mut Machine| {
        let mut vmcb = port_exit(layout::COM1_PORT + 5, true, 0);
        assert_eq!(handle(machine, &mut vmcb, false), Outcome::Resume);
        vmcb.save.rax
    };
    assert_eq!(status(&mut members[1]), 0x60);
    assert_eq!(members[1].take_outgoing(), []);
    let mem = Memory::new(4096);
    assert_eq!(members[0].console_input(b"x", &mem), 1);
    exchange(&mut members);
    assert_eq!(status(&mut members[1]), 0x61);
    let mut vmcb = port_exit(layout::COM1_PORT, true, 0);
    assert_eq!(handle(&mut members[1], &mut vmcb, false), Outcome::Remote);
    exchange(&mut members);
    assert_eq!(handle(&mut members[1], &mut vmcb, true), Outcome::Resume);
    assert_eq!(vmcb.save.rax, u64::from(b'x'));
    assert_eq!(status(&mut members[1]), 0x60);
}

#[test]
fn ports_where_nothing_is_cost_no_message() {
    let mut far = member(1);
    let mut vmcb = port_exit(0x80, true, 0);
    assert_eq!(handle(&mut far, &mut vmcb, false), Outcome::Resume);
    assert_eq!(vmcb.save.rax, 0xff);
    assert_eq!(far.take_outgoing(), []);
}

#[test]
fn an_answer_that_nobody_waits_for_is_refused() {
    let mut far = member(1);
    let mem = Memory::new(4096);
    let late = SpanMessage::Answer { vcpu: 2, sequence: 1, value: 7 };
    assert_eq!(far.receive(0, late, &mem), Received::Refused);
    let mut vmcb = port_exit(layout::COM1_PORT + 7, true, 0);
    handle(&mut far, &mut vmcb, false);
    // INIT while it waits: the answer comes too late, and the next read has another number.
    far.vcpus[2].init();
    assert_eq!(far.receive(0, late, &mem), Received::Refused);
    handle(&mut far, &mut vmcb, false);
    assert_eq!(far.receive(0, late, &mem), Received::Refused);
    assert_eq!(
        far.receive(1, SpanMessage::Answer { vcpu: 2, sequence: 2, value: 7 }, &mem),
        Received::Refused
    );
    assert_eq!(far.receive(0, SpanMessage::Answer { vcpu: 2, sequence: 2, value: 7 }, &mem), Received::Done);
}

#[test]
fn a_member_speaks_only_for_its_own_processors() {
    let mut first = member(0);
    let mem = Memory::new(4096);
    let address = DeviceAddress::Port(layout::COM1_PORT);
    let read = |vcpu, bytes| SpanMessage::Read { vcpu, sequence: 1, address, bytes };
    assert_eq!(first.receive(1, read(0, 1), &mem), Received::Refused);
    assert_eq!(first.receive(1, read(99, 1), &mem), Received::Refused);
    assert_eq!(first.receive(1, read(2, 3), &mem), Received::Refused);
    assert_eq!(first.receive(1, read(2, 1), &mem), Received::Done);
    let to_memory = SpanMessage::Write { address: DeviceAddress::Memory(0x1000), bytes: 4, value: 1 };
    assert_eq!(first.receive(1, to_memory, &mem), Received::Refused);
    let stray = SpanMessage::Interrupt { vcpu: 3, kind: InterruptKind::Nmi, level: false };
    assert_eq!(first.receive(1, stray, &mem), Received::Refused);
    let of_others = SpanMessage::Lives { vcpu: 2, member: 0, moves: 1 };
    assert_eq!(first.receive(1, of_others, &mem), Received::Refused);
    assert_eq!(first.receive(1, SpanMessage::Ready, &mem), Received::Refused);
}

#[test]
fn the_end_of_a_level_interrupt_is_told_to_the_devices() {
    let mut members = [member(0), member(1)];
    members.iter_mut().for_each(enable_apics);
    let far = members[0].place().apic_id(2);
    // The console's line, level-triggered, to the far processor; its transmitter is empty.
    let mem = Memory::new(4096);
    for (select, value) in [(0x10 + 2 * 4, 0x8031u64), (0x11 + 2 * 4, u64::from(far) << 24)] {
        members[0].register_write(layout::IOAPIC, 4, select, &mem).unwrap();
        members[0].register_write(Gpa(layout::IOAPIC.0 + 0x10), 4, value, &mem).unwrap();
    }
    members[0].port_write(layout::COM1_PORT + 1, 1, 2);
    exchange(&mut members);
    assert_eq!(members[1].vcpus[2].lapic.pending(), Some(0x31));
    let end = |machine: &mut Machine| {
        machine.vcpus[2].lapic.acknowledge(0x31, NOW);
        let action = machine.vcpus[2].lapic.write(0x0b, 0, NOW).unwrap();
        machine.apic_action(2, action);
    };
    // The line goes low before the end of the interrupt: it does not come again.
    members[0].port_write(layout::COM1_PORT + 1, 1, 0);
    end(&mut members[1]);
    exchange(&mut members);
    assert_eq!(members[1].vcpus[2].lapic.pending(), None);
    // An interrupt of another processor by the same vector costs no message at its end.
    members[1].router().here(2, InterruptKind::Vector(0x31), false);
    end(&mut members[1]);
    assert_eq!(members[1].take_outgoing(), []);
}

#[test]
fn members_are_packages() {
    let place = Place::part(alloc::vec![1, 3, 2], 0);
    let ids: Vec<u32> = (0..6).map(|vcpu| place.apic_id(vcpu)).collect();
    assert_eq!(ids, [0, 4, 5, 6, 8, 9]);
    assert_eq!(place.member_of(3), Some((1, 2)));
    assert_eq!(place.member_of(6), None);
}
