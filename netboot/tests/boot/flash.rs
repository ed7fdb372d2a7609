//! A UEFI variable store in flash, as EDK2 keeps it, for firmware that cannot write any more and for variables that
//! somebody else made.
//!
//! Source: EDK2 `MdeModulePkg/Include/Guid/VariableFormat.h`, authenticated variables. The store starts after the
//! firmware volume's header; each variable is a header, a name, data, padded to 4 bytes.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where variables lie in the flash file of OVMF's 4 MiB builds.
const STORE: Range<usize> = 0x64..0x4_0000;
const HEADER: usize = 60;
const START: [u8; 2] = [0xaa, 0x55];
/// A variable that is there: neither half written nor deleted.
const LIVE: u8 = 0x3f;
/// What is left: too little for another variable of ours (60 of header, 20 of name, 8 of value), enough for the
/// firmware to write its own counter anew. With nothing left it sorts its flash again and again.
const LEFT: usize = 84;
/// Largest value of a filler.
const MAX_VALUE: usize = 0x2000;
/// Weft's vendor GUID, as it lies in memory.
const OURS: [u8; 16] =
    [0x0e, 0x1b, 0x3c, 0x5f, 0x52, 0x7d, 0x86, 0x4a, 0x9c, 0x1d, 0x3a, 0xe2, 0xf0, 0x4b, 0x86, 0xd7];
const STRANGER: [u8; 16] = [0x11; 16];
const NON_VOLATILE: u32 = 1;
const BOOT_SERVICE: u32 = 2;
const RUNTIME: u32 = 4;

/// The bytes of one variable, padding included.
fn variable(vendor: [u8; 16], name: &str, attributes: u32, value: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let mut bytes = Vec::from(START);
    bytes.extend([LIVE, 0]);
    bytes.extend(attributes.to_le_bytes());
    // Monotonic count, time stamp, key index.
    bytes.extend([0; 8 + 16 + 4]);
    for len in [name.len(), value.len()] {
        bytes.extend(u32::try_from(len).expect("small").to_le_bytes());
    }
    bytes.extend(vendor);
    assert_eq!(bytes.len(), HEADER);
    bytes.extend(name);
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0xff);
    bytes
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

/// The live variables of a store, one after the other; deleted ones would give the firmware room.
fn live(store: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at + HEADER <= store.len() && store[at..at + 2] == START {
        let size = HEADER + word(store, at + 36) + word(store, at + 40);
        let end = at + size.next_multiple_of(4);
        if store[at + 2] == LIVE {
            kept.extend(&store[at..end]);
        }
        at = end;
    }
    kept
}

fn rewrite(flash: &Path, out: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(flash).expect("a flash file");
    let mut variables = live(&bytes[STORE]);
    assert!(!variables.is_empty(), "the firmware wrote nothing into {}", flash.display());
    change(&mut variables);
    variables.resize(STORE.len(), 0xff);
    bytes[STORE].copy_from_slice(&variables);
    std::fs::write(out, bytes).expect("written");
    out.to_owned()
}

/// A copy without room for another variable of ours.
pub(crate) fn full(flash: &Path, out: &Path) -> PathBuf {
    rewrite(flash, out, |variables| {
        for number in 0.. {
            let name = format!("Filler{number:03}");
            let least = variable(STRANGER, &name, NON_VOLATILE | BOOT_SERVICE, &[0]).len();
            let free = (STORE.len() - LEFT).saturating_sub(variables.len());
            if free < least {
                break;
            }
            let value = vec![0xf1; (free - least + 1).min(MAX_VALUE)];
            variables.extend(variable(STRANGER, &name, NON_VOLATILE | BOOT_SERVICE, &value));
        }
    })
}

/// A copy in which somebody wrote our floor so that an operating system can change it.
pub(crate) fn with_floor_of_a_stranger(flash: &Path, out: &Path) -> PathBuf {
    rewrite(flash, out, |variables| {
        let attributes = NON_VOLATILE | BOOT_SERVICE | RUNTIME;
        variables.extend(variable(OURS, "WeftFloor", attributes, &1u64.to_le_bytes()));
    })
}
