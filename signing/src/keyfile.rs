//! A holder's key on disk.
//!
//! The seed is sealed by ChaCha20-Poly1305 (RFC 8439) under a key that PBKDF2-HMAC-SHA256 (RFC 8018)
//! derives from the passphrase. Name, public key and cost are bound as associated data, so that none can
//! be changed unseen. The file is JSON of mode 0600; the public key has a file of its own, one line, to
//! hand to whoever makes the root set.

use std::num::NonZeroU32;
use std::path::Path;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use weft_format::ed25519::acceptable_point;
use zeroize::Zeroizing;

use crate::holder::check_name;
use crate::passphrase::Passphrase;
use crate::{Holder, SigningError, files, hex};

/// PBKDF2 rounds of a new key file (OWASP Password Storage Cheat Sheet, 2023).
pub const ROUNDS: u32 = 600_000;
/// Fewest rounds that a file may name.
pub const LEAST_ROUNDS: u32 = 100_000;
/// Most rounds that a file may name: about a minute.
pub const MOST_ROUNDS: u32 = 50_000_000;
/// Largest key file, bytes.
const MAX_FILE: u64 = 4096;
const FORMAT: &str = "weft key v1";
const PUBLIC_FORMAT: &str = "weft-public-key-v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    name: String,
    public_key: String,
    rounds: u32,
    salt: String,
    nonce: String,
    sealed_seed: String,
}

/// A public key with the name of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Whose.
    pub name: String,
    /// Ed25519.
    pub key: [u8; 32],
}

/// Writes a new key file; refuses to write over one.
pub fn create(path: &Path, holder: &Holder, passphrase: &Passphrase) -> Result<(), SigningError> {
    create_with_rounds(path, holder, passphrase, ROUNDS)
}

/// The same with another cost, [`LEAST_ROUNDS`] to [`MOST_ROUNDS`].
pub fn create_with_rounds(
    path: &Path,
    holder: &Holder,
    passphrase: &Passphrase,
    rounds: u32,
) -> Result<(), SigningError> {
    let rounds = rounds.clamp(LEAST_ROUNDS, MOST_ROUNDS);
    files::write_secret(path, seal(holder, passphrase, rounds)?.as_bytes())
}

/// Writes an existing key again under another passphrase.
pub fn change_passphrase(path: &Path, old: &Passphrase, new: &Passphrase) -> Result<(), SigningError> {
    let holder = open(path, old)?;
    files::replace_secret(path, seal(&holder, new, ROUNDS)?.as_bytes())
}

/// Opens a key file.
pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Holder, SigningError> {
    let bytes = Zeroizing::new(files::read_secret(path, MAX_FILE)?);
    unseal(&bytes, passphrase)?.ok_or_else(|| SigningError::KeyFile { path: path.to_owned() })
}

fn seal(holder: &Holder, passphrase: &Passphrase, rounds: u32) -> Result<String, SigningError> {
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    let random = SystemRandom::new();
    for buffer in [&mut salt[..], &mut nonce[..]] {
        random.fill(buffer).map_err(|_| SigningError::Random)?;
    }
    let mut file = KeyFile {
        format: FORMAT.into(),
        name: holder.name().into(),
        public_key: hex::encode(holder.public_key()),
        rounds,
        salt: hex::encode(&salt),
        nonce: hex::encode(&nonce),
        sealed_seed: String::new(),
    };
    let key = derive(passphrase, rounds, &salt).ok_or(SigningError::Random)?;
    let mut sealed = holder.seed().to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound(&file)), &mut sealed)
        .map_err(|_| SigningError::Random)?;
    file.sealed_seed = hex::encode(&sealed);
    serde_json::to_string_pretty(&file).map(|text| text + "\n").map_err(|_| SigningError::Random)
}

/// `Ok(None)`: not a key file of ours.
fn unseal(bytes: &[u8], passphrase: &Passphrase) -> Result<Option<Holder>, SigningError> {
    let Ok(file) = serde_json::from_slice::<KeyFile>(bytes) else {
        return Ok(None);
    };
    let known = file.format == FORMAT
        && check_name(&file.name).is_ok()
        && (LEAST_ROUNDS..=MOST_ROUNDS).contains(&file.rounds);
    let (Some(salt), Some(nonce), Some(sealed), true) = (
        hex::decode::<16>(&file.salt),
        hex::decode::<12>(&file.nonce),
        hex::decode::<48>(&file.sealed_seed),
        known,
    ) else {
        return Ok(None);
    };
    let Some(key) = derive(passphrase, file.rounds, &salt) else {
        return Ok(None);
    };
    let mut sealed = Zeroizing::new(sealed);
    let opened = key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(bound(&file)), sealed.as_mut())
        .map_err(|_| SigningError::Passphrase)?;
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(opened);
    let holder = Holder::from_seed(&file.name, seed)?;
    if hex::encode(holder.public_key()) != file.public_key {
        return Ok(None);
    }
    Ok(Some(holder))
}

