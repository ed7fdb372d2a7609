//! The driver against a model of the device: registers, both queues, and what it may do wrong.

use super::*;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::RefCell;
use weft_platform::Mmio;

const BASE: u64 = 0x10_0000;
const PAGE_BASE: u64 = 0x90_0000;
const MAC: [u8; 6] = [2, 0, 0, 0, 7, 1];
const ALL: u64 = WANTED | 1 | 1 << 15;

#[derive(Default, Clone)]
struct Ring {
    size: u16,
    enabled: bool,
    parts: [u64; 3],
    vector: u16,
    /// Available entries taken, used entries written.
    taken: u16,
    used: u16,
    notified: u32,
}

struct Device {
    offered: u64,
    accepted: u64,
    select: [u32; 2],
    status: u8,
    stuck: bool,
    refuses: bool,
    mtu: u16,
    link: bool,
    vectors: u16,
    config_vector: u16,
    queue: u16,
    rings: [Ring; 2],
    memory: Vec<u8>,
    page: Vec<u8>,
    sent: Vec<Vec<u8>>,
    halted: bool,
    interrupts: u32,
    isr: u8,
}

type Model = Rc<RefCell<Device>>;

impl Device {
    fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let (memory, base) =
            if address >= PAGE_BASE { (&self.page, PAGE_BASE) } else { (&self.memory, BASE) };
        let at = usize::try_from(address - base).expect("mapped");
        memory[at..at + length].to_vec()
    }

    fn put(&mut self, address: u64, data: &[u8]) {
        let at = usize::try_from(address - BASE).expect("mapped");
        self.memory[at..at + data.len()].copy_from_slice(data);
    }

    fn u16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.bytes(address, 2).try_into().expect("2 bytes"))
    }

    fn descriptor(&self, queue: usize, index: u16) -> (u64, usize, u16, u16) {
        let raw = self.bytes(self.rings[queue].parts[0] + 16 * u64::from(index), 16);
        let word = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let address = u64::from_le_bytes(raw[..8].try_into().expect("8 bytes"));
        let length = u32::from_le_bytes(raw[8..12].try_into().expect("4 bytes"));
        (address, length as usize, word(12), word(14))
    }

    /// The next chain that the driver made available.
    fn take(&mut self, queue: usize) -> Option<u16> {
        let ring = self.rings[queue].clone();
        if !ring.enabled || self.u16(ring.parts[1] + 2) == ring.taken {
            return None;
        }
        self.rings[queue].taken = ring.taken.wrapping_add(1);
        Some(self.u16(ring.parts[1] + 4 + 2 * u64::from(ring.taken % ring.size)))
    }

    /// Asks to hear of the next chain, as a device does that ran out of them.
    fn wish(&mut self, queue: usize) {
        let ring = self.rings[queue].clone();
        self.put(ring.parts[2] + 4 + 8 * u64::from(ring.size), &ring.taken.to_le_bytes());
    }

    fn give(&mut self, queue: usize, head: u32, written: u32) {
        let ring = self.rings[queue].clone();
        let at = ring.parts[2] + 4 + 8 * u64::from(ring.used % ring.size);
        self.put(at, &head.to_le_bytes());
        self.put(at + 4, &written.to_le_bytes());
        self.rings[queue].used = ring.used.wrapping_add(1);
        self.put(ring.parts[2] + 2, &ring.used.wrapping_add(1).to_le_bytes());
        let quiet = self.u16(ring.parts[1]) & 1 == 1;
        let event = self.u16(ring.parts[1] + 4 + 2 * u64::from(ring.size)) == ring.used;
        let wanted = if self.accepted & F_EVENT_INDEX != 0 { event } else { !quiet };
        self.interrupts += u32::from(wanted && ring.vector != NO_VECTOR);
    }

    fn transmit(&mut self) {
        while !self.halted
            && let Some(head) = self.take(1)
        {
            let (mut frame, mut index) = (Vec::new(), head);
            loop {
                let (address, length, flags, next) = self.descriptor(1, index);
                frame.extend(self.bytes(address, length));
                if flags & 1 == 0 {
                    break;
                }
                index = next;
            }
            assert_eq!(frame[..NET_HEADER], [0; NET_HEADER]);
            self.sent.push(frame.split_off(NET_HEADER));
            self.give(1, u32::from(head), 0);
        }
        if !self.halted {
            self.wish(1);
        }
    }

    /// A frame from the wire; `false` without a buffer.
    fn deliver(&mut self, frame: &[u8]) -> bool {
        let Some(head) = self.take(0) else { return false };
        let (address, length, flags, _) = self.descriptor(0, head);
        assert_eq!(flags, 2);
        assert!(length >= frame.len() + NET_HEADER);
        self.put(address, &[0; NET_HEADER]);
        self.put(address + NET_HEADER as u64, frame);
        self.give(0, u32::from(head), (frame.len() + NET_HEADER) as u32);
        true
    }
}

