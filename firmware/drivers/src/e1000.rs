//! Intel gigabit Ethernet: 8254x (82540EM and relatives) and 82574 with legacy descriptors.
//!
//! Source: Intel "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (317453),
//! chapters 3 (descriptors), 13 (registers), 14 (initialisation); 82574 datasheet, section 10.
//!
//! One DMA buffer holds everything: receive ring, transmit ring, receive buffers, transmit buffers.
//! ```text
//! 0            RX_RING       TX_RING        RX_BUFFERS              TX_BUFFERS
//! ├─ 16 B × 128 ─┼─ 16 B × 64 ─┼─ 2 KiB × 128 ─────────┼─ 2 KiB × 64 ──────────┤
//! ```
//! Invariants: a buffer is touched only while its descriptor is ours (receive: between "done" and giving it
//! back; transmit: between "done" and the tail moving past it); a page that the device reads by itself is held
//! as long; the tail never catches up with the head, so that empty and full differ; lengths from the device are
//! checked against the buffer. All frames are received (promiscuous), because guests have MACs of their own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use weft_platform::{DmaBuf, Mmio, Nic, Piece, SendPage, TxError};

/// Receive descriptors.
pub const RX_COUNT: usize = 128;
/// Transmit descriptors.
pub const TX_COUNT: usize = 64;
const DESCRIPTOR: usize = 16;
const BUFFER: usize = 2048;
const RX_RING: usize = 0;
const TX_RING: usize = RX_RING + RX_COUNT * DESCRIPTOR;
const RX_BUFFERS: usize = TX_RING + TX_COUNT * DESCRIPTOR;
const TX_BUFFERS: usize = RX_BUFFERS + RX_COUNT * BUFFER;
/// Bytes of DMA memory that the driver needs.
pub const DMA_BYTES: usize = TX_BUFFERS + TX_COUNT * BUFFER;
/// Bytes of registers that the driver touches; the device's window is larger.
pub const MMIO_BYTES: usize = 0x5408;

/// Largest payload.
const MTU: usize = 1500;
/// Longest frame without FCS, VLAN tag included.
const MAX_FRAME: usize = MTU + 18;
/// Shortest frame without FCS; shorter ones are padded.
const MIN_FRAME: usize = 60;
/// Register reads while waiting for the device. Each takes about a microsecond on real buses.
const PATIENCE: u32 = 100_000;

mod reg {
    pub(super) const CTRL: usize = 0x0000;
    pub(super) const STATUS: usize = 0x0008;
    pub(super) const EERD: usize = 0x0014;
    pub(super) const ICR: usize = 0x00c0;
    pub(super) const ITR: usize = 0x00c4;
    pub(super) const IMS: usize = 0x00d0;
    pub(super) const IMC: usize = 0x00d8;
    pub(super) const RCTL: usize = 0x0100;
    pub(super) const TCTL: usize = 0x0400;
    pub(super) const TIPG: usize = 0x0410;
    pub(super) const RDBAL: usize = 0x2800;
    pub(super) const RDBAH: usize = 0x2804;
    pub(super) const RDLEN: usize = 0x2808;
    pub(super) const RDH: usize = 0x2810;
    pub(super) const RDT: usize = 0x2818;
    pub(super) const TDBAL: usize = 0x3800;
    pub(super) const TDBAH: usize = 0x3804;
    pub(super) const TDLEN: usize = 0x3808;
    pub(super) const TDH: usize = 0x3810;
    pub(super) const TDT: usize = 0x3818;
    pub(super) const MTA: usize = 0x5200;
    pub(super) const MTA_COUNT: usize = 128;
    pub(super) const RAL: usize = 0x5400;
    pub(super) const RAH: usize = 0x5404;
}

const CTRL_ASDE: u32 = 1 << 5;
const CTRL_SLU: u32 = 1 << 6;
const CTRL_RST: u32 = 1 << 26;
const STATUS_LINK_UP: u32 = 1 << 1;
const RCTL_ENABLE: u32 = 1 << 1;
const RCTL_UNICAST_ALL: u32 = 1 << 3;
const RCTL_MULTICAST_ALL: u32 = 1 << 4;
const RCTL_BROADCAST: u32 = 1 << 15;
const RCTL_STRIP_CRC: u32 = 1 << 26;
const TCTL_ENABLE: u32 = 1 << 1;
const TCTL_PAD: u32 = 1 << 3;
/// Collision threshold 15, distance 64 (full duplex).
const TCTL_COLLISIONS: u32 = (0x0f << 4) | (0x40 << 12);
/// Inter-packet gap for copper, as the manual recommends.
const TIPG_COPPER: u32 = 10 | (8 << 10) | (6 << 20);
const RAH_VALID: u32 = 1 << 31;
/// Receive timer, receive overrun, receive low, link change.
const INTERRUPTS: u32 = (1 << 7) | (1 << 6) | (1 << 4) | (1 << 2);

