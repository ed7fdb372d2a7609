//! What booting machines fetch, for the TFTP and HTTP engines: files of the image that the machine is to boot, and blobs.
//!
//! TFTP serves the small, public files that a boot needs; blobs go by HTTP alone. Nothing here is secret.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use weft_boothttp::Blob;
use weft_server::core::Core;

use super::{hex, observer};

/// The core that serves now; it may be exchanged.
pub(crate) struct Current(RwLock<Arc<Core>>);

impl Current {
    pub(crate) fn new(core: Arc<Core>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(core)))
    }

    pub(crate) fn set(&self, core: Arc<Core>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = core;
    }

    pub(crate) fn get(&self) -> Arc<Core> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Boot files and blobs.
pub(crate) struct Content {
    core: Arc<Current>,
    blobs: PathBuf,
    /// Memory files of the boot files, made once for each content.
    made: Mutex<Vec<(weft_tftp::Bytes, Blob)>>,
}

/// Boot files offered at once, with room for those that a transfer still reads.
const MADE: usize = 32;

impl Content {
    pub(crate) fn new(core: Arc<Current>) -> Self {
        let blobs = core.get().blob_folder();
        Self { core, blobs, made: Mutex::new(Vec::new()) }
    }

    fn memory(&self, bytes: weft_tftp::Bytes) -> Option<Blob> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // The same content is the same memory: no need to look at the bytes.
        let same = |known: &weft_tftp::Bytes| known.as_ptr() == bytes.as_ptr() && known.len() == bytes.len();
        if let Some((_, blob)) = made.iter().find(|(known, _)| same(known)) {
            return Some(blob.clone());
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let blob = Blob::copied(&bytes, &self.blobs, &hex(digest.as_ref())).ok()?;
        if made.len() >= MADE {
            made.remove(0);
        }
        made.push((bytes, blob.clone()));
        Some(blob)
    }

    fn boot_file(&self, peer: SocketAddr, name: &str) -> Option<weft_tftp::Bytes> {
        if let IpAddr::V4(address) = peer.ip() {
            // Which machine asks says which image it is given.
            observer::know(&self.core.get(), address);
        }
        self.core.get().boot_file(peer.ip(), name)
    }

    fn blob(&self, digest: &str) -> Option<Blob> {
        let good = digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !good || !self.core.get().has_blob(digest) {
            return None;
        }
        Blob::file(&self.blobs.join(digest), digest).ok()
    }
}

impl weft_tftp::Content for Content {
    fn open(&self, peer: SocketAddr, name: &str) -> Option<weft_tftp::Bytes> {
        self.boot_file(peer, name)
    }

    fn event(&self, event: &weft_tftp::TransferEvent) {
        let IpAddr::V4(address) = event.peer.ip() else { return };
        let problem = match &event.kind {
            weft_tftp::EventKind::Started { .. } => {
                observer::know(&self.core.get(), address);
                self.core.get().saw_fetch(address);
                return;
            }
            weft_tftp::EventKind::Completed { .. } => return,
            weft_tftp::EventKind::Failed { reason, acked_bytes } => {
                format!("the TFTP transfer of {} ended after {acked_bytes} bytes: {reason:?}", event.name)
            }
            weft_tftp::EventKind::NotFound => format!("asked TFTP for {}, which is not there", event.name),
            weft_tftp::EventKind::Refused => {
                format!("TFTP refused {}: too many transfers at once", event.name)
            }
        };
        observer::know(&self.core.get(), address);
        self.core.get().saw_problem(Some(address), None, &problem);
    }
}

impl weft_boothttp::Content for Content {
    fn open(&self, peer: SocketAddr, path: &str) -> Option<Blob> {
        match path.strip_prefix("blob/") {
            Some(digest) => self.blob(digest),
            None => self.boot_file(peer, path).and_then(|bytes| self.memory(bytes)),
        }
    }

    fn event(&self, event: &weft_boothttp::AnswerEvent) {
        let IpAddr::V4(address) = event.peer.ip() else { return };
        match event.status {
            200 | 206 => {
                observer::know(&self.core.get(), address);
                self.core.get().saw_fetch(address);
            }
            404 => self.core.get().saw_problem(
                Some(address),
                None,
                &format!("asked HTTP for {}, which is not there", event.path),
            ),
            _ => {}
        }
    }
}