/// One of the four windows.
struct Window(Model, u8);

impl Mmio for Window {
    fn size(&self) -> usize {
        match self.1 {
            0 => 56,
            1 => 8,
            _ => 16,
        }
    }
    fn read32(&self, offset: usize) -> u32 {
        let device = self.0.borrow();
        match (self.1, offset) {
            (0, reg::DEVICE_FEATURE) => (device.offered >> (32 * device.select[0])) as u32,
            other => panic!("32-bit read of {other:?}"),
        }
    }
    fn write32(&mut self, offset: usize, value: u32) {
        let mut device = self.0.borrow_mut();
        let queue = usize::from(device.queue);
        match (self.1, offset) {
            (0, reg::DEVICE_FEATURE_SELECT) => device.select[0] = value,
            (0, reg::DRIVER_FEATURE_SELECT) => device.select[1] = value,
            (0, reg::DRIVER_FEATURE) => device.accepted |= u64::from(value) << (32 * device.select[1]),
            (0, 32..56) => {
                let part = &mut device.rings[queue].parts[(offset - 32) / 8];
                *part |= u64::from(value) << (8 * (offset % 8));
            }
            other => panic!("32-bit write of {other:?}"),
        }
    }
}

impl NarrowMmio for Window {
    fn read8(&self, offset: usize) -> u8 {
        let mut device = self.0.borrow_mut();
        match (self.1, offset) {
            (0, reg::STATUS) => device.status,
            (2, 0) => core::mem::take(&mut device.isr),
            (3, 0..6) => MAC[offset],
            other => panic!("8-bit read of {other:?}"),
        }
    }
    fn write8(&mut self, offset: usize, value: u8) {
        let mut device = self.0.borrow_mut();
        assert_eq!((self.1, offset), (0, reg::STATUS));
        if value == 0 && device.stuck {
            return;
        }
        device.status = if device.refuses { value & !FEATURES_OK } else { value };
    }
    fn read16(&self, offset: usize) -> u16 {
        let device = self.0.borrow();
        let ring = &device.rings[usize::from(device.queue)];
        match (self.1, offset) {
            (0, reg::CONFIG_VECTOR) => device.config_vector,
            (0, reg::QUEUE_SIZE) => ring.size,
            (0, reg::QUEUE_VECTOR) => ring.vector,
            (0, reg::QUEUE_NOTIFY_OFFSET) => device.queue,
            (3, config::STATUS) => u16::from(device.link),
            (3, config::MTU) => device.mtu,
            other => panic!("16-bit read of {other:?}"),
        }
    }
    fn write16(&mut self, offset: usize, value: u16) {
        let mut device = self.0.borrow_mut();
        let vector = if value < device.vectors { value } else { NO_VECTOR };
        let queue = usize::from(device.queue);
        match (self.1, offset) {
            (0, reg::CONFIG_VECTOR) => device.config_vector = vector,
            (0, reg::QUEUE_SELECT) => device.queue = value,
            (0, reg::QUEUE_SIZE) => device.rings[queue].size = value,
            (0, reg::QUEUE_VECTOR) => device.rings[queue].vector = vector,
            (0, reg::QUEUE_ENABLE) => device.rings[queue].enabled = true,
            (1, 0) => {
                device.rings[0].notified += 1;
                device.wish(0);
            }
            (1, 4) => {
                device.rings[1].notified += 1;
                device.transmit();
            }
            other => panic!("16-bit write of {other:?}"),
        }
    }
}

