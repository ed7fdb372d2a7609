//! What the fuzzer and the ordinary tests run: each function takes arbitrary bytes and must return, in
//! bounded time, whatever they are. A panic is a finding.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use weft_platform::{Access, Entropy, GuestMemory, MemError};
use weft_types::{Gpa, PAGE_SIZE};
use weft_vmm::decode::{self, Mode, Operation};
use weft_vmm::devices::ioapic::IoApic;
use weft_vmm::devices::uart::Uart;
use weft_vmm::devices::virtio::console::Console;
use weft_vmm::devices::virtio::net::Net;
use weft_vmm::devices::virtio::rng::Rng;
use weft_vmm::devices::virtio::{Signal, Slot, Slots, Transport};
use weft_vmm::layout;
use weft_vmm::loader::{self, LoadConfig, LoadError};

/// Operations of one input at most.
const OPERATIONS: usize = 2048;
/// Guest memory of the device targets.
const MEMORY: usize = 0x4_0000;

/// Input as a stream of numbers; zeros at its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn u8(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|_| self.u8()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Memory from address zero. With `late`, a page is held only after it was asked for.
struct Memory {
    bytes: RefCell<Vec<u8>>,
    late: Cell<bool>,
    held: RefCell<BTreeSet<u64>>,
}

impl Memory {
    fn new(size: usize) -> Self {
        Self {
            bytes: RefCell::new(vec![0; size]),
            late: Cell::new(false),
            held: RefCell::new(BTreeSet::new()),
        }
    }

    fn check(&self, gpa: Gpa, len: usize, access: Access) -> Result<usize, MemError> {
        let end = gpa.0.checked_add(len as u64).ok_or(MemError::Unbacked { gpa })?;
        if end > self.bytes.borrow().len() as u64 {
            return Err(MemError::Unbacked { gpa });
        }
        for page in gpa.0 / PAGE_SIZE..end.div_ceil(PAGE_SIZE) {
            if self.late.get() && !self.held.borrow().contains(&page) {
                return Err(MemError::Need { gpa: Gpa(page * PAGE_SIZE), access });
            }
        }
        Ok(gpa.0 as usize)
    }

