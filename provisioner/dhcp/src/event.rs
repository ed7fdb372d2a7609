//! What the service tells the appliance.

use std::net::Ipv4Addr;

use crate::{HwAddr, StoreError};

/// Receives events, on the service's own thread: do not block.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: DhcpEvent);
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStage {
    /// A PXE ROM.
    Pxe,
    /// UEFI HTTP boot.
    HttpBoot,
    /// iPXE.
    Ipxe,
    /// The node image itself.
    Node,
    /// Anything else that asks for an address.
    Other,
}

/// A client as it describes itself: hints, not identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Hardware address.
    pub hw: HwAddr,
    /// Option 97 without its type byte, in hexadecimal.
    pub uuid: Option<String>,
    /// Option 93, or what the vendor class says.
    pub arch: Option<u16>,
    /// Which program asks.
    pub stage: ClientStage,
    /// It looks for servers: the first word of an exchange, or its repeat.
    pub discovers: bool,
    /// The exchange, as the client numbers it.
    pub xid: u32,
    /// Seconds since it began to ask, as it says.
    pub secs: u16,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum DhcpEvent {
    /// An address was offered.
    Offered {
        /// To whom.
        client: ClientInfo,
        /// Which.
        address: Ipv4Addr,
        /// What it is told to load.
        boot_file: Option<String>,
    },
    /// A lease is on disk and its ACK sent.
    Leased {
        /// To whom.
        client: ClientInfo,
        /// Which.
        address: Ipv4Addr,
        /// What it is told to load.
        boot_file: Option<String>,
    },
    /// A proxy answer was given.
    Proxied {
        /// To whom.
        client: ClientInfo,
        /// What it is told to load.
        boot_file: String,
    },
    /// A client that boots from the network, for which there is no image.
    Unsupported {
        /// Who.
        client: ClientInfo,
    },
    /// Given back.
    Released {
        /// By whom.
        hw: HwAddr,
        /// Which.
        address: Ipv4Addr,
    },
    /// A client found somebody else at its address.
    Declined {
        /// Who.
        hw: HwAddr,
        /// Which.
        address: Ipv4Addr,
    },
    /// No address is left for new clients. At most one a minute for each subnet.
    PoolExhausted {
        /// First address of the pool.
        pool: Ipv4Addr,
    },
    /// More than the limits allow arrives. At most one a minute.
    Throttled,
    /// Another server answers, which is not on the list of allowed ones. At most one a minute for each.
    RogueServer {
        /// Its identifier.
        server: Ipv4Addr,
        /// What it was seen to do.
        evidence: &'static str,
    },
    /// An allowed server was seen for the first time.
    PeerServer {
        /// Its identifier.
        server: Ipv4Addr,
    },
    /// A lease could not be written; its ACK was not sent. At most one a second.
    StoreFailed {
        /// Why.
        error: StoreError,
    },
    /// The journal was damaged; so many records are lost.
    JournalDamaged {
        /// Records.
        records: usize,
    },
}
