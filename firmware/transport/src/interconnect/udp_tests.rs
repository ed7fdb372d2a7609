//! Two nodes' stacks on a small Ethernet with a DHCP server: links between them by UDP.

use super::*;
use crate::interconnect::{Class, Config, DEFAULT_CREDIT, Identity, Links, Payload};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use spin::Mutex;
use weft_platform::{Nic, SendPage};

#[derive(Default)]
struct Ports {
    arriving: [VecDeque<Vec<u8>>; 2],
    sent: u64,
    mtu: usize,
}

#[derive(Clone)]
struct Plug(Arc<Mutex<Ports>>, usize);

fn mac(index: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, index as u8 + 1]
}

fn address(index: usize) -> [u8; 4] {
    [10, 0, 0, index as u8 + 11]
}

fn checksum(header: &[u8]) -> [u8; 2] {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!(((folded & 0xffff) + (folded >> 16)) as u16)).to_be_bytes()
}

/// The server's answer to a DISCOVER or REQUEST (RFC 2131), by broadcast, its UDP checksum left out.
fn lease(request: &[u8], index: usize) -> Vec<u8> {
    let discover = request.windows(3).any(|option| option == [53, 1, 1]);
    let mut bootp = vec![2, 1, 6, 0];
    bootp.extend(&request[46..50]);
    bootp.extend([0; 8]);
    bootp.extend(address(index));
    bootp.extend([10, 0, 0, 1, 0, 0, 0, 0]);
    bootp.extend(mac(index));
    bootp.resize(236, 0);
    bootp.extend([99, 130, 83, 99, 53, 1, if discover { 2 } else { 5 }]);
    bootp.extend([54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 255]);
    let mut ip = vec![0x45, 0];
    ip.extend((bootp.len() as u16 + 28).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 255, 255, 255, 255]);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut frame = [[0xff; 6], [2, 0, 0, 0, 0, 99]].concat();
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend([0, 67, 0, 68]);
    frame.extend((bootp.len() as u16 + 8).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(bootp);
    frame
}

impl Nic for Plug {
    fn mac(&self) -> [u8; 6] {
        mac(self.1)
    }
    fn mtu(&self) -> usize {
        self.0.lock().mtu
    }
    fn link_up(&mut self) -> bool {
        true
    }
    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        let mut ports = self.0.lock();
        assert!(frame.len() <= ports.mtu + 14);
        if frame.get(36..38) == Some(&[0, 67]) {
            ports.arriving[self.1].push_back(lease(frame, self.1));
            return Ok(());
        }
        ports.sent += 1;
        // Each twentieth frame is lost.
        if !ports.sent.is_multiple_of(20) {
            ports.arriving[1 - self.1].push_back(frame.to_vec());
        }
        Ok(())
    }
    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        let frame = self.0.lock().arriving[self.1].pop_front()?;
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some(frame.len())
    }
    fn acknowledge_interrupt(&mut self) {}
}

struct Page;

impl SendPage for Page {
    fn device_address(&self) -> u64 {
        panic!("UDP copies")
    }
    fn size(&self) -> usize {
        4096
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        (offset..).zip(out).for_each(|(at, byte)| *byte = (at % 251) as u8);
    }
}

struct Node {
    stack: Stack,
    socket: UdpLinks,
    links: Links,
    got: u32,
}

fn node(ports: &Arc<Mutex<Ports>>, own: usize) -> Node {
    let mut stack = Stack::new(Box::new(Plug(ports.clone(), own)), 0, own as u64);
    for round in 0..20 {
        stack.poll(round * 1_000_000_000);
    }
    assert_eq!(stack.lease().expect("an address").address, address(own));
    let peer = Peer(1 - own as u8);
    let socket = UdpLinks::open(&mut stack, vec![(peer, address(1 - own))]).expect("a socket");
    let mut socket = socket;
    let frame = Udp4 { links: &mut socket, stack: &mut stack }.frame();
    let config = Config {
        identity: Identity { vs: 1, epoch: 1 },
        key: [9; 32],
        own: Peer(own as u8),
        frame,
        credit: DEFAULT_CREDIT,
        release_by_hand: false,
    };
    Node { stack, socket, links: Links::new(config, &[Peer(0), Peer(1)], 0), got: 0 }
}

fn turn(node: &mut Node, now: u64) {
    let Node { stack, socket, links, got } = node;
    stack.poll(now);
    let mut wire = Udp4 { links: socket, stack };
    wire.receive(&mut |frame| {
        links.on_frame(now, frame, &mut |_, _, control, payload| {
            assert_eq!(control, got.to_le_bytes());
            assert!((0..).zip(payload).all(|(at, byte): (usize, _)| *byte == (at % 251) as u8));
            assert_eq!(payload.len(), 4096);
            *got += 1;
        });
    });
    links.poll(now);
    links.poll_transmit(now, &mut |peer, head, piece| wire.transmit(peer, head, piece).is_ok());
    stack.poll(now);
}

#[test]
fn pages_arrive_once_and_in_order_by_udp_at_1500_and_jumbo() {
    const PAGES: u32 = 100;
    for mtu in [1500, 9000] {
        let ports = Arc::new(Mutex::new(Ports { mtu, ..Ports::default() }));
        let mut nodes = [node(&ports, 0), node(&ports, 1)];
        let mut sent = [0_u32; 2];
        let mut now = 30_000_000_000;
        while nodes.iter().any(|node| node.got < PAGES) {
            for (own, node) in nodes.iter_mut().enumerate() {
                if sent[own] < PAGES && node.links.room(Peer(1 - own as u8), Class::Response) > 120 {
                    let piece = Piece { page: Arc::new(Page), offset: 0, length: 4096 };
                    let control = sent[own].to_le_bytes();
                    let to = Peer(1 - own as u8);
                    node.links.send(now, to, Class::Response, &control, Payload::Page(piece)).expect("room");
                    sent[own] += 1;
                }
                turn(node, now);
            }
            now += 50_000;
            assert!(now < 60_000_000_000, "no end: {:?}", nodes.map(|node| node.got));
        }
        let repeated = nodes[0].links.stats(Peer(1)).expect("a member").retransmits;
        assert!(repeated > 0, "the wire loses frames");
    }
}
