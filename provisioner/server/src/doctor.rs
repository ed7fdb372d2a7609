//! `doctor`: where each machine stopped, and what to do about it.

use std::time::Duration;

use weft_api::Finding;
use weft_wire::record::Verdict;

use crate::boots::Boot;
use crate::core::Core;
use crate::images::KEEP_FREE;
use crate::nodes::fingerprint;
use crate::records::judge_image;
use crate::util::{free_bytes, unix_s};
use crate::world::NodeEntry;

/// A stage that lasts longer than this has stopped.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Warn of an expiry so many seconds before.
const EXPIRES_SOON_S: u64 = 14 * 24 * 3600;

fn finding(name: &str, state: &str, text: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { name: name.to_string(), state: state.to_string(), text: text.into(), next: next.into() }
}

impl Core {
    /// All findings: the appliance first, then machines by name.
    pub(crate) fn diagnose(&self) -> Vec<Finding> {
        let mut findings = self.diagnose_appliance();
        let boots = self.boots.all();
        let mut machines: Vec<Finding> = {
            let world = self.world();
            world
                .nodes
                .values()
                .map(|node| {
                    let verdict = node.report.as_ref().map(|report| judge_image(self, &world, report));
                    diagnose_node(node, verdict, boots.iter().find(|boot| boot.mac == node.row.mac))
                })
                .collect()
        };
        let known: Vec<String> =
            self.show_nodes().into_iter().filter(|node| !node.id.is_empty()).map(|node| node.mac).collect();
        machines.extend(boots.iter().filter(|boot| !known.contains(&boot.mac)).map(diagnose_boot));
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        findings.extend(machines);
        findings
    }

    fn diagnose_appliance(&self) -> Vec<Finding> {
        let trust = self.trust();
        let mut findings = Vec::new();
        findings.push(match free_bytes(&self.settings.data) {
            Ok(free) if free > 4 * KEEP_FREE => finding("appliance", "ok", "running", ""),
            Ok(free) => finding(
                "appliance",
                if free > KEEP_FREE { "warn" } else { "fail" },
                format!("{} MiB are left on the disk", free / 1024 / 1024),
                "make room; uploads are refused before the store runs out",
            ),
            Err(error) => {
                finding("appliance", "fail", format!("the data folder: {error}"), "look at the disk")
            }
        });
        let now = unix_s();
        findings.push(match (&trust.roots, &trust.delegation) {
            (None, _) => finding(
                "trust",
                "fail",
                "no root set",
                "weft appliance init --data DIR --roots FILE --delegation FILE",
            ),
            (Some(_), None) => finding(
                "trust",
                "fail",
                "no delegation: nodes will not talk to this appliance",
                "have the root holders sign one for its keys: weft appliance init prints them",
            ),
            (Some(_), Some((delegation, _))) => match delegation.valid_at(now) {
                Err(error) => {
                    finding("trust", "fail", format!("delegation: {error}"), "have a new one signed")
                }
                Ok(()) if delegation.expiry < now.saturating_add(EXPIRES_SOON_S) => finding(
                    "trust",
                    "warn",
                    "the delegation expires within two weeks",
                    "have a new one signed",
                ),
                Ok(()) => finding("trust", "ok", format!("delegation version {}", delegation.version), ""),
            },
        });
        let active = {
            let world = self.world();
            world.images.values().find(|image| image.state == weft_store::ImageState::Active).cloned()
        };
        findings.push(match active {
            None => finding("image", "fail", "no active image: nothing to boot", "weft image publish FILE"),
            Some(image) if image.expiry <= now => {
                finding("image", "fail", "the active image has expired", "sign a new manifest and publish it")
            }
            Some(image) if image.expiry < now.saturating_add(EXPIRES_SOON_S) => finding(
                "image",
                "warn",
                "the active image expires within two weeks",
                "sign a new manifest and publish it",
            ),
            Some(image) if image.bios_file.is_empty() => finding(
                "image",
                "ok",
                format!("{} generation {}, for UEFI only", image.name, image.generation),
                "for BIOS machines: weft image publish FILE --bios FILE",
            ),
            Some(image) => {
                finding("image", "ok", format!("{} generation {}", image.name, image.generation), "")
            }
        });
        let (held, open) = self.count_drift();
        if open > 0 {
            let waits =
                if held > 0 { format!(", {held} of them held until you answer") } else { String::new() };
            findings.push(finding(
                "drift",
                if held > 0 { "fail" } else { "warn" },
                format!("{open} differences between what nodes say and what is wanted{waits}"),
                "weft drift list",
            ));
        }
        findings
    }
}

fn diagnose_node(node: &NodeEntry, verdict: Option<Verdict>, boot: Option<&Boot>) -> Finding {
    let name = node.row.name.as_str();
    let next_approve = format!(
        "compare {} with the node's console, then: weft node approve {name} --fingerprint …",
        fingerprint(&node.row.id)
    );
    if !node.row.conflict.is_empty() {
        return finding(
            name,
            "fail",
            format!("identity used twice: {}", node.row.conflict),
            format!(
                "find the copy and switch it off, then approve the right one again, or: weft node forget {name}"
            ),
        );
    }
    if node.live.is_none() {
        let stopped = boot.filter(|boot| !boot.stages.is_empty() && boot.stage() != "channel");
        return match stopped {
            Some(boot) => Finding { name: name.to_string(), ..diagnose_boot(boot) },
            None if node.lost => finding(
                name,
                "fail",
                format!("not heard since {}", node.last_seen),
                "look at its console; it comes back by itself once it runs and reaches the appliance",
            ),
            None => finding(name, "warn", "away", "switch it on"),
        };
    }
    if !node.row.approved {
        return finding(name, "warn", "waits for approval", next_approve);
    }
    match verdict {
        Some(Verdict::Revoked) => {
            return finding(
                name,
                "fail",
                "runs a revoked image",
                format!("weft node reboot {name}, with a good image active"),
            );
        }
        Some(Verdict::Expired) => {
            return finding(
                name,
                "fail",
                "image or delegation has expired",
                "sign and publish a new one, then restart the node",
            );
        }
        Some(Verdict::Quarantined) => {
            return finding(
                name,
                "fail",
                "runs an image that was never published here",
                "weft image publish FILE, or restart the node",
            );
        }
        Some(Verdict::Good) | None => {}
    }
    if !node.refused.is_empty() {
        return finding(
            name,
            "fail",
            format!("refuses its configuration: {}", node.refused),
            format!("weft config push {name}; if it stays so, restart the node"),
        );
    }
    finding(name, "ok", "ready", "")
}

fn diagnose_boot(boot: &Boot) -> Finding {
    let name = format!("boot-{}", boot.mac.replace(':', ""));
    if !boot.problem.is_empty() {
        return finding(
            &name,
            "fail",
            boot.problem.clone(),
            "see `weft doctor` for image and trust, then restart the machine",
        );
    }
    let stuck = boot.last.elapsed() > STUCK_AFTER;
    let state = if stuck { "fail" } else { "ok" };
    let (text, next) = match boot.stage() {
        "dhcp" => (
            "got its address and never fetched the image",
            "is TFTP (UDP 69) blocked, or another DHCP server answering? Firmware must be set to boot from the network",
        ),
        "fetch" => (
            "fetched the image and was never heard again",
            "look at its screen or serial console: Secure Boot keys, manifest, floor, or a missing processor feature (SVM)",
        ),
        _ => ("on its way", "look at its console"),
    };
    if stuck {
        finding(&name, state, text, next)
    } else {
        finding(&name, state, format!("booting, stage {}", boot.stage()), "")
    }
}
