//! The driver against a model of the device: registers, rings and DMA as the manual describes them.

use super::*;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::RefCell;

const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
const BASE: u64 = 0x1_0000_0000;
const PAGE_BASE: u64 = 0x2_0000_0000;

struct Chip {
    registers: Vec<u32>,
    memory: Vec<u8>,
    /// Pieces of a frame whose end has not come.
    begun: Vec<u8>,
    sent: Vec<Vec<u8>>,
    link: bool,
    stuck: bool,
    /// Transmit descriptors are not worked on.
    tx_halted: bool,
    eeprom: Option<(Family, [u8; 6])>,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Chip>>);

impl Chip {
    fn reg(&self, offset: usize) -> u32 {
        self.registers[offset / 4]
    }

    fn set(&mut self, offset: usize, value: u32) {
        self.registers[offset / 4] = value;
    }

    fn dma(&self, address: u64, len: usize) -> Vec<u8> {
        if let Some(offset) = address.checked_sub(PAGE_BASE) {
            return (offset..).take(len).map(|i| (i % 251) as u8).collect();
        }
        let at = usize::try_from(address - BASE).expect("inside");
        self.memory[at..at + len].to_vec()
    }

    fn dma_write(&mut self, address: u64, data: &[u8]) {
        let at = usize::try_from(address - BASE).expect("inside");
        self.memory[at..at + data.len()].copy_from_slice(data);
    }

    fn ring(&self, low: usize, high: usize, index: u32) -> u64 {
        (u64::from(self.reg(high)) << 32 | u64::from(self.reg(low))) + u64::from(index) * 16
    }

    fn transmit(&mut self) {
        if self.reg(reg::TCTL) & TCTL_ENABLE == 0 || self.tx_halted {
            return;
        }
        let count = self.reg(reg::TDLEN) / 16;
        while self.reg(reg::TDH) != self.reg(reg::TDT) {
            let head = self.reg(reg::TDH);
            let at = self.ring(reg::TDBAL, reg::TDBAH, head);
            let descriptor = self.dma(at, 16);
            let address = u64::from_le_bytes(descriptor[..8].try_into().expect("8 bytes"));
            let len = usize::from(u16::from_le_bytes([descriptor[8], descriptor[9]]));
            assert_eq!(descriptor[11] & !1, 0b1010, "FCS, report status");
            let piece = self.dma(address, len);
            self.begun.extend(piece);
            if descriptor[11] & 1 == 1 {
                let frame = core::mem::take(&mut self.begun);
                self.sent.push(frame);
            }
            self.dma_write(at + 12, &[1]);
            self.set(reg::TDH, (head + 1) % count);
        }
    }

    /// A frame from the wire, cut into pieces; `false` when no descriptor is free.
    fn deliver(&mut self, pieces: &[&[u8]], errors: u8) -> bool {
        let count = self.reg(reg::RDLEN) / 16;
        for (index, piece) in pieces.iter().enumerate() {
            let head = self.reg(reg::RDH);
            if self.reg(reg::RCTL) & RCTL_ENABLE == 0 || head == self.reg(reg::RDT) {
                return false;
            }
            let at = self.ring(reg::RDBAL, reg::RDBAH, head);
            let descriptor = self.dma(at, 16);
            let address = u64::from_le_bytes(descriptor[..8].try_into().expect("8 bytes"));
            self.dma_write(address, piece);
            let len = u16::try_from(piece.len()).expect("short").to_le_bytes();
            let status = if index + 1 == pieces.len() { 3 } else { 1 };
            self.dma_write(at + 8, &[len[0], len[1], 0, 0, status, errors, 0, 0]);
            self.set(reg::RDH, (head + 1) % count);
        }
        true
    }
}

impl Mmio for Shared {
    fn size(&self) -> usize {
        0x20000
    }

    fn read32(&self, offset: usize) -> u32 {
        let mut chip = self.0.borrow_mut();
        match offset {
            reg::STATUS => u32::from(chip.link) << 1,
            reg::ICR => {
                let value = chip.reg(offset);
                chip.set(offset, 0);
                value
            }
            _ => chip.reg(offset),
        }
    }

    fn write32(&mut self, offset: usize, value: u32) {
        let mut chip = self.0.borrow_mut();
        chip.set(offset, value);
        match offset {
            reg::CTRL if value & CTRL_RST != 0 && !chip.stuck => {
                for register in &mut chip.registers {
                    *register = 0;
                }
                if chip.eeprom.is_none() {
                    chip.set(reg::RAL, u32::from_le_bytes([MAC[0], MAC[1], MAC[2], MAC[3]]));
                    chip.set(reg::RAH, u32::from_le_bytes([MAC[4], MAC[5], 0, 0]) | RAH_VALID);
                }
            }
            reg::EERD => {
                if let Some((family, mac)) = chip.eeprom {
                    let (shift, done) = if family == Family::Pci { (8, 0x10) } else { (2, 2) };
                    let word = usize::try_from(value >> shift).expect("small") * 2;
                    let data = u32::from(mac[word]) << 16 | u32::from(mac[word + 1]) << 24;
                    chip.set(reg::EERD, data | done);
                }
            }
            reg::TDT => chip.transmit(),
            _ => {}
        }
    }
}

