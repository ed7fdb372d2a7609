//! Partitions, virtual servers that span nodes, and the record by which a partition's members agree on them.
//!
//! A [`ClusterConfig`] is signed once for all members, unlike [`crate::record`]'s records, which name one node
//! and one boot. Replay is fended off by (epoch, counter): members only ever move to a later record, by
//! majority. A node that has just booted knows none and learns the newest from the majority it joins.
//!
//! Keys travel in these values, so a record is confidential: between appliance and node inside Noise, between
//! nodes inside authenticated encryption.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use serde::{Deserialize, Serialize};
use weft_types::{ClusterId, NodeId, PartitionId};

use crate::record::VsSpec;

/// Domain tag of signatures over cluster records.
pub const CLUSTER_DOMAIN: &[u8; 16] = b"weft cluster v1\0";
/// Layout of envelope and payload, the one that is spoken; counted as
/// [`RECORD_VERSION`](crate::record::RECORD_VERSION) is, but apart from it. 2: a server says whether its processors stay
/// ([`SpanSpec::pinned`]).
pub const CLUSTER_VERSION: u16 = 2;
/// Largest cluster record, bytes, envelope and signature included.
pub const MAX_CLUSTER_RECORD: usize = 16 * 1024;
/// Most nodes of one partition.
pub const MAX_MEMBERS: usize = 64;
/// Most spanning servers of one partition.
pub const MAX_SPANNING: usize = 16;
/// Longest question to the appliance as a voter, bytes.
pub const MAX_TALK: usize = 14 * 1024;
/// Longest name of a partition, bytes.
pub const MAX_PARTITION_NAME: usize = 63;

/// Key of an interconnect. Never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkKey(pub [u8; 32]);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

/// What stands before a [`ClusterConfig`]. Fixed-size fields only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEnvelope {
    /// [`CLUSTER_VERSION`]. The first field in every layout.
    pub version: u16,
    /// First 8 bytes of SHA-256 over the signing key.
    pub key_id: [u8; 8],
    /// The cluster that speaks.
    pub cluster: ClusterId,
    /// The partition that it is about.
    pub partition: PartitionId,
    /// Record epoch; grows when an appliance's store was restored.
    pub epoch: u64,
    /// Strictly grows within an epoch, per partition; never used twice.
    pub counter: u64,
}

/// What the appliance says to members of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterPayload {
    /// What they are to agree on. To one that has agreed to nothing yet: whom to ask.
    Config(ClusterConfig),
    /// The partition is founded: a `weft_membership::Decision`, postcard. Given after the configuration that
    /// it names.
    Founding(Vec<u8>),
    /// The appliance's vote, or its refusal: a `weft_membership::Talk`, postcard.
    Vote(Vec<u8>),
    /// The partition is no more.
    Dissolved,
}

/// What a member tells the appliance about its partition: on each change, after each `Welcome`, and now and
/// then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// The partition.
    pub partition: PartitionId,
    /// Which boot of the node votes.
    pub incarnation: u64,
    /// It may take a founding.
    pub unfounded: bool,
    /// The newest decision that it knows lets it vote.
    pub voter: bool,
    /// It has agreed to the newest epoch that it knows.
    pub agreed: bool,
    /// A majority answers.
    pub majority: bool,
    /// Counter and proposer of the newest agreed epoch that it knows, zeros where none.
    pub epoch: (u64, NodeId),
    /// Configuration in force: epoch and counter, zeros where none.
    pub record: (u64, u64),
    /// Live members of that epoch; the first coordinates.
    pub members: Vec<NodeId>,
    /// What is left of its lease, milliseconds.
    pub lease_ms: u32,
}

/// What became of a configuration given to one member for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterResult {
    /// The partition.
    pub partition: PartitionId,
    /// Epoch and counter of the configuration, zeros where they could not be read.
    pub record: (u64, u64),
    /// Agreed, or why it is refused.
    pub result: Result<(), String>,
}

/// All that the members of a partition are to agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// The partition.
    pub partition: PartitionSpec,
    /// Its spanning servers; each has a [`SpanSpec`]. One that is absent is to be stopped and forgotten.
    pub servers: Vec<VsSpec>,
}

/// A partition: nodes that agree with one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSpec {
    /// Identity.
    pub id: PartitionId,
    /// Name that the operator sees.
    pub name: String,
    /// Members. The order is the order in which they coordinate.
    pub members: Vec<Member>,
    /// Key for what members tell each other about membership.
    pub key: LinkKey,
}

/// A node of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    pub node: NodeId,
    /// Hardware address of the NIC that reaches the others.
    pub mac: [u8; 6],
    /// IPv4 address when the record was made, zero where unknown. A hint: who authenticates itself from
    /// another address is believed.
    pub address: [u8; 4],
    /// Logical processors.
    pub cpus: u16,
    /// Usable memory, MiB.
    pub memory_mib: u32,
}

