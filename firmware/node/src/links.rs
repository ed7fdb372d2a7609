//! The runtime's share in membership: datagrams between members over the IP stack, and who gets which effect.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use weft_transport::stack::{Endpoint, SocketError, Udp};
use weft_types::{NodeId, PartitionId};
use weft_wire::cluster::{LinkKey, PartitionSpec};
use weft_wire::ports;

use crate::cluster::{Cluster, ClusterEffect, ClusterEvent};
use crate::peers::{MAX_DATAGRAM, PeerChannel};
use crate::runtime::Runtime;
use crate::step::Event;

/// Datagrams read in one poll.
const BUDGET: usize = 32;
/// Room of the socket, datagrams.
const ROOM: usize = 64;

/// The way to the other members.
pub(crate) struct Peers {
    partition: PartitionId,
    key: LinkKey,
    channel: PeerChannel,
    socket: Udp,
    addresses: BTreeMap<NodeId, [u8; 4]>,
}

impl Peers {
    /// Addresses as configured, where none was heard of yet.
    fn learn(&mut self, spec: &PartitionSpec) {
        self.addresses.retain(|node, _| spec.index_of(*node).is_some());
        for member in spec.members.iter().filter(|member| member.address != [0; 4]) {
            self.addresses.entry(member.node).or_insert(member.address);
        }
    }
}

impl Runtime {
    /// Membership of this node.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn cluster_event(&mut self, now_ns: u64, event: ClusterEvent) {
        let mut effects = Vec::new();
        self.cluster.step(now_ns, event, &mut effects);
        for effect in effects {
            match effect {
                ClusterEffect::SendPeer { node, bytes } => self.send_peer(node, &bytes),
                ClusterEffect::Send(message) => self.tell(message),
                ClusterEffect::Log(level, text) => self.log(now_ns, level, &text),
                ClusterEffect::Partition => self.turn_to_partition(now_ns),
                ClusterEffect::Spanning(servers) => self.event(now_ns, Event::Spanning(servers)),
                ClusterEffect::Reach(reach) => self.event(now_ns, Event::Reach(reach)),
            }
        }
    }

    /// Reads members' datagrams and lets time pass. `true`: there is more to do at once.
    pub(crate) fn poll_cluster(&mut self, now_ns: u64) -> bool {
        let mut heard = Vec::new();
        if let Some(peers) = &mut self.peers {
            let mut buffer = vec![0; MAX_DATAGRAM];
            for _ in 0..BUDGET {
                let (len, from) = match self.kernel.stack().udp_receive(peers.socket, &mut buffer) {
                    Ok(received) => received,
                    Err(SocketError::Length) => continue,
                    Err(_) => break,
                };
                if let Some((node, bytes)) = peers.channel.open(buffer.get(..len).unwrap_or(&[])) {
                    // It proved who it is: from now on it is where it speaks from.
                    peers.addresses.insert(node, from.address);
                    heard.push((node, bytes));
                }
            }
        }
        let more = heard.len() >= BUDGET;
        for (from, bytes) in heard {
            self.cluster_event(now_ns, ClusterEvent::Peer { from, bytes });
        }
        if now_ns >= self.cluster.next_ns() {
            self.cluster_event(now_ns, ClusterEvent::Tick);
        }
        if now_ns >= self.node.next_ns() {
            self.event(now_ns, Event::Tick);
        }
        more
    }

    fn send_peer(&mut self, node: NodeId, bytes: &[u8]) {
        let Some(peers) = &mut self.peers else { return };
        let Some(address) = peers.addresses.get(&node).copied() else { return };
        let Some(datagram) = peers.channel.seal(node, bytes) else { return };
        let to = Endpoint { address, port: ports::PEER };
        // A datagram that cannot leave now is lost; every message is repeated.
        let _ = self.kernel.stack().udp_send(peers.socket, to, &datagram);
    }

    /// Opens, changes or closes the way to the members.
    fn turn_to_partition(&mut self, now_ns: u64) {
        let spec = self.cluster.partition().cloned();
        let same = |peers: &Peers, spec: &PartitionSpec| peers.partition == spec.id && peers.key == spec.key;
        if let (Some(peers), Some(spec)) = (&mut self.peers, &spec)
            && same(peers, spec)
        {
            peers.learn(spec);
            return;
        }
        if let Some(peers) = self.peers.take() {
            self.kernel.stack().udp_close(peers.socket);
        }
        let Some(spec) = spec else { return };
        let socket = match self.kernel.stack().udp_open_at(ports::PEER, ROOM, MAX_DATAGRAM) {
            Ok(socket) => socket,
            Err(error) => {
                let text = alloc::format!("no socket for the partition's members: {error:?}");
                self.log(now_ns, weft_wire::agent::Level::Error, &text);
                return;
            }
        };
        let channel = PeerChannel::new(self.id(), self.agent.incarnation(), &spec.key, now_ns);
        let mut peers =
            Peers { partition: spec.id, key: spec.key, channel, socket, addresses: BTreeMap::new() };
        peers.learn(&spec);
        self.peers = Some(peers);
    }
}
