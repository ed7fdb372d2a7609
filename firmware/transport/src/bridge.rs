//! A small Ethernet bridge: one NIC, the node's own IP stack, and the virtual NICs of its guests.
//!
//! ```text
//!             ┌── node's stack (the NIC's own MAC)
//!  wire ─ NIC ┤
//!             └── guest ports, one queue each (MACs assigned by the appliance)
//! ```
//! The MACs behind this bridge are known, so that nothing is learnt: a frame goes to the port that has
//! its destination, a group frame to all, anything else from inside to the wire and from the wire nowhere.
//!
//! Invariants: a guest sends with its own MAC only; a guest cannot speak as a DHCP server or on the
//! interconnect (frames of which never come here: [`crate::port`] takes them); a frame from the wire that carries a MAC of this node as its source is dropped (a loop or a lie); a full queue drops
//! the newest frame and counts it, so that a guest that does not read costs at most its queue.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use weft_platform::{Nic, TxError};
use weft_types::VsId;
use weft_wire::load::Traffic;

use crate::port::{LINK_ETHERTYPE, MAX_MTU};

/// A NIC that the bridge may own.
pub type BoxedNic = Box<dyn Nic + Send>;

/// Frames that wait for a guest.
pub const GUEST_QUEUE_FRAMES: usize = 256;
/// Frames that wait for room in the NIC's ring.
const BACKLOG_FRAMES: usize = 64;
/// Frames from guests that wait for the node's own stack.
const OWN_QUEUE_FRAMES: usize = 64;
/// Frames taken from the NIC while looking for one for the node's own stack.
const RECEIVE_BUDGET: usize = 64;
/// Ethernet header, bytes.
const HEADER: usize = 14;
/// Largest frame without FCS that passes the bridge: jumbo, with room for a VLAN tag.
pub const MAX_FRAME: usize = MAX_MTU + HEADER + 4;
/// Most guest ports: 16 virtual servers with 4 interfaces each.
pub const MAX_PORTS: usize = 64;

/// Why a guest's frame was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestTxError {
    /// The guest has no such interface.
    NoPort,
    /// Shorter than a header or longer than [`MAX_FRAME`].
    Length,
    /// Its source is not the interface's MAC.
    Spoofed,
    /// A DHCP server's answer or a frame of the interconnect, which guests may not send.
    Refused,
    /// No room now; the frame is lost, as on a real wire.
    Full,
}

/// Why a port was not added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortError {
    /// The MAC is in use on this node, or is no unicast address.
    Mac,
    /// [`MAX_PORTS`] reached.
    TooMany,
}

/// What was dropped, for reports.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// Guest queue full.
    pub guest_full: u64,
    /// NIC ring and backlog full.
    pub wire_full: u64,
    /// Guest frames with a foreign source or a forbidden content.
    pub refused: u64,
    /// Wire frames with one of our MACs as source.
    pub reflected: u64,
    /// Too short or too long.
    pub length: u64,
}

struct Port {
    vs: VsId,
    index: u16,
    mac: [u8; 6],
    queue: VecDeque<Vec<u8>>,
    /// As the guest sees it: what it was handed, and what it sent.
    traffic: Traffic,
}

/// The bridge.
pub struct Bridge {
    core: Core,
    rx: Vec<u8>,
    tx: Vec<u8>,
}

struct Core {
    nic: BoxedNic,
    mac: [u8; 6],
    ports: Vec<Port>,
    own: VecDeque<Vec<u8>>,
    backlog: VecDeque<Vec<u8>>,
    dropped: Dropped,
}

fn mac_at(frame: &[u8], offset: usize) -> Option<[u8; 6]> {
    frame.get(offset..offset + 6)?.try_into().ok()
}

const fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 1
}

/// UDP from port 67 over IPv4 (RFC 2131), fragments aside: only a first fragment has ports.
fn is_dhcp_server(frame: &[u8]) -> bool {
    let Some(ip) = frame.get(HEADER..) else { return false };
    let ethertype = frame.get(12..14);
    if ethertype != Some(&[0x08, 0x00]) || ip.get(9) != Some(&17) {
        return false;
    }
    let header = usize::from(ip.first().copied().unwrap_or(0) & 0x0f) * 4;
    ip.get(header..header + 2) == Some(&67_u16.to_be_bytes())
}

impl Core {
    fn flush(&mut self) {
        while let Some(frame) = self.backlog.front() {
            match self.nic.transmit(frame) {
                Ok(()) => drop(self.backlog.pop_front()),
                Err(TxError::Full) => return,
                Err(TxError::Length | TxError::Device) => {
                    self.dropped.length = self.dropped.length.saturating_add(1);
                    self.backlog.pop_front();
                }
            }
        }
    }