impl DmaBuf for Shared {
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
        let mut word = [0; 4];
        self.read(offset, &mut word);
        u32::from_le_bytes(word)
    }
    fn write32(&mut self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
}

fn chip() -> Shared {
    Shared(Rc::new(RefCell::new(Chip {
        registers: vec![0; 0x8000],
        memory: vec![0; DMA_BYTES],
        begun: Vec::new(),
        sent: Vec::new(),
        link: true,
        stuck: false,
        tx_halted: false,
        eeprom: None,
    })))
}

fn nic(chip: &Shared) -> E1000<Shared, Shared> {
    E1000::new(Family::Pci, chip.clone(), chip.clone()).expect("a healthy device")
}

#[test]
fn the_address_comes_from_the_registers_or_the_eeprom() {
    assert_eq!(nic(&chip()).mac(), MAC);
    for family in [Family::Pci, Family::PciExpress] {
        let chip = chip();
        let mac = [2, 0, 0, 0, 7, 9];
        chip.0.borrow_mut().eeprom = Some((family, mac));
        let nic = E1000::new(family, chip.clone(), chip.clone()).expect("a healthy device");
        assert_eq!(nic.mac(), mac);
        assert_eq!(chip.0.borrow().reg(reg::RAH) & RAH_VALID, RAH_VALID);
    }
}

#[test]
fn a_device_that_stays_in_reset_is_refused() {
    let chip = chip();
    chip.0.borrow_mut().stuck = true;
    let refused = E1000::new(Family::Pci, chip.clone(), chip.clone()).err();
    assert_eq!(refused, Some(SetupError::Reset));
}

#[test]
fn a_device_without_an_address_is_refused() {
    let chip = chip();
    chip.0.borrow_mut().eeprom = Some((Family::Pci, [0xff; 6]));
    let refused = E1000::new(Family::Pci, chip.clone(), chip.clone()).err();
    assert_eq!(refused, Some(SetupError::Address));
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let chip = chip();
    chip.0.borrow_mut().memory.truncate(DMA_BYTES - 1);
    let refused = E1000::new(Family::Pci, chip.clone(), chip.clone()).err();
    assert_eq!(refused, Some(SetupError::Memory));
}

#[test]
fn frames_leave_whole_and_short_ones_are_padded() {
    let chip = chip();
    let mut nic = nic(&chip);
    assert_eq!(nic.transmit(&[0xaa; 1514]), Ok(()));
    assert_eq!(nic.transmit(&[0xbb; 20]), Ok(()));
    let sent = chip.0.borrow().sent.clone();
    assert_eq!(sent[0], [0xaa; 1514]);
    assert_eq!(sent[1].len(), MIN_FRAME);
    assert_eq!((sent[1][19], sent[1][20]), (0xbb, 0));
}