    fn poke(&self, at: u64, value: &[u8]) {
        let at = (at % (MEMORY as u64 - 8)) as usize;
        if let Some(place) = self.bytes.borrow_mut().get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

impl GuestMemory for Memory {
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        let at = self.check(gpa, out.len(), Access::Read)?;
        out.copy_from_slice(&self.bytes.borrow()[at..at + out.len()]);
        Ok(())
    }

    fn write(&self, gpa: Gpa, data: &[u8]) -> Result<(), MemError> {
        let at = self.check(gpa, data.len(), Access::Write)?;
        self.bytes.borrow_mut()[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn compare_exchange_u64(&self, gpa: Gpa, old: u64, new: u64) -> Result<u64, MemError> {
        let was = self.read_u64(gpa)?;
        if was == old {
            self.write(gpa, &new.to_le_bytes())?;
        }
        Ok(was)
    }
}

struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// Any bytes as an instruction: what is accepted has a length within bounds and an address.
pub fn decoder(data: &[u8]) {
    let Some((first, code)) = data.split_first() else { return };
    let mode = [Mode::Bits16, Mode::Bits32, Mode::Bits64][usize::from(first % 3)];
    let Ok(insn) = decode::decode(code, mode) else { return };
    assert!((1..=decode::MAX_BYTES.min(code.len())).contains(&usize::from(insn.length)));
    let memory = match insn.operation {
        Operation::Load { memory, bytes, register, .. } => {
            assert!(bytes <= register.bytes);
            register.merge(u64::MAX, register.extract(u64::MAX));
            memory
        }
        Operation::Store { memory, .. }
        | Operation::Exchange { memory, .. }
        | Operation::InvalidatePage { memory } => memory,
        Operation::ReadControl { .. }
        | Operation::WriteControl { .. }
        | Operation::ReadDebug { .. }
        | Operation::WriteDebug { .. }
        | Operation::LoadStatus { .. }
        | Operation::StoreStatus { .. }
        | Operation::Plain(_) => return,
    };
    memory.linear(mode, |encoding| u64::MAX >> (encoding & 15), u64::MAX, |_| u64::MAX);
}

/// Any bytes as a kernel: loading ends in an error or inside the memory. Returns whether it loaded.
pub fn bzimage(data: &[u8]) -> bool {
    const RAM: u64 = 64 << 20;
    thread_local!(static MEMORY: Memory = Memory::new(RAM as usize));
    let config = LoadConfig {
        ram_bytes: RAM,
        kernel: &data,
        initrd: Some(&data),
        command_line: b"console=ttyS0",
        acpi: &[],
    };
    match MEMORY.with(|memory| loader::load(memory, &config)) {
        Err(LoadError::Memory(error)) => panic!("outside memory: {error:?}"),
        Ok(state) => {
            assert!(state.rip < RAM);
            true
        }
        Err(_) => false,
    }
}

fn slots() -> Slots {
    let mut slots = Slots::new();
    slots.insert(0, Slot::Console(Transport::new(Console::new())));
    slots.insert(1, Slot::Rng(Transport::new(Rng::new(Box::new(Zeros)))));
    slots.insert(2, Slot::Net(Transport::new(Net::new([2, 0, 0, 0, 0, 1], 1500))));
    slots
}

/// Runs a device's call until it needs no page any more, and until it has nothing more to do.
fn settle(slots: &mut Slots, memory: &Memory, slot: u8, offset: u64, value: u64) -> Signal {
    memory.held.borrow_mut().clear();
    let mut signal = Signal::default();
    let mut write = true;
    for _ in 0..10_000 {
        let result =
            if write { slots.write(slot, offset, 4, value, memory) } else { slots.process(slot, memory) };
        match result {
            Ok(found) => {
                signal.fault = signal.fault.or(found.fault);
                if !found.more {
                    return signal;
                }
                write = false;
                drain(slots);
            }
            Err(MemError::Need { gpa, .. }) => {
                memory.held.borrow_mut().insert(gpa.0 / PAGE_SIZE);
            }
            Err(error @ MemError::Unbacked { .. }) => panic!("{error:?} is no reason to wait"),
        }
    }
    panic!("the device never rests");
}

/// Where the rings of a queue lie.
fn rings(slot: u8, queue: u8) -> u64 {
    u64::from(slot & 3) * 0x1_0000 + u64::from(queue & 1) * 0x4000
}

/// Starts the three devices as a driver does.
fn start(slots: &mut Slots, memory: &Memory, features: u8) {
    let features = u64::from(features & 3) << 28;
    for (slot, queues, size) in [(0, 2, 64), (1, 1, 16), (2, 2, 256)] {
        let mut write = |offset, value| {
            let quiet = memory.late.replace(false);
            settle(slots, memory, slot, offset, value);
            memory.late.set(quiet);
        };
        for (offset, value) in
            [(0x70, 0), (0x70, 3), (0x24, 0), (0x20, features), (0x24, 1), (0x20, 1), (0x70, 0xb)]
        {
            write(offset, value);
        }
        for queue in 0..queues {
            let base = rings(slot, queue);
            for (offset, value) in [
                (0x30, u64::from(queue)),
                (0x38, size),
                (0x80, base),
                (0x90, base + 0x1000),
                (0xa0, base + 0x2000),
                (0x44, 1),
            ] {
                write(offset, value);
            }
        }
        write(0x70, 0xf);
    }
}

/// Descriptors, ring entries, notifications and input in any order: a broken ring is a fault, told
/// once, and never a panic or a loop. Returns the bytes that the guest printed.
pub fn virtqueue(data: &[u8]) -> u64 {
    let mut input = Input(data);
    let memory = Memory::new(MEMORY);
    let mut slots = slots();
    start(&mut slots, &memory, input.u8());
    let mut available = [[0u16; 2]; 3];
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        let operation = input.u8();
        let (slot, queue) = (operation >> 4 & 3, operation >> 6 & 1);
        let base = rings(slot, queue);
        match operation & 7 {
            0 | 1 => {
                let mut descriptor = [0; 16];
                descriptor[..4].copy_from_slice(&(u32::from(input.u16()) << 2).to_le_bytes());
                descriptor[8..10].copy_from_slice(&input.u16().to_le_bytes());
                descriptor[12] = input.u8() & 7;
                descriptor[14] = input.u8();
                let index = u64::from(input.u8());
                memory.poke(base + 16 * index, &descriptor[..8]);
                memory.poke(base + 16 * index + 8, &descriptor[8..]);
            }
            2 | 3 => {
                let size = [64u16, 16, 256, 256][usize::from(slot)];
                if let Some(next) =
                    available.get_mut(usize::from(slot)).and_then(|queues| queues.get_mut(usize::from(queue)))
                {
                    memory.poke(base + 0x1004 + 2 * u64::from(*next % size), &[input.u8(), 0]);
                    *next = next.wrapping_add(1);
                    memory.poke(base + 0x1002, &next.to_le_bytes());
                }
                let first = settle(&mut slots, &memory, slot, 0x50, u64::from(queue));
                let second = settle(&mut slots, &memory, slot, 0x50, u64::from(queue));
                assert!(first.fault.is_none() || second.fault.is_none(), "a fault is told once");
            }
            4 => memory.poke(u64::from(input.u16()) << 2, &input.u64().to_le_bytes()),
            5 => {
                feed(&mut slots, input.u8());
                settle(&mut slots, &memory, slot, 0x50, 0);
            }
            6 => memory.late.set(!memory.late.get()),
            _ => {
                let features = input.u8();
                memory.bytes.borrow_mut().fill(0);
                available = Default::default();
                start(&mut slots, &memory, features);
            }
        }
    }
    slots.console().map_or(0, |(_, console)| console.device().output().end())
}

fn feed(slots: &mut Slots, amount: u8) {
    if let Some((_, console)) = slots.console() {
        console.device_mut().input(&[b'k'; 255][..usize::from(amount)]);
    }
    if let Some((_, net)) = slots.net() {
        net.device_mut().deliver(&[amount; 64]);
    }
    drain(slots);
}

fn drain(slots: &mut Slots) {
    if let Some((_, net)) = slots.net() {
        while net.device_mut().take().is_some() {}
    }
}

/// Any accesses to the registers of all devices.
pub fn registers(data: &[u8]) {
    let mut input = Input(data);
    let memory = Memory::new(MEMORY);
    let mut slots = slots();
    let (mut uart, mut ioapic) = (Uart::new(), IoApic::new());
    let mut messages = 0u64;
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        let operation = input.u8();
        let mut send = |_| messages += 1;
        match operation & 15 {
            0 => ioapic.set_line(input.u8(), operation & 16 != 0, &mut send),
            1 => ioapic.end_of_interrupt(input.u8(), &mut send),
            2 => ioapic.write(u64::from(operation >> 4 & 7) << 4, input.u64() as u32, &mut send),
            3 => {
                ioapic.read(u64::from(input.u8()));
            }
            4 | 5 => uart.write(u16::from(operation >> 4), input.u8()),
            6 => {
                uart.read(u16::from(operation >> 4));
            }
            7 => {
                uart.input(&[operation; 20]);
            }
            8 => {
                slots.read(operation >> 4, u64::from(input.u16()), input.u8());
            }
            9 => slots.reset(),
            _ => {
                let offset = u64::from(input.u8()) << 2;
                let value = if operation & 8 == 0 { input.u64() } else { u64::from(input.u8()) };
                settle(&mut slots, &memory, operation >> 4 & 3, offset, value);
            }
        }
        uart.interrupt();
    }
    // Each write sends at most one message for each pin, and each other operation at most as many.
    assert!(messages <= OPERATIONS as u64 * u64::from(layout::IOAPIC_PINS));
}
