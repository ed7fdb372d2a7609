//! What the firmware knows that the DVMM wants.

use core::arch::asm;

use uefi::boot::{self, MemoryType, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol};
use uefi::mem::memory_map::{MemoryAttribute, MemoryMap};
use uefi::proto::ProtocolPointer;
use uefi::proto::console::gop::{GraphicsOutput, PixelFormat};
use uefi::proto::device_path::DevicePath;
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::network::pxe::BaseCode;
use uefi::runtime::{self, VariableVendor};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{CStr16, Guid, Handle, cstr16, system};
use weft_loader::handoff::set_cmdline;
use weft_loader::netinfo::{dhcp_server, path_http_server, path_mac};
use weft_loader::regions::{RegionSet, TooMany};
use weft_types::handoff::{FLAG_SECURE_BOOT, FrameBuffer, Handoff, MAX_CMDLINE, RegionKind};
use weft_x86defs::bits::CR4_LA57;

/// Whether the processor walks five levels of page tables (CR4.LA57); ours have four, and the number
/// cannot change without leaving long mode.
pub(crate) fn has_five_level_paging() -> bool {
    let cr4: u64;
    // SAFETY: UEFI programs run at ring 0; reading the register changes nothing.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack)) }
    cr4 & CR4_LA57 != 0
}

/// A protocol that stays with its other users.
///
/// Opening exclusively would take the screen from the console and the NIC from the firmware's stack.
pub(crate) fn peek<P: ProtocolPointer + ?Sized>(handle: Handle) -> Option<ScopedProtocol<P>> {
    let agent = boot::image_handle();
    let params = OpenProtocolParams { handle, agent, controller: None };
    // SAFETY: one processor runs at application priority; the caller reads and lets go before any
    // call that could uninstall the protocol.
    unsafe { boot::open_protocol::<P>(params, OpenProtocolAttributes::GetProtocol).ok() }
}

fn flag(name: &CStr16) -> Option<u8> {
    let mut value = [0];
    match runtime::get_variable(name, &VariableVendor::GLOBAL_VARIABLE, &mut value) {
        Ok((value, _)) => value.first().copied(),
        Err(_) => None,
    }
}

/// Whether the firmware checked our signature: `SecureBoot` is 1 and `SetupMode` is not.
pub(crate) fn secure_boot() -> bool {
    flag(cstr16!("SecureBoot")) == Some(1) && flag(cstr16!("SetupMode")) != Some(1)
}

fn table(guid: Guid) -> Option<u64> {
    system::with_config_table(|tables| {
        tables.iter().find(|table| table.guid == guid).map(|table| table.address as usize as u64)
    })
}

/// The screen as it stands. A mode without 32-bit pixels in memory counts as none.
fn screen() -> Option<FrameBuffer> {
    let handle = boot::get_handle_for_protocol::<GraphicsOutput>().ok()?;
    let mut gop = peek::<GraphicsOutput>(handle)?;
    let mode = gop.current_mode_info();
    let blue_first = match mode.pixel_format() {
        PixelFormat::Rgb => 0,
        PixelFormat::Bgr => 1,
        PixelFormat::Bitmask | PixelFormat::BltOnly => return None,
    };
    let (width, height) = mode.resolution();
    let mut memory = gop.frame_buffer();
    Some(FrameBuffer {
        base: memory.as_mut_ptr() as usize as u64,
        size: memory.size() as u64,
        width: u32::try_from(width).ok()?,
        height: u32::try_from(height).ok()?,
        stride: u32::try_from(mode.stride()).ok()?,
        blue_first,
    })
}

fn pxe_server(device: Handle) -> Option<[u8; 4]> {
    let base_code = peek::<BaseCode>(device)?;
    let mode = base_code.mode();
    if !mode.started() || mode.using_ipv6() {
        return None;
    }
    let packets = [
        (mode.pxe_reply_received(), mode.pxe_reply()),
        (mode.proxy_offer_received(), mode.proxy_offer()),
        (mode.dhcp_ack_received(), mode.dhcp_ack()),
    ];
    packets.into_iter().filter(|(valid, _)| *valid).find_map(|(_, packet)| {
        let packet: &[u8; 1472] = packet.as_ref();
        dhcp_server(packet)
    })
}

/// Server and NIC that the image came from.
fn boot_origin(image: &LoadedImage, handoff: &mut Handoff) {
    let Some(device) = image.device() else { return };
    if let Some(path) = peek::<DevicePath>(device) {
        handoff.boot_mac = path_mac(path.as_bytes()).unwrap_or_default();
        handoff.boot_server = path_http_server(path.as_bytes()).unwrap_or_default();
    }
    if handoff.boot_server == [0; 4] {
        handoff.boot_server = pxe_server(device).unwrap_or_default();
    }
}

/// The load options as printable ASCII; firmware puts its own bytes there for network boots.
fn cmdline(image: &LoadedImage, handoff: &mut Handoff) {
    let Ok(options) = image.load_options_as_cstr16() else { return };
    let mut text = [0; MAX_CMDLINE];
    let mut len = 0;
    for (slot, word) in text.iter_mut().zip(options.to_u16_slice()) {
        match u8::try_from(*word) {
            Ok(byte @ b' '..=b'~') => *slot = byte,
            Ok(_) | Err(_) => return,
        }
        len += 1;
    }
    set_cmdline(handoff, text.get(..len).unwrap_or_default());
}

/// Fills in everything that boot services tell, the memory map apart.
pub(crate) fn describe(image: &LoadedImage, handoff: &mut Handoff) {
    handoff.rsdp = table(ConfigTableEntry::ACPI2_GUID).unwrap_or(0);
    let smbios = table(ConfigTableEntry::SMBIOS3_GUID).or_else(|| table(ConfigTableEntry::SMBIOS_GUID));
    handoff.smbios = smbios.unwrap_or(0);
    handoff.screen = screen().unwrap_or_default();
    boot_origin(image, handoff);
    if secure_boot() {
        handoff.flags |= FLAG_SECURE_BOOT;
    } else {
        cmdline(image, handoff);
    }
}

/// Whose memory it is once boot services ended.
fn region_kind(kind: MemoryType, attributes: MemoryAttribute) -> RegionKind {
    match kind {
        MemoryType::CONVENTIONAL
        | MemoryType::LOADER_CODE
        | MemoryType::LOADER_DATA
        | MemoryType::BOOT_SERVICES_CODE
        | MemoryType::BOOT_SERVICES_DATA
            if !attributes.contains(MemoryAttribute::SPECIAL_PURPOSE) =>
        {
            RegionKind::Usable
        }
        MemoryType::ACPI_RECLAIM => RegionKind::AcpiTables,
        // Runtime services, ACPI NVS, MMIO, broken, vendor's and unknown kinds alike.
        _ => RegionKind::Reserved,
    }
}

/// Adds the firmware's map.
pub(crate) fn regions(map: &impl MemoryMap) -> Result<RegionSet, TooMany> {
    let mut regions = RegionSet::new();
    // Interrupt vectors of real mode: system management code may look there.
    regions.add(0, 0x1000, RegionKind::Reserved)?;
    for entry in map.entries() {
        let size = entry.page_count.saturating_mul(weft_types::PAGE_SIZE);
        regions.add(entry.phys_start, size, region_kind(entry.ty, entry.att))?;
    }
    Ok(regions)
}
