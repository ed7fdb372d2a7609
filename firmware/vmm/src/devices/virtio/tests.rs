//! Tests of the virtio devices through their registers, as a driver uses them.

use super::console::Console;
use super::driver::*;
use super::net::{Net, QUEUED_FRAMES};
use super::rng::{REQUEST_BYTES, Rng};
use super::*;
use crate::fake::{Memory, Random};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;
use weft_platform::Entropy;
use weft_types::Gpa;

const RAM: usize = 0x20_0000;
const RINGS: u64 = 0x1_0000;
const DATA: u64 = 0x10_0000;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Bytes that are all the same, so that a retry changes nothing.
struct Constant;

impl Entropy for Constant {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0xa5);
    }
}

fn console(mem: &Memory, features: u64) -> (Transport<Console>, Vec<Ring>) {
    let mut device = Transport::new(Console::new());
    let rings = start(&mut device, mem, features | VERSION_1, RINGS, &[64, 64]);
    (device, rings)
}

fn net(mem: &Memory, features: u64) -> (Transport<Net>, Vec<Ring>) {
    let mut device = Transport::new(Net::new(MAC, 1500));
    let rings = start(&mut device, mem, features | VERSION_1, RINGS, &[256, 256]);
    (device, rings)
}

fn printed(device: &Transport<Console>) -> Vec<u8> {
    device.device().output().read_from(0, usize::MAX).1
}

#[test]
fn the_registers_name_a_modern_device() {
    let mem = Memory::new(RAM);
    let mut device = Transport::new(Net::new(MAC, 1400));
    assert_eq!(device.read(0, 4), 0x7472_6976);
    assert_eq!((device.read(4, 4), device.read(8, 4)), (2, 1));
    write(&mut device, &mem, 0x14, 1);
    assert_eq!(device.read(0x10, 4), 1, "VERSION_1");
    write(&mut device, &mem, 0x14, 2);
    assert_eq!(device.read(0x10, 4), 0);
    let mac: Vec<u64> = (0..6).map(|n| device.read(0x100 + n, 1)).collect();
    assert_eq!(mac, MAC.map(u64::from));
    assert_eq!((device.read(0x106, 2), device.read(0x108, 4)), (1, 1400 << 16 | 1));
    assert_eq!(device.read(0xb0, 4), 0xffff_ffff, "no shared memory");
    assert_eq!(device.read(0x1000, 8), 0);
    write(&mut device, &mem, 0x30, 7);
    assert_eq!(device.read(0x34, 4), 0, "no such queue");
}

#[test]
fn features_that_were_not_offered_or_lack_version_1_are_refused() {
    let mem = Memory::new(RAM);
    let mut device = Transport::new(Console::new());
    assert!(negotiate(&mut device, &mem, VERSION_1));
    assert!(!negotiate(&mut device, &mem, 0));
    assert!(!negotiate(&mut device, &mem, VERSION_1 | 1 << 40));
    assert!(!negotiate(&mut device, &mem, VERSION_1 | 1));
    write(&mut device, &mem, 0x70, 0xf);
    assert_eq!(device.read(0x70, 4) & 4, 0, "DRIVER_OK needs FEATURES_OK");
}

#[test]
fn an_empty_place_has_no_device_and_an_occupied_one_is_reached_by_its_number() {
    let mem = Memory::new(RAM);
    let mut slots = Slots::new();
    assert!(slots.insert(3, Slot::Console(Transport::new(Console::new()))));
    assert!(!slots.insert(16, Slot::Empty));
    assert_eq!(slots.occupied(), 1 << 3);
    assert_eq!((slots.read(2, 0, 4), slots.read(2, 8, 4)), (0x7472_6976, 0));
    assert_eq!((slots.read(3, 8, 4), slots.read(99, 8, 4)), (3, 0));
    assert_eq!(slots.write(2, 0x70, 4, 1, &mem), Ok(Signal::default()));
    assert_eq!(slots.console().map(|(number, _)| number), Some(3));
    assert!(slots.net().is_none());
}

#[test]
fn the_console_prints_chains_of_several_buffers_in_order() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = console(&mem, 0);
    mem.put(DATA, b"hello world");
    let tx = &mut rings[1];
    let head = tx.add(&mem, &[(DATA, 5, false), (DATA + 5, 6, false)]);
    let signal = kick(&mut device, &mem, tx);
    assert_eq!(signal, Signal { interrupt: true, more: false, fault: None });
    assert_eq!(printed(&device), b"hello world");
    assert_eq!(tx.used(&mem), [(u32::from(head), 0)]);
    assert_eq!(device.read(0x60, 4), 1);
    write(&mut device, &mem, 0x64, 1);
    assert_eq!(device.read(0x60, 4), 0);
}

