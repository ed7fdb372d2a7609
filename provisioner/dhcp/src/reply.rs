//! Building replies with `dhcproto`.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Encodable, Encoder};

use crate::boot::Boot;
use crate::config::{DhcpConfig, Mode, Subnet};
use crate::event::ClientStage;
use crate::packet::Request;

/// BOOTP's least length; some ROMs drop shorter packets.
const LEAST: usize = 300;
/// PXE 2.1 section 2.2: discovery control, "boot the file named in this packet".
const PXE_USE_FILE: &[u8] = &[6, 1, 8, 255];
/// iPXE: there is no other boot server to wait for.
const IPXE_NO_PROXY: &[u8] = &[176, 1, 1];

/// What a reply says besides what it echoes.
pub(crate) struct Content<'a> {
    pub(crate) kind: MessageType,
    pub(crate) yiaddr: Ipv4Addr,
    pub(crate) subnet: Option<&'a Subnet>,
    /// Lease time; absent in answers to INFORM and from a proxy.
    pub(crate) lease_s: Option<u32>,
    pub(crate) boot: &'a Boot,
}

/// The packet. `None` if it would not fit what the client takes (it always does with checked settings).
pub(crate) fn build(request: &Request, config: &DhcpConfig, content: &Content<'_>) -> Option<Vec<u8>> {
    let mut message = Message::new_with_id(
        request.xid,
        // RFC 2131 table 3: ciaddr is kept in an ACK only.
        if content.kind == MessageType::Ack { request.ciaddr } else { Ipv4Addr::UNSPECIFIED },
        content.yiaddr,
        Ipv4Addr::UNSPECIFIED,
        request.giaddr,
        request.hw.bytes(),
    );
    message.set_opcode(Opcode::BootReply).set_htype(HType::from(request.hw.htype()));
    message.set_hops(0).set_flags(Flags::from(request.flags & 0x8000));
    let mut put = |option: DhcpOption| {
        message.opts_mut().insert(option);
    };
    put(DhcpOption::MessageType(content.kind));
    put(DhcpOption::ServerIdentifier(config.server));
    if let Some(id) = &request.client_id {
        put(DhcpOption::ClientIdentifier(id.clone()));
    }
    if content.kind != MessageType::Nak {
        if let Some(subnet) = content.subnet {
            network(&mut put, subnet, content.lease_s);
        }
        if let Some(uuid) = request.uuid {
            put(raw(OptionCode::ClientMachineIdentifier, &uuid));
        }
        boot_options(&mut put, request, config, content.boot);
    }
    if let Some(info) = &request.relay_info {
        // RFC 3046 section 2.2: echoed as it came, last.
        put(raw(OptionCode::RelayAgentInformation, info));
    }
    if content.kind != MessageType::Nak {
        boot_header(&mut message, config, content.boot);
    }
    let mut bytes = Vec::with_capacity(512);
    message.encode(&mut Encoder::new(&mut bytes)).ok()?;
    if bytes.len() < LEAST {
        bytes.resize(LEAST, 0);
    }
    // RFC 2131 section 2: 576 bytes of IP datagram unless the client takes more.
    let most = usize::from(request.max_size.unwrap_or(576)).saturating_sub(28);
    (bytes.len() <= most).then_some(bytes)
}

fn network(put: &mut impl FnMut(DhcpOption), subnet: &Subnet, lease_s: Option<u32>) {
    put(DhcpOption::SubnetMask(subnet.net.mask()));
    put(DhcpOption::BroadcastAddr(subnet.net.broadcast()));
    if let Some(router) = subnet.router {
        put(DhcpOption::Router(vec![router]));
    }
    if !subnet.dns.is_empty() {
        put(DhcpOption::DomainNameServer(subnet.dns.iter().copied().take(8).collect()));
    }
    if let Some(time) = lease_s {
        put(DhcpOption::AddressLeaseTime(time));
        put(DhcpOption::Renewal(time / 2));
        put(DhcpOption::Rebinding(time / 8 * 7));
    }
}

fn boot_options(put: &mut impl FnMut(DhcpOption), request: &Request, config: &DhcpConfig, boot: &Boot) {
    let Some(name) = boot.name() else { return };
    let next = config.boot.next_server.unwrap_or(config.server);
    match boot {
        Boot::Url(_) => {
            // UEFI 2.x section 24.7.4: the offer must say HTTPClient, or it is no offer for HTTP boot.
            put(raw(OptionCode::ClassIdentifier, b"HTTPClient"));
            put(DhcpOption::BootfileName(name.as_bytes().to_vec()));
        }
        Boot::File(_) => {
            if request.stage() == ClientStage::Ipxe {
                match config.mode {
                    Mode::Full => put(raw(OptionCode::Unknown(175), IPXE_NO_PROXY)),
                    // iPXE takes an offer without an address only from one who says that it serves PXE.
                    Mode::Proxy => put(raw(OptionCode::ClassIdentifier, b"PXEClient")),
                }
            } else {
                put(raw(OptionCode::ClassIdentifier, b"PXEClient"));
                put(raw(OptionCode::VendorExtensions, PXE_USE_FILE));
            }
            if request.asks_for(OptionCode::BootfileName) {
                put(DhcpOption::BootfileName(name.as_bytes().to_vec()));
            }
            if request.asks_for(OptionCode::TFTPServerName) {
                put(DhcpOption::TFTPServerName(next.to_string().into_bytes()));
            }
        }
        Boot::None | Boot::Appliance | Boot::Unsupported => {}
    }
}

fn boot_header(message: &mut Message, config: &DhcpConfig, boot: &Boot) {
    let next = config.boot.next_server.unwrap_or(config.server);
    match boot {
        Boot::None => {}
        Boot::Appliance | Boot::Unsupported => {
            message.set_siaddr(config.server);
        }
        Boot::Url(_) => {
            message.set_siaddr(next);
        }
        Boot::File(name) => {
            message.set_siaddr(next).set_sname(next.to_string().as_bytes());
            // Longer names are in option 67 alone; the settings bound them.
            if name.len() < 128 {
                message.set_fname_str(name);
            }
        }
    }
}

fn raw(code: OptionCode, data: &[u8]) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(code, data.to_vec()))
}
