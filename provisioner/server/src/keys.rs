//! The appliance's own keys: the X25519 key of the agent channel, the Ed25519 key of records, and the key that seals what
//! the store must keep and nobody may read there: passwords of management controllers (ChaCha20-Poly1305, RFC 8439).
//!
//! All are drawn here at the first start and leave the data folder (`keys/`, mode 0600) in a backup, and to an appliance that
//! joins with an invitation, alone. The root holders sign a delegation that names the public halves of two; without it no node
//! listens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::signature::{Ed25519KeyPair, KeyPair};
use weft_format::KeyId;

use crate::restore::RESTORING;
use crate::util::{hex, private_folder, random, unhex, write_whole};

/// Why the keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no key.
    #[error("{} holds no key", .0.display())]
    Malformed(PathBuf),
    /// A key is not there although the appliance is not new.
    #[error("{} is missing, and there is a store that goes with it", .0.display())]
    Missing(PathBuf),
    /// A restore broke off.
    #[error("a restore broke off in {}", .0.display())]
    HalfRestored(PathBuf),
}

/// The keys.
pub struct Keys {
    channel_private: [u8; 32],
    channel_public: [u8; 32],
    record: Ed25519KeyPair,
    record_public: [u8; 32],
    sealing: LessSafeKey,
}

impl Keys {
    /// Reads the keys of a data folder, or draws them for a new one.
    pub fn open(data: &Path) -> Result<Self, KeyError> {
        if data.join(RESTORING).exists() {
            return Err(KeyError::HalfRestored(data.to_path_buf()));
        }
        // A new key beside an old store would pass unseen: nodes trust the old one, and sealed passwords need it.
        let old = data.join("store/db").exists();
        for name in ["channel.key", "record.key", "seal.key"] {
            let path = data.join("keys").join(name);
            if old && !path.exists() {
                return Err(KeyError::Missing(path));
            }
        }
        Self::open_or_draw(data)
    }

    /// The same, and draws also what an old folder has lost.
    pub fn open_or_draw(data: &Path) -> Result<Self, KeyError> {
        if data.join(RESTORING).exists() {
            return Err(KeyError::HalfRestored(data.to_path_buf()));
        }
        let folder = data.join("keys");
        private_folder(&folder).map_err(|source| KeyError::File { path: folder.clone(), source })?;
        let channel_path = folder.join("channel.key");
        let record_path = folder.join("record.key");
        let channel_private = seed(&channel_path)?;
        let record_seed = seed(&record_path)?;
        let sealing_path = folder.join("seal.key");
        let sealing = UnboundKey::new(&CHACHA20_POLY1305, &seed(&sealing_path)?)
            .map_err(|_| KeyError::Malformed(sealing_path))?;
        let channel_public = x25519_public(&channel_private).ok_or(KeyError::Malformed(channel_path))?;
        let malformed = || KeyError::Malformed(record_path.clone());
        let record = Ed25519KeyPair::from_seed_unchecked(&record_seed).map_err(|_| malformed())?;
        let record_public = record.public_key().as_ref().try_into().map_err(|_| malformed())?;
        Ok(Self {
            channel_private,
            channel_public,
            record,
            record_public,
            sealing: LessSafeKey::new(sealing),
        })
    }

    /// X25519 public key of the channel.
    pub fn channel_public(&self) -> [u8; 32] {
        self.channel_public
    }

    pub(crate) fn channel_private(&self) -> &[u8; 32] {
        &self.channel_private
    }

    /// Ed25519 public key of records.
    pub fn record_public(&self) -> [u8; 32] {
        self.record_public
    }

    /// Id of the record key.
    pub fn record_key_id(&self) -> KeyId {
        weft_format::key_id(&self.record_public)
    }

