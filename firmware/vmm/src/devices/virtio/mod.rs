//! Virtio devices behind memory-mapped registers.
//!
//! ```text
//!  guest ─write─▶ Transport (registers, state) ─▶ Device (console, rng, net) ─▶ Queue ─▶ GuestMemory
//!  host input ─▶ Device ─▶ process() ───────────────────────────────────────▶ Queue
//! ```
//!
//! Rules that all parts keep:
//! - An operation that meets a page that is elsewhere returns [`MemError::Need`] and is run again as it
//!   was. What it had finished stays finished, what it had not has left no trace that the guest may look
//!   at: a buffer is the device's until the used index has passed it.
//! - Work per call is bounded; [`Signal::more`] asks for another call.
//! - A guest that breaks a ring gets a device that needs a reset and an interrupt that says so; the
//!   [`Fault`] is reported once.
//!
//! The parts: [`queue`] (split virtqueues), [`transport`] (registers), [`console`], [`net`] and [`rng`]
//! (devices), [`slots`] (the sixteen places of a machine).
//!
//! Source: Virtual I/O Device (VIRTIO) version 1.2; section 4.2 for the transport.

use core::fmt;

use weft_platform::{GuestMemory, MemError};

pub mod console;
pub mod net;
pub mod queue;
pub mod rng;
pub mod slots;
pub mod transport;

pub use queue::{Queue, QueueError, RingFault};
pub use slots::{Slot, Slots};
pub use transport::Transport;

/// What a call of a device asks of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signal {
    /// Raise the device's interrupt (an edge).
    pub interrupt: bool,
    /// There is more to do, at once or when output was taken: call `process` again soon.
    pub more: bool,
    /// The guest broke the device's rules; for the report.
    pub fault: Option<Fault>,
}

/// How a guest broke a device's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A ring or what it names is wrong.
    Ring {
        /// Queue, or the number of queues when it is not known which.
        queue: u16,
        /// What is wrong.
        fault: RingFault,
    },
    /// A queue was enabled with a size or addresses that are not possible.
    QueueSetup {
        /// Queue.
        queue: u16,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring { queue, fault } => write!(f, "queue {queue}: {fault}"),
            Self::QueueSetup { queue } => {
                write!(f, "queue {queue}: enabled with an impossible size or address")
            }
        }
    }
}

/// A device with memory-mapped registers.
pub trait MmioDevice {
    /// Reads `bytes` at `offset`.
    fn read(&mut self, offset: u64, bytes: u8) -> u64;
    /// Writes `bytes` at `offset`. After [`MemError::Need`] the same call is made again.
    fn write(
        &mut self,
        offset: u64,
        bytes: u8,
        value: u64,
        mem: &dyn GuestMemory,
    ) -> Result<Signal, MemError>;
    /// Does what has become possible: input has arrived, or output was taken.
    fn process(&mut self, mem: &dyn GuestMemory) -> Result<Signal, MemError>;
}

/// What a device does behind the transport.
pub trait Device {
    /// Device type number.
    fn kind(&self) -> u32;
    /// Features of the type itself that are offered; the transport adds its own.
    fn features(&self) -> u64;
    /// Largest size of each queue, a power of two.
    fn queue_sizes(&self) -> &'static [u16];
    /// Byte `offset` of the configuration space; 0 past its end.
    fn config(&self, offset: u64) -> u8;
    /// Forgets what it knows of the driver. What has gone in or out stays.
    fn reset(&mut self);
    /// Serves the queues. Returns whether there is more to do.
    fn process(&mut self, queues: &mut [Queue], mem: &dyn GuestMemory) -> Result<bool, (u16, QueueError)>;
}

#[cfg(test)]
pub(crate) mod driver;
#[cfg(test)]
mod tests;
