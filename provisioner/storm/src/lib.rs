//! A boot storm: thousands of simulated nodes that boot at once, with loss, against real servers.
//!
//! Each node does what a PXE client does: DHCP (through a relay's eyes, since all nodes of one process share an address), then TFTP
//! or HTTP, with the patience of firmware. A node that does not get everything, byte for byte, is *lost*; the figure that
//! matters is that none is. [`swarm`] is the simulator, [`serve`] runs this project's servers, [`bench`] sets peers beside them.
//!
//! Loss is the client's: each datagram that it sends or receives is dropped with the given chance by a generator seeded per node,
//! so that a run can be repeated. TCP is left alone.

pub mod bench;
pub mod command;
mod dhcp;
mod http;
mod rng;
pub mod serve;
pub mod swarm;
pub mod tftp;

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Test content: `len` bytes whose pattern does not repeat at block borders.
#[must_use]
pub fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31).wrapping_add(i >> 8)) as u8).collect()
}

/// Times of many nodes, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many nodes.
    pub count: usize,
    /// Half were no slower.
    pub p50_ms: f64,
    /// 99 of 100 were no slower.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Times {
    /// From single times.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |permille: usize| {
            let index = (times.len().saturating_mul(permille) / 1000).min(times.len().saturating_sub(1));
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        Self { count: times.len(), p50_ms: at(500), p99_ms: at(990), max_ms: at(1000) }
    }
}

/// Allows as many descriptors as the hard limit does; the number now allowed.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused: the old limit holds, and whoever needs more finds out.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