    pub(crate) fn sign_record(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.record.sign(message).as_ref());
        out
    }

    /// A secret for the store, in hexadecimal; `what` says what it is, and must be the same to open it.
    pub(crate) fn seal(&self, what: &str, secret: &str) -> String {
        // Drawn at random: few are ever sealed by one key.
        let nonce = random::<NONCE_LEN>();
        let mut bytes = secret.as_bytes().to_vec();
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        let sealed = self.sealing.seal_in_place_append_tag(nonce_of, Aad::from(what), &mut bytes);
        assert!(sealed.is_ok(), "a short secret is sealed");
        format!("{}{}", hex(&nonce), hex(&bytes))
    }

    /// `None` where it was sealed by another key, as something else, or is damaged.
    pub(crate) fn unseal(&self, what: &str, sealed: &str) -> Option<String> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN * 2)?;
        let nonce = Nonce::assume_unique_for_key(unhex::<NONCE_LEN>(nonce)?);
        let pairs = rest.as_bytes().chunks(2).map(|pair| unhex::<1>(std::str::from_utf8(pair).ok()?));
        let mut bytes: Vec<u8> = pairs.map(|byte| byte.map(|[byte]| byte)).collect::<Option<_>>()?;
        let opened = self.sealing.open_in_place(nonce, Aad::from(what), &mut bytes).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// A public key from a private one, by the library that runs the channel.
pub(crate) fn x25519_public(private: &[u8; 32]) -> Option<[u8; 32]> {
    use snow::resolvers::{CryptoResolver, DefaultResolver};
    let mut dh = DefaultResolver.resolve_dh(&snow::params::DHChoice::Curve25519)?;
    dh.set(private);
    dh.pubkey().try_into().ok()
}

fn seed(path: &Path) -> Result<[u8; 32], KeyError> {
    let fail = |source| KeyError::File { path: path.to_path_buf(), source };
    match fs::read_to_string(path) {
        Ok(text) => unhex(text.trim()).ok_or_else(|| KeyError::Malformed(path.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let drawn = random::<32>();
            write_whole(path, format!("{}\n", hex(&drawn)).as_bytes(), 0o600).map_err(fail)?;
            Ok(drawn)
        }
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_drawn_once_and_readable_by_their_owner_alone() {
        let data = tempfile::tempdir().expect("a folder");
        let first = Keys::open(data.path()).expect("drawn");
        let again = Keys::open(data.path()).expect("read");
        assert_eq!(first.channel_public(), again.channel_public());
        assert_eq!(first.record_public(), again.record_public());
        for name in ["channel.key", "record.key", "seal.key"] {
            let meta = fs::metadata(data.path().join("keys").join(name)).expect("meta");
            assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_as_the_same_thing_and_by_nothing_else() {
        let data = tempfile::tempdir().expect("a folder");
        let keys = Keys::open(data.path()).expect("drawn");
        let sealed = keys.seal("a", "hunter2");
        assert!(!sealed.contains(&hex(b"hunter2")));
        assert_ne!(sealed, keys.seal("a", "hunter2"));
        let again = Keys::open(data.path()).expect("read");
        assert_eq!(again.unseal("a", &sealed).as_deref(), Some("hunter2"));
        assert_eq!(again.unseal("b", &sealed), None);
        let other = tempfile::tempdir().expect("a folder");
        assert_eq!(Keys::open(other.path()).expect("drawn").unseal("a", &sealed), None);
        for damaged in ["", "00", &sealed[1..], &sealed[..sealed.len() - 2], &format!("{sealed}é")] {
            assert_eq!(again.unseal("a", damaged), None, "{damaged}");
        }
    }

    #[test]
    fn a_key_that_an_old_folder_has_lost_is_drawn_when_told_so_only() {
        let data = tempfile::tempdir().expect("a folder");
        let first = Keys::open(data.path()).expect("drawn");
        fs::create_dir_all(data.path().join("store/db")).expect("a store");
        let path = data.path().join("keys/seal.key");
        fs::remove_file(&path).expect("lost");
        assert!(matches!(Keys::open(data.path()), Err(KeyError::Missing(lost)) if lost == path));
        assert!(!path.exists());
        let again = Keys::open_or_draw(data.path()).expect("drawn");
        assert_eq!(first.channel_public(), again.channel_public());
        assert!(Keys::open(data.path()).is_ok());
    }

    #[test]
    fn a_damaged_key_is_refused_and_never_replaced() {
        let data = tempfile::tempdir().expect("a folder");
        Keys::open(data.path()).expect("drawn");
        let path = data.path().join("keys/record.key");
        fs::write(&path, "damaged").expect("write");
        assert!(matches!(Keys::open(data.path()), Err(KeyError::Malformed(_))));
        assert_eq!(fs::read(&path).expect("read"), b"damaged");
    }
}
