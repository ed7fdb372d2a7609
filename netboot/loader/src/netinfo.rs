//! Where a UEFI machine booted from: the server and the boot NIC's address.
//!
//! Sources: the device path of the loaded image (UEFI specification 2.10, section 10.3: MAC node, URI
//! node) and the DHCP packets that the PXE base code kept (RFC 2131, section 2). All of it came from
//! the network or from firmware, and none of it is trusted; the DVMM uses it as a hint where to dial.

/// Bytes before the DHCP options, the magic cookie included.
const DHCP_HEADER: usize = 240;
const SERVER_IDENTIFIER: u8 = 54;

const MESSAGING: u8 = 3;
const MAC_NODE: u8 = 11;
const UART_NODE: u8 = 14;
const URI_NODE: u8 = 24;
const END: u8 = 0x7f;

fn nonzero(address: &[u8]) -> Option<[u8; 4]> {
    address.try_into().ok().filter(|address| *address != [0; 4])
}

/// The server that a DHCP packet names: `siaddr`, else option 54.
pub fn dhcp_server(packet: &[u8]) -> Option<[u8; 4]> {
    if packet.get(236..DHCP_HEADER)? != [99, 130, 83, 99] {
        return None;
    }
    let siaddr = nonzero(packet.get(20..24)?);
    siaddr.or_else(|| dhcp_option(packet.get(DHCP_HEADER..)?, SERVER_IDENTIFIER).and_then(nonzero))
}

fn dhcp_option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (code, rest) = options.split_first()?;
        if *code == 0 {
            options = rest;
            continue;
        }
        if *code == 255 {
            return None;
        }
        let (len, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        if *code == wanted {
            return Some(value);
        }
        options = rest;
    }
}

/// A device path's nodes of one messaging subtype.
fn node(mut path: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (header, _) = path.split_first_chunk::<4>()?;
        let [kind, subtype, low, high] = *header;
        let len = usize::from(u16::from_le_bytes([low, high]));
        let (node, rest) = path.split_at_checked(len)?;
        let data = node.get(4..)?;
        if kind == MESSAGING && subtype == wanted {
            return Some(data);
        }
        if kind == END && subtype == 0xff {
            return None;
        }
        path = rest;
    }
}

/// The hardware address of an Ethernet device path.
pub fn path_mac(path: &[u8]) -> Option<[u8; 6]> {
    node(path, MAC_NODE)?.get(..6)?.try_into().ok()
}

/// The server of an HTTP boot path whose URI names an IPv4 address.
pub fn path_http_server(path: &[u8]) -> Option<[u8; 4]> {
    let uri = core::str::from_utf8(node(path, URI_NODE)?).ok()?;
    let (_, rest) = uri.split_once("://")?;
    let host = rest.split(['/', ':', '?']).next()?;
    let address: core::net::Ipv4Addr = host.parse().ok()?;
    Some(address.octets())
}

/// Whether a device path, or one of several instances of it, ends at a serial port.
pub fn path_has_uart(path: &[u8]) -> bool {
    node(path, UART_NODE).is_some()
}
