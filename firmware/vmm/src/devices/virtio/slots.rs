//! The sixteen places for virtio devices. A place never moves; one that is empty answers as a transport
//! without a device.

use weft_platform::{GuestMemory, MemError};

use super::console::Console;
use super::net::Net;
use super::rng::Rng;
use super::{MmioDevice, Signal, Transport, transport};
use crate::layout;

const COUNT: usize = layout::VIRTIO_SLOTS as usize;

/// A place and what is in it.
#[derive(Debug, Default)]
pub enum Slot {
    /// Nothing.
    #[default]
    Empty,
    /// A console.
    Console(Transport<Console>),
    /// A source of random bytes.
    Rng(Transport<Rng>),
    /// A network port.
    Net(Transport<Net>),
}

impl Slot {
    fn device(&mut self) -> Option<&mut dyn MmioDevice> {
        match self {
            Self::Empty => None,
            Self::Console(device) => Some(device),
            Self::Rng(device) => Some(device),
            Self::Net(device) => Some(device),
        }
    }
}

/// All places of a machine.
#[derive(Debug, Default)]
pub struct Slots {
    slots: [Slot; COUNT],
}

impl Slots {
    /// All empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a device in a place; false when there is no such place. Done before the guest starts: the
    /// tables that describe the machine name what is occupied.
    pub fn insert(&mut self, slot: u8, device: Slot) -> bool {
        let place = self.slots.get_mut(usize::from(slot));
        place.map(|place| *place = device).is_some()
    }

    /// Bit for each place that is occupied, as [`acpi::build`](crate::acpi::build) wants it.
    pub fn occupied(&self) -> u16 {
        (0u16..)
            .zip(&self.slots)
            .filter(|(_, slot)| !matches!(slot, Slot::Empty))
            .fold(0, |bits, (number, _)| bits | 1 << number)
    }

    /// What is in a place.
    pub fn get_mut(&mut self, slot: u8) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(slot))
    }

    /// The first console.
    pub fn console(&mut self) -> Option<(u8, &mut Transport<Console>)> {
        (0u8..).zip(&mut self.slots).find_map(|(number, slot)| match slot {
            Slot::Console(device) => Some((number, device)),
            Slot::Empty | Slot::Rng(_) | Slot::Net(_) => None,
        })
    }

    /// The first network port.
    pub fn net(&mut self) -> Option<(u8, &mut Transport<Net>)> {
        (0u8..).zip(&mut self.slots).find_map(|(number, slot)| match slot {
            Slot::Net(device) => Some((number, device)),
            Slot::Empty | Slot::Rng(_) | Slot::Console(_) => None,
        })
    }

    /// Reads `bytes` at `offset` of a place's window.
    pub fn read(&mut self, slot: u8, offset: u64, bytes: u8) -> u64 {
        match self.device(slot) {
            Some(device) => device.read(offset, bytes),
            None => transport::read_empty(offset, bytes),
        }
    }

    /// Writes `bytes` at `offset` of a place's window. After [`MemError::Need`] the same call is made
    /// again.
    pub fn write(
        &mut self,
        slot: u8,
        offset: u64,
        bytes: u8,
        value: u64,
        mem: &dyn GuestMemory,
    ) -> Result<Signal, MemError> {
        self.device(slot).map_or(Ok(Signal::default()), |device| device.write(offset, bytes, value, mem))
    }

    /// Serves a place after input came or output was taken.
    pub fn process(&mut self, slot: u8, mem: &dyn GuestMemory) -> Result<Signal, MemError> {
        self.device(slot).map_or(Ok(Signal::default()), |device| device.process(mem))
    }

    /// Resets all devices, as at power-on; what has gone in or out of them stays.
    pub fn reset(&mut self) {
        for slot in &mut self.slots {
            match slot {
                Slot::Empty => {}
                Slot::Console(device) => device.reset(),
                Slot::Rng(device) => device.reset(),
                Slot::Net(device) => device.reset(),
            }
        }
    }

    fn device(&mut self, slot: u8) -> Option<&mut dyn MmioDevice> {
        self.slots.get_mut(usize::from(slot)).and_then(Slot::device)
    }
}
