//! What the hand-off and the hardware tell the agent.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use weft_agent::Facts;
use weft_hal::{boot, cpu, frames, smbios, svm, time};
use weft_types::handoff::{BootPath, FLAG_NODE_KEY, FLAG_SECURE_BOOT, Handoff, MANIFEST_SIZE};
use weft_wire::agent::{BootKind, Inventory, NicReport, Stage};

/// Largest root set that an entry hands over, bytes.
const MAX_ROOT_SET: u64 = 64 * 1024;

fn micros(handoff: &Handoff, tsc: u64) -> u64 {
    time::ticks_to_ns(tsc.saturating_sub(handoff.tsc_entry)) / 1000
}

fn inventory(
    handoff: &Handoff,
    nics: Vec<NicReport>,
    features: Option<svm::Features>,
    cpus: usize,
) -> Inventory {
    let system = smbios::system(handoff.smbios);
    Inventory {
        cpu_model: cpu::brand(),
        cpus: cpus.try_into().unwrap_or(u16::MAX),
        tsc_khz: time::tsc_hz() / 1000,
        memory_kib: frames::counts().1 * 4,
        features: features.iter().flat_map(|f| f.names()).map(String::from).collect(),
        nics,
        system: system.names,
        uuid: system.uuid,
    }
}

/// Everything at the moment of the call; `tsc_started` is the DVMM's first instruction.
pub(crate) fn gather(
    handoff: &Handoff,
    nics: Vec<NicReport>,
    features: Option<svm::Features>,
    cpus: usize,
    tsc_started: u64,
) -> Facts {
    let kept = handoff.flags & FLAG_NODE_KEY != 0;
    let cmdline = handoff.cmdline.get(..usize::from(handoff.cmdline_len)).unwrap_or(&[]);
    Facts {
        node_key: kept.then_some(handoff.node_key),
        boot_counter: if kept { handoff.boot_counter } else { 0 },
        boot_path: if handoff.boot_path == BootPath::Uefi as u32 { BootKind::Uefi } else { BootKind::Bios },
        secure_boot: handoff.flags & FLAG_SECURE_BOOT != 0,
        manifest: boot::loader_bytes(handoff.manifest, MANIFEST_SIZE),
        root_set: boot::loader_bytes(handoff.root_set, handoff.root_set_size.min(MAX_ROOT_SET) as usize),
        floor: handoff.floor,
        boot_server: (handoff.boot_server != [0; 4]).then_some(handoff.boot_server),
        cmdline: String::from_utf8_lossy(cmdline).to_string(),
        inventory: inventory(handoff, nics, features, cpus),
        stages: vec![
            (Stage::Entry, 0),
            (Stage::Verified, micros(handoff, handoff.tsc_verified)),
            (Stage::Started, micros(handoff, tsc_started)),
            (Stage::Processors, time::now_ns() / 1000),
        ],
        clock_zero_us: 0,
    }
}
