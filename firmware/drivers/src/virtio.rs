//! virtio-net on modern PCI (Virtual I/O Device 1.2, sections 3.1, 4.1, 5.1) over the `Mmio` and `DmaBuf` traits.
//!
//! Negotiated: MAC, link state, MTU, event indices; no offloads, one buffer for each frame. One DMA buffer holds
//! everything:
//! ```text
//! receive queue | transmit queue | receive buffers × 128 | transmit buffers × 128
//! ```
//! Receive descriptor `i` is buffer `i`. Transmit slot `i` has descriptors `2 i` (header and copied bytes) and
//! `2 i + 1` (a page that the device reads by itself). Invariants: a buffer is touched only while it is not with the
//! device; a page is held until the device gave its slot back; transmitting never waits; a device that breaks the
//! protocol is not used any more.

mod layout;
mod queue;

use alloc::sync::Arc;
use alloc::vec::Vec;

pub use layout::{Layout, Part, find};
use queue::{Broken, Queue};
use weft_platform::{DmaBuf, NarrowMmio, Nic, Piece, SendPage, TxError};

/// Receive buffers at most.
pub const RX_BUFFERS: u16 = 128;
/// Transmit slots at most.
pub const TX_SLOTS: u16 = 128;
/// Bytes of the header before each frame.
const NET_HEADER: usize = 12;
/// Ethernet header and a VLAN tag.
const ETHERNET: usize = 18;
const USUAL_MTU: usize = 1500;
/// Largest payload that is used whatever the device says.
const MAX_MTU: usize = 9000;
/// Register reads while waiting for a reset.
const PATIENCE: u32 = 100_000;
/// No interrupt vector.
const NO_VECTOR: u16 = 0xffff;

/// Common configuration (4.1.4.3).
mod reg {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0;
    pub(super) const DEVICE_FEATURE: usize = 4;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 8;
    pub(super) const DRIVER_FEATURE: usize = 12;
    pub(super) const CONFIG_VECTOR: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const QUEUE_SELECT: usize = 22;
    pub(super) const QUEUE_SIZE: usize = 24;
    pub(super) const QUEUE_VECTOR: usize = 26;
    pub(super) const QUEUE_ENABLE: usize = 28;
    pub(super) const QUEUE_NOTIFY_OFFSET: usize = 30;
    /// Descriptors, available ring, used ring: 64 bits each.
    pub(super) const QUEUE_PARTS: [usize; 3] = [32, 40, 48];
    pub(super) const END: usize = 56;
}

/// Configuration of the network device (5.1.4).
mod config {
    pub(super) const STATUS: usize = 6;
    pub(super) const MTU: usize = 10;
    pub(super) const END: usize = 12;
}

const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const FAILED: u8 = 128;

const F_MTU: u64 = 1 << 3;
const F_MAC: u64 = 1 << 5;
const F_STATUS: u64 = 1 << 16;
const F_EVENT_INDEX: u64 = 1 << 29;
const F_VERSION_1: u64 = 1 << 32;
const WANTED: u64 = F_MTU | F_MAC | F_STATUS | F_EVENT_INDEX | F_VERSION_1;

const RX: u16 = 0;
const TX: u16 = 1;

/// Why a device was not set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetupError {
    /// A register window is too small.
    Window,
    /// No DMA memory, or too little.
    Memory,
    /// The device does not come out of reset.
    Reset,
    /// No virtio 1 or no hardware address, or the device refuses what was chosen.
    Features,
    /// A queue is absent or too small.
    Queue,
}

impl core::fmt::Display for SetupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Window => "a register window is too small",
            Self::Memory => "no memory for its rings",
            Self::Reset => "the device does not come out of reset",
            Self::Features => "the device refuses the features that are needed",
            Self::Queue => "the device lacks a queue",
        })
    }
}

impl core::error::Error for SetupError {}

/// The device's register windows.
pub struct Windows<M> {
    /// Common configuration.
    pub common: M,
    /// Notifications.
    pub notify: M,
    /// [`Layout::notify_multiplier`].
    pub notify_multiplier: u32,
    /// Interrupt status.
    pub isr: M,
    /// Configuration of the network device.
    pub device: M,
}

/// How the device's interrupt reaches a processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Not at all: it must be polled.
    None,
    /// By this entry of its MSI-X table.
    Vector(u16),
    /// By its line, which reading the interrupt status lets go.
    Line,
}

/// What went wrong while it ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames with a length that cannot be, or longer than asked for.
    pub rx_bad: u64,
}