#[test]
fn an_indirect_table_is_followed_only_when_it_was_agreed_on() {
    for agreed in [true, false] {
        let mem = Memory::new(RAM);
        let (mut device, mut rings) = console(&mem, if agreed { INDIRECT } else { 0 });
        mem.put(DATA, b"indirect");
        put_descriptor(&mem, 0x8_0000, DATA, 2, NEXT, 1);
        put_descriptor(&mem, 0x8_0010, DATA + 2, 6, 0, 0);
        rings[1].descriptor(&mem, 0, 0x8_0000, 32, 4, 0);
        rings[1].offer(&mem, 0);
        let signal = kick(&mut device, &mem, &rings[1]);
        let expected: &[u8] = if agreed { b"indirect" } else { b"" };
        assert_eq!(printed(&device), expected);
        assert_eq!(signal.fault.is_none(), agreed);
    }
}

#[test]
fn typed_bytes_wait_for_buffers_and_fill_them_in_order() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = console(&mem, 0);
    assert_eq!(device.device_mut().input(b"abcdefgh"), 8);
    assert_eq!(process(&mut device, &mem), Signal::default());
    let rx = &mut rings[0];
    rx.add(&mem, &[(DATA, 5, true)]);
    rx.add(&mem, &[(DATA + 16, 2, true), (DATA + 32, 16, true)]);
    rx.add(&mem, &[(DATA + 64, 16, true)]);
    assert!(kick(&mut device, &mem, rx).interrupt);
    assert_eq!(rx.used(&mem), [(0, 5), (1, 3)]);
    assert_eq!(mem.get(DATA, 5), b"abcde");
    assert_eq!((mem.get(DATA + 16, 2), mem.get(DATA + 32, 1)), (b"fg".to_vec(), b"h".to_vec()));
    device.device_mut().input(b"!");
    assert!(process(&mut device, &mem).interrupt);
    assert_eq!(rx.used(&mem), [(3, 1)]);
}

#[test]
fn typed_bytes_beyond_the_bound_are_refused() {
    let mut device = Console::new();
    assert_eq!(device.input(&[b'x'; 5000]), super::console::INPUT_BYTES);
    assert_eq!(device.input(b"y"), 0);
}

#[test]
fn random_bytes_are_bounded_in_each_request() {
    let mem = Memory::new(RAM);
    let mut device = Transport::new(Rng::new(Box::new(Constant)));
    let mut rings = start(&mut device, &mem, VERSION_1, RINGS, &[16]);
    rings[0].add(&mem, &[(DATA, 64, true)]);
    rings[0].add(&mem, &[(DATA + 0x1000, 0x4000, true)]);
    assert!(kick(&mut device, &mem, &rings[0]).interrupt);
    assert_eq!(rings[0].used(&mem), [(0, 64), (1, REQUEST_BYTES as u32)]);
    assert_eq!(mem.get(DATA, 65), [[0xa5; 64].as_slice(), &[0]].concat());
}

#[test]
fn frames_pass_both_ways_with_their_headers() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = net(&mem, 0);
    let frame: Vec<u8> = (0..60).collect();
    mem.put(DATA + 12, &frame);
    rings[1].add(&mem, &[(DATA, 12, false), (DATA + 12, 60, false)]);
    kick(&mut device, &mem, &rings[1]);
    assert_eq!(device.device_mut().take(), Some(frame.clone()));
    assert_eq!(device.device_mut().take(), None);
    assert!(device.device_mut().deliver(&frame));
    rings[0].add(&mem, &[(DATA + 0x1000, 1530, true)]);
    assert!(process(&mut device, &mem).interrupt);
    assert_eq!(rings[0].used(&mem), [(0, 72)]);
    assert_eq!(mem.get(DATA + 0x1000, 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(mem.get(DATA + 0x100c, 60), frame);
}

#[test]
fn what_is_no_frame_is_counted_and_given_back() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = net(&mem, 0);
    rings[1].add(&mem, &[(DATA, 5, false)]);
    rings[1].add(&mem, &[(DATA, 12 + 13, false)]);
    rings[1].add(&mem, &[(DATA, 12 + 1519, false)]);
    mem.put(DATA + 0x1001, &[1]);
    rings[1].add(&mem, &[(DATA + 0x1000, 100, false)]);
    assert_eq!(kick(&mut device, &mem, &rings[1]).fault, None);
    assert_eq!(rings[1].used(&mem).len(), 4);
    assert_eq!(device.device().counters().sent_invalid, 4);
    assert!(!device.device_mut().deliver(&[0; 13]));
    assert!(!device.device_mut().deliver(&[0; 1519]));
    assert!(device.device_mut().deliver(&[0; 1518]));
    rings[0].add(&mem, &[(DATA, 64, true)]);
    process(&mut device, &mem);
    assert_eq!(rings[0].used(&mem), [(0, 0)], "a buffer that is too small");
    assert_eq!(device.device().counters().received_dropped, 3);
}