#[test]
fn a_padded_frame_carries_nothing_of_an_earlier_one() {
    let chip = chip();
    let mut nic = nic(&chip);
    for _ in 0..TX_COUNT {
        nic.transmit(&[0xaa; 100]).expect("room");
    }
    nic.transmit(&[0xbb; 14]).expect("room");
    let sent = chip.0.borrow().sent.clone();
    assert!(sent[TX_COUNT][14..].iter().all(|byte| *byte == 0));
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

#[test]
fn a_page_is_sent_without_a_copy_and_held_until_the_device_is_done() {
    let chip = chip();
    let mut nic = nic(&chip);
    chip.0.borrow_mut().tx_halted = true;
    let page: Arc<dyn SendPage> = Arc::new(Page);
    let piece = Piece { page: page.clone(), offset: 96, length: 1400 };
    for _ in 0..31 {
        assert_eq!(nic.transmit_gather(&[0xaa; 60], &piece), Ok(()));
    }
    assert_eq!(nic.transmit_gather(&[0xaa; 60], &piece), Err(TxError::Full));
    assert_eq!(nic.transmit(&[0xbb; 60]), Ok(()), "one descriptor is left");
    drop(piece);
    nic.reclaim();
    assert_eq!(Arc::strong_count(&page), 32, "the device still reads it");
    {
        let mut chip = chip.0.borrow_mut();
        chip.tx_halted = false;
        chip.transmit();
        let expected: Vec<u8> =
            [0xaa; 60].into_iter().chain((96..1496_u32).map(|i| (i % 251) as u8)).collect();
        assert!(chip.sent[..31].iter().all(|frame| *frame == expected));
        assert_eq!(chip.sent[31], [0xbb; 60]);
    }
    nic.reclaim();
    assert_eq!(Arc::strong_count(&page), 1);
    let outside = Piece { page, offset: 4000, length: 97 };
    assert_eq!(nic.transmit_gather(&[0; 60], &outside), Err(TxError::Length));
}

#[test]
fn lengths_that_cannot_be_sent_are_refused() {
    let mut nic = nic(&chip());
    assert_eq!(nic.transmit(&[]), Err(TxError::Length));
    assert_eq!(nic.transmit(&[0; MAX_FRAME + 1]), Err(TxError::Length));
    assert_eq!(nic.transmit(&[0; MAX_FRAME]), Ok(()));
}

#[test]
fn a_full_ring_refuses_and_recovers_in_order() {
    let chip = chip();
    let mut nic = nic(&chip);
    chip.0.borrow_mut().tx_halted = true;
    for round in 0..TX_COUNT - 1 {
        let byte = u8::try_from(round).expect("small");
        assert_eq!(nic.transmit(&[byte; 64]), Ok(()));
    }
    assert_eq!(nic.transmit(&[99; 64]), Err(TxError::Full));
    {
        let mut chip = chip.0.borrow_mut();
        chip.tx_halted = false;
        chip.transmit();
    }
    assert_eq!(nic.transmit(&[99; 64]), Ok(()));
    let first: Vec<u8> = chip.0.borrow().sent.iter().map(|frame| frame[0]).collect();
    let expected: Vec<u8> = (0..63).chain([99]).collect();
    assert_eq!(first, expected);
}

#[test]
fn frames_arrive_in_order_over_many_turns_of_the_ring() {
    let chip = chip();
    let mut nic = nic(&chip);
    let mut out = [0; 2048];
    for round in 0..RX_COUNT * 3 {
        let byte = u8::try_from(round % 251).expect("small");
        assert!(chip.0.borrow_mut().deliver(&[&[byte; 100]], 0));
        assert_eq!(nic.receive(&mut out), Some(100));
        assert_eq!(out[99], byte);
    }
    assert_eq!(nic.receive(&mut out), None);
}

#[test]
fn a_burst_fills_the_ring_and_none_of_it_is_lost() {
    let chip = chip();
    let mut nic = nic(&chip);
    let mut burst = 0;
    while chip.0.borrow_mut().deliver(&[&[7; 64]], 0) {
        burst += 1;
    }
    assert_eq!(burst, RX_COUNT - 1);
    let mut out = [0; 2048];
    let mut got = 0;
    while nic.receive(&mut out).is_some() {
        got += 1;
    }
    assert_eq!(got, burst);
}

#[test]
fn damaged_overlong_and_torn_frames_are_dropped_and_counted() {
    let chip = chip();
    let mut nic = nic(&chip);
    let mut out = [0; 1518];
    assert!(chip.0.borrow_mut().deliver(&[&[1; 64]], 1));
    assert!(chip.0.borrow_mut().deliver(&[&[2; 1600]], 0));
    assert!(chip.0.borrow_mut().deliver(&[&[3; 2048], &[4; 100]], 0));
    assert!(chip.0.borrow_mut().deliver(&[&[]], 0));
    assert!(chip.0.borrow_mut().deliver(&[&[5; 64]], 0));
    assert_eq!(nic.receive(&mut out), Some(64));
    assert_eq!(out[0], 5);
    assert_eq!(nic.counters(), Counters { rx_bad: 4, rx_damaged: 1 });
}

#[test]
fn a_length_beyond_the_buffer_is_dropped() {
    let chip = chip();
    let mut nic = nic(&chip);
    assert!(chip.0.borrow_mut().deliver(&[&[1; 64]], 0));
    {
        let mut chip = chip.0.borrow_mut();
        chip.memory[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    }
    let mut out = vec![0; 0x10000];
    assert_eq!(nic.receive(&mut out), None);
    assert_eq!(nic.counters().rx_bad, 1);
}

#[test]
fn link_and_interrupt_are_read_from_the_device() {
    let chip = chip();
    let mut nic = nic(&chip);
    assert!(nic.link_up());
    chip.0.borrow_mut().link = false;
    assert!(!nic.link_up());
    assert!(!nic.set_interrupts(true), "not routed");
    assert_eq!(chip.0.borrow().reg(reg::IMS), 0);
    nic.interrupt_is_routed();
    assert!(nic.set_interrupts(true));
    assert_eq!(chip.0.borrow().reg(reg::IMS), INTERRUPTS);
    assert!(nic.set_interrupts(false));
    assert_eq!(chip.0.borrow().reg(reg::IMC), u32::MAX);
    chip.0.borrow_mut().set(reg::ICR, 0x80);
    nic.acknowledge_interrupt();
    assert_eq!(chip.0.borrow().reg(reg::ICR), 0);
}
