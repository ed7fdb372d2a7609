//! Bounds of a configuration. A record is signed, but its signer may err: what cannot be run is refused as
//! a whole, with the reason, before anything changes.

use core::fmt;

use weft_transport::http::MAX_BLOB;
use weft_types::VsId;
use weft_wire::cluster::SpanError;
use weft_wire::record::NodeConfig;

/// Most virtual servers of one node.
pub const MAX_SERVERS: usize = 16;
const MAX_VCPUS: u16 = 32;
const MIN_MEMORY_MIB: u32 = 16;
const MAX_MACS: usize = 4;
const MAX_NAME: usize = 63;
const MAX_APPEND: usize = 2048;

/// Why a configuration is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// More than [`MAX_SERVERS`].
    TooManyServers(usize),
    /// Two servers of one identity.
    Twice(VsId),
    /// A server with 0 or more than 32 processors.
    Processors(VsId, u16),
    /// A server with less than 16 MiB.
    Memory(VsId, u32),
    /// A kernel or ram disk that is empty or too large.
    BlobSize(VsId, u64),
    /// More than 4 network interfaces.
    Interfaces(VsId, usize),
    /// A MAC that is no unicast address, or used twice.
    Mac(VsId, [u8; 6]),
    /// It says for more or fewer processors than it has where they run.
    Affinity(VsId, usize),
    /// Its places do not make it up.
    Span(VsId, SpanError),
    /// A name or command line that is too long.
    Text(VsId),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyServers(count) => {
                write!(f, "{count} virtual servers, a node runs at most {MAX_SERVERS}")
            }
            Self::Twice(vs) => write!(f, "virtual server {vs} appears twice"),
            Self::Processors(vs, count) => {
                write!(f, "virtual server {vs} has {count} processors, 1 to {MAX_VCPUS} are possible")
            }
            Self::Memory(vs, mib) => {
                write!(f, "virtual server {vs} has {mib} MiB, the least is {MIN_MEMORY_MIB}")
            }
            Self::BlobSize(vs, bytes) => {
                write!(
                    f,
                    "virtual server {vs} boots from a file of {bytes} bytes, 1 to {MAX_BLOB} are possible"
                )
            }
            Self::Interfaces(vs, count) => {
                write!(
                    f,
                    "virtual server {vs} has {count} network interfaces, at most {MAX_MACS} are possible"
                )
            }
            Self::Mac(vs, mac) => {
                write!(f, "virtual server {vs} has the MAC {mac:02x?}, which is taken or no unicast address")
            }
            Self::Affinity(vs, count) => {
                write!(
                    f,
                    "virtual server {vs} has an affinity for {count} processors, which is not their number"
                )
            }
            Self::Span(vs, error) => write!(f, "virtual server {vs} does not lie over its nodes: {error}"),
            Self::Text(vs) => write!(f, "name or command line of virtual server {vs} is too long"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Checks a configuration as a whole.
pub fn check_config(config: &NodeConfig) -> Result<(), ConfigError> {
    let servers = &config.servers;
    if servers.len() > MAX_SERVERS {
        return Err(ConfigError::TooManyServers(servers.len()));
    }
    let mut macs = alloc::vec::Vec::new();
    for (position, spec) in servers.iter().enumerate() {
        if servers.iter().take(position).any(|other| other.id == spec.id) {
            return Err(ConfigError::Twice(spec.id));
        }
        if spec.vcpus == 0 || spec.vcpus > MAX_VCPUS {
            return Err(ConfigError::Processors(spec.id, spec.vcpus));
        }
        if spec.memory_mib < MIN_MEMORY_MIB {
            return Err(ConfigError::Memory(spec.id, spec.memory_mib));
        }
        for blob in core::iter::once(&spec.kernel).chain(&spec.initrd) {
            if blob.size == 0 || blob.size > MAX_BLOB {
                return Err(ConfigError::BlobSize(spec.id, blob.size));
            }
        }
        if spec.name.len() > MAX_NAME || spec.append.len() > MAX_APPEND {
            return Err(ConfigError::Text(spec.id));
        }
        if spec.macs.len() > MAX_MACS {
            return Err(ConfigError::Interfaces(spec.id, spec.macs.len()));
        }
        if !spec.affinity.is_empty() && spec.affinity.len() != usize::from(spec.vcpus) {
            return Err(ConfigError::Affinity(spec.id, spec.affinity.len()));
        }
        if let Some(span) = &spec.span {
            span.check(spec.vcpus, spec.memory_mib).map_err(|error| ConfigError::Span(spec.id, error))?;
        }
        for mac in &spec.macs {
            if mac[0] & 1 == 1 || *mac == [0; 6] || macs.contains(mac) {
                return Err(ConfigError::Mac(spec.id, *mac));
            }
            macs.push(*mac);
        }
    }
    Ok(())
}
