//! Several appliances that hold one store (docs/appliances.md).
//!
//! ```text
//! found: one voter's store made anew at an address ─▶ invite ─▶ join: secrets, certificate ─▶ run: learner ─▶ voter
//!
//! request ─▶ any appliance ─┬─ it leads ──────────────▶ done
//!                           ├─ another leads ─▶ relayed ▶ done there
//!                           └─ none leads: reads from its own copy; changes are refused
//! ```
//! One leads: it decides, signs, gives addresses and speaks to nodes. The others hold the same rows and files, boot machines, and
//! take over. They speak to each other on three ports in a row: the store's log, its interface, and [`serve`].

mod ca;
mod dial;
mod documents;
mod files;
mod forward;
mod found;
mod join;
mod serve;
mod tend;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use weft_store::{API_SECRET, Store, StoreError, Voters};

use crate::blobs::PARTIAL;
use crate::core::Core;
use crate::util::write_whole;

pub use ca::CaError;
pub(crate) use forward::{Relayed, follow};
pub use found::{FoundError, found, prepare};
pub use join::{JoinError, join};
pub use serve::serve_peers;

/// Folder of what an appliance of several needs, in its data folder.
const FOLDER: &str = "cluster";
const MEMBER: &str = "member.json";

/// This appliance among several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its first port for the others.
    pub address: SocketAddr,
    /// Whether its store was taken in by the others.
    pub joined: bool,
    /// Those that it asks to be taken in by.
    pub known: Vec<(u64, SocketAddr)>,
}

/// Why an appliance is none of several.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// Certificates.
    #[error("certificates of the appliances")]
    Ca(#[from] CaError),
    /// The store.
    #[error("store")]
    Store(#[from] StoreError),
}

impl Member {
    fn path(data: &Path) -> PathBuf {
        data.join(FOLDER).join(MEMBER)
    }

    /// Reads it; `None` where the appliance is the only one.
    pub fn read(data: &Path) -> Result<Option<Self>, PeersError> {
        let path = Self::path(data);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| PeersError::Damaged(path)),
            // Whether there can be a data folder at all is looked at later.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(source) => Err(PeersError::File { path, source }),
        }
    }

    fn write(&self, data: &Path) -> Result<(), PeersError> {
        let path = Self::path(data);
        let bytes = serde_json::to_vec_pretty(self).map_err(|_| PeersError::Damaged(path.clone()))?;
        write_whole(&path, &bytes, 0o600).map_err(|source| PeersError::File { path, source })
    }
}

/// Where the authority's certificate is: what `hiqlite` must trust, and nothing else.
pub fn authority_path(data: &Path) -> PathBuf {
    ca::Files::of(&data.join(FOLDER)).authority
}

/// The port of [`serve`], behind those of the store.
fn peer_address(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port().saturating_add(2))
}

/// The others, as this appliance speaks to them.
pub struct Peers {
    data: PathBuf,
    /// Takes lab root sets.
    lab: bool,
    member: Member,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    authority: [u8; 32],
    /// Of the store's own interface.
    secret: String,
    /// To read; who leads has its own, to write.
    store: Arc<Store>,
    /// Where this one's interface and page are.
    urls: RwLock<Vec<String>>,
    core: RwLock<Weak<Core>>,
}

impl Peers {
    /// Opens the store of one of several. Waits until a majority has chosen who leads; where the appliance is new among them,
    /// until they have taken it in.
    pub async fn open(data: &Path, mut member: Member, lab: bool) -> Result<Arc<Self>, PeersError> {
        let folder = data.join(FOLDER);
        let files = ca::Files::of(&folder);
        let (server, client, authority) = (files.server()?, files.client()?, files.fingerprint()?);
        let store_folder = data.join("store");
        let joins = if member.joined { Vec::new() } else { member.known.clone() };
        let voters = Voters { own: (member.id, member.address), joins, cert: files.cert, key: files.key };
        let store = Arc::new(Store::open_voter(&store_folder, &voters).await?);
        if !member.joined {
            member.joined = true;
            member.write(data)?;
        }
        // What broken transfers left.
        for folder in ["files", "blobs"].map(|name| data.join(name)) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
        let path = store_folder.join(API_SECRET);
        let secret = std::fs::read_to_string(&path).map_err(|source| PeersError::File { path, source })?;
        Ok(Arc::new(Self {
            data: data.to_path_buf(),
            lab,
            member,
            server,
            client,
            authority,
            secret,
            store,
            urls: RwLock::default(),
            core: RwLock::default(),
        }))
    }

    /// The store, to read.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// This appliance.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Where the others reach [`serve_peers`].
    pub fn listen(&self) -> SocketAddr {
        peer_address(self.member.address)
    }

    /// Says where this one's interface is.
    pub fn set_urls(&self, urls: Vec<String>) {
        *self.urls.write().unwrap_or_else(PoisonError::into_inner) = urls;
    }

    fn urls(&self) -> Vec<String> {
        self.urls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which core serves now.
    pub fn set_core(&self, core: &Arc<Core>) {
        *self.core.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(core);
    }

    /// The core, where this one leads.
    fn leading(&self) -> Option<Arc<Core>> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        core.store.leads().then_some(core)
    }

    /// Where the others are, without this one.
    async fn others(&self) -> Result<Vec<(u64, SocketAddr)>, StoreError> {
        let standing = self.store.standing().await?;
        let others = standing.holders.iter().filter(|holder| holder.id != standing.own);
        Ok(others.filter_map(|holder| Some((holder.id, holder.address.parse().ok()?))).collect())
    }
}
