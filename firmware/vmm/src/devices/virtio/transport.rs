//! The memory-mapped transport, version 2: registers between a driver and a [`Device`].
//!
//! ```text
//!  reset ─ACKNOWLEDGE, DRIVER─▶ negotiating ─FEATURES_OK─▶ setting up queues ─DRIVER_OK─▶ running
//!    ▲                                                                                      │
//!    └──────────── status 0 ◀──────────── NEEDS_RESET (interrupt) ◀──── broken ring ─────────┘
//! ```
//!
//! Queues are set up once features are agreed on and are served only while running. Registers are
//! 32 bits wide; other widths read as zero and write nothing, except in the configuration space.
//!
//! Source: VIRTIO 1.2, sections 2.1, 3.1 and 4.2.

use alloc::vec::Vec;

use weft_platform::{GuestMemory, MemError};

use super::queue::Part;
use super::{Device, Fault, MmioDevice, Queue, QueueError, Signal};

const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"WEFT");

const STATUS_ACKNOWLEDGE: u32 = 1;
const STATUS_DRIVER: u32 = 2;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_FEATURES_OK: u32 = 8;
const STATUS_NEEDS_RESET: u32 = 0x40;
const STATUS_FAILED: u32 = 0x80;

const INTERRUPT_QUEUE: u32 = 1;
const INTERRUPT_CONFIG: u32 = 2;

const FEATURE_INDIRECT: u64 = 1 << 28;
const FEATURE_EVENT_INDEX: u64 = 1 << 29;
const FEATURE_VERSION_1: u64 = 1 << 32;
const TRANSPORT_FEATURES: u64 = FEATURE_INDIRECT | FEATURE_EVENT_INDEX | FEATURE_VERSION_1;

const CONFIG: u64 = 0x100;

/// Registers by offset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Register {
    Magic,
    Version,
    DeviceId,
    VendorId,
    DeviceFeatures,
    DeviceFeaturesSelect,
    DriverFeatures,
    DriverFeaturesSelect,
    QueueSelect,
    QueueSizeMax,
    QueueSize,
    QueueReady,
    QueueNotify,
    InterruptStatus,
    InterruptAcknowledge,
    Status,
    Address(Part, bool),
    SharedMemory,
    ConfigGeneration,
    Unknown,
}

impl Register {
    fn at(offset: u64) -> Self {
        match offset {
            0x000 => Self::Magic,
            0x004 => Self::Version,
            0x008 => Self::DeviceId,
            0x00c => Self::VendorId,
            0x010 => Self::DeviceFeatures,
            0x014 => Self::DeviceFeaturesSelect,
            0x020 => Self::DriverFeatures,
            0x024 => Self::DriverFeaturesSelect,
            0x030 => Self::QueueSelect,
            0x034 => Self::QueueSizeMax,
            0x038 => Self::QueueSize,
            0x044 => Self::QueueReady,
            0x050 => Self::QueueNotify,
            0x060 => Self::InterruptStatus,
            0x064 => Self::InterruptAcknowledge,
            0x070 => Self::Status,
            0x080 => Self::Address(Part::Descriptors, false),
            0x084 => Self::Address(Part::Descriptors, true),
            0x090 => Self::Address(Part::Available, false),
            0x094 => Self::Address(Part::Available, true),
            0x0a0 => Self::Address(Part::Used, false),
            0x0a4 => Self::Address(Part::Used, true),
            0x0b0 | 0x0b4 | 0x0b8 | 0x0bc => Self::SharedMemory,
            0x0fc => Self::ConfigGeneration,
            _ => Self::Unknown,
        }
    }
}

/// What an empty slot reads: the transport is there, the device is not.
pub(super) fn read_empty(offset: u64, bytes: u8) -> u64 {
    match (bytes, Register::at(offset)) {
        (4, Register::Magic) => u64::from(MAGIC),
        (4, Register::Version) => u64::from(VERSION),
        _ => 0,
    }
}

/// A device and its registers.
#[derive(Debug)]
pub struct Transport<D> {
    device: D,
    queues: Vec<Queue>,
    status: u32,
    interrupt_status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    config_generation: u32,
}

impl<D: Device> Transport<D> {
    /// A device after reset.
    pub fn new(device: D) -> Self {
        let queues = device.queue_sizes().iter().map(|size| Queue::new(*size)).collect();
        Self {
            device,
            queues,
            status: 0,
            interrupt_status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            config_generation: 0,
        }
    }