    fn send_to_wire(&mut self, frame: &[u8]) -> bool {
        self.flush();
        if self.backlog.is_empty() {
            match self.nic.transmit(frame) {
                Ok(()) => return true,
                Err(TxError::Full) => {}
                Err(TxError::Length | TxError::Device) => {
                    self.dropped.length = self.dropped.length.saturating_add(1);
                    return false;
                }
            }
        }
        if self.backlog.len() >= BACKLOG_FRAMES {
            self.dropped.wire_full = self.dropped.wire_full.saturating_add(1);
            return false;
        }
        self.backlog.push_back(frame.to_vec());
        true
    }

    /// Queues the frame for guests that should see it. `from` is left out.
    fn send_to_guests(&mut self, destination: [u8; 6], frame: &[u8], from: Option<[u8; 6]>) -> bool {
        let group = is_group(destination);
        let mut found = false;
        for port in &mut self.ports {
            if Some(port.mac) == from || !(group || port.mac == destination) {
                continue;
            }
            found = true;
            if port.queue.len() >= GUEST_QUEUE_FRAMES {
                self.dropped.guest_full = self.dropped.guest_full.saturating_add(1);
            } else {
                port.queue.push_back(frame.to_vec());
            }
        }
        found && !group
    }

    /// A frame that the node's own stack sends.
    fn send_from_node(&mut self, frame: &[u8]) {
        let Some(destination) = mac_at(frame, 0) else { return };
        if !self.send_to_guests(destination, frame, None) {
            self.send_to_wire(frame);
        }
    }

    /// Takes frames from the NIC until one is for the node's own stack. Its length in `buffer`.
    fn next_own(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.flush();
        if let Some(frame) = self.own.pop_front() {
            let len = frame.len().min(buffer.len());
            buffer.get_mut(..len)?.copy_from_slice(frame.get(..len)?);
            return Some(len);
        }
        for _ in 0..RECEIVE_BUDGET {
            let len = self.nic.receive(buffer)?;
            let frame = buffer.get(..len)?;
            let (Some(destination), Some(source)) = (mac_at(frame, 0), mac_at(frame, 6)) else {
                self.dropped.length = self.dropped.length.saturating_add(1);
                continue;
            };
            if source == self.mac || self.ports.iter().any(|port| port.mac == source) {
                self.dropped.reflected = self.dropped.reflected.saturating_add(1);
                continue;
            }
            self.send_to_guests(destination, frame, None);
            if destination == self.mac || is_group(destination) {
                return Some(len);
            }
        }
        None
    }
}

impl Bridge {
    /// A bridge over `nic`, without guests.
    pub fn new(nic: BoxedNic) -> Self {
        let mac = nic.mac();
        Self {
            core: Core {
                nic,
                mac,
                ports: Vec::new(),
                own: VecDeque::new(),
                backlog: VecDeque::new(),
                dropped: Dropped::default(),
            },
            rx: vec![0; MAX_FRAME],
            tx: vec![0; MAX_FRAME],
        }
    }

