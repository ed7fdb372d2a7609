//! A client's packet, read with suspicion.
//!
//! `dhcproto` names the fields, and reads the fixed header once lengths are checked: it slices by `hlen` without a bound, does not
//! look at the magic cookie, keeps the first value of option 93 only, and does not read overloaded fields. So the options are
//! walked here: RFC 2132 framing, RFC 3396 concatenation, option 52, with bounds on number and size.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use dhcproto::v4::MessageType;
use dhcproto::v4::borrowed;
use dhcproto::v4::{Opcode, OptionCode};

use crate::event::{ClientInfo, ClientStage};
use crate::hw::HwAddr;

/// Fixed header with magic cookie.
pub const HEADER: usize = 240;
/// Longest packet looked at.
pub const MAX_PACKET: usize = 1500;
/// Most option instances in a packet.
pub const MAX_OPTIONS: usize = 128;
/// Longest option after concatenation.
pub const MAX_OPTION: usize = 512;
/// Longest client identifier that is echoed (RFC 6842); longer ones make a packet unsound.
pub const MAX_CLIENT_ID: usize = 64;
/// Relay information is echoed whole or the packet is dropped: its length fits one option.
pub const MAX_RELAY_INFO: usize = 255;

/// RFC 2132 section 2.
pub(crate) const MAGIC: [u8; 4] = [99, 130, 83, 99];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than the header.
    #[error("shorter than a DHCP header")]
    TooShort,
    /// Longer than [`MAX_PACKET`].
    #[error("longer than an Ethernet frame")]
    TooLong,
    /// A reply, or no known operation.
    #[error("not a request")]
    NotARequest,
    /// `hlen` and `htype` do not describe a station's address.
    #[error("bad hardware address")]
    HardwareAddress,
    /// BOOTP or something else.
    #[error("bad magic cookie")]
    Cookie,
    /// An option runs over the end.
    #[error("option {0} is truncated")]
    Truncated(u8),
    /// No End option.
    #[error("no End option")]
    NoEnd,
    /// More than [`MAX_OPTIONS`].
    #[error("too many options")]
    TooManyOptions,
    /// Longer than [`MAX_OPTION`], or than what is echoed.
    #[error("option {0} is too long")]
    OptionTooLong(u8),
    /// An option whose length its definition does not allow, which repeats cause as well.
    #[error("option {0} has a wrong length or value")]
    BadOption(u8),
    /// Option 52 inside an overloaded field, or a value other than 1 to 3.
    #[error("bad option overload")]
    Overload,
    /// No option 53, or an unknown type.
    #[error("no DHCP message type")]
    NoMessageType,
}

/// A sound request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// DISCOVER, REQUEST …
    pub kind: MessageType,
    /// Transaction.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// Relays passed.
    pub hops: u8,
    /// The client asks for broadcast replies.
    pub broadcast: bool,
    /// Flags as sent.
    pub flags: u16,
    /// The client's present address.
    pub ciaddr: Ipv4Addr,
    /// The relay.
    pub giaddr: Ipv4Addr,
    /// The client.
    pub hw: HwAddr,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server_id: Option<Ipv4Addr>,
    /// Option 55.
    pub parameters: Vec<u8>,
    /// Option 57, at least 576 where given.
    pub max_size: Option<u16>,
    /// Option 60.
    pub vendor_class: Vec<u8>,
    /// Option 61.
    pub client_id: Option<Vec<u8>>,
    /// Option 77.
    pub user_class: Vec<u8>,
    /// Option 82, as sent.
    pub relay_info: Option<Vec<u8>>,
    /// Option 82 suboption 5 (RFC 3527).
    pub link_selection: Option<Ipv4Addr>,
    /// Option 93, every value; else what the vendor class says.
    pub archs: Vec<u16>,
    /// Option 97, 17 bytes with its type.
    pub uuid: Option<[u8; 17]>,
    /// Option 175 is present.
    pub ipxe_options: bool,
}

