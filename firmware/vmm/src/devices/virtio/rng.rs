//! A source of random bytes for the guest, bounded in each call.
//!
//! Source: VIRTIO 1.2, section 5.4.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use weft_platform::{Entropy, GuestMemory};

use super::{Device, Queue, QueueError};

const KIND: u32 = 4;
const QUEUE_SIZES: [u16; 1] = [16];
/// Bytes of one request at most; a driver that wants more asks again.
pub const REQUEST_BYTES: u64 = 1024;

/// The device.
pub struct Rng {
    entropy: Box<dyn Entropy + Send>,
}

impl Rng {
    /// A device that hands out what `entropy` gives.
    pub fn new(entropy: Box<dyn Entropy + Send>) -> Self {
        Self { entropy }
    }

    fn serve(&mut self, queue: &mut Queue, mem: &dyn GuestMemory) -> Result<bool, QueueError> {
        for _ in 0..queue.size() {
            let Some(chain) = queue.peek(mem)? else { break };
            let mut bytes = vec![0; chain.writable_bytes().min(REQUEST_BYTES) as usize];
            self.entropy.fill(&mut bytes);
            let written = chain.write(mem, &bytes)?;
            queue.complete(mem, &chain, written)?;
        }
        queue.ask_for_notice(mem)
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng")
    }
}

impl Device for Rng {
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
        let [queue] = queues else { return Ok(false) };
        self.serve(queue, mem).map_err(|error| (0, error))
    }
}
