//! Licences: any holder's signature does, and not one bit may differ.

use weft_format::licence::{
    Grant, Licence, LicenceError, LicenceKind, MAX_LICENSED, SignedLicence, verify_licence,
};
use weft_format::{DalekVerifier, RootSet, SignatureError};
use weft_signing::{RingVerifier, document};

use crate::common::holder;

fn roots() -> RootSet {
    let keys: Vec<[u8; 32]> = [1, 2, 3].iter().map(|number| *holder(*number).public_key()).collect();
    RootSet::new(4, 2, &keys, false).expect("a root set")
}

fn licence(grant: Grant) -> Licence {
    Licence {
        id: [7; 16],
        name: "hall-b".into(),
        kind: LicenceKind::Mac,
        grant,
        root_version: 4,
        not_before: 100,
        expiry: 200,
    }
}

/// Of 256 MACs, by holder 2.
pub(crate) fn signed() -> Vec<u8> {
    let range = Grant::Range { first: 0x0600_0000_0000, last: 0x0600_0000_00ff };
    document::licence(&licence(range), &holder(2), &roots()).expect("signed")
}

#[test]
fn one_holder_of_three_does_and_both_verifiers_agree() {
    let bytes = signed();
    let read = verify_licence(&bytes, &roots(), &RingVerifier).expect("good").licence;
    assert_eq!(read, verify_licence(&bytes, &roots(), &DalekVerifier).expect("good").licence);
    assert_eq!((read.name.as_str(), read.id), ("hall-b", [7; 16]));
    assert!(read.valid_at(100).is_ok() && read.valid_at(99).is_err() && read.valid_at(200).is_err());
    for grant in [Grant::Count(1), Grant::Count(MAX_LICENSED)] {
        let bytes = document::licence(&licence(grant), &holder(1), &roots()).expect("signed");
        assert_eq!(SignedLicence::parse(&bytes).expect("parsed").licence, licence(grant));
    }
}

#[test]
fn each_changed_bit_and_each_cut_is_refused() {
    let bytes = signed();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[place] ^= 1 << bit;
            assert!(verify_licence(&other, &roots(), &RingVerifier).is_err(), "bit {bit} of byte {place}");
        }
        assert!(verify_licence(&bytes[..place], &roots(), &RingVerifier).is_err(), "cut at {place}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(verify_licence(&longer, &roots(), &RingVerifier).err(), Some(LicenceError::Trailing));
}

#[test]
fn strangers_other_root_sets_and_no_signature_are_refused() {
    let bytes = signed();
    let others = RootSet::new(4, 1, &[*holder(9).public_key()], false).expect("a root set");
    let foreign = LicenceError::Signatures(SignatureError::Foreign(holder(2).key_id()));
    assert_eq!(verify_licence(&bytes, &others, &RingVerifier).err(), Some(foreign));
    assert!(document::licence(&licence(Grant::Count(1)), &holder(9), &roots()).is_err());
    let later = RootSet::new(5, 1, &[*holder(2).public_key()], false).expect("a root set");
    let version = LicenceError::RootVersion { ours: 5, theirs: 4 };
    assert_eq!(verify_licence(&bytes, &later, &RingVerifier).err(), Some(version));
    let unsigned = [licence(Grant::Count(1)).encode().expect("encoded"), vec![0; 8]].concat();
    let none = LicenceError::Signatures(SignatureError::Unsigned);
    assert_eq!(verify_licence(&unsigned, &roots(), &RingVerifier).err(), Some(none));
}

#[test]
fn what_no_licence_may_say_is_not_written() {
    let range = |first, last| Grant::Range { first, last };
    for grant in [
        Grant::Count(0),
        Grant::Count(MAX_LICENSED + 1),
        range(5, 4),
        range(0, MAX_LICENSED),
        range(1 << 48, 1 << 48),
    ] {
        assert_eq!(licence(grant).encode(), Err(LicenceError::Grant), "{grant:?}");
    }
    for name in ["", "a b", "ü", &"x".repeat(64)] {
        let named = Licence { name: name.into(), ..licence(Grant::Count(1)) };
        assert_eq!(named.encode(), Err(LicenceError::Name), "{name}");
    }
}
