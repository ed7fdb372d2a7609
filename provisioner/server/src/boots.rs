//! Machines on their way to becoming nodes, as the appliance's boot services see them, by MAC.
//!
//! ```text
//!  DHCP ─▶ dhcp ─▶ TFTP or HTTP ─▶ fetch ─▶ (the node's own stages come with its Hello)
//!            └──────── problem: refused, not found, transfer broken off
//! ```
//! All of it is a hint: a MAC can be forged, and nothing here grants anything. Bounded, in memory.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use weft_api::BootStage;
use weft_wire::agent::Stage;

use crate::util::at;

/// Machines remembered.
const MAX_BOOTS: usize = 8192;
/// After so long without a sign, the next sign is of a new boot.
const NEW_BOOT_AFTER: Duration = Duration::from_secs(120);
/// Longest problem text, characters.
const MAX_PROBLEM: usize = 300;

/// One machine's current boot.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    pub(crate) mac: String,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) stages: Vec<BootStage>,
    /// `uefi`, `bios`, empty where unknown.
    pub(crate) path: &'static str,
    /// The last thing that went wrong, empty where nothing did.
    pub(crate) problem: String,
    pub(crate) last: Instant,
    pub(crate) last_seen: String,
    first: SystemTime,
    /// The node itself spoke in this boot.
    arrived: bool,
}

impl Boot {
    fn new(mac: &str) -> Self {
        Self {
            mac: mac.to_string(),
            address: None,
            stages: Vec::new(),
            path: "",
            problem: String::new(),
            last: Instant::now(),
            last_seen: String::new(),
            first: SystemTime::now(),
            arrived: false,
        }
    }

    fn reach(&mut self, stage: &str) {
        self.reach_at(stage, SystemTime::now());
        self.last = Instant::now();
        self.last_seen = at(SystemTime::now());
    }

