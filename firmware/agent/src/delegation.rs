//! Fetching and judging the delegation.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use weft_abi::sys::{self, UdpSocket};
use weft_abi::{Address, Errno};
use weft_format::delegation::MAX_DELEGATION;
use weft_format::{DalekVerifier, Delegation, RootSet, verify_delegation};
use weft_transport::stack::Endpoint;
use weft_transport::tftp::{Step, TftpGet};
use weft_wire::ports;

use crate::facts::Facts;

/// Name of the file.
const FILE: &str = "delegation.bin";
/// Datagrams read in one poll.
const BUDGET: usize = 16;

/// One transfer.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) server: [u8; 4],
    socket: UdpSocket,
    get: TftpGet,
    deadline_ns: u64,
}

/// Where to look for the appliance, best first: command line, firmware's boot server, DHCP.
pub(crate) fn candidates(facts: &Facts) -> Vec<[u8; 4]> {
    let named = [
        facts.cmdline_server(),
        facts.boot_server,
        sys::resolve(sys::names::NEXT_SERVER).ok(),
        sys::resolve(sys::names::DHCP_SERVER).ok(),
    ];
    let mut servers = Vec::new();
    for server in named.into_iter().flatten() {
        if server != [0; 4] && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// Verifies the file under the image's root set.
pub(crate) fn judge(bytes: &[u8], root_set: &[u8], least_version: u64) -> Result<Delegation, String> {
    let roots = RootSet::parse_padded(root_set).map_err(|error| format!("{error}"))?;
    verify_delegation(bytes, &roots, &DalekVerifier, least_version).map_err(|error| format!("{error}"))
}

const fn endpoint(address: Address) -> Endpoint {
    Endpoint { address: address.ip, port: address.port }
}

impl Transfer {
    /// Asks `server`; gives up at `deadline_ns`.
    pub(crate) fn start(server: [u8; 4], now_ns: u64, deadline_ns: u64) -> Result<Self, Errno> {
        let socket = UdpSocket::open()?;
        let to = Endpoint { address: server, port: ports::TFTP };
        let (get, step) = TftpGet::start(to, FILE, MAX_DELEGATION, now_ns);
        let transfer = Self { server, socket, get, deadline_ns };
        transfer.send(&step);
        Ok(transfer)
    }

    fn send(&self, step: &Step) {
        if let Some((to, datagram)) = &step.send {
            // A datagram that cannot leave now is repeated by the timer.
            let _ = self.socket.send_to(datagram, Address { ip: to.address, port: to.port });
        }
    }

    /// The file, or why there is none; `None` while it goes on.
    pub(crate) fn poll(&mut self, now_ns: u64) -> Option<Result<Vec<u8>, String>> {
        let mut buffer = vec![0; 1500];
        for _ in 0..BUDGET {
            let step = match self.socket.receive_from(&mut buffer) {
                Ok((len, from)) => {
                    self.get.on_datagram(endpoint(from), buffer.get(..len).unwrap_or(&[]), now_ns)
                }
                Err(Errno::LENGTH) => continue,
                Err(_) => break,
            };
            self.send(&step);
            if let Some(outcome) = step.outcome {
                return Some(outcome.map_err(|error| format!("{error}")));
            }
        }
        let step = self.get.on_time(now_ns);
        self.send(&step);
        match step.outcome {
            Some(outcome) => Some(outcome.map_err(|error| format!("{error}"))),
            None if now_ns >= self.deadline_ns => Some(Err("no answer".into())),
            None => None,
        }
    }

    /// When to poll again.
    pub(crate) fn next_ns(&self) -> u64 {
        self.get.deadline_ns().min(self.deadline_ns)
    }
}
