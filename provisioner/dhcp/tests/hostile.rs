//! What must be refused, without harm.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4};

use common::*;
use proptest::prelude::*;
use weft_dhcp::packet::{PacketError, Request};
use weft_dhcp::{Destination, DhcpConfig, DhcpEvent, Effect, HwAddr, Meta, Net, rogue};

fn parse(packet: &Packet) -> Result<Request, PacketError> {
    Request::parse(&packet.bytes())
}

fn discover() -> Packet {
    Packet::new(mac(1), 1)
}

#[test]
fn an_hlen_beyond_16_is_refused() {
    for hlen in [0, 5, 7, 16, 17, 200, 255] {
        let mut packet = discover();
        packet.header[2] = hlen;
        assert_eq!(parse(&packet), Err(PacketError::HardwareAddress), "{hlen}");
    }
    // Not Ethernet: 16 bytes are the most there is.
    let mut packet = discover();
    (packet.header[1], packet.header[2]) = (32, 16);
    assert!(parse(&packet).is_ok());
    packet.header[2] = 17;
    assert_eq!(parse(&packet), Err(PacketError::HardwareAddress));
    // A group address or none is nobody's.
    for first in [[0xff; 6], [0; 6], [1, 0, 0, 0, 0, 1]] {
        let mut packet = discover();
        packet.header[28..34].copy_from_slice(&first);
        assert_eq!(parse(&packet), Err(PacketError::HardwareAddress));
    }
}

#[test]
fn a_bad_cookie_and_a_missing_end_are_refused() {
    let mut packet = discover();
    packet.header[239] = 0;
    assert_eq!(parse(&packet), Err(PacketError::Cookie));
    let bytes = discover().bytes();
    assert_eq!(Request::parse(&bytes[..bytes.len() - 1]), Err(PacketError::NoEnd));
    assert_eq!(Request::parse(&bytes[..240]), Err(PacketError::NoEnd));
    for len in 0..240 {
        assert_eq!(Request::parse(&bytes[..len]), Err(PacketError::TooShort));
    }
    assert_eq!(Request::parse(&[1; 1501]), Err(PacketError::TooLong));
    let mut reply = discover();
    reply.header[0] = 2;
    assert_eq!(parse(&reply), Err(PacketError::NotARequest));
}

#[test]
fn truncated_and_duplicate_options_are_refused() {
    let bytes = discover().option(61, &[1; 20]).bytes();
    for len in 240..bytes.len() {
        assert!(Request::parse(&bytes[..len]).is_err(), "{len}");
    }
    // A repeat is a continuation (RFC 3396), so a fixed length no longer fits.
    assert_eq!(parse(&discover().option(53, &[1])), Err(PacketError::BadOption(53)));
    assert_eq!(parse(&discover().address(50, FIRST).address(50, FIRST)), Err(PacketError::BadOption(50)));
    assert_eq!(parse(&discover().option(54, &[1, 2, 3])), Err(PacketError::BadOption(54)));
    assert_eq!(parse(&discover().option(93, &[0])), Err(PacketError::BadOption(93)));
    assert_eq!(parse(&discover().option(93, &[])), Err(PacketError::BadOption(93)));
    // And where a continuation makes sense it is read as one.
    let joined = parse(&discover().option(93, &[0, 7]).option(93, &[0, 9])).expect("sound");
    assert_eq!(joined.archs, [7, 9]);
    let mut many = discover();
    for _ in 0..130 {
        many = many.option(12, b"x");
    }
    assert_eq!(parse(&many), Err(PacketError::TooManyOptions));
}

#[test]
fn overloaded_fields_are_read_once_and_never_loop() {
    let mut packet = discover().option(52, &[3]);
    packet.header[108..115].copy_from_slice(&[50, 4, 10, 9, 0, 42, 255]);
    packet.header[44..49].copy_from_slice(&[57, 2, 5, 220, 255]);
    let request = parse(&packet).expect("sound");
    assert_eq!(request.requested, Some(Ipv4Addr::new(10, 9, 0, 42)));
    assert_eq!(request.max_size, Some(1500));
    // Option 52 inside an overloaded field points back at itself.
    packet.header[108..112].copy_from_slice(&[52, 1, 3, 255]);
    assert_eq!(parse(&packet), Err(PacketError::Overload));
    packet.header[108..112].copy_from_slice(&[52, 0, 255, 0]);
    assert!(parse(&packet).is_ok(), "an empty piece adds nothing");
    for value in [&[0][..], &[4], &[255], &[], &[1, 1]] {
        assert_eq!(parse(&discover().option(52, value)), Err(PacketError::Overload));
    }
    // An overloaded field without End, or with an option running out of it into the next field.
    let mut packet = discover().option(52, &[1]);
    assert_eq!(parse(&packet), Err(PacketError::NoEnd));
    packet.header[108..110].copy_from_slice(&[12, 255]);
    assert_eq!(parse(&packet), Err(PacketError::Truncated(12)));
}