    /// The device behind the registers.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device behind the registers. After input, or when output was taken, call
    /// [`MmioDevice::process`].
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Tells the driver that the configuration space has changed.
    pub fn config_changed(&mut self) -> Signal {
        self.config_generation = self.config_generation.wrapping_add(1);
        if !self.running() {
            return Signal::default();
        }
        self.interrupt_status |= INTERRUPT_CONFIG;
        Signal { interrupt: true, ..Signal::default() }
    }

    /// As after power-on; what has gone in or out of the device stays.
    pub fn reset(&mut self) {
        self.device.reset();
        self.queues = self.device.queue_sizes().iter().map(|size| Queue::new(*size)).collect();
        self.status = 0;
        self.interrupt_status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
    }

    fn running(&self) -> bool {
        self.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET | STATUS_FAILED) == STATUS_DRIVER_OK
    }

    /// Features are agreed on: queues may be set up.
    fn setting_up(&self) -> bool {
        self.status & (STATUS_FEATURES_OK | STATUS_NEEDS_RESET | STATUS_FAILED) == STATUS_FEATURES_OK
    }

    fn features(&self) -> u64 {
        self.device.features() | TRANSPORT_FEATURES
    }

    fn selected(&mut self) -> Option<&mut Queue> {
        let index = usize::try_from(self.queue_select).ok()?;
        self.queues.get_mut(index)
    }

    fn read_config(&self, offset: u64, bytes: u8) -> u64 {
        (0..u64::from(bytes.min(8)))
            .map(|byte| u64::from(self.device.config(offset.saturating_add(byte))) << (8 * byte))
            .fold(0, |value, byte| value | byte)
    }

    fn read_register(&mut self, register: Register) -> u32 {
        match register {
            Register::Magic => MAGIC,
            Register::Version => VERSION,
            Register::DeviceId => self.device.kind(),
            Register::VendorId => VENDOR,
            Register::DeviceFeatures => half(self.features(), self.device_features_select),
            Register::QueueSizeMax => self.selected().map_or(0, |queue| u32::from(queue.max_size())),
            Register::QueueReady => self.selected().map_or(0, |queue| u32::from(queue.is_ready())),
            Register::InterruptStatus => self.interrupt_status,
            Register::Status => self.status,
            Register::Address(part, high) => {
                self.selected().map_or(0, |queue| queue.half_address(part, high))
            }
            // There is no shared memory region: its length and base read as all ones.
            Register::SharedMemory => u32::MAX,
            Register::ConfigGeneration => self.config_generation,
            Register::DeviceFeaturesSelect
            | Register::DriverFeatures
            | Register::DriverFeaturesSelect
            | Register::QueueSelect
            | Register::QueueSize
            | Register::QueueNotify
            | Register::InterruptAcknowledge
            | Register::Unknown => 0,
        }
    }

    fn write_register(
        &mut self,
        register: Register,
        value: u32,
        mem: &dyn GuestMemory,
    ) -> Result<Signal, MemError> {
        match register {
            Register::DeviceFeaturesSelect => self.device_features_select = value,
            Register::DriverFeaturesSelect => self.driver_features_select = value,
            Register::DriverFeatures => self.write_features(value),
            Register::QueueSelect => self.queue_select = value,
            Register::QueueSize => {
                if let Some(queue) = self.selected() {
                    queue.set_size(value);
                }
            }
            Register::Address(part, high) => {
                if let Some(queue) = self.selected() {
                    queue.set_address(part, high, value);
                }
            }
            Register::QueueReady => return Ok(self.write_ready(value)),
            Register::QueueNotify => return self.serve(mem),
            Register::InterruptAcknowledge => self.interrupt_status &= !value,
            Register::Status => return self.write_status(value, mem),
            Register::Magic
            | Register::Version
            | Register::DeviceId
            | Register::VendorId
            | Register::DeviceFeatures
            | Register::QueueSizeMax
            | Register::InterruptStatus
            | Register::SharedMemory
            | Register::ConfigGeneration
            | Register::Unknown => {}
        }
        Ok(Signal::default())
    }

    fn write_features(&mut self, value: u32) {
        if self.status & STATUS_FEATURES_OK != 0 {
            return;
        }
        match self.driver_features_select {
            0 => self.driver_features = (self.driver_features & !0xffff_ffff) | u64::from(value),
            1 => self.driver_features = (self.driver_features & 0xffff_ffff) | u64::from(value) << 32,
            // Features past 64 do not exist; a driver that asks for one would be refused anyway.
            _ => {}
        }
    }

    fn write_ready(&mut self, value: u32) -> Signal {
        let allowed = self.setting_up();
        let event_index = self.driver_features & FEATURE_EVENT_INDEX != 0;
        let indirect = self.driver_features & FEATURE_INDIRECT != 0;
        let number = self.queue_select as u16;
        let Some(queue) = self.selected() else { return Signal::default() };
        if value & 1 == 0 {
            queue.disable();
        } else if allowed && !queue.enable(event_index, indirect) {
            return self.fail(Fault::QueueSetup { queue: number });
        }
        Signal::default()
    }

    fn write_status(&mut self, value: u32, mem: &dyn GuestMemory) -> Result<Signal, MemError> {
        if value == 0 {
            self.reset();
            return Ok(Signal::default());
        }
        let mut new = value
            & (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK | STATUS_FEATURES_OK | STATUS_FAILED);
        let asks_features = new & !self.status & STATUS_FEATURES_OK != 0;
        let acceptable =
            self.driver_features & !self.features() == 0 && self.driver_features & FEATURE_VERSION_1 != 0;
        if asks_features && !acceptable {
            new &= !STATUS_FEATURES_OK;
        }
        if new & STATUS_FEATURES_OK == 0 {
            new &= !STATUS_DRIVER_OK;
        }
        // Bits are only added; a reset alone clears them.
        self.status |= new;
        self.serve(mem)
    }

    /// Runs the device and finds out whether an interrupt is wanted.
    fn serve(&mut self, mem: &dyn GuestMemory) -> Result<Signal, MemError> {
        if !self.running() {
            return Ok(Signal::default());
        }
        match self.serve_queues(mem) {
            Ok((more, wanted)) => {
                if wanted {
                    self.interrupt_status |= INTERRUPT_QUEUE;
                }
                Ok(Signal { interrupt: wanted, more, fault: None })
            }
            Err((_, QueueError::Need(need))) => Err(need),
            Err((queue, QueueError::Fault(fault))) => Ok(self.fail(Fault::Ring { queue, fault })),
        }
    }

    fn serve_queues(&mut self, mem: &dyn GuestMemory) -> Result<(bool, bool), (u16, QueueError)> {
        let more = self.device.process(&mut self.queues, mem)?;
        // First all looks, then all marks: a look that must be repeated loses no interrupt.
        let mut looked = Vec::with_capacity(self.queues.len());
        let mut wanted = false;
        for (number, queue) in (0u16..).zip(&self.queues) {
            let mut queue = queue.clone();
            wanted |= queue.finish(mem).map_err(|error| (number, error))?;
            looked.push(queue);
        }
        self.queues = looked;
        Ok((more, wanted))
    }

    fn fail(&mut self, fault: Fault) -> Signal {
        self.status |= STATUS_NEEDS_RESET;
        let interrupt = self.status & STATUS_DRIVER_OK != 0;
        if interrupt {
            self.interrupt_status |= INTERRUPT_CONFIG;
        }
        Signal { interrupt, more: false, fault: Some(fault) }
    }
}

impl<D: Device> MmioDevice for Transport<D> {
    fn read(&mut self, offset: u64, bytes: u8) -> u64 {
        match offset.checked_sub(CONFIG) {
            Some(offset) => self.read_config(offset, bytes),
            None if bytes == 4 => u64::from(self.read_register(Register::at(offset))),
            None => 0,
        }
    }

    fn write(
        &mut self,
        offset: u64,
        bytes: u8,
        value: u64,
        mem: &dyn GuestMemory,
    ) -> Result<Signal, MemError> {
        if offset >= CONFIG || bytes != 4 {
            // No device has a configuration field that a driver writes.
            return Ok(Signal::default());
        }
        self.write_register(Register::at(offset), value as u32, mem)
    }

    fn process(&mut self, mem: &dyn GuestMemory) -> Result<Signal, MemError> {
        self.serve(mem)
    }
}

/// The 32 bits of `features` that `select` names.
fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