/// How a virtual server lies over nodes. What a member needs to reach the others is in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanSpec {
    /// Partition that it runs in.
    pub partition: PartitionId,
    /// Grows with each start of the server. Interconnect traffic carries it; other epochs are dropped.
    pub epoch: u64,
    /// Key of this server's interconnect, drawn anew for each epoch.
    pub key: LinkKey,
    /// Virtual processors stay where they start, also where they mostly wait for pages of others.
    pub pinned: bool,
    /// Shares. The order is that of NUMA nodes (SRAT), of vCPU numbers and of guest memory.
    pub places: Vec<Place>,
}

/// What one member gives to a spanning server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which node.
    pub node: NodeId,
    /// Its hardware address for raw Ethernet.
    pub mac: [u8; 6],
    /// Its IPv4 address when the record was made, zero where unknown.
    pub address: [u8; 4],
    /// Virtual processors that start here; 0: memory only.
    pub vcpus: u16,
    /// Guest memory whose locator is here, MiB.
    pub memory_mib: u32,
}

/// Why a [`SpanSpec`] or [`ClusterConfig`] cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanError {
    /// No place or member, or more than [`MAX_MEMBERS`].
    Members(usize),
    /// One node twice.
    Twice(NodeId),
    /// A hardware address that is used twice or is no unicast address.
    Mac([u8; 6]),
    /// The first place has no virtual processor, and the guest boots there.
    NoBootProcessor,
    /// A place that gives neither processors nor memory.
    Empty(NodeId),
    /// The places' processors do not add up.
    Processors {
        /// Of the places.
        sum: u32,
        /// Of the server.
        vcpus: u16,
    },
    /// The places' memory does not add up, MiB.
    Memory {
        /// Of the places.
        sum: u64,
        /// Of the server.
        memory_mib: u32,
    },
    /// A server without a span, of another partition, or over a node that is no member.
    Foreign,
    /// More than [`MAX_SPANNING`] servers.
    Servers(usize),
    /// A name that is too long.
    Name,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members(count) => write!(f, "{count} members, 1 to {MAX_MEMBERS} are possible"),
            Self::Twice(node) => write!(f, "node {node} is named twice"),
            Self::Mac(mac) => write!(f, "the MAC {mac:02x?} is used twice or is no unicast address"),
            Self::NoBootProcessor => f.write_str("the first member gives no processor"),
            Self::Empty(node) => write!(f, "node {node} gives neither processors nor memory"),
            Self::Processors { sum, vcpus } => {
                write!(f, "the members give {sum} processors, the server has {vcpus}")
            }
            Self::Memory { sum, memory_mib } => {
                write!(f, "the members give {sum} MiB, the server has {memory_mib} MiB")
            }
            Self::Foreign => f.write_str("a server lies outside the partition"),
            Self::Servers(count) => {
                write!(f, "{count} spanning servers, at most {MAX_SPANNING} are possible")
            }
            Self::Name => f.write_str("the partition's name is too long"),
        }
    }
}

impl core::error::Error for SpanError {}

fn distinct(ends: &[(NodeId, [u8; 6])]) -> Result<(), SpanError> {
    if ends.is_empty() || ends.len() > MAX_MEMBERS {
        return Err(SpanError::Members(ends.len()));
    }
    for (position, (node, mac)) in ends.iter().enumerate() {
        let earlier = || ends.iter().take(position);
        if earlier().any(|(other, _)| other == node) {
            return Err(SpanError::Twice(*node));
        }
        if mac[0] & 1 == 1 || *mac == [0; 6] || earlier().any(|(_, other)| other == mac) {
            return Err(SpanError::Mac(*mac));
        }
    }
    Ok(())
}

impl SpanSpec {
    /// Position of a node among the places.
    pub fn index_of(&self, node: NodeId) -> Option<usize> {
        self.places.iter().position(|place| place.node == node)
    }

    /// Numbers of the virtual processors that start at a place; empty for one that is not there.
    pub fn vcpu_range(&self, index: usize) -> Range<u16> {
        let start = self.places.iter().take(index).fold(0u16, |sum, place| sum.saturating_add(place.vcpus));
        let own = self.places.get(index).map_or(0, |place| place.vcpus);
        start..start.saturating_add(own)
    }

    /// Numbers of the virtual processors that start elsewhere than the first one.
    pub fn far_vcpus(&self) -> Range<u16> {
        let near = self.vcpu_range(0).end;
        near..self.places.iter().fold(0u16, |sum, place| sum.saturating_add(place.vcpus))
    }