#[test]
fn oversized_echoes_are_refused_or_fit() {
    // Client identifier: echoed up to 64 bytes.
    assert!(parse(&discover().option(61, &[7; 64])).is_ok());
    assert_eq!(parse(&discover().option(61, &[7; 65])), Err(PacketError::OptionTooLong(61)));
    // UUID: 17 bytes or nothing.
    assert_eq!(parse(&discover().option(97, &[0; 18])), Err(PacketError::BadOption(97)));
    assert_eq!(parse(&discover().option(97, &[0; 200])), Err(PacketError::BadOption(97)));
    assert_eq!(parse(&discover().option(97, &[])).expect("sound").uuid, None);
    // Relay information: one option's worth, and sound inside.
    let big = [vec![1, 253], vec![9; 253]].concat();
    assert!(parse(&discover().option(82, &big)).is_ok());
    assert!(parse(&discover().option(82, &big).option(82, &[1, 1, 1])).is_err());
    assert_eq!(parse(&discover().option(82, &[1, 200, 1])), Err(PacketError::Truncated(82)));
    // Vendor options are never echoed, whatever their size.
    let huge = discover().pxe(7).option(43, &[0xaa; 255]).option(43, &[0xaa; 255]);
    let mut server = server(config());
    let effects = server.handle(T0, &huge.bytes(), nobody());
    assert_eq!(option(&reply(&effects).expect("an offer").bytes, 43), Some(vec![6, 1, 8, 255]));
    // All echoes at their largest, from a client that takes 576 bytes: dropped rather than sent too long.
    let mut config = config();
    config.relays = vec![Net { address: SERVER, prefix: 24 }];
    let mut server = common::server(config);
    let relay = Ipv4Addr::new(10, 9, 0, 2);
    let most = discover().pxe(7).giaddr(relay).option(61, &[7; 64]).option(97, &[0; 17]).option(82, &big);
    assert!(reply(&server.handle(T0, &most.bytes(), from(relay))).is_none());
    let most = most.option(57, &1500u16.to_be_bytes());
    let effects = server.handle(T0, &most.bytes(), from(relay));
    assert!(reply(&effects).expect("an offer").bytes.len() <= 1472);
}

#[test]
fn starvation_by_random_hardware_addresses_is_bounded() {
    let mut config = config();
    config.limits.max_offered_permille = 500;
    config.limits.new_clients_per_s = 50;
    config.limits.new_clients_burst = 150;
    let mut server = server(config);
    let known = lease(&mut server, T0, mac(1)).expect("a lease");
    server.tick(T0 + 700_000);
    let start = T0 + 700_000;
    // 20,000 invented clients in two seconds, none of which takes its offer.
    let mut offers = 0;
    for n in 0..20_000u16 {
        let now = start + u64::from(n) / 10;
        let effects = server.handle(now, &Packet::new(mac(1000 + n), 1).bytes(), nobody());
        offers += usize::from(reply(&effects).is_some());
    }
    assert!(offers <= 95, "half the pool at most: {offers}");
    // A node that was here before still gets its address.
    assert_eq!(lease(&mut server, start + 2000, mac(1)), Some(known));
    // And when the holds are over, everybody else may come again.
    assert!(lease(&mut server, start + 20_000, mac(2)).is_some());
    // Clients that do take their offers: part of the pool stays for those who were here before.
    for n in 0..500u16 {
        let _ = lease(&mut server, start + 21_000 + u64::from(n) * 100, mac(30_000 + n));
    }
    let held = server.leases().len();
    assert!(held <= 172, "a tenth of 191 is kept back: {held}");
    assert_eq!(lease(&mut server, start + 80_000, mac(1)), Some(known));
}

