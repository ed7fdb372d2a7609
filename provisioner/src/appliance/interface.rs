//! The served interface: its address and prefix.

use std::net::Ipv4Addr;

use super::Failure;

/// Where boot services live.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) interface: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// Looks an interface up.
pub(crate) fn find(name: &str, wanted: Option<Ipv4Addr>) -> Result<Place, Failure> {
    let all = if_addrs::get_if_addrs().map_err(|error| Failure::of(&error, "interfaces cannot be listed"))?;
    let mut addresses = all.iter().filter(|known| known.name == name).filter_map(|known| match &known.addr {
        if_addrs::IfAddr::V4(v4) => Some((v4.ip, v4.prefixlen)),
        if_addrs::IfAddr::V6(_) => None,
    });
    let found = match wanted {
        Some(wanted) => addresses.find(|(address, _)| *address == wanted),
        None => addresses.next(),
    };
    if let Some((address, prefix)) = found {
        return Ok(Place { interface: name.to_string(), address, prefix });
    }
    let mut names: Vec<&str> = all.iter().map(|known| known.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Err(match (names.contains(&name), wanted) {
        (true, Some(wanted)) => Failure::new(format!("{name} has no address {wanted}"), "see: ip address"),
        (true, None) => Failure::new(
            format!("{name} has no IPv4 address"),
            format!("give it one, for example: ip address add 10.0.0.1/24 dev {name}"),
        ),
        (false, _) => Failure::new(
            format!("there is no interface {name} with an address"),
            format!("there are: {}", names.join(", ")),
        ),
    })
}
