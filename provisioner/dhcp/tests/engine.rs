//! The service on loopback sockets, reached as a relay reaches it.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::*;
use weft_dhcp::{
    DhcpConfig, DhcpEvent, Done, Engine, Lease, LeaseJournal, LeaseStore, Net, Observer, Ports, Recovery,
    StoreError,
};

const RELAY: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[derive(Default)]
struct Events(Mutex<Vec<DhcpEvent>>);

impl Observer for Events {
    fn event(&self, event: DhcpEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Events {
    /// How many were told so far that `like` fits.
    fn count(&self, like: impl Fn(&DhcpEvent) -> bool) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|event| like(event)).count()
    }

    /// Until `wanted` of them were told: a client has its answer before that.
    #[track_caller]
    fn wait_for(&self, wanted: usize, like: impl Fn(&DhcpEvent) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.count(&like) < wanted {
            assert!(Instant::now() < end, "{} events of {wanted}", self.count(&like));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A free UDP port, of those that nobody is given who asks for any: it stays free until it is used.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(64);
    let ports = || 10_000 + first.wrapping_add(NEXT.fetch_add(1, Relaxed)) % 20_000;
    let mut ports = std::iter::repeat_with(ports).take(20_000).filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| UdpSocket::bind((RELAY, *port)).is_ok()).expect("a free port")
}

struct Lab {
    engine: Engine,
    events: Arc<Events>,
    relay: UdpSocket,
    server: SocketAddrV4,
}

fn lab(store: Box<dyn LeaseStore>, recovery: &Recovery) -> Lab {
    let relay = UdpSocket::bind((RELAY, 0)).expect("relay");
    relay.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    let mut config = DhcpConfig::full(RELAY, 8, Ipv4Addr::new(127, 1, 0, 0), Ipv4Addr::new(127, 1, 255, 255));
    config.relays = vec![Net { address: RELAY, prefix: 32 }];
    config.limits.max_per_circuit = usize::MAX;
    config.ports = Ports {
        server: free_port(),
        relay: relay.local_addr().expect("address").port(),
        client: free_port(),
        pxe: free_port(),
    };
    let server = SocketAddrV4::new(RELAY, config.ports.server);
    let events = Arc::new(Events::default());
    let engine = Engine::start(config, store, recovery, events.clone()).expect("engine");
    Lab { engine, events, relay, server }
}

impl Lab {
    fn ask(&self, packet: &Packet) -> Option<Vec<u8>> {
        self.relay.send_to(&packet.clone().giaddr(RELAY).bytes(), self.server).expect("send");
        self.hear()
    }

    /// What comes unasked within the relay's patience.
    fn hear(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let len = self.relay.recv(&mut buffer).ok()?;
        Some(buffer[..len].to_vec())
    }

    fn lease(&self, mac: [u8; 6]) -> Option<Ipv4Addr> {
        let address = yiaddr(&self.ask(&Packet::new(mac, 1).pxe(7))?);
        let ack = self.ask(&Packet::new(mac, 3).pxe(7).address(54, RELAY).address(50, address))?;
        assert_eq!(option(&ack, 53), Some(vec![5]));
        Some(address)
    }
}

#[test]
fn leases_are_acknowledged_kept_and_known_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("leases.journal");
    let (journal, recovery) = LeaseJournal::open(&path).expect("journal");
    let first = lab(Box::new(journal), &recovery);
    let addresses: Vec<Ipv4Addr> = (0..20).map(|n| first.lease(mac(n)).expect("a lease")).collect();
    assert_eq!(first.engine.leases().len(), 20);
    first.events.wait_for(20, |event| matches!(event, DhcpEvent::Leased { .. }));
    assert_eq!(first.engine.stats().persisted, 20);
    first.engine.shutdown();
    let (journal, recovery) = LeaseJournal::open(&path).expect("journal");
    assert_eq!(recovery.leases.len(), 20);
    let second = lab(Box::new(journal), &recovery);
    assert!(!addresses.contains(&second.lease(mac(500)).expect("a lease")));
    assert_eq!(second.lease(mac(7)), Some(addresses[7]));
}

/// A store on a disk that fails.
struct Broken;

impl LeaseStore for Broken {
    fn submit(&self, _: Lease, done: Done) {
        done(Err(StoreError::Full));
    }
}

#[test]
fn no_lease_on_disk_no_acknowledgement() {
    let lab = lab(Box::new(Broken), &Recovery::default());
    let offer = lab.ask(&Packet::new(mac(1), 1)).expect("offers need no disk");
    lab.relay.set_read_timeout(Some(Duration::from_millis(400))).expect("timeout");
    let request = Packet::new(mac(1), 3).address(54, RELAY).address(50, yiaddr(&offer));
    assert_eq!(lab.ask(&request), None);
    lab.events.wait_for(1, |event| matches!(event, DhcpEvent::StoreFailed { error: StoreError::Full }));
    assert_eq!(lab.hear(), None, "it failed, and no answer follows");
    assert_eq!(lab.events.count(|event| matches!(event, DhcpEvent::Leased { .. })), 0);
    assert_eq!(lab.engine.stats().store_errors, 1);
}

/// A store that never answers: a disk that hangs.
struct Hanging(Mutex<Vec<Done>>);

impl LeaseStore for Hanging {
    fn submit(&self, _: Lease, done: Done) {
        self.0.lock().expect("held").push(done);
    }
}

#[test]
fn a_hanging_disk_stops_acknowledgements_and_not_offers() {
    let lab = lab(Box::new(Hanging(Mutex::default())), &Recovery::default());
    let offer = lab.ask(&Packet::new(mac(1), 1)).expect("an offer");
    let request = Packet::new(mac(1), 3).address(54, RELAY).address(50, yiaddr(&offer));
    lab.relay.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
    assert_eq!(lab.ask(&request), None);
    lab.relay.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    assert!(lab.ask(&Packet::new(mac(2), 1)).is_some());
    // A stopping service does not wait for it.
    lab.engine.shutdown();
}

#[test]
fn a_second_server_cannot_take_the_port() {
    let lab = lab(Box::new(Broken), &Recovery::default());
    let mut config = DhcpConfig::full(RELAY, 8, Ipv4Addr::new(127, 1, 0, 0), Ipv4Addr::new(127, 1, 0, 9));
    config.ports = Ports { server: lab.server.port(), relay: 1067, client: free_port(), pxe: free_port() };
    let again = Engine::start(config, Box::new(Broken), &Recovery::default(), Arc::new(Events::default()));
    assert!(again.is_err());
}

#[test]
fn settings_change_while_serving_and_leases_stay() {
    let lab = lab(Box::new(Hanging(Mutex::default())), &Recovery::default());
    let offer = lab.ask(&Packet::new(mac(1), 1).pxe(7)).expect("an offer");
    assert_eq!(file(&offer), "weft.efi");
    let mut config = DhcpConfig::full(RELAY, 8, Ipv4Addr::new(127, 2, 0, 0), Ipv4Addr::new(127, 2, 0, 9));
    config.relays = vec![Net { address: RELAY, prefix: 32 }];
    config.ports.relay = lab.relay.local_addr().expect("address").port();
    config.boot.uefi = "next.efi".into();
    lab.engine.reconfigure(config.clone()).expect("sound");
    let offer = lab.ask(&Packet::new(mac(2), 1).pxe(7)).expect("an offer");
    assert_eq!((file(&offer).as_str(), yiaddr(&offer).octets()[1]), ("next.efi", 2));
    config.subnets.clear();
    assert!(lab.engine.reconfigure(config).is_err());
}
