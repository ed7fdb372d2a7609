//! The service address: it is on the interface of whichever appliance leads, and nodes know no other.
//!
//! ```text
//! leads ─▶ ip address replace, for three seconds ─▶ once a second, while a majority is with it: for three more
//!      └─▶ each node's neighbour entry forgotten, a datagram to each from the address: the kernel asks for the node (ARP,
//!          RFC 826) in the address's name, and whoever hears it learns where the address is now
//! killed, or alone ─▶ the kernel takes the address away
//! ```
//! An announcement to everybody is not enough: a node takes notice only of what is asked of itself. Others, which take notice of
//! any question in the address's name, are reached by one for the address beside it. Who hears neither learns when its entry
//! ages, after a minute. `ip` is iproute2's; it needs CAP_NET_ADMIN.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weft_server::core::Core;
use weft_store::Store;

use super::Failure;
use super::interface::Place;

/// A port where nobody listens (discard, RFC 863).
const DISCARD: u16 = 9;
/// How long the address stays where nobody asks for more, seconds.
const STAYS_S: &str = "3";
/// How often more is asked for.
const EVERY: Duration = Duration::from_secs(1);
/// How often nodes are told where it is: a leader that was killed may have it for some seconds yet, and answer for it.
const TOLD: u32 = 10;

/// An address that is on the interface as long as this lives and leads.
pub(crate) struct ServiceAddress {
    address: weft_dhcp::Net,
    interface: String,
    keeping: JoinHandle<()>,
}

fn ip(words: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(words).stdin(Stdio::null()).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_string()),
        Err(error) => Err(format!("ip: {error}")),
    }
}

fn text(net: &weft_dhcp::Net) -> String {
    format!("{}/{}", net.address, net.prefix)
}

fn put(address: &str, interface: &str) -> Result<(), String> {
    let words =
        ["address", "replace", address, "dev", interface, "valid_lft", STAYS_S, "preferred_lft", STAYS_S];
    ip(&words)
}

/// Tells these where the address is.
fn tell(address: Ipv4Addr, interface: &str, nodes: &[Ipv4Addr]) {
    let Ok(socket) = UdpSocket::bind(SocketAddr::from((address, 0))) else { return };
    // Whether anybody is there does not matter: the question goes to all.
    let beside = Ipv4Addr::from(u32::from(address) ^ 1);
    for node in nodes.iter().chain([&beside]) {
        // Asked anew, although it is known where the node is: the question is the message.
        let _ = ip(&["neigh", "flush", "to", &node.to_string(), "dev", interface]);
        if let Err(error) = socket.send_to(&[0], SocketAddr::from((*node, DISCARD))) {
            tracing::debug!(%error, %node, "not told where the service address is");
        }
    }
}

impl ServiceAddress {
    /// Takes the address for `core`, which leads; `store` says as long as it does.
    pub(crate) fn take(
        address: weft_dhcp::Net,
        place: &Place,
        core: &Arc<Core>,
        store: &Arc<Store>,
    ) -> Result<Self, Failure> {
        let interface = place.interface.clone();
        put(&text(&address), &interface).map_err(|error| {
            Failure::new(
                format!("cannot put {} on {interface}: {error}", text(&address)),
                "it takes iproute2 and CAP_NET_ADMIN",
            )
        })?;
        let (core, store) = (Arc::clone(core), Arc::clone(store));
        let (at, on) = (address, interface.clone());
        let keeping = tokio::spawn(async move {
            for round in 0u32.. {
                let nodes = if round < TOLD { core.node_addresses() } else { Vec::new() };
                let leads = store.standing().await.is_ok_and(|standing| standing.leads);
                let on = on.clone();
                let kept = tokio::task::spawn_blocking(move || {
                    // Without a majority it is left to the kernel to take the address away.
                    let kept = if leads { put(&text(&at), &on) } else { Ok(()) };
                    if round < TOLD {
                        tell(at.address, &on, &nodes);
                    }
                    kept
                });
                if let Ok(Err(error)) = kept.await {
                    tracing::warn!(%error, "the service address is not kept");
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { address, interface, keeping })
    }
}

impl Drop for ServiceAddress {
    fn drop(&mut self) {
        self.keeping.abort();
        if let Err(error) = ip(&["address", "del", &text(&self.address), "dev", &self.interface]) {
            tracing::debug!(%error, "the service address is gone already");
        }
    }
}