    /// Guest memory whose locator is at a place, MiB from its beginning, the hole below 4 GiB not counted.
    pub fn memory_range_mib(&self, index: usize) -> Range<u32> {
        let start =
            self.places.iter().take(index).fold(0u32, |sum, place| sum.saturating_add(place.memory_mib));
        let own = self.places.get(index).map_or(0, |place| place.memory_mib);
        start..start.saturating_add(own)
    }

    /// Whether the places make up a server of this size.
    pub fn check(&self, vcpus: u16, memory_mib: u32) -> Result<(), SpanError> {
        let ends: Vec<_> = self.places.iter().map(|place| (place.node, place.mac)).collect();
        distinct(&ends)?;
        if self.places.first().is_some_and(|first| first.vcpus == 0) {
            return Err(SpanError::NoBootProcessor);
        }
        if let Some(empty) = self.places.iter().find(|place| place.vcpus == 0 && place.memory_mib == 0) {
            return Err(SpanError::Empty(empty.node));
        }
        let sum: u32 = self.places.iter().map(|place| u32::from(place.vcpus)).sum();
        if sum != u32::from(vcpus) {
            return Err(SpanError::Processors { sum, vcpus });
        }
        let sum: u64 = self.places.iter().map(|place| u64::from(place.memory_mib)).sum();
        if sum != u64::from(memory_mib) {
            return Err(SpanError::Memory { sum, memory_mib });
        }
        Ok(())
    }
}

impl PartitionSpec {
    /// Position of a node among the members.
    pub fn index_of(&self, node: NodeId) -> Option<usize> {
        self.members.iter().position(|member| member.node == node)
    }
}

impl ClusterConfig {
    /// Bounds, and that all servers lie within the partition.
    pub fn check(&self) -> Result<(), SpanError> {
        let ends: Vec<_> = self.partition.members.iter().map(|member| (member.node, member.mac)).collect();
        distinct(&ends)?;
        if self.partition.name.len() > MAX_PARTITION_NAME {
            return Err(SpanError::Name);
        }
        if self.servers.len() > MAX_SPANNING {
            return Err(SpanError::Servers(self.servers.len()));
        }
        for server in &self.servers {
            let span = server.span.as_ref().ok_or(SpanError::Foreign)?;
            let inside = |place: &Place| self.partition.index_of(place.node).is_some();
            if span.partition != self.partition.id || !span.places.iter().all(inside) {
                return Err(SpanError::Foreign);
            }
            span.check(server.vcpus, server.memory_mib)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn place(number: u8, vcpus: u16, memory_mib: u32) -> Place {
        Place { node: NodeId([number; 16]), mac: [2, 0, 0, 0, 0, number], address: [0; 4], vcpus, memory_mib }
    }

    fn span(places: Vec<Place>) -> SpanSpec {
        SpanSpec { partition: PartitionId([1; 16]), epoch: 1, key: LinkKey([7; 32]), pinned: false, places }
    }

    #[test]
    fn ranges_follow_the_order_of_places() {
        let span = span(vec![place(1, 2, 1024), place(2, 0, 512), place(3, 2, 1536)]);
        assert_eq!(span.check(4, 3072), Ok(()));
        assert_eq!([span.vcpu_range(0), span.vcpu_range(1), span.vcpu_range(2)], [0..2, 2..2, 2..4]);
        assert_eq!(span.far_vcpus(), 2..4);
        assert_eq!(span.memory_range_mib(2), 1536..3072);
        assert_eq!(span.memory_range_mib(3), 3072..3072);
        assert_eq!(span.index_of(NodeId([3; 16])), Some(2));
    }

    #[test]
    fn places_that_do_not_make_up_the_server_are_refused() {
        let two = span(vec![place(1, 1, 512), place(2, 1, 512)]);
        assert_eq!(two.check(3, 1024), Err(SpanError::Processors { sum: 2, vcpus: 3 }));
        assert_eq!(two.check(2, 1025), Err(SpanError::Memory { sum: 1024, memory_mib: 1025 }));
        assert_eq!(span(vec![]).check(0, 0), Err(SpanError::Members(0)));
        let same = span(vec![place(1, 1, 512), place(1, 1, 512)]);
        assert_eq!(same.check(2, 1024), Err(SpanError::Twice(NodeId([1; 16]))));
        let headless = span(vec![place(1, 0, 512), place(2, 1, 512)]);
        assert_eq!(headless.check(1, 1024), Err(SpanError::NoBootProcessor));
        let idle = span(vec![place(1, 1, 512), place(2, 0, 0)]);
        assert_eq!(idle.check(1, 512), Err(SpanError::Empty(NodeId([2; 16]))));
        let crowd = span((0..65).map(|number| place(number, 1, 1)).collect());
        assert_eq!(crowd.check(65, 65), Err(SpanError::Members(65)));
    }

    #[test]
    fn keys_are_not_printed() {
        assert!(!format!("{:?}", span(vec![])).contains('7'));
    }
}
