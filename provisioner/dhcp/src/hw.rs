//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hardware type of Ethernet.
pub(crate) const ETHERNET: u8 = 1;

/// A client's hardware address: type, length at most 16, bytes. Text form: `02:00:00:00:00:01` (Ethernet only).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HwAddr {
    htype: u8,
    len: u8,
    bytes: [u8; 16],
}

impl HwAddr {
    /// An Ethernet address.
    #[must_use]
    pub fn ethernet(mac: [u8; 6]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&mac);
        Self { htype: ETHERNET, len: 6, bytes }
    }

    /// Any hardware address; `None` where it is longer than 16 bytes, empty, or an Ethernet address not of 6 bytes.
    #[must_use]
    pub fn new(htype: u8, address: &[u8]) -> Option<Self> {
        if address.is_empty() || (htype == ETHERNET && address.len() != 6) {
            return None;
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..address.len())?.copy_from_slice(address);
        Some(Self { htype, len: u8::try_from(address.len()).ok()?, bytes })
    }

    /// Hardware type, 1 for Ethernet.
    #[must_use]
    pub fn htype(&self) -> u8 {
        self.htype
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether it can be a station's own address: not all zeros, not a group address.
    #[must_use]
    pub fn is_station(&self) -> bool {
        let group = self.htype == ETHERNET && self.bytes.first().is_some_and(|b| b & 1 == 1);
        !group && self.bytes().iter().any(|b| *b != 0)
    }
}

impl fmt::Display for HwAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.bytes().iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Text that is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ethernet address such as 02:00:00:00:00:01")]
pub struct BadHwAddr;

impl FromStr for HwAddr {
    type Err = BadHwAddr;

    fn from_str(text: &str) -> Result<Self, BadHwAddr> {
        let mut mac = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut mac {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(BadHwAddr)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| BadHwAddr)?;
        }
        if parts.next().is_some() { Err(BadHwAddr) } else { Ok(Self::ethernet(mac)) }
    }
}

impl Serialize for HwAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HwAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
