//! What is fuzzed: any bytes, in; the invariants, checked. Shared by the fuzz target, the replay test and the example.

use std::net::{Ipv4Addr, SocketAddrV4};

use weft_dhcp::journal::{Decoded, RECORD, decode, encode};
use weft_dhcp::{Destination, DhcpConfig, Effect, Meta, Net, Server, rogue};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// The first byte chooses mode, port and source; the rest is split into packets by their length bytes.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let mut config = DhcpConfig::full(SERVER, 24, Ipv4Addr::new(10, 9, 0, 10), Ipv4Addr::new(10, 9, 0, 40));
    config.relays = vec![Net { address: SERVER, prefix: 24 }];
    if choice & 1 != 0 {
        config = DhcpConfig::proxy(SERVER);
    }
    let source = if choice & 2 != 0 { Ipv4Addr::new(10, 9, 0, 20) } else { Ipv4Addr::UNSPECIFIED };
    let meta = Meta { source: SocketAddrV4::new(source, 68), pxe_port: choice & 4 != 0 };
    let mut server = Server::new(config, &[], 1_000_000).expect("sound settings");
    let _ = rogue::answerer(data, 0, SERVER);
    if let Some(record) = data.first_chunk::<RECORD>()
        && let Decoded::Lease(lease) = decode(record)
    {
        assert_eq!(decode(&encode(&lease)), Decoded::Lease(lease));
    }
    let mut now = 1_000_000;
    // The same packet twice, then its two halves: state is kept in between.
    for packet in [data, data, data.get(..data.len() / 2).unwrap_or_default()] {
        now += 1000;
        for effect in server.handle(now, packet, meta) {
            let reply = match effect {
                Effect::Send(reply) | Effect::Persist { then: Some(reply), .. } => reply,
                Effect::Persist { then: None, .. } | Effect::Event(_) => continue,
            };
            assert!((300..=1472).contains(&reply.bytes.len()), "{} bytes", reply.bytes.len());
            assert_eq!(reply.bytes[0], 2);
            if let Destination::Unicast(to) = reply.to {
                assert_eq!(to.ip().octets()[..3], [10, 9, 0], "{to}");
            }
        }
        let leases = server.leases();
        let mut addresses: Vec<_> = leases.iter().map(|lease| lease.address).collect();
        addresses.dedup();
        assert_eq!(addresses.len(), leases.len(), "an address has one holder");
    }
}
