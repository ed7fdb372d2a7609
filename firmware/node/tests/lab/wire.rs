//! A wire between two ports, with seeded faults.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use weft_platform::{Entropy, Nic, TxError};

/// A small generator, the same for each seed.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// True in `percent` of all cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.next().to_le_bytes()[3];
        }
    }
}

/// What the wire does to frames, percent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) corrupt: u64,
    /// A frame of random bytes rides along.
    pub(crate) garbage: u64,
}

pub(crate) struct Wire {
    to_node: VecDeque<Vec<u8>>,
    to_server: VecDeque<Vec<u8>>,
    pub(crate) faults: Faults,
    pub(crate) cut: bool,
    /// The node's NIC has no room.
    pub(crate) stuck: bool,
    dice: Dice,
    pub(crate) frames: u64,
}

pub(crate) type Shared = Arc<Mutex<Wire>>;

impl Wire {
    pub(crate) fn new(seed: u64, faults: Faults) -> Shared {
        Arc::new(Mutex::new(Self {
            to_node: VecDeque::new(),
            to_server: VecDeque::new(),
            faults,
            cut: false,
            stuck: false,
            dice: Dice::new(seed),
            frames: 0,
        }))
    }

    fn carry(&mut self, frame: &[u8], to_node: bool) {
        self.frames += 1;
        if self.cut || self.dice.chance(self.faults.loss) {
            return;
        }
        let mut frames = vec![frame.to_vec()];
        if self.dice.chance(self.faults.duplicate) {
            frames.push(frame.to_vec());
        }
        if self.dice.chance(self.faults.corrupt) {
            let at = usize::try_from(self.dice.next()).expect("64 bits") % frame.len();
            frames[0][at] ^= 1 << (self.dice.next() % 8);
        }
        if self.dice.chance(self.faults.garbage) {
            let len = 14 + usize::try_from(self.dice.next() % 1400).expect("small");
            let mut junk = vec![0; len];
            self.dice.fill(&mut junk);
            // Half of it carries a plausible header, so that it gets past the first check.
            if self.dice.chance(50) {
                let head = frame.len().min(len).min(42);
                junk[..head].copy_from_slice(&frame[..head]);
            }
            frames.push(junk);
        }
        let queue = if to_node { &mut self.to_node } else { &mut self.to_server };
        queue.extend(frames);
    }

    pub(crate) fn inject(&mut self, frame: &[u8]) {
        self.to_node.push_back(frame.to_vec());
    }
}

/// The node's end.
pub(crate) struct NodeNic {
    pub(crate) wire: Shared,
    pub(crate) mac: [u8; 6],
}

impl Nic for NodeNic {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }
    fn mtu(&self) -> usize {
        1500
    }
    fn link_up(&mut self) -> bool {
        true
    }
    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        assert!(frame.len() <= 1514, "the node sends no over-long frame");
        let mut wire = self.wire.lock().expect("one thread");
        if wire.stuck {
            return Err(TxError::Full);
        }
        wire.carry(frame, false);
        Ok(())
    }
    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        let frame = self.wire.lock().expect("one thread").to_node.pop_front()?;
        out[..frame.len()].copy_from_slice(&frame);
        Some(frame.len())
    }
    fn acknowledge_interrupt(&mut self) {}
}

/// The server's end.
pub(crate) struct ServerPort(pub(crate) Shared);

pub(crate) struct Rx(Vec<u8>);
pub(crate) struct Tx(Shared);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.lock().expect("one thread").carry(&frame, true);
        result
    }
}

impl Device for ServerPort {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx;

    fn receive(&mut self, _now: Instant) -> Option<(Rx, Tx)> {
        let frame = self.0.lock().expect("one thread").to_server.pop_front()?;
        Some((Rx(frame), Tx(self.0.clone())))
    }
    fn transmit(&mut self, _now: Instant) -> Option<Tx> {
        Some(Tx(self.0.clone()))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}