#[test]
fn frames_that_nobody_takes_stay_in_the_ring_and_those_for_a_deaf_guest_are_dropped() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = net(&mem, 0);
    for more in [false, true] {
        for _ in 0..QUEUED_FRAMES {
            rings[1].add(&mem, &[(DATA, 72, false)]);
        }
        assert_eq!(kick(&mut device, &mem, &rings[1]).more, more);
        assert_eq!(rings[1].used(&mem).len(), if more { 0 } else { QUEUED_FRAMES });
    }
    assert_eq!(device.device().counters().sent, QUEUED_FRAMES as u64);
    for _ in 0..QUEUED_FRAMES {
        assert!(device.device_mut().take().is_some());
    }
    assert!(process(&mut device, &mem).interrupt);
    assert_eq!(rings[1].used(&mem).len(), QUEUED_FRAMES);
    for n in 0..QUEUED_FRAMES + 10 {
        assert_eq!(device.device_mut().deliver(&[0; 60]), n < QUEUED_FRAMES);
    }
}

#[test]
fn a_link_that_goes_down_is_told_by_a_configuration_interrupt() {
    let mem = Memory::new(RAM);
    let (mut device, _) = net(&mem, 0);
    let before = device.read(0xfc, 4);
    device.device_mut().set_link(false);
    assert!(device.config_changed().interrupt);
    assert_eq!((device.read(0x60, 4), device.read(0x106, 2)), (2, 0));
    assert_ne!(device.read(0xfc, 4), before);
}

#[test]
fn interrupts_are_left_out_where_the_driver_says_so() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = console(&mem, 0);
    mem.put(rings[1].available_ring(), &1u16.to_le_bytes());
    rings[1].add(&mem, &[(DATA, 1, false)]);
    assert!(!kick(&mut device, &mem, &rings[1]).interrupt);
    mem.put(rings[1].available_ring(), &0u16.to_le_bytes());
    rings[1].add(&mem, &[(DATA, 1, false)]);
    assert!(kick(&mut device, &mem, &rings[1]).interrupt);
}

#[test]
fn with_event_indices_the_interrupt_comes_when_the_index_is_passed() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = console(&mem, EVENT_INDEX);
    let used_event = rings[1].available_ring() + 4 + 2 * 64;
    let avail_event = rings[1].used_ring() + 4 + 8 * 64;
    mem.put(used_event, &2u16.to_le_bytes());
    for expected in [false, false, true, false] {
        rings[1].add(&mem, &[(DATA, 1, false)]);
        assert_eq!(kick(&mut device, &mem, &rings[1]).interrupt, expected);
    }
    assert_eq!(mem.get(avail_event, 2), 4u16.to_le_bytes());
}

#[test]
fn a_whole_ring_is_served_in_one_call_across_the_wrap_of_its_indices() {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = console(&mem, 0);
    mem.put(DATA, b"z");
    for _ in 0..1030 {
        for _ in 0..64 {
            rings[1].add(&mem, &[(DATA, 1, false)]);
        }
        let signal = kick(&mut device, &mem, &rings[1]);
        assert!(signal.interrupt && !signal.more && signal.fault.is_none());
        assert_eq!(rings[1].used(&mem).len(), 64);
    }
    assert_eq!(device.device().output().end(), 1030 * 64);
}