#[test]
fn packet_rate_is_bounded() {
    let mut config = config();
    config.limits.packets_per_s = 100;
    config.limits.packets_burst = 100;
    let mut server = server(config);
    let mut answered = 0;
    let mut throttled = 0;
    for _ in 0..10_000 {
        let effects = server.handle(T0, &discover().bytes(), nobody());
        answered += usize::from(reply(&effects).is_some());
        throttled += effects.iter().filter(|e| matches!(e, Effect::Event(DhcpEvent::Throttled))).count();
    }
    assert_eq!((answered, throttled), (100, 1));
}

#[test]
fn one_relay_port_cannot_take_the_pool() {
    let mut config = config();
    config.relays = vec![Net { address: SERVER, prefix: 24 }];
    config.limits.max_per_circuit = 3;
    let mut server = server(config);
    let relay = Ipv4Addr::new(10, 9, 0, 2);
    let mut offer = |n: u16, port: u8| {
        let packet = Packet::new(mac(n), 1).giaddr(relay).option(82, &[1, 1, port]);
        reply(&server.handle(T0, &packet.bytes(), from(relay))).is_some()
    };
    assert_eq!((0..10).filter(|n| offer(*n, 1)).count(), 3);
    assert!(offer(50, 2), "another port is not concerned");
}

#[test]
fn a_rogue_server_raises_an_alarm_and_an_allowed_one_does_not() {
    let rogue_server = Ipv4Addr::new(10, 9, 0, 66);
    let peer = Ipv4Addr::new(10, 9, 0, 67);
    let mut seen = rogue::Sightings::new(SERVER, vec![peer]);
    let probe_from = HwAddr::ethernet([2, 0x57, 10, 9, 0, 1]);
    let probe = rogue::probe(77, probe_from);
    // The probe is a request that any server answers, ourselves excepted.
    assert_eq!(Request::parse(&probe).expect("sound").archs, [7]);
    let mut server = server(config());
    server.set_probe_address(probe_from);
    assert!(server.handle(T0, &probe, nobody()).is_empty());
    // Another appliance answers it: a server like ours.
    let mut config = DhcpConfig::full(rogue_server, 24, FIRST, FIRST);
    config.boot.uefi = "evil.efi".into();
    let mut other = common::server(config);
    let effects = other.handle(T0, &probe, nobody());
    let offer = &reply(&effects).expect("an offer").bytes;
    assert_eq!(rogue::answerer(offer, 77, rogue_server), Some(rogue_server));
    assert_eq!(rogue::answerer(offer, 78, rogue_server), None, "not our probe");
    assert_eq!(rogue::answerer(&probe, 77, rogue_server), None, "not a reply");
    // Options that make no sense (network interface of length 0) hide nobody, and harm nobody.
    let mut odd = offer[..240].to_vec();
    odd.extend([94, 0, 255]);
    assert_eq!(rogue::answerer(&odd, 77, peer), Some(peer));
    let alarm = |event: &Option<DhcpEvent>| matches!(event, Some(DhcpEvent::RogueServer { .. }));
    assert!(alarm(&seen.seen(T0, rogue_server, "offer")));
    assert!(seen.seen(T0 + 1000, rogue_server, "offer").is_none(), "not each time");
    assert!(alarm(&seen.seen(T0 + 61_000, rogue_server, "offer")), "but again");
    assert!(matches!(seen.seen(T0, peer, "offer"), Some(DhcpEvent::PeerServer { .. })));
    assert!(seen.seen(T0 + 61_000, peer, "offer").is_none());
    assert!(seen.seen(T0, SERVER, "offer").is_none(), "ourselves");
    assert_eq!(seen.list(T0), [(rogue_server, false), (peer, true)]);
    // An attacker who invents servers fills no memory.
    for n in 0..10_000u32 {
        seen.seen(T0 + 70_000, Ipv4Addr::from_bits(0x0b00_0000 + n), "offer");
    }
    assert!(seen.list(0).len() <= 64);
}

