//! Where a controller is: a name or an address, and a port.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest name of a host (RFC 1035).
const LONGEST: usize = 253;

/// A host, and the port where it is not the protocol's own. Nothing in it can be taken for an option or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: Option<u16>,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: HOST, HOST:PORT, A.B.C.D:PORT or [IPV6]:PORT")]
pub struct AddressError;

impl Address {
    /// Without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port_or(&self, own: u16) -> u16 {
        self.port.unwrap_or(own)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(AddressError)?;
                host.parse::<Ipv6Addr>().map_err(|_| AddressError)?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(AddressError)?) })
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
                let ends = |c: char| c.is_ascii_alphanumeric();
                if host.len() > LONGEST
                    || !host.chars().all(sound)
                    || !host.starts_with(ends)
                    || !host.ends_with(ends)
                {
                    return Err(AddressError);
                }
                (host, port)
            }
        };
        let port = match port {
            Some(port) if port.bytes().all(|c| c.is_ascii_digit()) => {
                Some(port.parse().ok().filter(|port| *port != 0).ok_or(AddressError)?)
            }
            Some(_) => return Err(AddressError),
            None => None,
        };
        Ok(Self { host: host.to_string(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_taken_apart_and_put_together() {
        for (text, host, port) in [
            ("bmc-1.rack", "bmc-1.rack", 443),
            ("10.0.0.9:8443", "10.0.0.9", 8443),
            ("[fe80::1]", "fe80::1", 443),
            ("[fe80::1]:1", "fe80::1", 1),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.host(), address.port_or(443)), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn nothing_else_is_an_address() {
        for text in [
            "",
            "-H",
            "a b",
            "a/b",
            "a:0",
            "a:70000",
            "a:",
            "a:+1",
            "fe80::1",
            "[fe80::1",
            "[x]",
            "[::1]x",
            "user@a",
            "https://a",
            "a\n",
            ".",
            "a.",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text:?}");
        }
        assert_eq!("a".repeat(254).parse::<Address>(), Err(AddressError));
    }
}