const RX_DONE: u32 = 1 << 0;
const RX_END: u32 = 1 << 1;
/// CE, SE, SEQ, CXE, RXE in the errors byte: the frame is damaged.
const RX_DAMAGED: u32 = (1 << 8) | (1 << 9) | (1 << 10) | (1 << 12) | (1 << 15);
const TX_DONE: u32 = 1 << 0;
/// End of packet, insert FCS, report status.
const TX_COMMAND: u32 = ((1 << 1) | (1 << 3)) << 24 | TX_END;
const TX_END: u32 = 1 << 24;

/// Which family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// 8254x.
    Pci,
    /// 82574.
    PciExpress,
}

/// Why a device was not set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetupError {
    /// The register window is too small.
    Window,
    /// The DMA memory is too small or above what the device reaches without care (unaligned).
    Memory,
    /// The device does not come out of reset.
    Reset,
    /// Neither registers nor EEPROM hold a usable address.
    Address,
}

impl core::fmt::Display for SetupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Window => "the register window is too small",
            Self::Memory => "the DMA memory is too small or not aligned",
            Self::Reset => "the device does not come out of reset",
            Self::Address => "the device has no usable hardware address",
        })
    }
}

impl core::error::Error for SetupError {}

/// What went wrong while it ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames with a length or flags that cannot be, or longer than asked for.
    pub rx_bad: u64,
    /// Frames damaged on the wire.
    pub rx_damaged: u64,
}

/// The driver. Interrupts stay off until [`Nic::set_interrupts`].
pub struct E1000<M: Mmio, D: DmaBuf> {
    mmio: M,
    dma: D,
    mac: [u8; 6],
    /// Receive descriptor that is filled next.
    rx_next: usize,
    /// A frame of several descriptors is being skipped.
    rx_skipping: bool,
    /// Transmit descriptor that is used next.
    tx_next: usize,
    /// Oldest transmit descriptor in flight.
    tx_oldest: usize,
    tx_in_flight: usize,
    /// Pages that the device may still read, by descriptor.
    tx_pages: Vec<Option<Arc<dyn SendPage>>>,
    can_interrupt: bool,
    counters: Counters,
}

const fn low(address: u64) -> u32 {
    (address & 0xffff_ffff) as u32
}

const fn high(address: u64) -> u32 {
    (address >> 32) as u32
}

impl<M: Mmio, D: DmaBuf> E1000<M, D> {
    /// Resets the device and starts receiving.
    pub fn new(family: Family, mut mmio: M, dma: D) -> Result<Self, SetupError> {
        if mmio.size() < MMIO_BYTES {
            return Err(SetupError::Window);
        }
        if dma.size() < DMA_BYTES || !dma.device_address().is_multiple_of(16) {
            return Err(SetupError::Memory);
        }
        reset(&mut mmio)?;
        let mac = hardware_address(&mut mmio, family).ok_or(SetupError::Address)?;
        let mut nic = Self {
            mmio,
            dma,
            mac,
            rx_next: 0,
            rx_skipping: false,
            tx_next: 0,
            tx_oldest: 0,
            tx_in_flight: 0,
            tx_pages: (0..TX_COUNT).map(|_| None).collect(),
            can_interrupt: false,
            counters: Counters::default(),
        };
        nic.start();
        Ok(nic)
    }

