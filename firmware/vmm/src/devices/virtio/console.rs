//! A console with one port: what the guest writes goes to a bounded ring, what is typed waits in a
//! bounded queue for the driver's buffers.
//!
//! Source: VIRTIO 1.2, section 5.3.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use weft_platform::GuestMemory;

use super::{Device, Queue, QueueError};
use crate::devices::ring::OutputRing;

const KIND: u32 = 3;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const QUEUE_SIZES: [u16; 2] = [64, 64];
/// Bytes of output that are kept.
pub const OUTPUT_BYTES: usize = 256 << 10;
/// Bytes of input that wait at most.
pub const INPUT_BYTES: usize = 4096;
/// Bytes of one request at most.
pub const REQUEST_BYTES: usize = 64 << 10;

/// The device.
#[derive(Debug)]
pub struct Console {
    output: OutputRing,
    input: VecDeque<u8>,
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Console {
    /// A console that nobody has used.
    pub fn new() -> Self {
        Self { output: OutputRing::new(OUTPUT_BYTES), input: VecDeque::new() }
    }

    /// What the guest has printed.
    pub fn output(&self) -> &OutputRing {
        &self.output
    }

    /// Queues typed bytes and returns how many were taken; the rest found no room.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(INPUT_BYTES.saturating_sub(self.input.len()));
        self.input.extend(bytes.iter().take(count));
        count
    }

    fn transmit(&mut self, queue: &mut Queue, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        for _ in 0..queue.size() {
            let Some(chain) = queue.peek(mem)? else { break };
            let bytes = chain.read(mem, REQUEST_BYTES)?;
            queue.complete(mem, &chain, 0)?;
            self.output.push(&bytes);
        }
        queue.ask_for_notice(mem)
    }

    fn receive(&mut self, queue: &mut Queue, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        for _ in 0..queue.size() {
            if self.input.is_empty() {
                return Ok(false);
            }
            let Some(chain) = queue.peek(mem)? else { break };
            let bytes: Vec<u8> = self.input.iter().copied().collect();
            let written = chain.write(mem, &bytes)?;
            queue.complete(mem, &chain, written)?;
            self.input.drain(..(written as usize).min(bytes.len()));
        }
        Ok(!self.input.is_empty() && queue.ask_for_notice(mem)?)
    }
}

impl Device for Console {
    fn kind(&self) -> u32 {
        KIND
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &QUEUE_SIZES
    }

    fn config(&self, _offset: u64) -> u8 {
        0
    }

    fn reset(&mut self) {}

    fn process(&mut self, queues: &mut [Queue], mem: &dyn GuestMemory) -> Result<bool, (u16, QueueError)> {
        let [receive, transmit] = queues else { return Ok(false) };
        let more_out = self.transmit(transmit, mem).map_err(|error| (TRANSMIT, error))?;
        let more_in = self.receive(receive, mem).map_err(|error| (RECEIVE, error))?;
        Ok(more_out || more_in)
    }
}
