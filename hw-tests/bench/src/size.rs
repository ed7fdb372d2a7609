//! `size`: what is fetched to become a node, and what an idle node keeps for itself.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::ours::Ours;
use crate::peer::{self, Peer};
use weft_hw_tests::report::{figure, publish};

/// Heartbeats come every few seconds; figures of the start are over by then.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) fn run() -> anyhow::Result<()> {
    let mut ours = Ours::start()?;
    ours.power_on()?;
    ours.bring_up()?;
    std::thread::sleep(IDLE);
    let seen = ours.seen()?;
    let monitor = seen["monitor_kib"].as_f64().context("the node tells its memory")?;
    ensure!(monitor > 0.0, "the node has sent no heartbeat");
    let bios = std::fs::metadata(&ours.image.bios)?.len();
    let image = ours.image.size;
    drop(ours);

    let mut peer = Peer::start()?;
    peer.power_on("")?;
    let line = peer.wait_for("weft peer: memory")?;
    let used = used_kib(&line).with_context(|| format!("the peer tells its memory: {line}"))?;
    let files = peer.peer.size as f64;
    publish(
        "size",
        &[
            figure("image (weft.efi)", "bytes", &[image as f64], peer::NAME, &[files]),
            figure("image (weft.bios)", "bytes", &[bios as f64], peer::NAME, &[files]),
            figure("memory of an idle node", "KiB", &[monitor], peer::NAME, &[used]),
        ],
    )
}

/// `weft peer: memory total 981476 available 845956 KiB`
fn used_kib(line: &str) -> Option<f64> {
    let mut words = line.split_whitespace();
    let total: f64 = words.by_ref().skip_while(|word| *word != "total").nth(1)?.parse().ok()?;
    let available: f64 = words.skip_while(|word| *word != "available").nth(1)?.parse().ok()?;
    Some(total - available)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_memory_is_what_is_not_available() {
        assert_eq!(used_kib("weft peer: memory total 981476 available 845956 KiB"), Some(135_520.0));
        assert_eq!(used_kib("weft peer: memory total 981476"), None);
    }
}
