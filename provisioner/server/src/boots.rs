//! Machines on their way to becoming nodes, as the appliance's boot services see them, by MAC.
//!
//! ```text
//!  DHCP ─▶ dhcp ─▶ TFTP or HTTP ─▶ fetch ─▶ (the node's own stages come with its Hello)
//!            └──────── problem: refused, not found, transfer broken off
//! ```
//! A machine that lost its power starts over without a word. It is known by what asks: programs of a boot come in one
//! order (ROM, iPXE, node), so an earlier one begins a new boot, and so does the same one asking anew after it had fetched
//! something, or after its exchange was done. A ROM followed by iPXE, and a word repeated because its answer was lost, do not.
//!
//! All of it is a hint: a MAC can be forged, and nothing here grants anything. Bounded, in memory.

use std::cmp::Ordering;
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
/// What is taken off the silence before a client's count of whole seconds is compared with it.
const SLACK: Duration = Duration::from_secs(2);
/// Longest problem text, characters.
const MAX_PROBLEM: usize = 300;

/// What a client says it is, in the order of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The firmware's own network boot.
    #[default]
    Rom,
    /// iPXE, as the ROM or loaded by it.
    Ipxe,
    /// The node image.
    Node,
}

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
    /// The latest program that asked by DHCP, and the number of its exchange.
    program: Option<(Program, u32)>,
    /// That program has fetched something.
    fetched: bool,
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
            program: None,
            fetched: false,
            arrived: false,
        }
    }

    /// Whether this word of DHCP can only come from a machine that started over.
    fn started_over(&self, seen: &DhcpSeen) -> bool {
        if !seen.discovers || seen.program == Program::Node {
            return false;
        }
        let silent = self.last.elapsed();
        if self.arrived || silent > NEW_BOOT_AFTER {
            return true;
        }
        let Some((program, xid)) = self.program else { return false };
        match seen.program.cmp(&program) {
            Ordering::Less => true,
            Ordering::Greater => false,
            // Its count of seconds goes on through repeats; after a power cut it began later than it was last heard.
            Ordering::Equal => {
                let asks_since = Duration::from_secs(seen.secs.into());
                self.fetched || (xid != seen.xid && asks_since.saturating_add(SLACK) < silent)
            }
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

    /// What was last wrong stays until something goes right.
    fn start_over(&mut self) {
        let problem = std::mem::take(&mut self.problem);
        *self = Self { address: self.address, path: self.path, problem, ..Self::new(&self.mac) };
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
    /// Which program asks.
    pub program: Program,
    /// It looks for servers, as at the beginning of an exchange.
    pub discovers: bool,
    /// Number of the exchange.
    pub xid: u32,
    /// Seconds since it began to ask, as it says.
    pub secs: u16,
    /// `uefi`, `bios` or empty.
    pub path: &'static str,
}

impl Table {
    fn boot(&mut self, mac: &str) -> &mut Boot {
        if self.by_mac.len() >= MAX_BOOTS && !self.by_mac.contains_key(mac) {
            self.drop_oldest();
        }
        self.by_mac.entry(mac.to_string()).or_insert_with(|| Boot::new(mac))
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
        let boot = table.boot(&mac);
        if boot.started_over(seen) {
            boot.start_over();
        }
        if boot.program.is_none_or(|(program, _)| program <= seen.program) {
            boot.fetched &= boot.program.is_some_and(|(program, _)| program == seen.program);
            boot.program = Some((seen.program, seen.xid));
        }
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
        table.boot(&mac).address = Some(address);
        table.mac_of.insert(address, mac);
    }

    pub(crate) fn fetch(&self, address: Ipv4Addr) {
        let mut table = self.table();
        if let Some(mac) = table.mac_of.get(&address).cloned() {
            let boot = table.boot(&mac);
            boot.reach("fetch");
            boot.fetched = true;
            boot.problem.clear();
        }
    }

    pub(crate) fn problem(&self, address: Option<Ipv4Addr>, mac: Option<[u8; 6]>, text: &str) {
        let mut table = self.table();
        let mac = mac
            .map(|mac| crate::util::mac_text(&mac))
            .or_else(|| address.and_then(|address| table.mac_of.get(&address).cloned()));
        if let Some(mac) = mac {
            let boot = table.boot(&mac);
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
        let boot = table.boot(mac);
        if !same_boot && (boot.arrived || boot.last.elapsed() > NEW_BOOT_AFTER) {
            boot.start_over();
        }
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
        DhcpSeen {
            mac: MAC,
            address: Some(IP),
            program: Program::Rom,
            discovers: true,
            xid: 1,
            secs: 0,
            path: "uefi",
        }
    }

    fn ipxe() -> DhcpSeen {
        DhcpSeen { program: Program::Ipxe, xid: 2, ..seen() }
    }

    fn node() -> DhcpSeen {
        DhcpSeen { program: Program::Node, xid: 3, ..seen() }
    }

    fn names(boots: &Boots) -> Vec<String> {
        boots.all()[0].stages.iter().map(|stage| stage.stage.clone()).collect()
    }

    /// As if all that happened so far had happened earlier.
    fn pass(boots: &Boots, time: Duration) {
        for boot in boots.table().by_mac.values_mut() {
            boot.last = boot.last.checked_sub(time).expect("a machine that is up for so long");
            boot.first -= time;
        }
    }

    /// Time from the first stage to the last, seconds.
    fn clock_s(boots: &Boots) -> u64 {
        boots.all()[0].stages.last().map_or(0, |stage| stage.since_first_ms / 1000)
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
    fn firmware_asking_again_after_arrival_is_a_new_boot_and_the_monitor_asking_is_not() {
        for firmware in [seen(), ipxe()] {
            let boots = Boots::default();
            boots.dhcp(&firmware);
            boots.fetch(IP);
            boots.arrived("02:00:00:00:00:01", IP, &[(Stage::Channel, 1)], false);
            boots.dhcp(&node());
            assert_eq!(names(&boots), ["dhcp", "fetch", "channel"]);
            boots.dhcp(&firmware);
            assert_eq!(names(&boots), ["dhcp"]);
        }
    }

    #[test]
    fn a_rom_followed_by_ipxe_and_the_node_is_one_boot_that_began_with_the_rom() {
        let boots = Boots::default();
        for (asks, fetches) in [(seen(), true), (ipxe(), true), (node(), false)] {
            // The offer, and the acknowledgement.
            boots.dhcp(&asks);
            boots.dhcp(&DhcpSeen { discovers: false, ..asks });
            pass(&boots, Duration::from_secs(3));
            if fetches {
                boots.fetch(IP);
                pass(&boots, Duration::from_secs(3));
            }
        }
        boots.arrived("02:00:00:00:00:01", IP, &[(Stage::Entry, 0), (Stage::Channel, 9)], false);
        assert_eq!(names(&boots), ["dhcp", "fetch", "entry", "channel"]);
        assert_eq!(clock_s(&boots), 15);
    }

    #[test]
    fn a_power_cut_between_any_two_signs_starts_the_clock_again() {
        let first_boot = [Some(seen()), None, Some(ipxe()), None, Some(node())];
        for cut in 1..=first_boot.len() {
            let boots = Boots::default();
            for sign in first_boot.iter().take(cut) {
                match sign {
                    Some(asks) => boots.dhcp(asks),
                    None => boots.fetch(IP),
                }
            }
            pass(&boots, Duration::from_secs(40));
            boots.dhcp(&DhcpSeen { xid: 77, ..seen() });
            boots.fetch(IP);
            assert_eq!(names(&boots), ["dhcp", "fetch"], "cut after {cut} signs");
            assert_eq!(clock_s(&boots), 0, "cut after {cut} signs");
        }
    }

    #[test]
    fn a_power_cut_is_seen_where_the_rom_is_ipxe_itself() {
        let boots = Boots::default();
        boots.dhcp(&ipxe());
        boots.fetch(IP);
        pass(&boots, Duration::from_secs(5));
        boots.dhcp(&DhcpSeen { xid: 9, ..ipxe() });
        assert_eq!((names(&boots), clock_s(&boots)), (vec!["dhcp".to_string()], 0));
    }

    #[test]
    fn words_repeated_because_answers_were_lost_do_not_start_the_clock_again() {
        let boots = Boots::default();
        boots.dhcp(&seen());
        pass(&boots, Duration::from_secs(4));
        boots.dhcp(&DhcpSeen { secs: 4, ..seen() });
        boots.dhcp(&DhcpSeen { discovers: false, ..seen() });
        pass(&boots, Duration::from_secs(10));
        // The acknowledgement was lost too; some clients then begin a new exchange.
        boots.dhcp(&DhcpSeen { secs: 14, xid: 6, ..seen() });
        pass(&boots, Duration::from_secs(8));
        // Some count no seconds, and keep their number.
        boots.dhcp(&DhcpSeen { secs: 0, xid: 6, ..seen() });
        boots.fetch(IP);
        assert_eq!((names(&boots), clock_s(&boots)), (vec!["dhcp".to_string(), "fetch".to_string()], 22));
    }

    #[test]
    fn what_was_wrong_stays_shown_until_a_fetch_goes_right() {
        let boots = Boots::default();
        boots.dhcp(&seen());
        boots.fetch(IP);
        boots.problem(Some(IP), None, "gave up");
        pass(&boots, Duration::from_secs(30));
        boots.dhcp(&DhcpSeen { xid: 5, ..seen() });
        assert_eq!(boots.all()[0].problem, "gave up");
        boots.fetch(IP);
        assert_eq!(boots.all()[0].problem, "");
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
