//! From two reports of a node to what it used between them.

use weft_wire::load::{NodeLoad, ServerLoad, Traffic};

/// Names and units of what is kept of a node. `remote-faults` and `messages` are of the servers that span nodes.
pub(crate) const NODE: [(&str, &str); 10] = [
    ("processor", "ratio"),
    ("memory-guests", "bytes"),
    ("memory-monitor", "bytes"),
    ("network-in", "bytes/s"),
    ("network-out", "bytes/s"),
    ("frames-in", "1/s"),
    ("frames-out", "1/s"),
    ("exits", "1/s"),
    ("remote-faults", "1/s"),
    ("messages", "1/s"),
];
/// Names and units of what is kept of a virtual server; the last [`VS_SPANNING`] only of one that spans nodes.
pub(crate) const VS: [(&str, &str); 12] = [
    ("processor", "processors"),
    ("memory", "bytes"),
    ("network-in", "bytes/s"),
    ("network-out", "bytes/s"),
    ("exits", "1/s"),
    ("exits-interrupt", "1/s"),
    ("exits-halt", "1/s"),
    ("exits-memory", "1/s"),
    ("exits-device", "1/s"),
    ("exits-other", "1/s"),
    ("remote-faults", "1/s"),
    ("messages", "1/s"),
];
/// See [`VS`].
pub(crate) const VS_SPANNING: usize = 2;

/// A row of [`NODE`].
pub(crate) type NodeRow = [f32; NODE.len()];
/// A row of [`VS`].
pub(crate) type VsRow = [f32; VS.len()];

/// Which of [`VS`] an exit of a cause counts to, beside `exits`: places from `exits-interrupt` on, in the order of
/// [`weft_wire::load::EXIT_REASONS`]. What a later version counts is `exits-other`.
const GROUPS: [usize; 11] = [0, 0, 4, 4, 3, 1, 2, 3, 4, 2, 2];
const OTHER: usize = 4;
const KIB: f32 = 1024.0;

/// Growth of a counter; one that fell began anew.
const fn grown(before: u64, now: u64) -> u64 {
    if now >= before { now - before } else { now }
}

fn per_second(count: u64, elapsed_ms: u64) -> f32 {
    (count as f64 * 1000.0 / elapsed_ms as f64) as f32
}

fn traffic(before: &Traffic, now: &Traffic, elapsed_ms: u64) -> [f32; 4] {
    let rate = |before, now| per_second(grown(before, now), elapsed_ms);
    [
        rate(before.bytes_in, now.bytes_in),
        rate(before.bytes_out, now.bytes_out),
        rate(before.frames_in, now.frames_in),
        rate(before.frames_out, now.frames_out),
    ]
}

/// Milliseconds of the node's clock between two reports of one boot; `None` where the second is no later.
pub(crate) fn elapsed(before: &NodeLoad, now: &NodeLoad) -> Option<u64> {
    now.uptime_ms.checked_sub(before.uptime_ms).filter(|elapsed| *elapsed > 0)
}

/// What a node used, but for `exits`, which are its servers', and what spanning servers tell.
pub(crate) fn of_node(before: &NodeLoad, now: &NodeLoad, elapsed_ms: u64) -> NodeRow {
    // Nanoseconds of all processors a second.
    let busy = per_second(grown(before.busy_ns, now.busy_ns), elapsed_ms) / 1e9;
    let [bytes_in, bytes_out, frames_in, frames_out] = traffic(&before.nic, &now.nic, elapsed_ms);
    [
        (busy / f32::from(now.cpus.max(1))).clamp(0.0, 1.0),
        now.guest_kib as f32 * KIB,
        now.monitor_kib as f32 * KIB,
        bytes_in,
        bytes_out,
        frames_in,
        frames_out,
        0.0,
        0.0,
        0.0,
    ]
}

