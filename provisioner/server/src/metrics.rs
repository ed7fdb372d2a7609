//! `/metrics`: OpenMetrics text, prefix `weft_`, labels of bounded number only.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::core::Core;
use crate::servers::show as show_vs;
use crate::util::free_bytes;

const NODE_STATES: [&str; 6] = ["booting", "quarantined", "approved", "ready", "lost", "conflict"];
const VS_STATES: [&str; 7] = ["stopped", "starting", "fetching", "running", "off", "failed", "unknown"];

/// Head of a family. Its name ends in its unit where it has one.
pub(crate) fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}");
    if let Some(unit) = ["seconds", "bytes"].iter().find(|unit| name.ends_with(&format!("_{unit}"))) {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
}

/// A label's value as the format wants it.
pub(crate) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn states(out: &mut String, name: &str, all: &[&str], found: impl Iterator<Item = String>) {
    let mut counts: BTreeMap<&str, u64> = all.iter().map(|state| (*state, 0)).collect();
    for state in found {
        if let Some(count) = counts.get_mut(state.as_str()) {
            *count = count.saturating_add(1);
        }
    }
    for (state, count) in counts {
        let _ = writeln!(out, "{name}{{state=\"{state}\"}} {count}");
    }
}

impl Core {
    /// All metrics.
    pub(crate) fn metrics(&self, engines: &str) -> String {
        let mut out = String::with_capacity(4096);
        family(&mut out, "weft_nodes", "gauge", "Nodes by state.");
        states(&mut out, "weft_nodes", &NODE_STATES, self.show_nodes().into_iter().map(|node| node.state));
        family(&mut out, "weft_virtual_servers", "gauge", "Virtual servers by state.");
        let servers: Vec<_> = {
            let world = self.world();
            world.servers.values().map(|vs| show_vs(&world, vs).state).collect()
        };
        states(&mut out, "weft_virtual_servers", &VS_STATES, servers.into_iter());
        let counters = [
            (
                "weft_agent_handshakes_failed",
                "Agent connections without a good handshake and Hello.",
                &self.counts.agent_handshakes_failed,
            ),
            ("weft_agent_refused", "Agent connections beyond the limits.", &self.counts.agent_refused),
            ("weft_agent_messages", "Messages from nodes.", &self.counts.agent_messages),
            ("weft_records_sent", "Signed records sent.", &self.counts.records_sent),
            ("weft_records_refused", "Records that nodes refused.", &self.counts.records_refused),
            ("weft_events_dropped", "Events that were not written.", &self.counts.events_dropped),
            ("weft_logins_failed", "Failed log-ins.", &self.counts.logins_failed),
            ("weft_api_requests", "Requests to the interface.", &self.counts.requests),
        ];
        for (name, help, counter) in counters {
            family(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name}_total {}", counter.load(Ordering::Relaxed));
        }
        if let Ok(free) = free_bytes(&self.settings.data) {
            family(&mut out, "weft_disk_free_bytes", "gauge", "Free bytes of the data folder's disk.");
            let _ = writeln!(out, "weft_disk_free_bytes {free}");
        }
        self.load_metrics(&mut out);
        out.push_str(engines);
        out.push_str("# EOF\n");
        out
    }
}
