//! The short storm: 200 nodes, one datagram in a hundred lost, none of the nodes.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use weft_dhcp::Ports;
use weft_storm::serve::{NAME, Servers, Settings};
use weft_storm::swarm::{Plan, run};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A port that is free for UDP and TCP, of those that nobody is given who asks for any: it stays free until it is used.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(64);
    let ports = || 10_000 + first.wrapping_add(NEXT.fetch_add(1, Relaxed)) % 20_000;
    let mut ports = std::iter::repeat_with(ports).take(20_000).filter_map(|port| u16::try_from(port).ok());
    let free =
        |port: &u16| UdpSocket::bind((HERE, *port)).is_ok() && TcpListener::bind((HERE, *port)).is_ok();
    ports.find(free).expect("a free port")
}

fn servers(folder: &tempfile::TempDir, size_bytes: usize) -> (Servers, SocketAddrV4, SocketAddrV4) {
    let ports = Ports { server: free_port(), relay: free_port(), client: free_port(), pxe: free_port() };
    let settings = Settings {
        address: HERE,
        prefix: 8,
        device: None,
        dhcp_ports: ports,
        tftp_port: 0,
        http_port: 0,
        size_bytes,
    };
    let servers = Servers::start(&settings, &folder.path().join("leases.journal")).expect("servers");
    (servers, SocketAddrV4::new(HERE, ports.server), SocketAddrV4::new(HERE, ports.relay))
}

#[test]
fn two_hundred_nodes_boot_through_loss_and_none_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let size_bytes = 1 << 20;
    let (servers, dhcp, relay) = servers(&folder, size_bytes);
    let plan = Plan {
        nodes: 200,
        seed: 7,
        loss: 10,
        spread_ms: 500,
        dhcp: Some((dhcp, relay)),
        tftp: Some((servers.tftp.local_addr(), NAME.into(), 1468, 4)),
        http: Some((servers.http.local_addr(), format!("/{NAME}"))),
        size_bytes,
        restarts: 0,
        patience_s: 30,
    };
    let report = run(&plan).expect("storm");
    println!("{report:?}");
    assert_eq!(report.lost, 0, "{:?}", report.reasons);
    assert_eq!((report.dhcp.count, report.tftp.count, report.http.count), (200, 200, 200));
    assert_eq!(servers.dhcp.leases().len(), 200);
    let stats = servers.tftp.stats();
    assert_eq!(stats.started, 200, "no node had to start again");
    assert!(stats.blocks_resent > 0, "there was loss");
}

#[test]
fn a_node_that_cannot_be_served_is_counted_as_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let (servers, _, _) = servers(&folder, 10_000);
    let plan = |name: &str, size_bytes| Plan {
        nodes: 3,
        seed: 1,
        loss: 0,
        spread_ms: 0,
        dhcp: None,
        tftp: Some((servers.tftp.local_addr(), name.into(), 512, 1)),
        http: None,
        size_bytes,
        restarts: 0,
        patience_s: 30,
    };
    assert_eq!(run(&plan("nothing", 10_000)).expect("storm").reasons["tftp: not found"], 3);
    // Other bytes than expected are a loss as well.
    assert_eq!(run(&plan(NAME, 9_000)).expect("storm").lost, 3);
    assert_eq!(run(&plan(NAME, 10_000)).expect("storm").lost, 0);
}

struct Child(std::process::Child);

impl Child {
    fn serve(settings: &Settings, journal: &std::path::Path) -> Self {
        let settings = serde_json::to_string(settings).expect("settings");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_weft-storm"));
        let child =
            command.arg("serve").arg(settings).arg(journal).stdout(std::process::Stdio::piped()).spawn();
        let mut child = child.expect("server process");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
        assert_eq!(line.trim(), "ready");
        Self(child)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn servers_killed_in_a_storm_lose_no_lease_and_no_node() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = folder.path().join("leases.journal");
    let ports = Ports { server: free_port(), relay: free_port(), client: free_port(), pxe: free_port() };
    let settings = Settings {
        address: HERE,
        prefix: 8,
        device: None,
        dhcp_ports: ports,
        tftp_port: free_port(),
        http_port: free_port(),
        size_bytes: 200_000,
    };
    let plan = Plan {
        nodes: 120,
        seed: 3,
        loss: 10,
        spread_ms: 1500,
        dhcp: Some((SocketAddrV4::new(HERE, ports.server), SocketAddrV4::new(HERE, ports.relay))),
        tftp: Some((SocketAddr::from((HERE, settings.tftp_port)), NAME.into(), 512, 1)),
        http: None,
        size_bytes: settings.size_bytes,
        restarts: 2,
        patience_s: 10,
    };
    let mut child = Child::serve(&settings, &journal);
    let storm = std::thread::spawn(move || run(&plan).expect("storm"));
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(600));
        drop(child);
        child = Child::serve(&settings, &journal);
    }
    let report = storm.join().expect("storm");
    drop(child);
    assert_eq!(report.lost, 0, "{:?}", report.reasons);
    let (_journal, recovery) = weft_dhcp::LeaseJournal::open(&journal).expect("journal");
    assert_eq!(recovery.damaged, 0);
    let mut seen = std::collections::HashSet::new();
    for (node, address) in &report.addresses {
        assert!(seen.insert(address), "{address} was given to two nodes");
        let [a, b, c, d] = node.to_be_bytes();
        let kept =
            recovery.leases.iter().find(|lease| lease.address == *address).expect("acknowledged and lost");
        assert_eq!(kept.hw.bytes(), [2, 0, a, b, c, d]);
    }
}