    /// The node's own hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.core.mac
    }

    /// Largest payload of a frame of the node's own stack, bytes.
    pub fn mtu(&self) -> usize {
        self.core.nic.mtu().min(MAX_FRAME - HEADER - 4)
    }

    /// Whether the NIC's link is up.
    pub fn link_up(&mut self) -> bool {
        self.core.nic.link_up()
    }

    /// Tells the NIC that its interrupt was seen.
    pub fn acknowledge_interrupt(&mut self) {
        self.core.nic.acknowledge_interrupt();
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.core.dropped
    }

    /// Adds interface `index` of a guest.
    pub fn add_port(&mut self, vs: VsId, index: u16, mac: [u8; 6]) -> Result<(), PortError> {
        if is_group(mac) || mac == [0; 6] || mac == self.core.mac {
            return Err(PortError::Mac);
        }
        if self.core.ports.iter().any(|port| port.mac == mac) {
            return Err(PortError::Mac);
        }
        if self.core.ports.len() >= MAX_PORTS {
            return Err(PortError::TooMany);
        }
        self.core.ports.push(Port { vs, index, mac, queue: VecDeque::new(), traffic: Traffic::default() });
        Ok(())
    }

    /// Removes all interfaces of a guest, with the frames that wait for it.
    pub fn remove_ports(&mut self, vs: VsId) {
        self.core.ports.retain(|port| port.vs != vs);
    }

    /// Takes one frame (without FCS) from a guest.
    pub fn guest_tx(&mut self, vs: VsId, index: u16, frame: &[u8]) -> Result<(), GuestTxError> {
        let port = self.core.ports.iter_mut().find(|port| port.vs == vs && port.index == index);
        let port = port.ok_or(GuestTxError::NoPort)?;
        port.traffic.sent(frame.len());
        let mac = port.mac;
        if frame.len() > MAX_FRAME || frame.len() < HEADER {
            self.core.dropped.length = self.core.dropped.length.saturating_add(1);
            return Err(GuestTxError::Length);
        }
        let destination = mac_at(frame, 0).ok_or(GuestTxError::Length)?;
        if mac_at(frame, 6) != Some(mac) {
            self.core.dropped.refused = self.core.dropped.refused.saturating_add(1);
            return Err(GuestTxError::Spoofed);
        }
        if is_dhcp_server(frame) || frame.get(12..HEADER) == Some(&LINK_ETHERTYPE) {
            self.core.dropped.refused = self.core.dropped.refused.saturating_add(1);
            return Err(GuestTxError::Refused);
        }
        if self.core.send_to_guests(destination, frame, Some(mac)) {
            return Ok(());
        }
        let group = is_group(destination);
        if destination == self.core.mac || group {
            if self.core.own.len() < OWN_QUEUE_FRAMES {
                self.core.own.push_back(frame.to_vec());
            } else if !group {
                return Err(GuestTxError::Full);
            }
        }
        if destination == self.core.mac || self.core.send_to_wire(frame) {
            Ok(())
        } else {
            Err(GuestTxError::Full)
        }
    }

    /// Copies the next frame for a guest's interface into `out`. A frame longer than `out` is dropped.
    pub fn guest_rx(&mut self, vs: VsId, index: u16, out: &mut [u8]) -> Option<usize> {
        let port = self.core.ports.iter_mut().find(|port| port.vs == vs && port.index == index)?;
        while let Some(frame) = port.queue.pop_front() {
            if let Some(room) = out.get_mut(..frame.len()) {
                room.copy_from_slice(&frame);
                port.traffic.received(frame.len());
                return Some(frame.len());
            }
            self.core.dropped.length = self.core.dropped.length.saturating_add(1);
        }
        None
    }

    /// What passed all interfaces of a guest since they were added, what was refused or lost behind them included.
    pub fn traffic(&self, vs: VsId) -> Traffic {
        let ports = self.core.ports.iter().filter(|port| port.vs == vs);
        ports.fold(Traffic::default(), |sum, port| sum.plus(port.traffic))
    }

    /// Whether a frame waits for a guest's interface.
    pub fn guest_rx_ready(&self, vs: VsId, index: u16) -> bool {
        self.core.ports.iter().any(|port| port.vs == vs && port.index == index && !port.queue.is_empty())
    }

    /// Whether frames wait for the node's own stack.
    pub fn has_own(&self) -> bool {
        !self.core.own.is_empty()
    }

    /// Whether frames wait for room in the NIC. They leave with a later poll; a NIC without a link may never
    /// take them, so that nobody should spin for it.
    pub fn has_backlog(&self) -> bool {
        !self.core.backlog.is_empty()
    }
}

/// One received frame.
pub struct OwnFrame<'a>(&'a [u8]);

impl RxToken for OwnFrame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for one frame to send.
pub struct SendSlot<'a> {
    core: &'a mut Core,
    buffer: &'a mut [u8],
}

impl TxToken for SendSlot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // smoltcp keeps to `max_transmission_unit`, which is at most the buffer.
        assert!(len <= self.buffer.len(), "the stack sends no frame above its MTU");
        let (frame, _) = self.buffer.split_at_mut(len);
        let result = f(frame);
        self.core.send_from_node(frame);
        result
    }
}

impl Device for Bridge {
    type RxToken<'a> = OwnFrame<'a>;
    type TxToken<'a> = SendSlot<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(OwnFrame<'_>, SendSlot<'_>)> {
        let len = self.core.next_own(&mut self.rx)?;
        let frame = self.rx.get(..len)?;
        Some((OwnFrame(frame), SendSlot { core: &mut self.core, buffer: &mut self.tx }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<SendSlot<'_>> {
        self.core.flush();
        if self.core.backlog.is_empty() {
            Some(SendSlot { core: &mut self.core, buffer: &mut self.tx })
        } else {
            None
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu() + HEADER;
        capabilities
    }
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;
