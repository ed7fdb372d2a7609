//! What must hold for any bytes at all. Run by the fuzz targets and, over the corpus and seeded
//! mutations of it, by `tests/it/corpus.rs`.
//!
//! A check returns whether the bytes were accepted, so that the test can tell that the good ones are.

use weft_format::cluster::{encode_unsigned_cluster, verify_cluster};
use weft_format::delegation::SignedDelegation;
use weft_format::licence::SignedLicence;
use weft_format::manifest::{BODY_SIZE, ManifestSection};
use weft_format::operator::{
    Amended, encode_unsigned_amendment, encode_unsigned_certificate, verify_amendment, verify_certificate,
};
use weft_format::record::{encode_unsigned, verify_record};
use weft_format::revocation::SignedRevocations;
use weft_format::roots::{MAX_ROOT_SET, Rotation};
use weft_format::signatures::{SignatureList, list_size, write_list};
use weft_format::{RootSet, Verifier, manifest, pe};

/// Accepts every signature, so that the bytes behind the check are reached.
struct Anyone;

impl Verifier for Anyone {
    fn equation_holds(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
}

/// A manifest that parses is its own encoding, padding included.
pub(crate) fn manifest(data: &[u8]) -> bool {
    let Ok(parsed) = ManifestSection::parse(data) else {
        return false;
    };
    let mut again = vec![0; data.len()];
    let (body, list) = again.split_at_mut(BODY_SIZE);
    body.copy_from_slice(&parsed.manifest.encode().expect("encodes"));
    encode_list(&parsed.signatures, 16, list);
    assert_eq!(again, data);
    true
}

/// A delegation, revocation list, licence, rotation or root set that parses is its own encoding.
pub(crate) fn delegation(data: &[u8]) -> bool {
    if let Ok(signed) = SignedDelegation::parse(data) {
        let message = signed.delegation.encode().expect("encodes");
        same(data, &message, &signed.signatures, 16);
        for appliance in signed.delegation.usable() {
            assert!(signed.delegation.appliances.contains(appliance));
        }
        return true;
    }
    if let Ok(signed) = SignedRevocations::parse(data) {
        let message = signed.revocations.encode().expect("encodes");
        same(data, &message, &signed.signatures, 16);
        return true;
    }
    if let Ok(signed) = SignedLicence::parse(data) {
        let message = signed.licence.encode().expect("encodes");
        same(data, &message, &signed.signatures, 16);
        return true;
    }
    if let Ok(rotation) = Rotation::parse(data) {
        same(data, rotation.message, &rotation.signatures, 32);
        let mut buffer = [0; MAX_ROOT_SET];
        let new_set = rotation.new_set.encode(&mut buffer);
        assert_eq!(rotation.message.get(48..), Some(new_set));
        return true;
    }
    if let Ok(set) = RootSet::parse(data) {
        assert_eq!(set.encode(&mut [0; MAX_ROOT_SET]), data);
        assert!(set.threshold() >= 1 && set.threshold() <= set.keys().len());
        return true;
    }
    false
}

/// A record that is accepted is its own encoding; the signature is not looked at.
pub(crate) fn record(data: &[u8]) -> bool {
    let Ok((envelope, payload)) = verify_record(data, |_| Ok([1; 32]), &Anyone) else {
        return false;
    };
    let unsigned = encode_unsigned(&envelope, &payload).expect("encodes");
    assert_eq!(data.get(..data.len() - 64), Some(unsigned.as_slice()));
    true
}

/// A cluster record that is accepted is its own encoding; the signature is not looked at.
pub(crate) fn cluster(data: &[u8]) -> bool {
    let Ok((envelope, payload)) = verify_cluster(data, |_| Ok([1; 32]), &Anyone) else {
        return false;
    };
    let unsigned = encode_unsigned_cluster(&envelope, &payload).expect("encodes");
    assert_eq!(data.get(..data.len() - 64), Some(unsigned.as_slice()));
    true
}

/// What is accepted of an operator is its own encoding; signatures are not looked at.
pub(crate) fn operator(data: &[u8]) -> bool {
    let unsigned = data.len().checked_sub(64).and_then(|size| data.get(..size));
    if let Ok(certificate) = verify_certificate(data, |_| Ok([1; 32]), &Anyone) {
        assert_eq!(unsigned, encode_unsigned_certificate(&certificate).ok().as_deref());
        return true;
    }
    if let Ok(amendment) = verify_amendment(data, &[1; 32], &Anyone) {
        assert_eq!(unsigned, encode_unsigned_amendment(&amendment).ok().as_deref());
        return true;
    }
    match Amended::parse(data) {
        Ok(parts) => {
            assert_eq!(parts.encode().as_deref(), Ok(data));
            true
        }
        Err(_) => false,
    }
}

/// Whatever a PE file says, what is read of it lies within it.
pub(crate) fn pe(data: &[u8]) -> bool {
    for name in [pe::MANIFEST_SECTION, pe::PAYLOAD_SECTION, pe::ROOTS_SECTION] {
        if let Ok(section) = pe::find_section(data, name) {
            let content = pe::section_data(data, name).expect("within the file");
            assert_eq!(content.len(), section.virtual_size as usize);
        }
    }
    if let Ok(size) = pe::image_size(data) {
        assert!(size <= data.len() as u64);
        assert_eq!(pe::has_certificates(data), Ok(size < data.len() as u64));
    }
    let Ok(digest) = pe::image_digest(data) else {
        return false;
    };
    assert_eq!(pe::image_digest(data), Ok(digest));
    if let Ok(section) = pe::section_data(data, pe::MANIFEST_SECTION)
        && let Ok(parsed) = ManifestSection::parse(section)
    {
        // No answer is wrong here; it must only come.
        let _ = manifest::check_file(data, &parsed.manifest);
    }
    true
}

fn same(data: &[u8], message: &[u8], list: &SignatureList<'_>, most: usize) {
    let mut again = message.to_vec();
    again.resize(message.len() + list_size(list.len()), 0);
    encode_list(list, most, &mut again[message.len()..]);
    assert_eq!(again, data);
}

fn encode_list(list: &SignatureList<'_>, most: usize, out: &mut [u8]) {
    let entries: Vec<_> = list.iter().collect();
    write_list(&entries, most, out).expect("fits");
}
