//! What the boot services tell: machines seen, transfers, troubles. Called on the engines' threads.

use std::net::Ipv4Addr;

use crate::boots::DhcpSeen;
use crate::core::{Core, event};

impl Core {
    /// A DHCP exchange.
    pub fn saw_dhcp(&self, seen: &DhcpSeen) {
        self.boots.dhcp(seen);
    }

    /// A machine fetched something by TFTP or HTTP.
    pub fn saw_fetch(&self, address: Ipv4Addr) {
        self.boots.fetch(address);
    }

    /// Whether it is known which machine has this address.
    pub fn knows_address(&self, address: Ipv4Addr) -> bool {
        self.boots.mac_of(address).is_some()
    }

    /// The network says which machine has this address.
    pub fn learn_address(&self, address: Ipv4Addr, mac: [u8; 6]) {
        self.boots.learn(address, mac);
    }

    /// Something went wrong for a booting machine.
    pub fn saw_problem(&self, address: Option<Ipv4Addr>, mac: Option<[u8; 6]>, text: &str) {
        self.boots.problem(address, mac, text);
    }

    /// Something that an operator should read.
    pub fn tell(&self, name: &str, state: &str, text: &str) {
        self.emit(event(name, state, text));
    }
}