enum Slot {
    Free,
    /// With the device, which may read this page.
    Busy(#[expect(dead_code, reason = "held until the device is done")] Option<Arc<dyn SendPage>>),
}

/// What was set up.
struct Plan<D> {
    dma: D,
    mac: [u8; 6],
    mtu: usize,
    has_status: bool,
    signal: Signal,
    rx: Queue,
    rx_size: u16,
    /// Offset of the notification register.
    rx_notify: usize,
    /// Offset of the first buffer.
    rx_buffers: usize,
    tx: Queue,
    tx_notify: usize,
    tx_buffers: usize,
    /// Bytes of each buffer.
    buffer: usize,
    /// Transmit slots.
    slots: u16,
}

/// The driver. Interrupts stay off until [`Nic::set_interrupts`].
pub struct VirtioNet<M: NarrowMmio, D: DmaBuf> {
    windows: Windows<M>,
    plan: Plan<D>,
    slots: Vec<Slot>,
    free: Vec<u16>,
    broken: bool,
    counters: Counters,
}

fn features<M: NarrowMmio>(common: &mut M) -> u64 {
    let mut half = |select| {
        common.write32(reg::DEVICE_FEATURE_SELECT, select);
        u64::from(common.read32(reg::DEVICE_FEATURE))
    };
    half(0) | half(1) << 32
}

/// Resets the device and agrees on features.
fn negotiate<M: NarrowMmio>(common: &mut M) -> Result<u64, SetupError> {
    common.write8(reg::STATUS, 0);
    let mut patience = PATIENCE;
    while common.read8(reg::STATUS) != 0 {
        patience = patience.checked_sub(1).ok_or(SetupError::Reset)?;
    }
    common.write8(reg::STATUS, ACKNOWLEDGE);
    common.write8(reg::STATUS, ACKNOWLEDGE | DRIVER);
    let chosen = features(common) & WANTED;
    if chosen & F_VERSION_1 == 0 || chosen & F_MAC == 0 {
        return Err(SetupError::Features);
    }
    for (select, half) in [(0, chosen & 0xffff_ffff), (1, chosen >> 32)] {
        common.write32(reg::DRIVER_FEATURE_SELECT, select);
        common.write32(reg::DRIVER_FEATURE, half as u32);
    }
    common.write8(reg::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if common.read8(reg::STATUS) & FEATURES_OK == 0 {
        return Err(SetupError::Features);
    }
    Ok(chosen)
}

/// The size of a queue: a power of two, not above `most`.
fn queue_size<M: NarrowMmio>(common: &mut M, index: u16, most: u16) -> Result<u16, SetupError> {
    common.write16(reg::QUEUE_SELECT, index);
    let offered = common.read16(reg::QUEUE_SIZE);
    let size = offered.min(most);
    if size < 4 || !size.is_power_of_two() { Err(SetupError::Queue) } else { Ok(size) }
}

impl<M: NarrowMmio, D: DmaBuf> VirtioNet<M, D> {
    /// Sets the device up and gives it all receive buffers. `memory` allocates zeroed DMA memory.
    pub fn new(
        mut windows: Windows<M>,
        memory: impl FnOnce(usize) -> Option<D>,
        signal: Signal,
    ) -> Result<Self, SetupError> {
        if windows.common.size() < reg::END || windows.device.size() < config::END || windows.isr.size() < 1 {
            return Err(SetupError::Window);
        }
        let result = Self::set_up(&mut windows, memory, signal);
        match result {
            Ok(plan) => Ok(Self::start(windows, plan)),
            Err(error) => {
                windows.common.write8(reg::STATUS, FAILED);
                Err(error)
            }
        }
    }

    fn set_up(
        windows: &mut Windows<M>,
        memory: impl FnOnce(usize) -> Option<D>,
        signal: Signal,
    ) -> Result<Plan<D>, SetupError> {
        let chosen = negotiate(&mut windows.common)?;
        let mut mac = [0; 6];
        for (offset, byte) in mac.iter_mut().enumerate() {
            *byte = windows.device.read8(offset);
        }
        let said = (chosen & F_MTU != 0).then(|| usize::from(windows.device.read16(config::MTU)));
        let mtu = said.unwrap_or(USUAL_MTU).clamp(68, MAX_MTU);
        let buffer = (NET_HEADER + ETHERNET + mtu).next_multiple_of(64);
        let rx_size = queue_size(&mut windows.common, RX, RX_BUFFERS)?;
        let tx_size = queue_size(&mut windows.common, TX, TX_SLOTS * 2)?;
        let rx_base = 0;
        let tx_base = rx_base + Queue::bytes(rx_size);
        let rx_buffers = (tx_base + Queue::bytes(tx_size)).next_multiple_of(64);
        let tx_buffers = rx_buffers + usize::from(rx_size) * buffer;
        let slots = tx_size / 2;
        let total = tx_buffers + usize::from(slots) * buffer;
        let dma = memory(total).filter(|dma| dma.size() >= total).ok_or(SetupError::Memory)?;
        if !dma.device_address().is_multiple_of(16) {
            return Err(SetupError::Memory);
        }
        let event_index = chosen & F_EVENT_INDEX != 0;
        let rx = Queue::new(rx_base, rx_size, event_index);
        let tx = Queue::new(tx_base, tx_size, event_index);
        let signal = match signal {
            Signal::Vector(vector) if !set_vector(&mut windows.common, vector) => Signal::None,
            other => other,
        };
        let rx_notify = enable(windows, RX, rx_size, &rx, dma.device_address())?;
        let tx_notify = enable(windows, TX, tx_size, &tx, dma.device_address())?;
        Ok(Plan {
            dma,
            mac,
            mtu,
            has_status: chosen & F_STATUS != 0,
            signal,
            rx,
            rx_size,
            rx_notify,
            rx_buffers,
            tx,
            tx_notify,
            tx_buffers,
            buffer,
            slots,
        })
    }

    /// Gives the device its receive buffers and lets it run.
    fn start(windows: Windows<M>, plan: Plan<D>) -> Self {
        let mut nic = Self {
            windows,
            broken: false,
            counters: Counters::default(),
            slots: (0..plan.slots).map(|_| Slot::Free).collect(),
            free: (0..plan.slots).rev().collect(),
            plan,
        };
        let Plan { dma, rx, tx, rx_size, rx_buffers, buffer, .. } = &mut nic.plan;
        rx.set_interrupts(dma, false);
        tx.set_interrupts(dma, false);
        for index in 0..*rx_size {
            let offset = *rx_buffers + usize::from(index) * *buffer;
            rx.describe(dma, index, dma.device_address() + offset as u64, *buffer as u32, None, true);
            rx.publish(dma, index);
        }
        nic.windows.common.write8(reg::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        nic.notify_rx();
        nic
    }

    fn notify_rx(&mut self) {
        if self.plan.rx.must_notify(&self.plan.dma) {
            self.windows.notify.write16(self.plan.rx_notify, RX);
        }
    }

    fn rx_buffer(&self, index: u16) -> usize {
        self.plan.rx_buffers + usize::from(index) * self.plan.buffer
    }

    fn tx_buffer(&self, slot: u16) -> usize {
        self.plan.tx_buffers + usize::from(slot) * self.plan.buffer
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes slots back that the device is done with.
    fn take_back(&mut self) -> Result<(), Broken> {
        // One turn of the ring at most, whatever the device does meanwhile.
        for _ in 0..=self.slots.len() {
            let Some((head, _)) = self.plan.tx.take_used(&self.plan.dma)? else { return Ok(()) };
            let entry = self.slots.get_mut(usize::from(head / 2)).ok_or(Broken)?;
            if head % 2 != 0 || matches!(entry, Slot::Free) {
                return Err(Broken);
            }
            *entry = Slot::Free;
            self.free.push(head / 2);
        }
        Ok(())
    }

    fn send(&mut self, head: &[u8], piece: Option<&Piece>) -> Result<(), TxError> {
        let total = head.len().checked_add(piece.map_or(0, |piece| piece.length)).ok_or(TxError::Length)?;
        if head.is_empty() || total > self.plan.mtu + ETHERNET {
            return Err(TxError::Length);
        }
        if piece.is_some_and(|p| p.offset.checked_add(p.length).is_none_or(|end| end > p.page.size())) {
            return Err(TxError::Length);
        }
        Nic::reclaim(self);
        if self.broken {
            return Err(TxError::Device);
        }
        let slot = self.free.pop().ok_or(TxError::Full)?;
        let at = self.tx_buffer(slot);
        self.plan.dma.write(at, &[0; NET_HEADER]);
        self.plan.dma.write(at + NET_HEADER, head);
        let address = self.plan.dma.device_address() + at as u64;
        let piece = piece.filter(|piece| piece.length > 0);
        let second = piece.map(|_| slot * 2 + 1);
        self.plan.tx.describe(
            &mut self.plan.dma,
            slot * 2,
            address,
            (NET_HEADER + head.len()) as u32,
            second,
            false,
        );
        if let Some(piece) = piece {
            let address = piece.page.device_address() + piece.offset as u64;
            self.plan.tx.describe(
                &mut self.plan.dma,
                slot * 2 + 1,
                address,
                piece.length as u32,
                None,
                false,
            );
        }
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            *entry = Slot::Busy(piece.map(|piece| piece.page.clone()));
        }
        self.plan.tx.publish(&mut self.plan.dma, slot * 2);
        if self.plan.tx.must_notify(&self.plan.dma) {
            self.windows.notify.write16(self.plan.tx_notify, TX);
        }
        Ok(())
    }

    /// Copies a received buffer to `out`.
    fn take_rx(&mut self, index: u16, written: usize, out: &mut [u8]) -> Option<usize> {
        let length = written.checked_sub(NET_HEADER).filter(|_| written <= self.plan.buffer);
        let room = length.filter(|length| *length > 0).and_then(|length| out.get_mut(..length));
        let Some(room) = room else {
            self.counters.rx_bad = self.counters.rx_bad.saturating_add(1);
            return None;
        };
        self.plan.dma.read(self.rx_buffer(index) + NET_HEADER, room);
        length
    }
}

/// Whether the device takes the vector for received frames and changes of its configuration.
fn set_vector<M: NarrowMmio>(common: &mut M, vector: u16) -> bool {
    common.write16(reg::CONFIG_VECTOR, vector);
    let configured = common.read16(reg::CONFIG_VECTOR) == vector;
    common.write16(reg::QUEUE_SELECT, TX);
    common.write16(reg::QUEUE_VECTOR, NO_VECTOR);
    common.write16(reg::QUEUE_SELECT, RX);
    common.write16(reg::QUEUE_VECTOR, vector);
    configured && common.read16(reg::QUEUE_VECTOR) == vector
}

/// Tells the device where a queue is and enables it. Returns the offset of its notification register.
fn enable<M: NarrowMmio>(
    windows: &mut Windows<M>,
    index: u16,
    size: u16,
    queue: &Queue,
    base: u64,
) -> Result<usize, SetupError> {
    let common = &mut windows.common;
    common.write16(reg::QUEUE_SELECT, index);
    common.write16(reg::QUEUE_SIZE, size);
    for (register, part) in reg::QUEUE_PARTS.into_iter().zip(queue.parts()) {
        let address = base + part as u64;
        common.write32(register, (address & 0xffff_ffff) as u32);
        common.write32(register + 4, (address >> 32) as u32);
    }
    let place = u64::from(common.read16(reg::QUEUE_NOTIFY_OFFSET)) * u64::from(windows.notify_multiplier);
    let place = usize::try_from(place).map_err(|_| SetupError::Window)?;
    if place.checked_add(2).is_none_or(|end| end > windows.notify.size()) || place % 2 != 0 {
        return Err(SetupError::Window);
    }
    common.write16(reg::QUEUE_ENABLE, 1);
    Ok(place)
}

impl<M: NarrowMmio, D: DmaBuf> Nic for VirtioNet<M, D> {
    fn mac(&self) -> [u8; 6] {
        self.plan.mac
    }

    fn mtu(&self) -> usize {
        self.plan.mtu
    }

    fn link_up(&mut self) -> bool {
        !self.broken && (!self.plan.has_status || self.windows.device.read16(config::STATUS) & 1 != 0)
    }

    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        self.send(frame, None)
    }

    fn transmit_gather(&mut self, head: &[u8], piece: &Piece) -> Result<(), TxError> {
        self.send(head, Some(piece))
    }

    fn reclaim(&mut self) {
        if !self.broken && self.take_back().is_err() {
            self.broken = true;
        }
    }

    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        // One turn of the ring at most, whatever the device does meanwhile.
        for _ in 0..RX_BUFFERS {
            if self.broken {
                return None;
            }
            let taken = match self.plan.rx.take_used(&self.plan.dma) {
                Ok(None) => {
                    self.notify_rx();
                    return None;
                }
                Ok(Some((index, written))) => {
                    let taken = self.take_rx(index, written, out);
                    self.plan.rx.publish(&mut self.plan.dma, index);
                    taken
                }
                Err(Broken) => {
                    self.broken = true;
                    return None;
                }
            };
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    fn acknowledge_interrupt(&mut self) {
        // Reading clears it. With MSI-X there is nothing to clear.
        self.windows.isr.read8(0);
    }

    fn set_interrupts(&mut self, on: bool) -> bool {
        if self.plan.signal == Signal::None {
            return false;
        }
        self.plan.rx.set_interrupts(&mut self.plan.dma, on);
        if self.plan.signal == Signal::Line {
            // Lets the line go.
            self.acknowledge_interrupt();
        }
        true
    }
}

#[cfg(test)]
#[path = "virtio_tests.rs"]
mod tests;