    fn start(&mut self) {
        let base = self.dma.device_address();
        let [a, b, c, d, e, f] = self.mac;
        self.mmio.write32(reg::RAL, u32::from_le_bytes([a, b, c, d]));
        self.mmio.write32(reg::RAH, u32::from_le_bytes([e, f, 0, 0]) | RAH_VALID);
        for index in 0..reg::MTA_COUNT {
            self.mmio.write32(reg::MTA + index * 4, 0);
        }
        for index in 0..RX_COUNT {
            self.give_rx(index);
        }
        for index in 0..TX_COUNT {
            for word in 0..4 {
                self.dma.write32(TX_RING + index * DESCRIPTOR + word * 4, 0);
            }
        }
        let (rx_ring, tx_ring) = (base + RX_RING as u64, base + TX_RING as u64);
        self.mmio.write32(reg::RDBAL, low(rx_ring));
        self.mmio.write32(reg::RDBAH, high(rx_ring));
        self.mmio.write32(reg::RDLEN, (RX_COUNT * DESCRIPTOR) as u32);
        self.mmio.write32(reg::RDH, 0);
        self.mmio.write32(reg::TDBAL, low(tx_ring));
        self.mmio.write32(reg::TDBAH, high(tx_ring));
        self.mmio.write32(reg::TDLEN, (TX_COUNT * DESCRIPTOR) as u32);
        self.mmio.write32(reg::TDH, 0);
        self.mmio.write32(reg::TDT, 0);
        self.mmio.write32(reg::TIPG, TIPG_COPPER);
        self.mmio.write32(reg::TCTL, TCTL_ENABLE | TCTL_PAD | TCTL_COLLISIONS);
        self.mmio.write32(
            reg::RCTL,
            RCTL_ENABLE | RCTL_UNICAST_ALL | RCTL_MULTICAST_ALL | RCTL_BROADCAST | RCTL_STRIP_CRC,
        );
        self.mmio.write32(reg::RDT, (RX_COUNT - 1) as u32);
    }

