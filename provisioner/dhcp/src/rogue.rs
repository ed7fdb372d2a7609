//! Other DHCP servers on the wire: a probe that draws them out, and a list of what was seen.
//!
//! Each minute a DISCOVER is broadcast; whoever answers is a server. A client that takes another server's offer gives it away
//! too. Allowed servers are listed, others raise an alarm; service goes on, since going silent would hand the nodes to the rogue.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable, Encoder};

use crate::HwAddr;
use crate::event::DhcpEvent;
use crate::packet::{HEADER, MAGIC, MAX_PACKET, server_identifier};

/// Servers remembered; an attacker can invent as many as it likes.
const MAX_SEEN: usize = 64;
/// The same server raises an alarm this often, milliseconds.
const REPEAT_MS: u64 = 60_000;

/// A DISCOVER that asks for boot information, so that proxies answer as well.
#[must_use]
pub fn probe(xid: u32, hw: HwAddr) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, none, none, none, hw.bytes());
    message.set_opcode(Opcode::BootRequest).set_htype(HType::Eth);
    message.set_flags(Flags::from(0x8000));
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(MessageType::Discover));
    options.insert(DhcpOption::ParameterRequestList(vec![
        OptionCode::SubnetMask,
        OptionCode::Router,
        OptionCode::TFTPServerName,
        OptionCode::BootfileName,
    ]));
    options.insert(DhcpOption::ClassIdentifier(b"PXEClient:Arch:00007:UNDI:003016".to_vec()));
    options.insert(DhcpOption::MaxMessageSize(1472));
    let mut bytes = Vec::with_capacity(300);
    // A fixed message of known size.
    let encoded = message.encode(&mut Encoder::new(&mut bytes));
    debug_assert!(encoded.is_ok());
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// The server that answers our probe `xid` with this packet, if it does.
#[must_use]
pub fn answerer(packet: &[u8], xid: u32, source: Ipv4Addr) -> Option<Ipv4Addr> {
    if !(HEADER..=MAX_PACKET).contains(&packet.len()) || packet.first() != Some(&2) {
        return None;
    }
    if packet.get(4..8) != Some(&xid.to_be_bytes()) || packet.get(236..HEADER) != Some(&MAGIC) {
        return None;
    }
    // Whoever answers is a server, also with options that nobody can read: then its address names it.
    Some(server_identifier(packet).unwrap_or(source))
}

/// Servers seen.
#[derive(Debug)]
pub struct Sightings {
    own: Ipv4Addr,
    allowed: Vec<Ipv4Addr>,
    seen: BTreeMap<Ipv4Addr, (u64, u64)>,
}

impl Sightings {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(own: Ipv4Addr, allowed: Vec<Ipv4Addr>) -> Self {
        Self { own, allowed, seen: BTreeMap::new() }
    }

    /// Notes a server; the event to raise, if it is time for one.
    pub fn seen(&mut self, now_ms: u64, server: Ipv4Addr, evidence: &'static str) -> Option<DhcpEvent> {
        if server == self.own || server.is_unspecified() {
            return None;
        }
        let allowed = self.allowed.contains(&server);
        if let Some((told, last)) = self.seen.get_mut(&server) {
            *last = now_ms;
            if allowed || now_ms < told.saturating_add(REPEAT_MS) {
                return None;
            }
            *told = now_ms;
            return Some(DhcpEvent::RogueServer { server, evidence });
        }
        if self.seen.len() >= MAX_SEEN {
            let oldest = self.seen.iter().min_by_key(|(_, (_, last))| *last).map(|(address, _)| *address);
            if let Some(oldest) = oldest {
                self.seen.remove(&oldest);
            }
        }
        self.seen.insert(server, (now_ms, now_ms));
        Some(if allowed {
            DhcpEvent::PeerServer { server }
        } else {
            DhcpEvent::RogueServer { server, evidence }
        })
    }

    /// Servers seen since `since_ms`, and whether each is allowed.
    #[must_use]
    pub fn list(&self, since_ms: u64) -> Vec<(Ipv4Addr, bool)> {
        let recent = self.seen.iter().filter(|(_, (_, last))| *last >= since_ms);
        recent.map(|(server, _)| (*server, self.allowed.contains(server))).collect()
    }
}