/// What the part of a server on one node used, but for what spanning servers tell. `None`: the part is new, and has
/// no report before.
pub(crate) fn of_part(before: Option<&ServerLoad>, now: &ServerLoad, elapsed_ms: u64) -> Option<VsRow> {
    let before = before.filter(|before| before.instance == now.instance)?;
    let mut groups = [0.0; 5];
    for (index, count) in now.exits.iter().enumerate() {
        let earlier = before.exits.get(index).copied().unwrap_or(0);
        let group = GROUPS.get(index).copied().unwrap_or(OTHER);
        if let Some(sum) = groups.get_mut(group) {
            *sum += per_second(grown(earlier, *count), elapsed_ms);
        }
    }
    let [bytes_in, bytes_out, _, _] = traffic(&before.network, &now.network, elapsed_ms);
    let [interrupt, halt, memory, device, other] = groups;
    Some([
        per_second(grown(before.busy_ns, now.busy_ns), elapsed_ms) / 1e9,
        now.memory_kib as f32 * KIB,
        bytes_in,
        bytes_out,
        groups.iter().sum(),
        interrupt,
        halt,
        memory,
        device,
        other,
        0.0,
        0.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_wire::load::EXIT_REASONS;

    #[test]
    fn a_node_that_was_busy_half_of_two_seconds_on_two_processors() {
        let before = NodeLoad { uptime_ms: 5_000, cpus: 2, busy_ns: 1_000_000_000, ..NodeLoad::default() };
        let nic = Traffic { frames_in: 20, bytes_in: 3000, frames_out: 2, bytes_out: 200 };
        let now = NodeLoad {
            uptime_ms: 7_000,
            busy_ns: 3_000_000_000,
            guest_kib: 4,
            monitor_kib: 2,
            nic,
            ..before.clone()
        };
        let elapsed_ms = elapsed(&before, &now).expect("later");
        let row = of_node(&before, &now, elapsed_ms);
        assert_eq!(row, [0.5, 4096.0, 2048.0, 1500.0, 100.0, 10.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(elapsed(&now, &before), None, "it has started anew");
        assert_eq!(elapsed(&now, &now), None);
    }

    #[test]
    fn exits_are_added_by_cause_and_counters_that_fell_began_anew() {
        let exits = |each: u64| (0..EXIT_REASONS.len() as u64).map(|_| each).collect::<Vec<_>>();
        let before =
            ServerLoad { instance: 1, busy_ns: 9_000_000_000, exits: exits(10), ..ServerLoad::default() };
        let mut now = ServerLoad { busy_ns: 500_000_000, exits: exits(12), memory_kib: 1, ..before.clone() };
        // A cause that this version does not know.
        now.exits.push(7);
        let row = of_part(Some(&before), &now, 1000).expect("a row");
        assert_eq!(row, [0.5, 1024.0, 0.0, 0.0, 29.0, 4.0, 2.0, 6.0, 4.0, 13.0, 0.0, 0.0]);
        assert_eq!(of_part(None, &now, 1000), None);
        let other = ServerLoad { instance: 2, ..now };
        assert_eq!(of_part(Some(&before), &other, 1000), None, "another start");
    }

    #[test]
    fn each_cause_has_a_group() {
        assert_eq!(GROUPS.len(), EXIT_REASONS.len());
        let of = |name| EXIT_REASONS.iter().position(|reason| *reason == name).map(|at| VS[5 + GROUPS[at]].0);
        for (reason, group) in [
            ("interrupt", "exits-interrupt"),
            ("window", "exits-interrupt"),
            ("halt", "exits-halt"),
            ("memory", "exits-memory"),
            ("page-fault", "exits-memory"),
            ("control", "exits-memory"),
            ("port", "exits-device"),
            ("device", "exits-device"),
            ("cpuid", "exits-other"),
            ("msr", "exits-other"),
            ("other", "exits-other"),
        ] {
            assert_eq!(of(reason), Some(group), "{reason}");
        }
    }
}