/// Breaks the transmit ring by `prepare` and returns what the device says.
fn break_ring(prepare: impl Fn(&Memory, &mut Ring)) -> RingFault {
    let mem = Memory::new(RAM);
    let (mut device, mut rings) = console(&mem, INDIRECT);
    prepare(&mem, &mut rings[1]);
    let signal = kick(&mut device, &mem, &rings[1]);
    let Some(Fault::Ring { queue: 1, fault }) = signal.fault else { panic!("{signal:?}") };
    assert!(signal.interrupt);
    assert_eq!((device.read(0x60, 4), device.read(0x70, 4)), (2, 0x4f));
    assert_eq!(kick(&mut device, &mem, &rings[1]), Signal::default(), "told once, and idle");
    let mut rings = start(&mut device, &mem, VERSION_1, RINGS, &[64, 64]);
    mem.put(DATA, b"again");
    rings[1].add(&mem, &[(DATA, 5, false)]);
    assert_eq!(kick(&mut device, &mem, &rings[1]).fault, None);
    assert_eq!(printed(&device), b"again");
    fault
}

#[test]
fn every_broken_ring_makes_the_device_need_a_reset_and_a_reset_heals_it() {
    let end = RAM as u64;
    assert_eq!(
        break_ring(|mem, ring| mem.put(ring.available_ring() + 2, &65u16.to_le_bytes())),
        RingFault::AvailableIndex { index: 65, next: 0 }
    );
    assert_eq!(
        break_ring(|mem, ring| ring.offer(mem, 64)),
        RingFault::DescriptorIndex { index: 64, size: 64 }
    );
    assert_eq!(
        break_ring(|mem, ring| {
            ring.descriptor(mem, 0, DATA, 1, NEXT, 0);
            ring.offer(mem, 0);
        }),
        RingFault::ChainLength
    );
    assert_eq!(
        break_ring(|mem, ring| {
            ring.descriptor(mem, 0, DATA, 1, NEXT, 500);
            ring.offer(mem, 0);
        }),
        RingFault::DescriptorIndex { index: 500, size: 64 }
    );
    assert_eq!(
        break_ring(|mem, ring| {
            ring.add(mem, &[(end, 16, false)]);
        }),
        RingFault::Unbacked { gpa: Gpa(end) }
    );
    assert_eq!(
        break_ring(|mem, ring| {
            ring.add(mem, &[(u64::MAX - 1, 16, false)]);
        }),
        RingFault::Address { gpa: Gpa(u64::MAX - 1) }
    );
    assert_eq!(
        break_ring(|mem, ring| {
            ring.add(mem, &[(DATA, 16, true), (DATA, 16, false)]);
        }),
        RingFault::Order
    );
    assert_eq!(
        break_ring(|mem, ring| {
            ring.add(mem, &[(DATA, u32::MAX, false), (DATA, u32::MAX, false)]);
        }),
        RingFault::ChainBytes { bytes: 2 * u64::from(u32::MAX) }
    );
}

#[test]
fn indirect_tables_of_impossible_shape_are_refused() {
    for bytes in [0, 8, 24, 16 << 16] {
        let got = break_ring(|mem, ring| {
            ring.descriptor(mem, 0, DATA, bytes, 4, 0);
            ring.offer(mem, 0);
        });
        assert_eq!(got, RingFault::Indirect, "{bytes}");
    }
    let nested = break_ring(|mem, ring| {
        put_descriptor(mem, DATA, DATA, 16, 4, 0);
        ring.descriptor(mem, 0, DATA, 16, 4, 0);
        ring.offer(mem, 0);
    });
    assert_eq!(nested, RingFault::Indirect);
    let after_a_buffer = break_ring(|mem, ring| {
        ring.descriptor(mem, 0, DATA, 1, NEXT, 1);
        ring.descriptor(mem, 1, DATA, 16, 4, 0);
        ring.offer(mem, 0);
    });
    assert_eq!(after_a_buffer, RingFault::Indirect);
}

#[test]
fn a_queue_of_impossible_size_or_place_is_not_enabled() {
    let mem = Memory::new(RAM);
    for (size, register, value) in
        [(0, 0x80, 0), (3, 0x80, 0), (128, 0x80, 0), (64, 0x80, 8), (64, 0x94, u64::MAX)]
    {
        let mut device = Transport::new(Console::new());
        assert!(negotiate(&mut device, &mem, VERSION_1));
        write(&mut device, &mem, 0x38, size);
        write(&mut device, &mem, register, value);
        if value == u64::MAX {
            write(&mut device, &mem, 0x90, 0xffff_ffff_ffff_fff0);
        }
        let signal = write(&mut device, &mem, 0x44, 1);
        assert_eq!(signal.fault, Some(Fault::QueueSetup { queue: 0 }));
        assert_eq!((device.read(0x44, 4), device.read(0x70, 4) & 0x40), (0, 0x40));
    }
}