    fn reach_at(&mut self, stage: &str, when: SystemTime) {
        if self.stages.iter().any(|known| known.stage == stage) {
            return;
        }
        if self.stages.is_empty() {
            self.first = when;
        }
        let since = when.duration_since(self.first).unwrap_or(Duration::ZERO);
        self.stages.push(BootStage {
            stage: stage.to_string(),
            at: at(when),
            since_first_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// Name of the last stage.
    pub(crate) fn stage(&self) -> &str {
        self.stages.last().map_or("", |stage| stage.stage.as_str())
    }
}

#[derive(Debug, Default)]
struct Table {
    by_mac: HashMap<String, Boot>,
    mac_of: HashMap<Ipv4Addr, String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Boots {
    table: Mutex<Table>,
}

/// A DHCP exchange with a booting machine.
#[derive(Clone, Debug, Default)]
pub struct DhcpSeen {
    /// Hardware address.
    pub mac: [u8; 6],
    /// Address that it was given or has.
    pub address: Option<Ipv4Addr>,
    /// It is the boot firmware that asks, not what was booted.
    pub firmware: bool,
    /// `uefi`, `bios` or empty.
    pub path: &'static str,
}

impl Table {
    fn boot(&mut self, mac: &str, starts_new: bool) -> &mut Boot {
        if self.by_mac.len() >= MAX_BOOTS && !self.by_mac.contains_key(mac) {
            self.drop_oldest();
        }
        let boot = self.by_mac.entry(mac.to_string()).or_insert_with(|| Boot::new(mac));
        let over = boot.arrived || boot.last.elapsed() > NEW_BOOT_AFTER;
        if starts_new && over {
            *boot = Boot { address: boot.address, path: boot.path, ..Boot::new(mac) };
        }
        boot
    }

    fn drop_oldest(&mut self) {
        let oldest = self.by_mac.values().min_by_key(|boot| boot.last).map(|boot| boot.mac.clone());
        if let Some(mac) = oldest {
            self.by_mac.remove(&mac);
            self.mac_of.retain(|_, known| *known != mac);
        }
    }
}

impl Boots {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dhcp(&self, seen: &DhcpSeen) {
        let mac = crate::util::mac_text(&seen.mac);
        let mut table = self.table();
        let boot = table.boot(&mac, seen.firmware);
        boot.reach("dhcp");
        if !seen.path.is_empty() {
            boot.path = seen.path;
        }
        if let Some(address) = seen.address {
            boot.address = Some(address);
            table.mac_of.insert(address, mac);
        }
    }

    /// Which machine has this address, as DHCP or [`Boots::learn`] said.
    pub(crate) fn mac_of(&self, address: Ipv4Addr) -> Option<String> {
        self.table().mac_of.get(&address).cloned()
    }

    pub(crate) fn learn(&self, address: Ipv4Addr, mac: [u8; 6]) {
        let mac = crate::util::mac_text(&mac);
        let mut table = self.table();
        table.boot(&mac, false).address = Some(address);
        table.mac_of.insert(address, mac);
    }

    pub(crate) fn fetch(&self, address: Ipv4Addr) {
        let mut table = self.table();
        if let Some(mac) = table.mac_of.get(&address).cloned() {
            let boot = table.boot(&mac, false);
            boot.reach("fetch");
            boot.problem.clear();
        }
    }

    pub(crate) fn problem(&self, address: Option<Ipv4Addr>, mac: Option<[u8; 6]>, text: &str) {
        let mut table = self.table();
        let mac = mac
            .map(|mac| crate::util::mac_text(&mac))
            .or_else(|| address.and_then(|address| table.mac_of.get(&address).cloned()));
        if let Some(mac) = mac {
            let boot = table.boot(&mac, false);
            boot.problem = text.chars().take(MAX_PROBLEM).collect();
            boot.last = Instant::now();
        }
    }

    /// The node itself is here: its own stages end the boot. Returns all stages in order.
    pub(crate) fn arrived(
        &self,
        mac: &str,
        address: Ipv4Addr,
        own: &[(Stage, u64)],
        same_boot: bool,
    ) -> Vec<BootStage> {
        let mut table = self.table();
        table.mac_of.insert(address, mac.to_string());
        let boot = table.boot(mac, !same_boot);
        boot.address = Some(address);
        boot.problem.clear();
        let last_us = own.iter().map(|(_, us)| *us).max().unwrap_or(0);
        let now = SystemTime::now();
        for (stage, us) in own.iter().take(16) {
            let ago = Duration::from_micros(last_us.saturating_sub(*us));
            boot.reach_at(stage_name(*stage), now.checked_sub(ago).unwrap_or(now));
        }
        boot.reach("channel");
        boot.arrived = true;
        boot.stages.clone()
    }

    pub(crate) fn all(&self) -> Vec<Boot> {
        self.table().by_mac.values().cloned().collect()
    }
}

pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Entry => "entry",
        Stage::Verified => "verified",
        Stage::Started => "started",
        Stage::Processors => "processors",
        Stage::Network => "network",
        Stage::Delegation => "delegation",
        Stage::Channel => "channel",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

    fn seen() -> DhcpSeen {
        DhcpSeen { mac: MAC, address: Some(IP), firmware: true, path: "uefi" }
    }

    fn names(boots: &Boots) -> Vec<String> {
        boots.all()[0].stages.iter().map(|stage| stage.stage.clone()).collect()
    }

    #[test]
    fn stages_of_services_and_of_the_node_join_in_order() {
        let boots = Boots::default();
        boots.dhcp(&seen());
        boots.fetch(IP);
        let own = [(Stage::Entry, 0), (Stage::Started, 5_000), (Stage::Channel, 9_000)];
        let stages = boots.arrived("02:00:00:00:00:01", IP, &own, false);
        let names: Vec<_> = stages.iter().map(|stage| stage.stage.as_str()).collect();
        assert_eq!(names, ["dhcp", "fetch", "entry", "started", "channel"]);
    }

    #[test]
    fn the_firmware_asking_again_after_arrival_is_a_new_boot_and_the_monitor_asking_is_not() {
        let boots = Boots::default();
        boots.dhcp(&seen());
        boots.fetch(IP);
        boots.arrived("02:00:00:00:00:01", IP, &[(Stage::Channel, 1)], false);
        boots.dhcp(&DhcpSeen { firmware: false, ..seen() });
        assert_eq!(names(&boots), ["dhcp", "fetch", "channel"]);
        boots.dhcp(&seen());
        assert_eq!(names(&boots), ["dhcp"]);
    }

    #[test]
    fn random_macs_do_not_grow_the_table_without_end() {
        let boots = Boots::default();
        for n in 0..(MAX_BOOTS as u32 + 100) {
            let [a, b, c, d] = n.to_be_bytes();
            boots.dhcp(&DhcpSeen { mac: [2, 1, a, b, c, d], address: Some(Ipv4Addr::from(n)), ..seen() });
        }
        assert_eq!(boots.all().len(), MAX_BOOTS);
        assert!(boots.table().mac_of.len() <= MAX_BOOTS);
    }
}
