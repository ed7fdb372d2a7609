//! The hand-off as bytes.
//!
//! `weft_types::handoff::Handoff` is `repr(C)`; each field is written at its own offset, so that no
//! pointer cast is needed and padding is zero.

use core::mem::offset_of;

use weft_types::handoff::{
    BootPath, FrameBuffer, HANDOFF_MAGIC, HANDOFF_VERSION, Handoff, MAX_CMDLINE, MAX_REGIONS, Region,
};

/// A hand-off with nothing but its heading.
pub const fn empty(boot_path: BootPath) -> Handoff {
    Handoff {
        magic: HANDOFF_MAGIC,
        version: HANDOFF_VERSION,
        boot_path: boot_path as u32,
        flags: 0,
        region_count: 0,
        rsdp: 0,
        smbios: 0,
        tsc_entry: 0,
        tsc_verified: 0,
        tsc_jump: 0,
        page_table: 0,
        dvmm_base: 0,
        dvmm_size: 0,
        manifest: 0,
        root_set: 0,
        root_set_size: 0,
        screen: FrameBuffer { base: 0, size: 0, width: 0, height: 0, stride: 0, blue_first: 0 },
        node_key: [0; 32],
        boot_counter: 0,
        floor: 0,
        entropy: [0; 32],
        boot_server: [0; 4],
        boot_mac: [0; 6],
        cmdline_len: 0,
        cmdline: [0; MAX_CMDLINE],
        regions: [Region { base: 0, size: 0, kind: 0, reserved: 0 }; MAX_REGIONS],
    }
}

/// Copies what fits of `text` into the hand-off's command line.
pub fn set_cmdline(handoff: &mut Handoff, text: &[u8]) {
    let len = text.len().min(MAX_CMDLINE);
    for (to, from) in handoff.cmdline.iter_mut().zip(text) {
        *to = *from;
    }
    handoff.cmdline_len = u16::try_from(len).unwrap_or(0);
}

/// The value of the first word `key=value` of a command line.
fn cmdline_value<'a>(cmdline: &'a [u8], key: &str) -> Option<&'a str> {
    let mut words = cmdline.split(|byte| byte.is_ascii_whitespace());
    let value = words.find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="))?;
    core::str::from_utf8(value).ok()
}

/// Reads `key=a.b.c.d` from a command line.
pub fn cmdline_ipv4(cmdline: &[u8], key: &str) -> Option<[u8; 4]> {
    let address: core::net::Ipv4Addr = cmdline_value(cmdline, key)?.parse().ok()?;
    Some(address.octets())
}

/// Reads `key=aa:bb:cc:dd:ee:ff` from a command line.
pub fn cmdline_mac(cmdline: &[u8], key: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = cmdline_value(cmdline, key)?.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// `out` is shorter than a hand-off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooShort;

struct Writer<'a> {
    out: &'a mut [u8],
    short: bool,
}

impl Writer<'_> {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        match offset.checked_add(bytes.len()).and_then(|end| self.out.get_mut(offset..end)) {
            Some(place) => place.copy_from_slice(bytes),
            None => self.short = true,
        }
    }
}

/// Writes `handoff` in memory order to the start of `out`.
pub fn encode(handoff: &Handoff, out: &mut [u8]) -> Result<(), TooShort> {
    let mut w = Writer { out, short: false };
    macro_rules! numbers {
        ($base:expr, $value:expr, $type:ty: $($field:ident),*) => {
            $(w.put($base + offset_of!($type, $field), &$value.$field.to_le_bytes());)*
        };
    }
    numbers!(0, handoff, Handoff: magic, version, boot_path, flags, region_count, rsdp, smbios, tsc_entry,
        tsc_verified, tsc_jump, page_table, dvmm_base, dvmm_size, manifest, root_set, root_set_size,
        boot_counter, floor, cmdline_len);
    let screen = offset_of!(Handoff, screen);
    numbers!(screen, handoff.screen, FrameBuffer: base, size, width, height, stride, blue_first);
    w.put(offset_of!(Handoff, node_key), &handoff.node_key);
    w.put(offset_of!(Handoff, entropy), &handoff.entropy);
    w.put(offset_of!(Handoff, boot_server), &handoff.boot_server);
    w.put(offset_of!(Handoff, boot_mac), &handoff.boot_mac);
    w.put(offset_of!(Handoff, cmdline), &handoff.cmdline);
    for (index, region) in handoff.regions.iter().enumerate() {
        let base = offset_of!(Handoff, regions) + index * size_of::<Region>();
        numbers!(base, region, Region: base, size, kind, reserved);
    }
    if w.short { Err(TooShort) } else { Ok(()) }
}