impl Request {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`PacketError`]: drop it.
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        if bytes.len() < HEADER {
            return Err(PacketError::TooShort);
        }
        if bytes.len() > MAX_PACKET {
            return Err(PacketError::TooLong);
        }
        let header = borrowed::Message::new(bytes).map_err(|_| PacketError::TooShort)?;
        if header.opcode() != Opcode::BootRequest {
            return Err(PacketError::NotARequest);
        }
        if bytes.get(236..HEADER) != Some(&MAGIC) {
            return Err(PacketError::Cookie);
        }
        if usize::from(header.hlen()) > 16 {
            return Err(PacketError::HardwareAddress);
        }
        let hw = HwAddr::new(u8::from(header.htype()), header.chaddr())
            .filter(HwAddr::is_station)
            .ok_or(PacketError::HardwareAddress)?;
        let options = Options::read(bytes)?;
        let kind = options.message_type()?;
        let vendor_class = options.owned(OptionCode::ClassIdentifier);
        let flags: u16 = header.flags().into();
        Ok(Self {
            kind,
            xid: header.xid(),
            secs: header.secs(),
            hops: header.hops(),
            broadcast: flags & 0x8000 != 0,
            flags,
            ciaddr: header.ciaddr(),
            giaddr: header.giaddr(),
            hw,
            requested: options.address(OptionCode::RequestedIpAddress)?,
            server_id: options.address(OptionCode::ServerIdentifier)?,
            parameters: options.owned(OptionCode::ParameterRequestList),
            max_size: options.max_size()?,
            archs: options.archs(&vendor_class)?,
            vendor_class,
            client_id: options.bounded(OptionCode::ClientIdentifier, MAX_CLIENT_ID)?,
            user_class: options.owned(OptionCode::UserClass),
            link_selection: options.link_selection()?,
            relay_info: options.bounded(OptionCode::RelayAgentInformation, MAX_RELAY_INFO)?,
            uuid: options.uuid()?,
            ipxe_options: options.get(OptionCode::Unknown(175)).is_some(),
        })
    }

    /// Whether option 55 asks for `code`.
    #[must_use]
    pub fn asks_for(&self, code: OptionCode) -> bool {
        self.parameters.contains(&u8::from(code))
    }

    /// Which program asks.
    #[must_use]
    pub fn stage(&self) -> ClientStage {
        if self.vendor_class.starts_with(b"weft-node") {
            ClientStage::Node
        } else if self.ipxe_options || self.user_class_is(b"iPXE") {
            ClientStage::Ipxe
        } else if self.vendor_class.starts_with(b"HTTPClient") {
            ClientStage::HttpBoot
        } else if self.vendor_class.starts_with(b"PXEClient") {
            ClientStage::Pxe
        } else {
            ClientStage::Other
        }
    }

    /// The client as it describes itself.
    #[must_use]
    pub fn client(&self) -> ClientInfo {
        let uuid = self.uuid.map(|bytes| bytes.iter().skip(1).map(|byte| format!("{byte:02x}")).collect());
        ClientInfo {
            hw: self.hw,
            uuid,
            arch: self.archs.first().copied(),
            stage: self.stage(),
            discovers: self.kind == MessageType::Discover,
            xid: self.xid,
            secs: self.secs,
        }
    }

    /// Option 77 is one string in practice and a list of counted strings in RFC 3004; both occur.
    fn user_class_is(&self, class: &[u8]) -> bool {
        if self.user_class == class {
            return true;
        }
        let mut rest = self.user_class.as_slice();
        while let Some((len, after)) = rest.split_first() {
            let Some((item, next)) = after.split_at_checked(usize::from(*len)) else { return false };
            if item == class {
                return true;
            }
            rest = next;
        }
        false
    }
}

/// Option 54 of a packet of either direction whose options are sound.
pub(crate) fn server_identifier(bytes: &[u8]) -> Option<Ipv4Addr> {
    Options::read(bytes).ok()?.address(OptionCode::ServerIdentifier).ok()?
}

