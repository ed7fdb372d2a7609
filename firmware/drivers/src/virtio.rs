//! virtio-net (Virtual I/O Device 1.2, section 5.1) through the `virtio-drivers` crate.
//!
//! The crate owns rings and buffers; this adapter gives it the shape of [`Nic`]. The crate's `send` waits
//! until the device took the frame, some tens of microseconds in an emulator; its other way of sending is
//! unsafe, which this crate forbids. The link state is not offered by the crate and counts as up.

use virtio_drivers::Hal;
use virtio_drivers::device::net::{TxBuffer, VirtIONet};
use virtio_drivers::transport::Transport;
use weft_platform::{Nic, TxError};

/// Descriptors of each ring.
pub const QUEUE: usize = 128;
/// Bytes of a receive buffer: a frame, its header, and room.
const BUFFER: usize = 2048;
const MTU: usize = 1500;
/// Longest frame without FCS.
const MAX_FRAME: usize = MTU + 18;

/// See the module.
pub struct VirtioNic<H: Hal, T: Transport> {
    net: VirtIONet<H, T, QUEUE>,
    broken: bool,
    dropped: u64,
}

impl<H: Hal, T: Transport> VirtioNic<H, T> {
    /// Sets the device up and gives it all receive buffers.
    pub fn new(transport: T) -> Result<Self, virtio_drivers::Error> {
        let net = VirtIONet::new(transport, BUFFER)?;
        Ok(Self { net, broken: false, dropped: 0 })
    }

    /// Received frames that were too long for whoever asked.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<H: Hal, T: Transport> Nic for VirtioNic<H, T> {
    fn mac(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    fn mtu(&self) -> usize {
        MTU
    }

    fn link_up(&mut self) -> bool {
        !self.broken
    }

    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        if frame.is_empty() || frame.len() > MAX_FRAME {
            return Err(TxError::Length);
        }
        if self.broken {
            return Err(TxError::Device);
        }
        if !self.net.can_send() {
            return Err(TxError::Full);
        }
        self.net.send(TxBuffer::from(frame)).map_err(|error| match error {
            virtio_drivers::Error::QueueFull => TxError::Full,
            _ => {
                self.broken = true;
                TxError::Device
            }
        })
    }

    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        while !self.broken {
            let buffer = match self.net.receive() {
                Ok(buffer) => buffer,
                Err(virtio_drivers::Error::NotReady) => return None,
                Err(_) => {
                    self.broken = true;
                    return None;
                }
            };
            let packet = buffer.packet();
            let len = packet.len();
            let copied = match out.get_mut(..len) {
                Some(room) => {
                    room.copy_from_slice(packet);
                    true
                }
                None => false,
            };
            if self.net.recycle_rx_buffer(buffer).is_err() {
                self.broken = true;
            }
            if copied {
                return Some(len);
            }
            self.dropped = self.dropped.saturating_add(1);
        }
        None
    }

    fn acknowledge_interrupt(&mut self) {
        self.net.ack_interrupt();
    }
}