fn derive(passphrase: &Passphrase, rounds: u32, salt: &[u8]) -> Option<LessSafeKey> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, NonZeroU32::new(rounds)?, salt, passphrase, key.as_mut());
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).ok()?;
    Some(LessSafeKey::new(key))
}

fn bound(file: &KeyFile) -> Vec<u8> {
    format!("{}\n{}\n{}\n{}\n{}", file.format, file.name, file.public_key, file.rounds, file.salt)
        .into_bytes()
}

/// Writes a public key file.
pub fn write_public(path: &Path, key: &PublicKey) -> Result<(), SigningError> {
    let line = format!("{PUBLIC_FORMAT} {} {}\n", hex::encode(&key.key), key.name);
    files::write(path, line.as_bytes())
}

/// Reads a public key file.
pub fn read_public(path: &Path) -> Result<PublicKey, SigningError> {
    let bytes = files::read(path, MAX_FILE)?;
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse_public);
    parsed.ok_or_else(|| SigningError::KeyFile { path: path.to_owned() })
}

fn parse_public(text: &str) -> Option<PublicKey> {
    let mut words = text.strip_suffix('\n').unwrap_or(text).split(' ');
    let (format, key, name) = (words.next()?, words.next()?, words.next()?);
    let key = hex::decode::<32>(key).filter(acceptable_point)?;
    let good = format == PUBLIC_FORMAT && words.next().is_none() && check_name(name).is_ok();
    good.then(|| PublicKey { name: name.to_owned(), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Zeroizing::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_only() {
        let holder = Holder::generate("alice").expect("random");
        let text = seal(&holder, &passphrase("right horse"), LEAST_ROUNDS).expect("seal");
        let again = unseal(text.as_bytes(), &passphrase("right horse"));
        assert!(again.is_ok_and(|key| key.is_some_and(|key| key.seed() == holder.seed())));
        let wrong = unseal(text.as_bytes(), &passphrase("wrong horse"));
        assert!(matches!(wrong, Err(SigningError::Passphrase)));
    }

    #[test]
    fn no_field_of_a_key_file_can_be_changed() {
        let holder = Holder::generate("alice").expect("random");
        let text = seal(&holder, &passphrase("right horse"), LEAST_ROUNDS).expect("seal");
        let other = Holder::generate("alice").expect("random");
        let swaps = [
            ("\"alice\"", "\"mallory\"".to_owned()),
            ("100000", "100001".to_owned()),
            (&hex::encode(holder.public_key()), hex::encode(other.public_key())),
        ];
        for (from, to) in swaps {
            let changed = text.replace(from, &to);
            assert_ne!(changed, text);
            let opened = unseal(changed.as_bytes(), &passphrase("right horse"));
            assert!(matches!(opened, Err(SigningError::Passphrase)), "{from}");
        }
    }

    #[test]
    fn a_cost_out_of_bounds_is_no_key_file() {
        let holder = Holder::generate("alice").expect("random");
        let text = seal(&holder, &passphrase("right horse"), LEAST_ROUNDS).expect("seal");
        for rounds in ["0", "1", "99999", "4000000000"] {
            let changed = text.replace("100000", rounds);
            let opened = unseal(changed.as_bytes(), &passphrase("right horse"));
            assert!(opened.is_ok_and(|key| key.is_none()), "{rounds}");
        }
    }

    #[test]
    fn a_public_key_line_is_strict() {
        let holder = Holder::generate("bob").expect("random");
        let line = format!("{PUBLIC_FORMAT} {} bob", hex::encode(holder.public_key()));
        assert!(parse_public(&line).is_some_and(|key| key.key == *holder.public_key()));
        for bad in [
            format!("{line} more"),
            line.replace("v1", "v2"),
            line.replace(" bob", ""),
            format!("{PUBLIC_FORMAT} {} bob", "00".repeat(32)),
        ] {
            assert_eq!(parse_public(&bad), None, "{bad}");
        }
    }
}
