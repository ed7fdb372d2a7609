//! A node's DHCP, seen from its relay: all nodes share one socket and are told apart by transaction.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rng::Rng;

/// The relay that all nodes stand behind.
pub(crate) struct Relay {
    socket: UdpSocket,
    giaddr: Ipv4Addr,
    server: SocketAddrV4,
    waiting: Mutex<HashMap<u32, mpsc::Sender<Vec<u8>>>>,
}

impl Relay {
    pub(crate) async fn new(bind: SocketAddrV4, server: SocketAddrV4) -> io::Result<Arc<Self>> {
        let socket = UdpSocket::bind(bind).await?;
        let relay = Arc::new(Self { socket, giaddr: *bind.ip(), server, waiting: Mutex::default() });
        let receiver = Arc::clone(&relay);
        tokio::spawn(async move { receiver.receive().await });
        Ok(relay)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<Vec<u8>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(&self) {
        let mut buffer = vec![0; 2048];
        loop {
            let Ok(len) = self.socket.recv(&mut buffer).await else { continue };
            let Some(packet) = buffer.get(..len).filter(|p| p.len() > 240) else { continue };
            let Some(xid) = word(packet, 4) else { continue };
            if let Some(node) = self.waiting().get(&xid) {
                let _ = node.try_send(packet.to_vec());
            }
        }
    }

    /// DISCOVER, OFFER, REQUEST, ACK; the address, or `None` after as many tries as firmware makes.
    pub(crate) async fn boot(&self, node: u32, loss: u32, rng: &mut Rng) -> Option<Ipv4Addr> {
        let (answers, mut inbox) = mpsc::channel(8);
        self.waiting().insert(node, answers);
        let outcome = self.exchange(node, loss, rng, &mut inbox).await;
        self.waiting().remove(&node);
        outcome
    }

    async fn exchange(
        &self,
        node: u32,
        loss: u32,
        rng: &mut Rng,
        inbox: &mut mpsc::Receiver<Vec<u8>>,
    ) -> Option<Ipv4Addr> {
        // A NAK sends a client back to the start.
        for _ in 0..3 {
            let offer = self.ask(&packet(node, self.giaddr, 1, &[]), 2, loss, rng, inbox).await?;
            let address = offer.get(16..20)?;
            let server = option(&offer, 54)?;
            let options = [&[50, 4], address, &[54, 4], server].concat();
            let answer = self.ask(&packet(node, self.giaddr, 3, &options), 5, loss, rng, inbox).await?;
            if option(&answer, 53) == Some(&[5]) {
                let address: [u8; 4] = answer.get(16..20)?.try_into().ok()?;
                return Some(Ipv4Addr::from(address));
            }
        }
        None
    }

    async fn ask(
        &self,
        packet: &[u8],
        wanted: u8,
        loss: u32,
        rng: &mut Rng,
        inbox: &mut mpsc::Receiver<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        for patience in [1u64, 2, 4, 8, 16] {
            if !rng.chance(loss) {
                self.socket.send_to(packet, self.server).await.ok()?;
            }
            let answer = timeout(Duration::from_secs(patience), async {
                while let Some(answer) = inbox.recv().await {
                    let kind = option(&answer, 53);
                    let fits = kind == Some(&[wanted]) || (wanted == 5 && kind == Some(&[6]));
                    if fits && !rng.chance(loss) {
                        return Some(answer);
                    }
                }
                None
            });
            if let Ok(answer) = answer.await {
                return answer;
            }
        }
        None
    }
}

fn packet(node: u32, giaddr: Ipv4Addr, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    let [a, b, c, d] = node.to_be_bytes();
    bytes[..4].copy_from_slice(&[1, 1, 6, 1]);
    bytes[4..8].copy_from_slice(&[a, b, c, d]);
    bytes[24..28].copy_from_slice(&giaddr.octets());
    bytes[28..34].copy_from_slice(&[2, 0, a, b, c, d]);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend_from_slice(&[53, 1, kind]);
    bytes.extend_from_slice(options);
    let class = b"PXEClient:Arch:00007:UNDI:003016";
    bytes.extend_from_slice(&[60, class.len() as u8]);
    bytes.extend_from_slice(class);
    bytes.extend_from_slice(&[93, 2, 0, 7, 55, 4, 1, 3, 66, 67, 255]);
    bytes
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn option(packet: &[u8], code: u8) -> Option<&[u8]> {
    let mut rest = packet.get(240..)?;
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [255, ..] | [] | [_] => return None,
            [found, len, after @ ..] => {
                let (value, after) = after.split_at_checked(usize::from(*len))?;
                if *found == code {
                    return Some(value);
                }
                rest = after;
            }
        }
    }
}
