//! Which file a client is told to load.

use std::net::Ipv4Addr;

use crate::arch::{self, Firmware};
use crate::config::BootConfig;
use crate::event::ClientStage;
use crate::packet::Request;

/// The boot part of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Not a client that boots from the network.
    None,
    /// The node image itself: it wants to know where the appliance is.
    Appliance,
    /// A file by TFTP, or by a URL for iPXE.
    File(String),
    /// A URL for UEFI HTTP boot.
    Url(String),
    /// Boots from the network, but there is no image for it.
    Unsupported,
}

impl Boot {
    /// The file or URL.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::File(name) | Self::Url(name) => Some(name),
            Self::None | Self::Appliance | Self::Unsupported => None,
        }
    }
}

/// Decides for one request.
#[must_use]
pub fn decide(request: &Request, config: &BootConfig, server: Ipv4Addr) -> Boot {
    match request.stage() {
        ClientStage::Other => Boot::None,
        ClientStage::Node => Boot::Appliance,
        ClientStage::Ipxe => ipxe(request, config),
        stage @ (ClientStage::Pxe | ClientStage::HttpBoot) => {
            // A client may name several; the first that there is something for.
            let http = stage == ClientStage::HttpBoot;
            request
                .archs
                .iter()
                .find_map(|code| firmware(*code, http, config, server))
                .unwrap_or(Boot::Unsupported)
        }
    }
}

/// The script for iPXE on a BIOS: loads the Multiboot image with the manifest as its module, from where the script came from.
#[must_use]
pub fn ipxe_script(server: Ipv4Addr) -> String {
    format!("#!ipxe\nkernel weft.bios server={server}\nmodule manifest\nboot\n")
}

fn ipxe(request: &Request, config: &BootConfig) -> Boot {
    let uefi = request
        .archs
        .iter()
        .filter_map(|code| arch::find(*code))
        .any(|arch| arch.firmware == Firmware::Uefi && arch.x86_64);
    let bios = request.archs.contains(&0) || request.archs.is_empty();
    if uefi {
        named(&config.ipxe_uefi)
    } else if bios {
        named(&config.ipxe_bios)
    } else {
        Boot::Unsupported
    }
}

fn firmware(code: u16, http: bool, config: &BootConfig, server: Ipv4Addr) -> Option<Boot> {
    let entry = arch::find(code);
    let http = http || entry.is_some_and(|arch| arch.http);
    let name = match config.by_arch.get(&code) {
        Some(name) => name,
        None => match (entry.filter(|arch| arch.x86_64)?.firmware, http) {
            (Firmware::Uefi, true) => &config.http,
            (Firmware::Uefi, false) => &config.uefi,
            (Firmware::Bios, false) => &config.bios,
            (Firmware::Bios, true) | (Firmware::Other, _) => return None,
        },
    };
    if !http || name.contains("://") {
        return Some(if http { Boot::Url(name.clone()) } else { named(name) });
    }
    let base =
        if config.http_base.is_empty() { format!("http://{server}") } else { config.http_base.clone() };
    Some(Boot::Url(format!("{}/{}", base.trim_end_matches('/'), name.trim_start_matches('/'))))
}

fn named(name: &str) -> Boot {
    if name.is_empty() { Boot::Unsupported } else { Boot::File(name.to_owned()) }
}
