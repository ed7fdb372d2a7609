//! "There is no IPv6 router here": an answer to router solicitations (RFC 4861, sections 4.1 and 4.2).
//!
//! iPXE configures IPv6 beside IPv4 before it fetches anything, and where nobody answers it waits for some
//! fifteen seconds. In a network whose addresses the appliance gives out itself, it answers with an advertisement
//! of lifetime 0 and without prefixes, which makes nobody a router and gives nobody an address.

use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Least bytes of a solicitation.
const SOLICITATION_BYTES: usize = 8;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Receivers drop what came through a router.
const HOPS: u32 = 255;
/// How often the thread looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Least time between two answers; each serves all that have asked.
const ANSWER_EVERY: Duration = Duration::from_millis(100);

/// The answering thread; ends when dropped.
pub(crate) struct NoRouter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NoRouter {
    /// Starts answering on an interface.
    pub(crate) fn start(interface: &str) -> io::Result<Self> {
        let (socket, index) = open(interface)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("no-router".to_string())
            .spawn(move || answer(&socket, index, &stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for NoRouter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(interface: &str) -> io::Result<(Socket, u32)> {
    // Not from /sys, which may show another network namespace.
    let known = if_addrs::get_if_addrs()?.into_iter().find(|known| known.name == interface);
    let index = known.and_then(|known| known.index).ok_or(io::ErrorKind::NotFound)?;
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.join_multicast_v6(&ALL_ROUTERS, index)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(HOPS)?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    Ok((socket, index))
}

/// Hop limit unspecified, no flags, lifetime 0, timers unspecified. The kernel fills in the checksum.
fn advertisement() -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = ADVERTISEMENT;
    message
}

fn is_solicitation(message: &[u8]) -> bool {
    message.len() >= SOLICITATION_BYTES && message.starts_with(&[SOLICITATION, 0])
}

fn answer(socket: &Socket, index: u32, stop: &AtomicBool) {
    let to = SockAddr::from(SocketAddrV6::new(ALL_NODES, 0, 0, index));
    let mut last: Option<Instant> = None;
    let mut message = [0; 1500];
    while !stop.load(Ordering::Acquire) {
        match (&*socket).read(&mut message) {
            Ok(length) if is_solicitation(message.get(..length).unwrap_or(&[])) => {}
            Ok(_) => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // The interface is gone: the other services will say so. Without a pause this would spin.
                tracing::debug!(%error, "router solicitations cannot be read");
                thread::sleep(LOOK_EVERY);
                continue;
            }
        }
        if let Some(wait) = last.and_then(|last| ANSWER_EVERY.checked_sub(last.elapsed())) {
            thread::sleep(wait);
        }
        last = Some(Instant::now());
        if let Err(error) = socket.send_to(&advertisement(), &to) {
            tracing::debug!(%error, "no answer to a router solicitation");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advertisement_makes_nobody_a_router() {
        let message = advertisement();
        assert_eq!(message[0], ADVERTISEMENT);
        assert_eq!(u16::from_be_bytes([message[6], message[7]]), 0, "lifetime");
        assert_eq!(message[5], 0, "neither managed nor other configuration");
    }

    #[test]
    fn only_solicitations_are_answered() {
        assert!(is_solicitation(&[133, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!is_solicitation(&[133, 0, 0, 0]));
        assert!(!is_solicitation(&[134, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!is_solicitation(&[]));
    }
}