#[test]
fn a_spoofed_relay_or_source_is_no_amplifier() {
    let victim = Ipv4Addr::new(203, 0, 113, 9);
    let mut server = server(config());
    // A relay that nobody listed.
    assert!(server.handle(T0, &discover().pxe(7).giaddr(victim).bytes(), from(victim)).is_empty());
    // An address outside, as ciaddr and as source.
    for kind in [1, 3, 8] {
        let packet = Packet::new(mac(1), kind).pxe(7).ciaddr(victim).bytes();
        for source in [victim, Ipv4Addr::UNSPECIFIED] {
            let effects = server.handle(T0, &packet, from(source));
            let to = reply(&effects).map(|r| r.to);
            assert!(matches!(to, None | Some(Destination::Broadcast)), "{kind}: {to:?}");
        }
    }
    // A neighbour's address, spoofed in the packet only.
    let neighbour = Ipv4Addr::new(10, 9, 0, 240);
    let packet = Packet::new(mac(1), 8).ciaddr(neighbour).bytes();
    assert!(server.handle(T0, &packet, from(Ipv4Addr::new(10, 9, 0, 241))).is_empty());
    // The PXE port, from outside.
    let meta = Meta { source: SocketAddrV4::new(victim, 4011), pxe_port: true };
    assert!(server.handle(T0, &Packet::new(mac(1), 3).pxe(7).bytes(), meta).is_empty());
    // The directed broadcast address is nobody's.
    let all = Ipv4Addr::new(10, 9, 0, 255);
    assert!(server.handle(T0, &Packet::new(mac(1), 8).ciaddr(all).bytes(), from(all)).is_empty());
}

#[test]
fn a_packet_that_was_relayed_for_ever_is_dropped() {
    let mut packet = discover();
    packet.header[3] = 17;
    assert!(server(config()).handle(T0, &packet.bytes(), nobody()).is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let _ = Request::parse(&bytes);
        let _ = rogue::answerer(&bytes, 0, SERVER);
    }

    /// Random options behind a sound header reach the server; its answers stay small and go nowhere far.
    #[test]
    fn any_options_are_answered_soundly(
        kind in 0u8..10,
        options in proptest::collection::vec(any::<u8>(), 0..300),
        known in proptest::collection::vec((prop_oneof![Just(50u8), Just(54), Just(55), Just(57), Just(60), Just(61), Just(77), Just(82), Just(93), Just(97), Just(175), Just(52)], proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        ciaddr: u32,
        source: u32,
        pxe_port: bool,
    ) {
        let mut packet = Packet::new(mac(7), kind).ciaddr(Ipv4Addr::from_bits(ciaddr));
        for (code, value) in &known {
            packet = packet.option(*code, value);
        }
        packet.options.extend_from_slice(&options);
        let mut server = server(config());
        let meta = Meta { source: SocketAddrV4::new(Ipv4Addr::from_bits(source), 68), pxe_port };
        for now in [T0, T0 + 1] {
            let effects = server.handle(now, &packet.bytes(), meta);
            if let Some(reply) = reply(&effects) {
                prop_assert!((300..=1472).contains(&reply.bytes.len()));
                if let Destination::Unicast(to) = reply.to {
                    prop_assert_eq!(to.ip().octets()[..3].to_vec(), vec![10, 9, 0]);
                }
            }
        }
    }

    /// No two clients hold one address, whatever they do in whatever order.
    #[test]
    fn an_address_has_one_holder(moves in proptest::collection::vec((0u16..12, 0u8..5, 0u64..400_000, 0u8..20), 1..150)) {
        let mut config = config();
        config.subnets[0].last = Ipv4Addr::new(10, 9, 0, 17);
        let mut server = server(config);
        let mut now = T0;
        let mut held: std::collections::HashMap<Ipv4Addr, (u16, u64)> = std::collections::HashMap::new();
        for (client, what, passed, host) in moves {
            now += passed;
            let wanted = Ipv4Addr::new(10, 9, 0, 8 + host);
            let packet = match what {
                0 => Packet::new(mac(client), 1),
                1 => Packet::new(mac(client), 3).address(54, SERVER).address(50, wanted),
                2 => Packet::new(mac(client), 3).ciaddr(wanted),
                3 => Packet::new(mac(client), 7).ciaddr(wanted),
                _ => Packet::new(mac(client), 4).address(54, SERVER).address(50, wanted),
            };
            let offered = server.handle(now, &packet.bytes(), from(wanted));
            let mut all = vec![offered];
            if what == 0 && let Some(offer) = reply(&all[0]) {
                let take = Packet::new(mac(client), 3).address(54, SERVER).address(50, yiaddr(&offer.bytes));
                all.push(server.handle(now, &take.bytes(), nobody()));
            }
            for effect in all.into_iter().flatten() {
                if let Effect::Persist { lease, then, .. } = effect {
                    if then.is_none() {
                        held.remove(&lease.address);
                        continue;
                    }
                    if let Some((holder, until)) = held.get(&lease.address) {
                        prop_assert!(*holder == client || *until <= now, "{} is held", lease.address);
                    }
                    held.insert(lease.address, (client, lease.expires_s * 1000));
                }
            }
        }
    }
}
