//! `weft appliance found`: the store of a single appliance made anew at an address where others reach it.
//!
//! The log of a single voter knows it at `127.0.0.1:0`, and nothing changes the address of a voter. So all rows go into a new
//! log, as they are; the old store is exchanged for the new one in one step, and goes.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use weft_store::{Store, StoreError, Voters};

use super::ca::{self, CaError};
use super::{FOLDER, Member, PeersError};
use crate::keys::{KeyError, Keys};
use crate::restore::sync_all;
use crate::util::{private_folder, sync_folder, write_whole};

/// Where the new store is made.
const NEW: &str = "store.new";

/// Why nothing was founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// There is nothing to begin with.
    #[error("{} holds no appliance that has run", .0.display())]
    NoStore(PathBuf),
    /// It is one of several already.
    #[error("this appliance is one of several already, at {0}")]
    Already(SocketAddr),
    /// A file or folder.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Keys.
    #[error("keys")]
    Keys(#[from] KeyError),
    /// Certificates.
    #[error("certificates of the appliances")]
    Ca(#[from] CaError),
    /// What it says of itself.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// The store.
    #[error("store")]
    Store(#[from] StoreError),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FoundError {
    let path = path.to_path_buf();
    move |source| FoundError::File { path, source }
}

/// Makes the first of several of a single appliance that does not run. The certificate that the store trusts must be
/// [`super::authority_path`]'s: [`prepare`] makes it, and comes before.
pub async fn found(data: &Path, name: &str, address: SocketAddr) -> Result<(), FoundError> {
    if let Some(member) = Member::read(data)? {
        return Err(FoundError::Already(member.address));
    }
    let (old, new) = (data.join("store"), data.join(NEW));
    if new.exists() {
        fs::remove_dir_all(&new).map_err(failed(&new))?;
    }
    let files = ca::Files::of(&data.join(FOLDER));
    let voters = Voters { own: (1, address), joins: Vec::new(), cert: files.cert, key: files.key };
    let store = Store::open(&old).await?;
    let rows = store.snapshot().await;
    let made = match &rows {
        Ok(rows) => weft_store::refound(&new, &rows.path, &voters).await,
        Err(_) => Ok(()),
    };
    drop(rows?);
    store.close().await?;
    made?;
    sync_all(&new).map_err(failed(&new))?;
    // The lock of the old store is held until here, and the new one stands in its place at once.
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, &new, rustix::fs::CWD, &old, flags)
        .map_err(|error| failed(&old)(error.into()))?;
    sync_folder(data).map_err(failed(data))?;
    drop(store);
    let member = Member { id: 1, name: name.to_string(), address, joined: true, known: Vec::new() };
    member.write(data)?;
    fs::remove_dir_all(&new).map_err(failed(&new))
}

/// Makes the authority and this appliance's certificate.
pub fn prepare(data: &Path, address: SocketAddr) -> Result<(), FoundError> {
    Keys::open(data)?;
    if let Some(member) = Member::read(data)? {
        return Err(FoundError::Already(member.address));
    }
    if !data.join("store/db").exists() {
        return Err(FoundError::NoStore(data.to_path_buf()));
    }
    let folder = data.join(FOLDER);
    private_folder(&folder).map_err(failed(&folder))?;
    let files = ca::Files::of(&folder);
    let (authority, authority_key) = ca::make_authority()?;
    let (cert, key) = ca::issue(&authority, &authority_key, address.ip())?;
    for (path, text, mode) in [
        (&files.authority, authority, 0o644),
        (&files.authority_key, authority_key, 0o600),
        (&files.cert, cert, 0o644),
        (&files.key, key, 0o600),
    ] {
        write_whole(path, text.as_bytes(), mode).map_err(failed(path))?;
    }
    Ok(())
}
