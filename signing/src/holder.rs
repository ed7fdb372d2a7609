//! An opened key: the only thing here that signs.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use weft_format::signatures::Signature;
use weft_format::{KeyId, key_id};
use zeroize::Zeroizing;

use crate::SigningError;

/// Longest name of a key, bytes.
pub const MAX_NAME: usize = 63;

/// A holder's key, open in memory.
pub struct Holder {
    name: String,
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Holder {
    /// Draws a new key.
    pub fn generate(name: &str) -> Result<Self, SigningError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(seed.as_mut()).map_err(|_| SigningError::Random)?;
        Self::from_seed(name, seed)
    }

    /// The key of a seed (RFC 8032's private key).
    pub fn from_seed(name: &str, seed: Zeroizing<[u8; 32]>) -> Result<Self, SigningError> {
        check_name(name)?;
        // Fails only on a wrong length, which the type rules out.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| SigningError::Random)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| SigningError::Random)?;
        Ok(Self { name: name.to_owned(), seed, pair, public })
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Its id.
    pub fn key_id(&self) -> KeyId {
        key_id(&self.public)
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Signs bytes as they are. Callers see to it that the bytes open with the tag of their kind.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        Signature { key_id: self.key_id(), signature }
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Holder({}, {})", self.name, self.key_id())
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), SigningError> {
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || name.len() > MAX_NAME || !printable {
        return Err(SigningError::Name);
    }
    Ok(())
}
