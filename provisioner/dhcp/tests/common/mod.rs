//! Packets as clients build them, byte by byte: no code of the server's is used.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{Ipv4Addr, SocketAddrV4};

use weft_dhcp::{DhcpConfig, Effect, Meta, Reply, Server};

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);
pub(crate) const T0: u64 = 1_800_000_000_000;

/// A request under construction.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) header: [u8; 240],
    pub(crate) options: Vec<u8>,
}

impl Packet {
    pub(crate) fn new(mac: [u8; 6], kind: u8) -> Self {
        let mut header = [0; 240];
        header[..3].copy_from_slice(&[1, 1, 6]);
        header[4..8].copy_from_slice(&[0xde, 0xad, mac[4], mac[5]]);
        header[28..34].copy_from_slice(&mac);
        header[236..].copy_from_slice(&[99, 130, 83, 99]);
        Self { header, options: vec![53, 1, kind] }
    }

    pub(crate) fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.options.push(code);
        self.options.push(u8::try_from(value.len()).expect("short value"));
        self.options.extend_from_slice(value);
        self
    }

    pub(crate) fn address(self, code: u8, address: Ipv4Addr) -> Self {
        self.option(code, &address.octets())
    }

    pub(crate) fn ciaddr(mut self, address: Ipv4Addr) -> Self {
        self.header[12..16].copy_from_slice(&address.octets());
        self
    }

    pub(crate) fn giaddr(mut self, address: Ipv4Addr) -> Self {
        self.header[24..28].copy_from_slice(&address.octets());
        self
    }

    /// UEFI x86-64 over TFTP.
    pub(crate) fn pxe(self, arch: u16) -> Self {
        let class = format!("PXEClient:Arch:{arch:05}:UNDI:003016");
        self.option(60, class.as_bytes()).option(93, &arch.to_be_bytes()).option(55, &[1, 3, 43, 60, 66, 67])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.options, &[255]].concat()
    }
}

pub(crate) fn mac(n: u16) -> [u8; 6] {
    let [high, low] = n.to_be_bytes();
    [2, 0, 0, 0, high, low]
}

pub(crate) fn config() -> DhcpConfig {
    DhcpConfig::full(SERVER, 24, FIRST, Ipv4Addr::new(10, 9, 0, 200))
}

pub(crate) fn server(config: DhcpConfig) -> Server {
    Server::new(config, &[], T0).expect("sound settings")
}

pub(crate) fn from(address: Ipv4Addr) -> Meta {
    Meta { source: SocketAddrV4::new(address, 68), pxe_port: false }
}

pub(crate) fn nobody() -> Meta {
    from(Ipv4Addr::UNSPECIFIED)
}

/// The one reply among the effects.
pub(crate) fn reply(effects: &[Effect]) -> Option<&Reply> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(reply) | Effect::Persist { then: Some(reply), .. } => Some(reply),
        Effect::Persist { then: None, .. } | Effect::Event(_) => None,
    })
}

/// An option of a reply.
pub(crate) fn option(bytes: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut rest = &bytes[240..];
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [255, ..] | [] => return None,
            [c, len, after @ ..] => {
                let (value, after) = after.split_at(usize::from(*len));
                if *c == code {
                    return Some(value.to_vec());
                }
                rest = after;
            }
            [_] => panic!("truncated reply"),
        }
    }
}

pub(crate) fn yiaddr(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19])
}

pub(crate) fn siaddr(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[20], bytes[21], bytes[22], bytes[23])
}

pub(crate) fn file(bytes: &[u8]) -> String {
    let end = bytes[108..236].iter().position(|b| *b == 0).unwrap_or(128);
    String::from_utf8(bytes[108..108 + end].to_vec()).expect("text")
}

/// DISCOVER and REQUEST; the address bound.
pub(crate) fn lease(server: &mut Server, now: u64, mac: [u8; 6]) -> Option<Ipv4Addr> {
    let effects = server.handle(now, &Packet::new(mac, 1).bytes(), nobody());
    let address = yiaddr(&reply(&effects)?.bytes);
    let request = Packet::new(mac, 3).address(54, SERVER).address(50, address);
    let effects = server.handle(now, &request.bytes(), nobody());
    let bytes = &reply(&effects)?.bytes;
    assert_eq!(option(bytes, 53), Some(vec![5]));
    assert_eq!(yiaddr(bytes), address);
    Some(address)
}