/// Options by code, repeats joined.
struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    fn read(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut options = Self(BTreeMap::new());
        let mut left = MAX_OPTIONS;
        options.area(bytes.get(HEADER..).unwrap_or_default(), &mut left)?;
        let overload = match options.get(OptionCode::OptionOverload) {
            None => 0,
            Some([value @ 1..=3]) => *value,
            Some(_) => return Err(PacketError::Overload),
        };
        // RFC 2131 section 4.1: file before sname. Each at most once: there is no loop to be had, and a further option 52 in
        // there is refused.
        for (bit, field) in [(1, FILE), (2, SNAME)] {
            if overload & bit != 0 {
                options.area(bytes.get(field).unwrap_or_default(), &mut left)?;
            }
        }
        if options.get(OptionCode::OptionOverload).is_some_and(|value| value.len() != 1) {
            return Err(PacketError::Overload);
        }
        Ok(options)
    }

    fn area(&mut self, mut rest: &[u8], left: &mut usize) -> Result<(), PacketError> {
        loop {
            let (code, after) = rest.split_first().ok_or(PacketError::NoEnd)?;
            match *code {
                0 => rest = after,
                255 => return Ok(()),
                code => {
                    *left = left.checked_sub(1).ok_or(PacketError::TooManyOptions)?;
                    let (len, after) = after.split_first().ok_or(PacketError::Truncated(code))?;
                    let (value, after) =
                        after.split_at_checked(usize::from(*len)).ok_or(PacketError::Truncated(code))?;
                    let joined = self.0.entry(code).or_default();
                    if joined.len().saturating_add(value.len()) > MAX_OPTION {
                        return Err(PacketError::OptionTooLong(code));
                    }
                    joined.extend_from_slice(value);
                    rest = after;
                }
            }
        }
    }

    fn get(&self, code: OptionCode) -> Option<&[u8]> {
        self.0.get(&u8::from(code)).map(Vec::as_slice)
    }

    fn owned(&self, code: OptionCode) -> Vec<u8> {
        self.get(code).unwrap_or_default().to_vec()
    }

    fn bounded(&self, code: OptionCode, most: usize) -> Result<Option<Vec<u8>>, PacketError> {
        match self.get(code) {
            Some(value) if value.len() > most => Err(PacketError::OptionTooLong(code.into())),
            other => Ok(other.map(<[u8]>::to_vec)),
        }
    }

    fn array<const N: usize>(&self, code: OptionCode) -> Result<Option<[u8; N]>, PacketError> {
        match self.get(code) {
            None => Ok(None),
            Some(value) => value.try_into().map(Some).map_err(|_| PacketError::BadOption(code.into())),
        }
    }

    fn address(&self, code: OptionCode) -> Result<Option<Ipv4Addr>, PacketError> {
        Ok(self.array::<4>(code)?.map(Ipv4Addr::from))
    }

    fn message_type(&self) -> Result<MessageType, PacketError> {
        match self.array::<1>(OptionCode::MessageType)? {
            Some([value @ 1..=8]) => Ok(MessageType::from(value)),
            _ => Err(PacketError::NoMessageType),
        }
    }

    fn max_size(&self) -> Result<Option<u16>, PacketError> {
        // RFC 2132 section 9.10: at least 576. Less is taken as that.
        Ok(self.array::<2>(OptionCode::MaxMessageSize)?.map(|value| u16::from_be_bytes(value).max(576)))
    }

    fn uuid(&self) -> Result<Option<[u8; 17]>, PacketError> {
        // RFC 4578 section 2.3: type 0 and 16 bytes. Some firmware sends an empty one.
        match self.get(OptionCode::ClientMachineIdentifier) {
            Some([]) => Ok(None),
            _ => self.array::<17>(OptionCode::ClientMachineIdentifier),
        }
    }

    fn archs(&self, vendor_class: &[u8]) -> Result<Vec<u16>, PacketError> {
        let Some(value) = self.get(OptionCode::ClientSystemArchitecture) else {
            return Ok(arch_of_class(vendor_class).into_iter().collect());
        };
        let (pairs, rest) = value.as_chunks::<2>();
        if !rest.is_empty() || pairs.is_empty() {
            return Err(PacketError::BadOption(OptionCode::ClientSystemArchitecture.into()));
        }
        Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }

    fn link_selection(&self) -> Result<Option<Ipv4Addr>, PacketError> {
        let code = u8::from(OptionCode::RelayAgentInformation);
        let mut rest = self.get(OptionCode::RelayAgentInformation).unwrap_or_default();
        let mut found = None;
        while let Some((sub, after)) = rest.split_first() {
            let (len, after) = after.split_first().ok_or(PacketError::Truncated(code))?;
            let (value, after) =
                after.split_at_checked(usize::from(*len)).ok_or(PacketError::Truncated(code))?;
            if *sub == 5 {
                let value: [u8; 4] = value.try_into().map_err(|_| PacketError::BadOption(code))?;
                found = Some(Ipv4Addr::from(value));
            }
            rest = after;
        }
        Ok(found)
    }
}

/// `PXEClient:Arch:00007:UNDI:003016`
fn arch_of_class(class: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(class).ok()?;
    let (_, rest) = text.split_once(":Arch:")?;
    rest.split(':').next()?.parse().ok()
}
