//! Settings that a guest is given: host name, address, gateway. They travel on its kernel's command line.
//!
//! ```text
//! … hostname=web-3 ip=10.0.0.7::10.0.0.1:255.255.255.0:web-3::off
//! ```
//! `hostname=` is the kernel's own since 6.0. `ip=` has the form of `Documentation/admin-guide/nfs/nfsroot.rst`: client,
//! server, gateway, mask, host name, device, and `off` for no protocol. A kernel with IP_PNP takes it itself; others leave it to
//! the initial ram disk (initramfs-tools, dracut, the lab's guest).

use std::net::Ipv4Addr;

use weft_store::VsRow;

use crate::error::Error;
use crate::servers::invalid;

/// An IPv4 address with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    ip: u32,
    prefix: u32,
}

impl Address {
    /// `10.0.0.5/24`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let example = "an address has its prefix, for example 10.0.0.5/24";
        let parts = text.split_once('/').and_then(|(ip, prefix)| {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            Some((ip.parse::<Ipv4Addr>().ok()?, prefix.parse::<u32>().ok().filter(|_| digits)?))
        });
        let (ip, prefix) =
            parts.ok_or_else(|| invalid(format!("{text} is no IPv4 address with a prefix"), example))?;
        if !(8..=30).contains(&prefix) {
            return Err(invalid(format!("the prefix of {text} is not 8 to 30"), example));
        }
        let address = Self { ip: u32::from(ip), prefix };
        if !address.is_host() {
            return Err(invalid(format!("{text} is no address of a host"), example));
        }
        Ok(address)
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }

    /// Whether a machine can have it: unicast, and neither the network's own nor its broadcast.
    fn is_host(self) -> bool {
        let host = self.ip & !self.mask();
        let ip = Ipv4Addr::from(self.ip);
        host != 0
            && host != !self.mask()
            && !ip.is_multicast()
            && !ip.is_loopback()
            && !ip.is_unspecified()
            && self.ip >> 24 != 0
            && self.ip >> 28 != 0xf
    }

    /// The one that is `n` further on, in the same network.
    pub(crate) fn further(self, n: u32) -> Result<Self, Error> {
        let next = self.ip.checked_add(n).map(|ip| Self { ip, ..self });
        next.filter(|next| next.ip & self.mask() == self.ip & self.mask() && next.is_host()).ok_or_else(
            || {
                invalid(
                    format!("the network of {} has no address {n} further on", self.text()),
                    "begin with a lower address, or make fewer servers",
                )
            },
        )
    }

    pub(crate) fn text(self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.ip), self.prefix)
    }
}

/// Whether a guest can be given these.
pub(crate) fn check_settings(hostname: &str, address: &str, gateway: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let edge = hostname.starts_with('-') || hostname.ends_with('-');
    if hostname.len() > 63 || !hostname.chars().all(good) || edge {
        return Err(invalid(
            format!("{hostname} is no host name"),
            "1 to 63 letters, digits, -, which neither begins nor ends it",
        ));
    }
    if address.is_empty() {
        if gateway.is_empty() {
            return Ok(());
        }
        return Err(invalid(
            "a gateway was named without an address",
            "name an address too: --address 10.0.0.5/24",
        ));
    }
    let own = Address::parse(address)?;
    if gateway.is_empty() {
        return Ok(());
    }
    let ip: Ipv4Addr = gateway
        .parse()
        .map_err(|_| invalid(format!("{gateway} is no IPv4 address"), "for example --gateway 10.0.0.1"))?;
    let other = Address { ip: u32::from(ip), ..own };
    if other.ip & own.mask() != own.ip & own.mask() || !other.is_host() || other == own {
        return Err(invalid(
            format!("{gateway} cannot be the gateway of {address}"),
            "name another address of the same network",
        ));
    }
    Ok(())
}

/// What is added to the kernel's command line of a server's guest: what was asked for, then its settings.
pub(crate) fn command_line(row: &VsRow) -> String {
    let mut words = Vec::new();
    if !row.append.is_empty() {
        words.push(row.append.clone());
    }
    if !row.hostname.is_empty() {
        words.push(format!("hostname={}", row.hostname));
    }
    if let Ok(address) = Address::parse(&row.address) {
        let (ip, mask) = (Ipv4Addr::from(address.ip), Ipv4Addr::from(address.mask()));
        words.push(format!("ip={ip}::{}:{mask}:{}::off", row.gateway, row.hostname));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_behind_what_was_asked_for() {
        let row = |append: &str, hostname: &str, address: &str, gateway: &str| VsRow {
            append: append.to_string(),
            hostname: hostname.to_string(),
            address: address.to_string(),
            gateway: gateway.to_string(),
            ..VsRow::default()
        };
        assert_eq!(command_line(&row("quiet", "", "", "")), "quiet");
        assert_eq!(command_line(&row("", "web-3", "", "")), "hostname=web-3");
        assert_eq!(
            command_line(&row("quiet", "web-3", "10.0.0.7/24", "10.0.0.1")),
            "quiet hostname=web-3 ip=10.0.0.7::10.0.0.1:255.255.255.0:web-3::off"
        );
        assert_eq!(command_line(&row("", "", "10.0.0.6/30", "")), "ip=10.0.0.6:::255.255.255.252:::off");
    }

    #[test]
    fn what_no_guest_can_have_is_refused() {
        for (hostname, address, gateway) in [
            ("web_1", "", ""),
            ("-web", "", ""),
            ("a b", "", ""),
            ("", "10.0.0.5", ""),
            ("", "10.0.0.0/24", ""),
            ("", "10.0.0.255/24", ""),
            ("", "10.0.0.5/31", ""),
            ("", "10.0.0.5/+24", ""),
            ("", "127.0.0.1/24", ""),
            ("", "224.0.0.1/24", ""),
            ("", "0.0.0.5/24", ""),
            ("", "10.0.0.5/24", "10.0.1.1"),
            ("", "10.0.0.5/24", "10.0.0.5"),
            ("", "10.0.0.5/24", "x"),
            ("", "", "10.0.0.1"),
        ] {
            assert!(check_settings(hostname, address, gateway).is_err(), "{hostname} {address} {gateway}");
        }
        assert!(check_settings("web-1", "10.0.0.5/24", "10.0.0.1").is_ok());
        assert!(check_settings("", "", "").is_ok());
    }

    #[test]
    fn addresses_follow_one_another_within_their_network() {
        let first = Address::parse("10.0.0.250/24").expect("an address");
        assert_eq!(first.further(4).expect("the last").text(), "10.0.0.254/24");
        assert!(first.further(5).is_err() && first.further(6).is_err() && first.further(u32::MAX).is_err());
    }
}