#[test]
fn nothing_is_served_before_the_driver_is_ready_or_after_it_failed() {
    let mem = Memory::new(RAM);
    let mut device = Transport::new(Console::new());
    write(&mut device, &mem, 0x44, 1);
    assert_eq!(device.read(0x44, 4), 0, "a queue before features");
    let (mut device, mut rings) = console(&mem, 0);
    mem.put(DATA, b"no");
    rings[1].add(&mem, &[(DATA, 2, false)]);
    write(&mut device, &mem, 0x70, 0x8f);
    assert_eq!(kick(&mut device, &mem, &rings[1]), Signal::default());
    assert_eq!(printed(&device), b"");
    assert_eq!(device.write(0x50, 2, 1, &mem), Ok(Signal::default()), "a register of the wrong width");
}

/// Everything that a run of random traffic leaves behind.
#[derive(PartialEq, Debug)]
struct Outcome {
    printed: Vec<u8>,
    frames: Vec<Vec<u8>>,
    interrupts: u32,
    used: Vec<Vec<(u32, u32)>>,
}

/// Random traffic over console, network and random bytes, the same for the same seed.
fn traffic(mem: &Memory, seed: u64) -> Outcome {
    let mut random = Random(seed);
    let features = VERSION_1 | if random.below(2) == 0 { EVENT_INDEX } else { 0 };
    let mut console = Transport::new(Console::new());
    let mut net = Transport::new(Net::new(MAC, 1500));
    let mut rng = Transport::new(Rng::new(Box::new(Constant)));
    let mut rings = start(&mut console, mem, features, RINGS, &[64, 64]);
    rings.extend(start(&mut net, mem, features, RINGS + 0x2_0000, &[256, 256]));
    rings.extend(start(&mut rng, mem, features, RINGS + 0x4_0000, &[16]));
    let mut outcome = Outcome { printed: vec![], frames: vec![], interrupts: 0, used: vec![vec![]; 5] };
    for _ in 0..200 {
        let which = random.below(5) as usize;
        let at = DATA + which as u64 * 0x1_0000 + random.below(8) * 0x1800;
        let bytes = 1 + random.below(1400) as u32;
        let writable = matches!(which, 0 | 2 | 4);
        if !writable {
            let data = random.bytes(bytes as usize + 12);
            mem.put(at, &data);
            mem.put(at, &[0; 12]);
        }
        let parts = [(at, 12, writable), (at + 12, bytes, writable)];
        rings[which].add(mem, &parts);
        let typed = random.below(20) as usize;
        let frame = random.bytes(60);
        let signal = match which {
            0 | 1 => {
                console.device_mut().input(&b"the quick brown fox.."[..typed]);
                kick(&mut console, mem, &rings[which])
            }
            2 | 3 => {
                net.device_mut().deliver(&frame);
                kick(&mut net, mem, &rings[which])
            }
            _ => kick(&mut rng, mem, &rings[which]),
        };
        assert_eq!(signal.fault, None);
        outcome.interrupts += u32::from(signal.interrupt);
        outcome.frames.extend(std::iter::from_fn(|| net.device_mut().take()));
        for (seen, ring) in outcome.used.iter_mut().zip(&mut rings) {
            let used = ring.used(mem);
            // With event indices: an interrupt for the next one.
            let index = (seen.len() + used.len()) as u16;
            mem.put(ring.available_ring() + 4 + 2 * u64::from(ring.size), &index.to_le_bytes());
            seen.extend(used);
        }
    }
    outcome.printed = printed(&console);
    outcome
}

#[test]
fn pages_that_come_late_change_nothing_but_the_time() {
    for seed in 0..12 {
        let plain = Memory::new(RAM);
        let expected = traffic(&plain, seed);
        assert!(expected.printed.len() > 1000 && expected.frames.len() > 10, "seed {seed}");
        let slow = Memory::new(RAM);
        slow.delay(seed + 100);
        assert_eq!(traffic(&slow, seed), expected, "seed {seed}");
        assert!(slow.needs.get() > 50, "seed {seed}");
        assert!(slow.snapshot() == plain.snapshot(), "seed {seed}");
    }
}
