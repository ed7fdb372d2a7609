//! Load of a node and of the virtual servers on it, as the node tells the appliance with each heartbeat.
//!
//! All counts grow: a node's since its monitor started, a server's since the guest was last started or reset. Who
//! wants rates takes two reports and the time between them ([`NodeLoad::uptime_ms`], the node's own clock); a count
//! that fell began anew. A report that comes late or not at all harms nobody: the next one has everything.
//!
//! Faults and messages of servers that span nodes are in [`crate::figures`].

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use weft_types::VsId;

/// Most virtual servers of one report: as many as a node takes.
pub const MAX_SERVERS: usize = 16;
/// Most causes of exits in a report; later versions may know more than [`EXIT_REASONS`].
pub const MAX_EXIT_REASONS: usize = 16;
/// Most virtual processors of a server.
pub const MAX_VCPUS: usize = 32;

/// Why guests were left, in the order of [`ServerLoad::exits`].
pub const EXIT_REASONS: [&str; 11] = [
    "interrupt",
    "window",
    "cpuid",
    "msr",
    "port",
    "halt",
    "memory",
    "device",
    "other",
    "page-fault",
    "control",
];

/// Ethernet frames (without FCS) and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames received.
    pub frames_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
}

impl Traffic {
    /// Counts a received frame.
    pub fn received(&mut self, bytes: usize) {
        self.frames_in = self.frames_in.saturating_add(1);
        self.bytes_in = self.bytes_in.saturating_add(bytes as u64);
    }

    /// Counts a sent frame.
    pub fn sent(&mut self, bytes: usize) {
        self.frames_out = self.frames_out.saturating_add(1);
        self.bytes_out = self.bytes_out.saturating_add(bytes as u64);
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            frames_in: self.frames_in.saturating_add(other.frames_in),
            bytes_in: self.bytes_in.saturating_add(other.bytes_in),
            frames_out: self.frames_out.saturating_add(other.frames_out),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoad {
    /// When it was taken, milliseconds since the monitor started.
    pub uptime_ms: u64,
    /// Processors.
    pub cpus: u16,
    /// Time in which processors did not halt, all of them together, nanoseconds.
    pub busy_ns: u64,
    /// Memory that the monitor takes, KiB.
    pub monitor_kib: u64,
    /// Memory given to guests, KiB.
    pub guest_kib: u64,
    /// Free memory, KiB.
    pub free_kib: u64,
    /// What passed the NIC: of the node itself, of its guests, and of servers that span nodes.
    pub nic: Traffic,
    /// Frames that were dropped on their way to or from the NIC.
    pub nic_dropped: u64,
    /// Servers that run here, at most [`MAX_SERVERS`].
    pub servers: Vec<ServerLoad>,
}

/// A virtual server, or the part of it that is on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLoad {
    /// Server.
    pub vs: VsId,
    /// Instance in use.
    pub instance: u64,
    /// Time that processors spent on its virtual processors, the handling of exits included, nanoseconds.
    pub busy_ns: u64,
    /// Exits by [`EXIT_REASONS`], at most [`MAX_EXIT_REASONS`].
    pub exits: Vec<u64>,
    /// Memory of the node that its pages take, KiB.
    pub memory_kib: u64,
    /// What passed its network interfaces, as the guest sees it.
    pub network: Traffic,
    /// Virtual processors that are here, and the processor of each; at most [`MAX_VCPUS`].
    pub processors: Vec<(u16, u16)>,
}

impl NodeLoad {
    /// The first field that is longer than it may be.
    pub(crate) fn too_long(&self) -> Option<&'static str> {
        if self.servers.len() > MAX_SERVERS {
            return Some("load.servers");
        }
        let longer = self.servers.iter().any(|server| server.exits.len() > MAX_EXIT_REASONS);
        if longer {
            return Some("load.servers.exits");
        }
        let longer = self.servers.iter().any(|server| server.processors.len() > MAX_VCPUS);
        longer.then_some("load.servers.processors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{MAX_MESSAGE, ToServer};
    use crate::codec::{DecodeError, decode_to_server, encode_to_server};
    use alloc::boxed::Box;
    use alloc::vec;

    const MOST: Traffic =
        Traffic { frames_in: u64::MAX, bytes_in: u64::MAX, frames_out: u64::MAX, bytes_out: u64::MAX };

    fn largest() -> NodeLoad {
        let server = ServerLoad {
            vs: VsId([0xff; 16]),
            instance: u64::MAX,
            busy_ns: u64::MAX,
            exits: vec![u64::MAX; MAX_EXIT_REASONS],
            memory_kib: u64::MAX,
            network: MOST,
            processors: vec![(u16::MAX, u16::MAX); MAX_VCPUS],
        };
        NodeLoad {
            uptime_ms: u64::MAX,
            cpus: u16::MAX,
            busy_ns: u64::MAX,
            monitor_kib: u64::MAX,
            guest_kib: u64::MAX,
            free_kib: u64::MAX,
            nic: MOST,
            nic_dropped: u64::MAX,
            servers: vec![server; MAX_SERVERS],
        }
    }

    fn decoded(load: NodeLoad) -> Result<ToServer, DecodeError> {
        decode_to_server(&encode_to_server(&ToServer::Load(Box::new(load))).expect("it fits a message"))
    }

    #[test]
    fn the_largest_report_takes_half_of_a_message_at_most_and_comes_back() {
        let message = ToServer::Load(Box::new(largest()));
        let bytes = encode_to_server(&message).expect("it fits a message");
        assert!(bytes.len() <= MAX_MESSAGE / 2, "{} bytes", bytes.len());
        assert_eq!(decode_to_server(&bytes), Ok(message));
    }

    #[test]
    fn each_list_beyond_its_bound_is_refused_by_name() {
        let mut load = largest();
        load.servers.push(ServerLoad::default());
        assert_eq!(decoded(load), Err(DecodeError::FieldTooLong("load.servers")));
        let mut load = largest();
        load.servers[3].exits.push(1);
        assert_eq!(decoded(load), Err(DecodeError::FieldTooLong("load.servers.exits")));
        let mut load = largest();
        load.servers[0].processors.push((0, 0));
        assert_eq!(decoded(load), Err(DecodeError::FieldTooLong("load.servers.processors")));
    }

    #[test]
    fn traffic_counts_frames_with_their_bytes_and_never_overflows() {
        let mut traffic = Traffic::default();
        traffic.received(60);
        traffic.sent(1514);
        traffic.sent(42);
        let told = Traffic { frames_in: 1, bytes_in: 60, frames_out: 2, bytes_out: 1556 };
        assert_eq!(traffic, told);
        assert_eq!(MOST.plus(told), MOST);
    }
}