    /// Says that the device's interrupt reaches a processor. Before that it must be polled.
    pub fn interrupt_is_routed(&mut self) {
        self.can_interrupt = true;
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Writes a fresh receive descriptor.
    fn give_rx(&mut self, index: usize) {
        let buffer = self.dma.device_address() + (RX_BUFFERS + index * BUFFER) as u64;
        let at = RX_RING + index * DESCRIPTOR;
        self.dma.write32(at, low(buffer));
        self.dma.write32(at + 4, high(buffer));
        self.dma.write32(at + 8, 0);
        self.dma.write32(at + 12, 0);
    }

    /// Frees transmit descriptors that the device is done with.
    fn take_back(&mut self) {
        while self.tx_in_flight > 0 {
            let status = self.dma.read32(TX_RING + self.tx_oldest * DESCRIPTOR + 12);
            if status & TX_DONE == 0 {
                return;
            }
            if let Some(page) = self.tx_pages.get_mut(self.tx_oldest) {
                *page = None;
            }
            self.tx_oldest = (self.tx_oldest + 1) % TX_COUNT;
            self.tx_in_flight -= 1;
        }
    }

    /// Fills the next transmit descriptor; the device sees it when the tail moves.
    fn give_tx(&mut self, address: u64, length: usize, command: u32) {
        let at = TX_RING + self.tx_next * DESCRIPTOR;
        self.dma.write32(at, low(address));
        self.dma.write32(at + 4, high(address));
        self.dma.write32(at + 12, 0);
        self.dma.write32(at + 8, length as u32 | command);
        self.tx_next = (self.tx_next + 1) % TX_COUNT;
        self.tx_in_flight += 1;
    }

    fn send(&mut self, head: &[u8], piece: Option<&Piece>) -> Result<(), TxError> {
        let piece = piece.filter(|piece| piece.length > 0);
        let rest = piece.map_or(0, |piece| piece.length);
        let total = head.len().checked_add(rest).filter(|total| *total <= MAX_FRAME);
        let outside =
            piece.is_some_and(|p| p.offset.checked_add(p.length).is_none_or(|end| end > p.page.size()));
        if head.is_empty() || outside || total.is_none() {
            return Err(TxError::Length);
        }
        self.take_back();
        let needed = if piece.is_some() { 2 } else { 1 };
        if self.tx_in_flight + needed > TX_COUNT - 1 {
            return Err(TxError::Full);
        }
        let buffer = TX_BUFFERS + self.tx_next * BUFFER;
        self.dma.write(buffer, head);
        let address = self.dma.device_address() + buffer as u64;
        match piece {
            None => {
                if let Some(padding) = [0; MIN_FRAME].get(head.len()..) {
                    self.dma.write(buffer + head.len(), padding);
                }
                self.give_tx(address, head.len().max(MIN_FRAME), TX_COMMAND);
            }
            Some(piece) => {
                // The device pads what is short.
                self.give_tx(address, head.len(), TX_COMMAND & !TX_END);
                if let Some(page) = self.tx_pages.get_mut(self.tx_next) {
                    *page = Some(piece.page.clone());
                }
                let from = piece.page.device_address() + piece.offset as u64;
                self.give_tx(from, piece.length, TX_COMMAND);
            }
        }
        self.mmio.write32(reg::TDT, self.tx_next as u32);
        Ok(())
    }

    /// Handles one finished receive descriptor: the frame's length, or `None` when it is to be dropped.
    fn take_rx(&mut self, status: u32, out: &mut [u8]) -> Option<usize> {
        let whole = status & RX_END != 0 && !self.rx_skipping;
        self.rx_skipping = status & RX_END == 0;
        let len = (self.dma.read32(RX_RING + self.rx_next * DESCRIPTOR + 8) & 0xffff) as usize;
        if status & RX_DAMAGED != 0 {
            self.counters.rx_damaged = self.counters.rx_damaged.saturating_add(1);
            return None;
        }
        let room = if whole && len > 0 && len <= BUFFER { out.get_mut(..len) } else { None };
        let Some(room) = room else {
            self.counters.rx_bad = self.counters.rx_bad.saturating_add(1);
            return None;
        };
        self.dma.read(RX_BUFFERS + self.rx_next * BUFFER, room);
        Some(len)
    }
}

fn reset(mmio: &mut impl Mmio) -> Result<(), SetupError> {
    mmio.write32(reg::IMC, u32::MAX);
    mmio.write32(reg::RCTL, 0);
    mmio.write32(reg::TCTL, 0);
    let control = mmio.read32(reg::CTRL);
    mmio.write32(reg::CTRL, control | CTRL_RST);
    let mut patience = PATIENCE;
    while mmio.read32(reg::CTRL) & CTRL_RST != 0 {
        patience = patience.checked_sub(1).ok_or(SetupError::Reset)?;
    }
    mmio.write32(reg::IMC, u32::MAX);
    mmio.read32(reg::ICR);
    let control = mmio.read32(reg::CTRL);
    mmio.write32(reg::CTRL, control | CTRL_SLU | CTRL_ASDE);
    Ok(())
}

fn usable(mac: [u8; 6]) -> Option<[u8; 6]> {
    if mac == [0; 6] || mac[0] & 1 == 1 { None } else { Some(mac) }
}

/// The address that the device loaded after its reset, else the EEPROM's first three words.
fn hardware_address(mmio: &mut impl Mmio, family: Family) -> Option<[u8; 6]> {
    let (low, high) = (mmio.read32(reg::RAL), mmio.read32(reg::RAH));
    if high & RAH_VALID != 0 {
        let ([a, b, c, d], [e, f, ..]) = (low.to_le_bytes(), high.to_le_bytes());
        if let Some(mac) = usable([a, b, c, d, e, f]) {
            return Some(mac);
        }
    }
    let mut mac = [0; 6];
    for (index, pair) in (0..).zip(mac.chunks_exact_mut(2)) {
        pair.copy_from_slice(&eeprom(mmio, family, index)?.to_le_bytes());
    }
    usable(mac)
}

fn eeprom(mmio: &mut impl Mmio, family: Family, word: u32) -> Option<u16> {
    let (shift, done) = match family {
        Family::Pci => (8, 1 << 4),
        Family::PciExpress => (2, 1 << 1),
    };
    mmio.write32(reg::EERD, 1 | (word << shift));
    for _ in 0..PATIENCE {
        let value = mmio.read32(reg::EERD);
        if value & done != 0 {
            return u16::try_from(value >> 16).ok();
        }
    }
    None
}

impl<M: Mmio, D: DmaBuf> Nic for E1000<M, D> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        MTU
    }

    fn link_up(&mut self) -> bool {
        self.mmio.read32(reg::STATUS) & STATUS_LINK_UP != 0
    }

    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        self.send(frame, None)
    }

    fn transmit_gather(&mut self, head: &[u8], piece: &Piece) -> Result<(), TxError> {
        self.send(head, Some(piece))
    }

    fn reclaim(&mut self) {
        self.take_back();
    }

    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        // One turn of the ring at most, whatever the device does meanwhile.
        for _ in 0..RX_COUNT {
            let status = self.dma.read32(RX_RING + self.rx_next * DESCRIPTOR + 12);
            if status & RX_DONE == 0 {
                return None;
            }
            let taken = self.take_rx(status, out);
            self.give_rx(self.rx_next);
            self.mmio.write32(reg::RDT, self.rx_next as u32);
            self.rx_next = (self.rx_next + 1) % RX_COUNT;
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    fn acknowledge_interrupt(&mut self) {
        // Reading clears it.
        self.mmio.read32(reg::ICR);
    }

    fn set_interrupts(&mut self, on: bool) -> bool {
        self.mmio.write32(reg::IMC, u32::MAX);
        if on && self.can_interrupt {
            // What came before is no reason to interrupt: the caller looks once more.
            self.mmio.read32(reg::ICR);
            self.mmio.write32(reg::ITR, 0);
            self.mmio.write32(reg::IMS, INTERRUPTS);
        }
        self.can_interrupt
    }
}

#[cfg(test)]
#[path = "e1000_tests.rs"]
mod tests;