struct Memory(Model);

impl DmaBuf for Memory {
    fn device_address(&self) -> u64 {
        BASE
    }
    fn size(&self) -> usize {
        self.0.borrow().memory.len()
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.0.borrow().memory[offset..offset + out.len()]);
    }
    fn write(&mut self, offset: usize, data: &[u8]) {
        self.0.borrow_mut().memory[offset..offset + data.len()].copy_from_slice(data);
    }
    fn read32(&self, offset: usize) -> u32 {
        assert_eq!(offset % 4, 0);
        let mut word = [0; 4];
        self.read(offset, &mut word);
        u32::from_le_bytes(word)
    }
    fn write32(&mut self, offset: usize, value: u32) {
        assert_eq!(offset % 4, 0);
        self.write(offset, &value.to_le_bytes());
    }
}

struct Page;

impl SendPage for Page {
    fn device_address(&self) -> u64 {
        PAGE_BASE
    }
    fn size(&self) -> usize {
        4096
    }
    fn read(&self, _offset: usize, _out: &mut [u8]) {
        panic!("the driver copies a page");
    }
}

fn model() -> Model {
    let ring = Ring { size: 256, vector: NO_VECTOR, ..Ring::default() };
    Rc::new(RefCell::new(Device {
        offered: ALL & !F_MTU,
        accepted: 0,
        select: [0; 2],
        status: 0x0f,
        stuck: false,
        refuses: false,
        mtu: 9000,
        link: true,
        vectors: 2,
        config_vector: NO_VECTOR,
        queue: 0,
        rings: [ring.clone(), ring],
        memory: Vec::new(),
        page: (0..4096).map(|i| (i % 251) as u8).collect(),
        sent: Vec::new(),
        halted: false,
        interrupts: 0,
        isr: 0,
    }))
}

fn open(model: &Model, signal: Signal) -> Result<VirtioNet<Window, Memory>, SetupError> {
    let window = |kind| Window(model.clone(), kind);
    let windows = Windows {
        common: window(0),
        notify: window(1),
        notify_multiplier: 4,
        isr: window(2),
        device: window(3),
    };
    let memory = |bytes| {
        model.borrow_mut().memory = vec![0; bytes];
        Some(Memory(model.clone()))
    };
    VirtioNet::new(windows, memory, signal)
}

fn nic(model: &Model) -> VirtioNet<Window, Memory> {
    open(model, Signal::Vector(0)).expect("a healthy device")
}

