//! What DHCP tells, for the appliance's list of booting machines and its events.

use std::net::Ipv4Addr;
use std::sync::Arc;

use weft_dhcp::arch::{Firmware, find};
use weft_dhcp::{ClientInfo, ClientStage, DhcpEvent, HwAddr};
use weft_server::core::Core;
use weft_server::{DhcpSeen, Program};

/// Passes DHCP events on.
pub(crate) struct Observer(pub(crate) Arc<Core>);

fn mac(hw: &HwAddr) -> Option<[u8; 6]> {
    hw.bytes().try_into().ok()
}

fn path(arch: Option<u16>) -> &'static str {
    match arch.and_then(find).map(|arch| arch.firmware) {
        Some(Firmware::Uefi) => "uefi",
        Some(Firmware::Bios) => "bios",
        Some(Firmware::Other) | None => "",
    }
}

impl Observer {
    fn seen(&self, client: &ClientInfo, address: Option<Ipv4Addr>) {
        // A guest or a laptop asking for an address is no booting node.
        let program = match client.stage {
            ClientStage::Pxe | ClientStage::HttpBoot => Program::Rom,
            ClientStage::Ipxe => Program::Ipxe,
            ClientStage::Node => Program::Node,
            ClientStage::Other => return,
        };
        if let Some(mac) = mac(&client.hw) {
            self.0.saw_dhcp(&DhcpSeen {
                mac,
                address,
                program,
                discovers: client.discovers,
                xid: client.xid,
                secs: client.secs,
                path: path(client.arch),
            });
        }
    }
}

impl weft_dhcp::Observer for Observer {
    fn event(&self, event: DhcpEvent) {
        match event {
            DhcpEvent::Offered { client, .. } => self.seen(&client, None),
            DhcpEvent::Leased { client, address, .. } => self.seen(&client, Some(address)),
            DhcpEvent::Proxied { client, .. } => self.seen(&client, None),
            DhcpEvent::Unsupported { client } => {
                self.seen(&client, None);
                let arch = client.arch.map_or_else(|| "unknown".to_string(), |arch| arch.to_string());
                let text = format!("its architecture ({arch}) has no image: Weft runs on x86-64");
                self.0.saw_problem(None, mac(&client.hw), &text);
            }
            DhcpEvent::Released { hw, address } => tracing::debug!(%hw, %address, "address given back"),
            DhcpEvent::Declined { hw, address } => self.0.tell(
                "dhcp.declined",
                "warn",
                &format!("{hw} found another machine at {address}; the address rests for a while"),
            ),
            DhcpEvent::PoolExhausted { pool } => self.0.tell(
                "dhcp.exhausted",
                "error",
                &format!("no address is left in the range from {pool}: enlarge --range"),
            ),
            DhcpEvent::Throttled => {
                self.0.tell("dhcp.throttled", "warn", "more DHCP requests than the limits allow; some are dropped");
            }
            DhcpEvent::RogueServer { server, evidence } => self.0.tell(
                "dhcp.rogue",
                "error",
                &format!("another DHCP server answers: {server} ({evidence}); stop it, or allow it: --allow-dhcp {server}"),
            ),
            DhcpEvent::PeerServer { server } => {
                self.0.tell("dhcp.peer", "info", &format!("DHCP server {server} is there, and allowed"));
            }
            DhcpEvent::StoreFailed { error } => self.0.tell(
                "dhcp.store",
                "error",
                &format!("a lease was not written, and not granted: {}", weft_server::chain(&error)),
            ),
            DhcpEvent::JournalDamaged { records } => {
                self.0.tell("dhcp.journal", "error", &format!("{records} leases of the journal are damaged and lost"));
            }
        }
    }
}

/// Beside another DHCP server nobody told us who has an address: the kernel's neighbour table does.
pub(crate) fn know(core: &Core, address: Ipv4Addr) {
    if core.knows_address(address) {
        return;
    }
    let Ok(table) = std::fs::read_to_string("/proc/net/arp") else { return };
    if let Some(mac) = neighbour(&table, address) {
        core.learn_address(address, mac);
    }
}

/// The MAC of an address in the form of `/proc/net/arp`.
fn neighbour(table: &str, address: Ipv4Addr) -> Option<[u8; 6]> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        if fields.next()?.parse::<Ipv4Addr>().ok()? != address {
            return None;
        }
        let hw: HwAddr = fields.nth(2)?.parse().ok()?;
        mac(&hw).filter(|mac| *mac != [0; 6])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_found_by_its_address_and_an_unanswered_one_is_none() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     10.0.0.7         0x1         0x0         00:00:00:00:00:00     *        eth0\n\
                     10.0.0.5         0x1         0x2         02:00:00:00:00:01     *        eth0\n";
        assert_eq!(neighbour(table, Ipv4Addr::new(10, 0, 0, 5)), Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(neighbour(table, Ipv4Addr::new(10, 0, 0, 7)), None);
        assert_eq!(neighbour(table, Ipv4Addr::new(10, 0, 0, 9)), None);
    }
}
