//! Vendor, product, serial number and UUID from SMBIOS (DMTF DSP0134 3.7, sections 5.2 and 7.2). Hints for an
//! operator, never an identity.

use crate::phys::read_firmware;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use weft_types::Hpa;

/// Largest structure table that is read, bytes.
const MAX_TABLE: usize = 64 * 1024;
/// Longest string that is kept, bytes.
const MAX_TEXT: usize = 64;

/// What the system information structure says; empty where it says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Vendor, product, serial number.
    pub names: [String; 3],
    /// UUID in SMBIOS byte order.
    pub uuid: [u8; 16],
}

/// Reads the entry point and the system information structure.
pub fn system(entry: u64) -> System {
    table(entry).and_then(|bytes| find(&bytes)).unwrap_or_default()
}

fn table(entry: u64) -> Option<Vec<u8>> {
    if entry == 0 {
        return None;
    }
    let mut head = [0; 32];
    read_firmware(Hpa(entry), &mut head);
    let (size, address) = if head.starts_with(b"_SM3_") {
        let size = u32::from_le_bytes(head[12..16].try_into().ok()?) as usize;
        (size, u64::from_le_bytes(head[16..24].try_into().ok()?))
    } else if head.starts_with(b"_SM_") {
        let size = usize::from(u16::from_le_bytes(head[22..24].try_into().ok()?));
        (size, u64::from(u32::from_le_bytes(head[24..28].try_into().ok()?)))
    } else {
        return None;
    };
    let mut bytes = vec![0; size.min(MAX_TABLE)];
    read_firmware(Hpa(address), &mut bytes);
    Some(bytes)
}

/// Walks the structures: a formatted part of the length that it names, then strings up to two zeros.
fn find(mut rest: &[u8]) -> Option<System> {
    while let [kind, length, ..] = *rest {
        let formatted = rest.get(..usize::from(length)).filter(|f| f.len() >= 4)?;
        let strings = rest.get(usize::from(length)..)?;
        let end = strings.windows(2).position(|pair| pair == [0, 0])?;
        if kind == 1 {
            return Some(read(formatted, strings.get(..end)?));
        }
        rest = strings.get(end + 2..)?;
    }
    None
}

fn read(formatted: &[u8], strings: &[u8]) -> System {
    let text = |offset: usize| {
        let number = formatted.get(offset).copied().unwrap_or(0);
        let bytes = usize::from(number).checked_sub(1).and_then(|n| strings.split(|b| *b == 0).nth(n));
        let printable = bytes.unwrap_or(&[]).iter().filter(|b| (0x20..0x7f).contains(*b)).take(MAX_TEXT);
        String::from(printable.map(|b| char::from(*b)).collect::<String>().trim())
    };
    let uuid = formatted.get(8..24).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    System { names: [text(4), text(5), text(7)], uuid }
}