#[test]
fn the_device_is_set_up_with_what_both_sides_know() {
    let model = model();
    let nic = nic(&model);
    let device = model.borrow();
    assert_eq!((nic.mac(), nic.mtu()), (MAC, 1500));
    assert_eq!(device.accepted, WANTED & !F_MTU);
    assert_eq!(device.status, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_eq!((device.rings[0].size, device.rings[1].size), (RX_BUFFERS, 256));
    assert!(device.rings.iter().all(|ring| ring.enabled));
    assert_eq!((device.rings[0].vector, device.rings[1].vector), (0, NO_VECTOR));
}

#[test]
fn devices_that_cannot_work_are_refused_and_told_so() {
    let refused = |change: fn(&mut Device)| {
        let model = model();
        change(&mut model.borrow_mut());
        let error = open(&model, Signal::None).err().expect("refused");
        let status = model.borrow().status;
        (error, status)
    };
    assert_eq!(refused(|d| d.stuck = true).0, SetupError::Reset);
    assert_eq!(refused(|d| d.offered &= !F_VERSION_1), (SetupError::Features, FAILED));
    assert_eq!(refused(|d| d.offered &= !F_MAC), (SetupError::Features, FAILED));
    assert_eq!(refused(|d| d.refuses = true), (SetupError::Features, FAILED));
    assert_eq!(refused(|d| d.rings[1].size = 0), (SetupError::Queue, FAILED));
    assert_eq!(refused(|d| d.rings[0].size = 100), (SetupError::Queue, FAILED));
}

#[test]
fn frames_leave_whole_and_in_order() {
    let model = model();
    let mut nic = nic(&model);
    for mark in 0..1000_u32 {
        let frame = vec![mark as u8; 14 + (mark as usize * 7) % 1501];
        assert_eq!(nic.transmit(&frame), Ok(()));
        assert_eq!(model.borrow_mut().sent.pop(), Some(frame));
    }
    assert_eq!(nic.transmit(&[]), Err(TxError::Length));
    assert_eq!(nic.transmit(&[0; 1519]), Err(TxError::Length));
}

#[test]
fn a_page_is_sent_without_a_copy_and_held_until_the_device_is_done() {
    let model = model();
    let mut nic = nic(&model);
    model.borrow_mut().halted = true;
    let page: Arc<dyn SendPage> = Arc::new(Page);
    let piece = Piece { page: page.clone(), offset: 96, length: 1400 };
    assert_eq!(nic.transmit_gather(&[0xaa; 60], &piece), Ok(()));
    drop(piece);
    nic.reclaim();
    assert_eq!(Arc::strong_count(&page), 2, "the device still reads it");
    {
        let mut device = model.borrow_mut();
        device.halted = false;
        device.transmit();
        let expected: Vec<u8> =
            [0xaa; 60].into_iter().chain((96..1496).map(|i: u32| (i % 251) as u8)).collect();
        assert_eq!(device.sent, [expected]);
    }
    nic.reclaim();
    assert_eq!(Arc::strong_count(&page), 1);
    let outside = Piece { page, offset: 4000, length: 97 };
    assert_eq!(nic.transmit_gather(&[0; 60], &outside), Err(TxError::Length));
}

#[test]
fn a_full_ring_refuses_at_once_and_recovers() {
    let model = model();
    let mut nic = nic(&model);
    model.borrow_mut().halted = true;
    for mark in 0..TX_SLOTS {
        assert_eq!(nic.transmit(&[mark as u8; 60]), Ok(()));
    }
    assert_eq!(nic.transmit(&[0xff; 60]), Err(TxError::Full));
    {
        let mut device = model.borrow_mut();
        device.halted = false;
        device.transmit();
        assert!(device.sent.iter().zip(0..).all(|(frame, mark)| frame[0] == mark));
    }
    assert_eq!(nic.transmit(&[0xff; 60]), Ok(()));
}

#[test]
fn frames_arrive_in_order_over_many_turns_of_the_ring() {
    let model = model();
    let mut nic = nic(&model);
    let mut out = [0; 1518];
    for round in 0..700_u32 {
        for mark in 0..97 {
            assert!(model.borrow_mut().deliver(&[(round + mark) as u8; 64]));
        }
        for mark in 0..97 {
            assert_eq!(nic.receive(&mut out), Some(64));
            assert_eq!(out[0], (round + mark) as u8);
        }
        assert_eq!(nic.receive(&mut out), None);
    }
}

#[test]
fn the_device_is_notified_only_when_it_asked() {
    let model = model();
    let mut nic = nic(&model);
    let before = model.borrow().rings[1].notified;
    // A device that is busy with earlier frames asks for nothing.
    model.borrow_mut().halted = true;
    for _ in 0..50 {
        nic.transmit(&[1; 60]).expect("room");
    }
    assert_eq!(model.borrow().rings[1].notified, before + 1);
    model.borrow_mut().halted = false;
    model.borrow_mut().transmit();
    nic.transmit(&[1; 60]).expect("room");
    assert_eq!(model.borrow().sent.len(), 51);
}

#[test]
fn interrupts_come_once_for_each_time_that_they_are_switched_on() {
    for offered in [ALL, ALL & !F_EVENT_INDEX] {
        let model = model();
        model.borrow_mut().offered = offered & !F_MTU;
        let mut nic = nic(&model);
        let deliver = |count| (0..count).for_each(|_| assert!(model.borrow_mut().deliver(&[1; 60])));
        deliver(5);
        assert_eq!(model.borrow().interrupts, 0, "off at first");
        while nic.receive(&mut [0; 1518]).is_some() {}
        assert!(nic.set_interrupts(true));
        deliver(1);
        assert_eq!(model.borrow().interrupts, 1);
        assert!(nic.set_interrupts(false));
        deliver(5);
        assert_eq!(model.borrow().interrupts, 1);
        while nic.receive(&mut [0; 1518]).is_some() {}
        nic.set_interrupts(true);
        deliver(1);
        assert_eq!(model.borrow().interrupts, 2);
    }
}

#[test]
fn without_a_vector_the_driver_says_that_it_must_be_polled() {
    assert!(!open(&model(), Signal::None).expect("healthy").set_interrupts(true));
    let none = model();
    none.borrow_mut().vectors = 0;
    assert!(!open(&none, Signal::Vector(0)).expect("healthy").set_interrupts(true));
}

#[test]
fn a_line_is_let_go_when_interrupts_are_switched() {
    let model = model();
    let mut nic = open(&model, Signal::Line).expect("healthy");
    assert_eq!(model.borrow().rings[0].vector, NO_VECTOR);
    for on in [true, false] {
        model.borrow_mut().isr = 1;
        assert!(nic.set_interrupts(on));
        assert_eq!(model.borrow().isr, 0);
    }
}

#[test]
fn a_jumbo_device_takes_and_gives_jumbo_frames() {
    let model = model();
    model.borrow_mut().offered = ALL;
    let mut nic = nic(&model);
    assert_eq!(nic.mtu(), 9000);
    assert_eq!(nic.transmit(&[1; 9014]), Ok(()));
    assert!(model.borrow_mut().deliver(&[2; 9014]));
    assert_eq!(nic.receive(&mut [0; 9018]), Some(9014));
    // Not even a device that claims more gets more.
    let large = self::model();
    large.borrow_mut().offered = ALL;
    large.borrow_mut().mtu = u16::MAX;
    assert_eq!(self::nic(&large).mtu(), MAX_MTU);
}

#[test]
fn frames_too_long_for_whoever_asks_are_dropped_and_counted() {
    let model = model();
    let mut nic = nic(&model);
    model.borrow_mut().deliver(&[1; 1000]);
    model.borrow_mut().deliver(&[2; 60]);
    assert_eq!(nic.receive(&mut [0; 100]), Some(60));
    assert_eq!(nic.counters(), Counters { rx_bad: 1 });
}

#[test]
fn a_device_that_breaks_the_protocol_is_not_used_any_more() {
    let lies: [fn(&mut Device); 5] = [
        |d| d.give(0, 128, 60),
        |d| d.give(0, u32::MAX, 60),
        |d| d.give(1, 3, 0),
        |d| d.give(1, 0, 0),
        |d| {
            let at = d.rings[0].parts[2] + 2;
            d.put(at, &5000_u16.to_le_bytes());
        },
    ];
    for lie in lies {
        let model = model();
        let mut nic = nic(&model);
        assert!(nic.link_up());
        lie(&mut model.borrow_mut());
        let received = nic.receive(&mut [0; 1518]);
        nic.reclaim();
        assert_eq!(received, None);
        assert_eq!(nic.transmit(&[1; 60]), Err(TxError::Device));
        assert!(!nic.link_up());
    }
}

#[test]
fn lengths_that_cannot_be_are_dropped() {
    let model = model();
    let mut nic = nic(&model);
    for written in [0, 11, 12, 100_000, u32::MAX] {
        let head = model.borrow_mut().take(0).expect("a buffer");
        model.borrow_mut().give(0, head.into(), written);
    }
    assert_eq!(nic.receive(&mut [0; 9018]), None);
    assert_eq!(nic.counters().rx_bad, 5);
}

#[test]
fn link_and_interrupt_status_are_read_from_the_device() {
    let model = model();
    let mut nic = nic(&model);
    assert!(nic.link_up());
    model.borrow_mut().link = false;
    assert!(!nic.link_up());
    model.borrow_mut().isr = 1;
    nic.acknowledge_interrupt();
    assert_eq!(model.borrow().isr, 0);
}
