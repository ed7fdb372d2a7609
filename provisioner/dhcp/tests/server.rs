//! The server as clients see it, on simulated time.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4};

use common::*;
use weft_dhcp::{
    Destination, DhcpConfig, DhcpEvent, Effect, Lease, LeaseState, Meta, Net, Reservation, Server,
};

#[test]
fn a_node_gets_an_address_and_its_boot_file() {
    let mut server = server(config());
    let discover = Packet::new(mac(1), 1).pxe(7).option(97, &[0; 17]);
    let effects = server.handle(T0, &discover.bytes(), nobody());
    let offer = reply(&effects).expect("an offer");
    assert_eq!(offer.to, Destination::Broadcast);
    assert_eq!(option(&offer.bytes, 53), Some(vec![2]));
    assert_eq!(option(&offer.bytes, 54), Some(SERVER.octets().to_vec()));
    assert_eq!(yiaddr(&offer.bytes), FIRST);
    assert_eq!(siaddr(&offer.bytes), SERVER);
    assert_eq!(file(&offer.bytes), "weft.efi");
    assert_eq!(option(&offer.bytes, 67), Some(b"weft.efi".to_vec()));
    assert_eq!(option(&offer.bytes, 66), Some(b"10.9.0.1".to_vec()));
    assert_eq!(option(&offer.bytes, 60), Some(b"PXEClient".to_vec()));
    assert_eq!(option(&offer.bytes, 43), Some(vec![6, 1, 8, 255]));
    assert_eq!(option(&offer.bytes, 97), Some(vec![0; 17]));
    assert_eq!(option(&offer.bytes, 1), Some(vec![255, 255, 255, 0]));
    assert!(offer.bytes.len() >= 300 && offer.bytes.len() <= 548);

    let request = Packet::new(mac(1), 3).pxe(7).address(54, SERVER).address(50, FIRST);
    let effects = server.handle(T0 + 5, &request.bytes(), nobody());
    let [Effect::Persist { lease, then: Some(ack), .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(lease.address, FIRST);
    assert_eq!(lease.state, LeaseState::Bound);
    assert_eq!(option(&ack.bytes, 53), Some(vec![5]));
    // Disk never says less than the client was told.
    let told = option(&ack.bytes, 51).expect("lease time");
    let told = u32::from_be_bytes([told[0], told[1], told[2], told[3]]);
    assert!(lease.expires_s * 1000 >= T0 + 5 + u64::from(told) * 1000);
}

#[test]
fn each_kind_of_client_is_told_its_own_file() {
    let told = |packet: Packet| {
        let effects = server(config()).handle(T0, &packet.option(55, &[67]).bytes(), nobody());
        let bytes = reply(&effects).expect("an offer").bytes.clone();
        (file(&bytes), option(&bytes, 67).map(|v| String::from_utf8(v).expect("text")), option(&bytes, 60))
    };
    let new = || Packet::new(mac(1), 1);
    let pxe = |arch: u16| new().option(60, b"PXEClient").option(93, &arch.to_be_bytes());
    assert_eq!(told(pxe(0)).0, "ipxe/undionly.kpxe");
    assert_eq!(told(pxe(7)).0, "weft.efi");
    assert_eq!(told(pxe(9)).0, "weft.efi");
    // The vendor class alone, as some ROMs do.
    assert_eq!(told(new().option(60, b"PXEClient:Arch:00000:UNDI:002001")).0, "ipxe/undionly.kpxe");
    // Several values: the first for which there is an image.
    assert_eq!(told(new().option(60, b"PXEClient").option(93, &[0, 11, 0, 7])).0, "weft.efi");
    // UEFI HTTP boot needs its own class back, and a URL.
    let http = told(new().option(60, b"HTTPClient:Arch:00016").option(93, &[0, 16]));
    assert_eq!(http.1.as_deref(), Some("http://10.9.0.1/weft.efi"));
    assert_eq!(http.2, Some(b"HTTPClient".to_vec()));
    // iPXE, known by option 175 or by its user class in both spellings.
    assert_eq!(told(pxe(0).option(175, &[1, 1, 1])).0, "boot.ipxe");
    assert_eq!(told(pxe(0).option(77, b"iPXE")).0, "boot.ipxe");
    assert_eq!(told(pxe(0).option(77, b"\x04iPXE")).0, "boot.ipxe");
    assert_eq!(told(pxe(7).option(77, b"iPXE")).0, "weft.efi");
    // No image for an ARM machine, and none for a laptop that wants an address only.
    assert_eq!(told(pxe(11)).0, "");
    assert_eq!(told(new()), (String::new(), None, None));
}

#[test]
fn every_assigned_architecture_has_an_answer() {
    for arch in weft_dhcp::arch::ALL {
        let class: &[u8] = if arch.http { b"HTTPClient" } else { b"PXEClient" };
        let packet = Packet::new(mac(1), 1).option(60, class).option(93, &arch.code.to_be_bytes());
        let effects = server(config()).handle(T0, &packet.bytes(), nobody());
        assert!(reply(&effects).is_some(), "{}: an address at least", arch.name);
        let unsupported = effects.iter().any(|e| matches!(e, Effect::Event(DhcpEvent::Unsupported { .. })));
        let bootable = arch.x86_64 && arch.code != 20;
        assert_eq!(unsupported, !bootable, "{}", arch.name);
    }
    let codes: Vec<u16> = weft_dhcp::arch::ALL.iter().map(|arch| arch.code).collect();
    assert_eq!(codes, (0..=41).collect::<Vec<u16>>());
}

#[test]
fn the_node_image_gets_a_plain_lease_and_the_appliance_address() {
    let mut server = server(config());
    let effects = server.handle(T0, &Packet::new(mac(1), 1).option(60, b"weft-node").bytes(), nobody());
    let bytes = &reply(&effects).expect("an offer").bytes;
    assert_eq!((file(bytes), siaddr(bytes)), (String::new(), SERVER));
    assert_eq!(option(bytes, 43), None);
}

#[test]
fn rom_loader_and_image_share_one_address() {
    let mut server = server(config());
    let mut seen = Vec::new();
    for id in [&[0, 1, 2, 3][..], b"ipxe-id", b"\x01\x02\0\0\0\0\x01"] {
        let effects = server.handle(T0, &Packet::new(mac(1), 1).option(61, id).bytes(), nobody());
        let bytes = &reply(&effects).expect("an offer").bytes;
        assert_eq!(option(bytes, 61), Some(id.to_vec()), "RFC 6842");
        seen.push(yiaddr(bytes));
    }
    assert_eq!(seen, [FIRST; 3]);
}

#[test]
fn leases_renew_rebind_and_expire() {
    let mut server = server(config());
    let address = lease(&mut server, T0, mac(1)).expect("a lease");
    // RENEWING: unicast to the address; now known, so the full time.
    let renew = Packet::new(mac(1), 3).ciaddr(address);
    let effects = server.handle(T0 + 60_000, &renew.bytes(), from(address));
    let ack = reply(&effects).expect("an ACK");
    assert_eq!(ack.to, Destination::Unicast(SocketAddrV4::new(address, 68)));
    assert_eq!(option(&ack.bytes, 51), Some(3600u32.to_be_bytes().to_vec()));
    assert_eq!(server.leases().len(), 1);
    server.tick(T0 + 60_000 + 3_600_001);
    assert!(server.leases().is_empty());
    // The address is still remembered for this client.
    lease(&mut server, T0 + 5_000_000, mac(2)).expect("a lease");
    assert_eq!(lease(&mut server, T0 + 5_000_000, mac(1)), Some(address));
}

#[test]
fn requests_for_what_is_not_theirs_are_denied_or_ignored() {
    let mut server = server(config());
    let address = lease(&mut server, T0, mac(1)).expect("a lease");
    let nak = |effects: &[Effect]| reply(effects).map(|r| option(&r.bytes, 53) == Some(vec![6]));
    // Another client wants it.
    let steal = Packet::new(mac(2), 3).address(54, SERVER).address(50, address);
    assert_eq!(nak(&server.handle(T0, &steal.bytes(), nobody())), Some(true));
    // INIT-REBOOT on the wrong network.
    let moved = Packet::new(mac(3), 3).address(50, Ipv4Addr::new(192, 168, 7, 7));
    assert_eq!(nak(&server.handle(T0, &moved.bytes(), nobody())), Some(true));
    // INIT-REBOOT without a record: RFC 2131 wants silence.
    let stranger = Packet::new(mac(4), 3).address(50, Ipv4Addr::new(10, 9, 0, 99));
    assert_eq!(nak(&server.handle(T0, &stranger.bytes(), nobody())), None);
    // It chose another server: no answer, the offer is void, the other one is seen.
    server.handle(T0, &Packet::new(mac(5), 1).bytes(), nobody());
    let other = Packet::new(mac(5), 3).address(54, Ipv4Addr::new(10, 9, 0, 77)).address(50, FIRST);
    let effects = server.handle(T0, &other.bytes(), nobody());
    assert!(reply(&effects).is_none());
    assert!(effects.iter().any(|e| matches!(e, Effect::Event(DhcpEvent::RogueServer { .. }))));
    assert_eq!(server.leases().len(), 1);
}

#[test]
fn release_and_decline_are_for_the_holder() {
    let mut server = server(config());
    let address = lease(&mut server, T0, mac(1)).expect("a lease");
    let release = |m: [u8; 6]| Packet::new(m, 7).address(54, SERVER).ciaddr(address).bytes();
    assert!(server.handle(T0, &release(mac(2)), from(address)).is_empty(), "not the holder");
    assert!(
        server.handle(T0, &release(mac(1)), from(Ipv4Addr::new(10, 9, 0, 66))).is_empty(),
        "not from there"
    );
    let effects = server.handle(T0, &release(mac(1)), from(address));
    assert!(matches!(
        effects.as_slice(),
        [Effect::Persist { lease: Lease { state: LeaseState::Released, .. }, then: None, .. }]
    ));
    assert!(server.leases().is_empty());

    let address = lease(&mut server, T0, mac(1)).expect("a lease");
    let decline = |m: [u8; 6]| Packet::new(m, 4).address(54, SERVER).address(50, address).bytes();
    assert!(server.handle(T0, &decline(mac(2)), nobody()).is_empty(), "not the holder");
    server.handle(T0, &decline(mac(1)), nobody());
    let next = lease(&mut server, T0, mac(1)).expect("another address");
    assert_ne!(next, address);
    assert!(server.leases().iter().any(|l| l.address == address && l.state == LeaseState::Declined));
    // After its rest it is handed out again.
    server.tick(T0 + 601_000);
    assert!(!server.leases().iter().any(|l| l.address == address));
}

#[test]
fn reservations_hold_and_are_given_to_nobody_else() {
    let mut config = config();
    let reserved = Ipv4Addr::new(10, 9, 0, 10);
    let mac_text = "02:00:00:00:00:09".parse().expect("a MAC");
    config.reservations = vec![Reservation { mac: mac_text, address: reserved }];
    let mut server = server(config);
    assert_eq!(lease(&mut server, T0, mac(1)), Some(Ipv4Addr::new(10, 9, 0, 11)));
    assert_eq!(lease(&mut server, T0, mac(9)), Some(reserved));
    let effects = server.handle(T0, &Packet::new(mac(2), 1).address(50, reserved).bytes(), nobody());
    assert_ne!(yiaddr(&reply(&effects).expect("an offer").bytes), reserved);
}

#[test]
fn a_relayed_client_is_answered_through_its_relay() {
    let mut config = config();
    let relay = Ipv4Addr::new(10, 20, 0, 1);
    let mut far = config.subnets[0].clone();
    far.net = Net { address: relay, prefix: 16 };
    (far.first, far.last) = (Ipv4Addr::new(10, 20, 1, 0), Ipv4Addr::new(10, 20, 1, 255));
    config.subnets.push(far);
    config.relays = vec![Net { address: relay, prefix: 32 }];
    let mut server = server(config);
    let circuit = [1, 4, b'p', b'o', b'r', b't', 2, 2, 9, 9];
    let discover = Packet::new(mac(1), 1).giaddr(relay).option(82, &circuit);
    let effects = server.handle(T0, &discover.bytes(), from(relay));
    let offer = reply(&effects).expect("an offer");
    assert_eq!(offer.to, Destination::Unicast(SocketAddrV4::new(relay, 67)));
    assert_eq!(yiaddr(&offer.bytes), Ipv4Addr::new(10, 20, 1, 0));
    assert_eq!(option(&offer.bytes, 82), Some(circuit.to_vec()));
    // Link selection (RFC 3527) names the other subnet.
    let select = [5, 4, 10, 9, 0, 0];
    let discover = Packet::new(mac(2), 1).giaddr(relay).option(82, &select);
    let effects = server.handle(T0, &discover.bytes(), from(relay));
    assert_eq!(yiaddr(&reply(&effects).expect("an offer").bytes), FIRST);
}

#[test]
fn a_proxy_adds_boot_information_and_nothing_else() {
    let mut server = server(DhcpConfig::proxy(SERVER));
    let effects = server.handle(T0, &Packet::new(mac(1), 1).pxe(7).bytes(), nobody());
    let offer = reply(&effects).expect("a proxy offer");
    assert_eq!(yiaddr(&offer.bytes), Ipv4Addr::UNSPECIFIED);
    assert_eq!((file(&offer.bytes).as_str(), siaddr(&offer.bytes)), ("weft.efi", SERVER));
    assert_eq!(option(&offer.bytes, 51), None);
    assert_eq!(option(&offer.bytes, 1), None);
    assert_eq!(option(&offer.bytes, 60), Some(b"PXEClient".to_vec()));
    // iPXE takes boot information from a proxy only if that one says that it serves PXE.
    let ipxe = Packet::new(mac(3), 1).pxe(0).option(77, b"iPXE");
    let effects = server.handle(T0, &ipxe.bytes(), nobody());
    let offer = reply(&effects).expect("an offer for iPXE");
    assert_eq!(file(&offer.bytes), "boot.ipxe");
    assert_eq!(option(&offer.bytes, 60), Some(b"PXEClient".to_vec()));
    // The address server's business is not ours; nor is a laptop.
    let other = Packet::new(mac(1), 3).pxe(7).address(54, Ipv4Addr::new(10, 9, 0, 2)).address(50, FIRST);
    assert!(reply(&server.handle(T0, &other.bytes(), nobody())).is_none());
    assert!(reply(&server.handle(T0, &Packet::new(mac(2), 1).bytes(), nobody())).is_none());
    // Port 4011, from the address that the client has by then.
    let client = Ipv4Addr::new(10, 9, 0, 50);
    let meta = Meta { source: SocketAddrV4::new(client, 4011), pxe_port: true };
    let effects = server.handle(T0, &Packet::new(mac(1), 3).pxe(7).ciaddr(client).bytes(), meta);
    let ack = reply(&effects).expect("an ACK");
    assert_eq!(option(&ack.bytes, 53), Some(vec![5]));
    assert_eq!((ack.to, ack.from_pxe_port), (Destination::Unicast(meta.source), true));
}

#[test]
fn an_inform_is_answered_without_a_lease() {
    let mut server = server(config());
    let asker = Ipv4Addr::new(10, 9, 0, 250);
    let effects = server.handle(T0, &Packet::new(mac(1), 8).ciaddr(asker).bytes(), from(asker));
    let ack = reply(&effects).expect("an ACK");
    assert_eq!((yiaddr(&ack.bytes), option(&ack.bytes, 51)), (Ipv4Addr::UNSPECIFIED, None));
    assert!(server.leases().is_empty());
}

#[test]
fn leases_come_back_after_a_restart() {
    let mut first = server(config());
    let address = lease(&mut first, T0, mac(1)).expect("a lease");
    let kept = first.leases();
    let mut second = Server::new(config(), &kept, T0 + 1000).expect("sound settings");
    assert_ne!(lease(&mut second, T0 + 1000, mac(2)), Some(address), "it is taken");
    assert_eq!(lease(&mut second, T0 + 1000, mac(1)), Some(address));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |change: &dyn Fn(&mut DhcpConfig)| {
        let mut config = config();
        change(&mut config);
        config.validate().is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|c| c.subnets.clear()));
    assert!(refused(&|c| c.subnets[0].first = Ipv4Addr::new(10, 8, 0, 1)));
    assert!(refused(&|c| c.subnets[0].last = Ipv4Addr::new(10, 9, 0, 2)));
    assert!(refused(&|c| c.subnets[0].net.prefix = 33));
    assert!(refused(&|c| c.subnets[0].lease_s = 0));
    assert!(refused(&|c| {
        let copy = c.subnets[0].clone();
        c.subnets.push(copy);
    }));
    assert!(refused(&|c| c.boot.uefi = "x".repeat(128)));
    let far = Reservation { mac: "02:00:00:00:00:01".parse().expect("a MAC"), address: Ipv4Addr::LOCALHOST };
    assert!(refused(&|c| c.reservations.push(far.clone())));
}
