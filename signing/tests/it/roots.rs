//! Root sets and the step from one to the next.

use crate::common::{holder, roots, roots_of};
use weft_format::roots::{MAX_ROOT_SET, Rotation};
use weft_format::{DalekVerifier, RootError, RootSet, SignatureError};
use weft_signing::{RingVerifier, SigningError, document};

fn keys(holders: &[u8]) -> Vec<[u8; 32]> {
    holders.iter().map(|n| *holder(*n).public_key()).collect()
}

/// From two of 1, 2, 3 to two of 3, 4, 5.
fn rotation(signers: &[u8]) -> Vec<u8> {
    let blank = document::rotation(&roots(), 2, &keys(&[3, 4, 5])).expect("rotation");
    signers
        .iter()
        .fold(blank, |bytes, number| document::sign(&bytes, &holder(*number), &roots()).expect("sign"))
}

fn accept(bytes: &[u8]) -> Result<RootSet, RootError> {
    let ring = roots().verify_rotation(bytes, &RingVerifier);
    let dalek = roots().verify_rotation(bytes, &DalekVerifier);
    assert_eq!(ring, dalek);
    ring
}

#[test]
fn a_root_set_has_one_encoding() {
    let forward = RootSet::new(1, 2, &keys(&[1, 2, 3]), false).expect("set");
    let backward = RootSet::new(1, 2, &keys(&[3, 2, 1]), false).expect("set");
    assert_eq!(forward, backward);
    let bytes = document::root_set(&forward);
    assert_eq!(RootSet::parse(&bytes), Ok(forward));
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(RootSet::parse(&longer), Err(RootError::Trailing(1)));
    assert!(RootSet::parse_padded(&longer).is_ok());
    longer.push(1);
    assert_eq!(RootSet::parse_padded(&longer), Err(RootError::Trailing(2)));
    for len in 0..bytes.len() {
        assert!(RootSet::parse(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn the_lab_mark_is_part_of_the_set() {
    let lab = RootSet::new(1, 1, &keys(&[1]), true).expect("set");
    let real = RootSet::new(1, 1, &keys(&[1]), false).expect("set");
    assert!(lab.is_lab() && !real.is_lab());
    assert_ne!(lab.digest(), real.digest());
}

#[test]
fn impossible_sets_are_refused() {
    assert_eq!(RootSet::new(1, 3, &keys(&[1, 2]), false), Err(RootError::Threshold { k: 3, n: 2 }));
    assert_eq!(RootSet::new(1, 0, &keys(&[1, 2]), false), Err(RootError::Threshold { k: 0, n: 2 }));
    let seventeen: Vec<u8> = (1..=17).collect();
    assert_eq!(RootSet::new(1, 1, &keys(&seventeen), false), Err(RootError::Threshold { k: 1, n: 17 }));
    assert!(RootSet::new(1, 1, &keys(&seventeen[..16]), false).is_ok());
    assert_eq!(RootSet::new(1, 1, &keys(&[1, 1]), false), Err(RootError::Order));
    assert_eq!(RootSet::new(0, 1, &keys(&[1]), false), Err(RootError::Version));
    assert!(matches!(RootSet::new(1, 1, &[[0; 32]], false), Err(RootError::Key(_))));
}

#[test]
fn unknown_flags_and_formats_are_refused() {
    let bytes = document::root_set(&roots());
    let change = |place: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[place] = value;
        RootSet::parse(&bytes)
    };
    assert_eq!(change(0, b'W'), Err(RootError::Tag));
    assert_eq!(change(16, 2), Err(RootError::Format(2)));
    assert_eq!(change(20, 2), Err(RootError::Flags(2)));
    assert!(matches!(change(19, 17), Err(RootError::Threshold { k: 2, n: 17 })));
}

#[test]
fn a_rotation_signed_by_enough_of_old_and_new_is_accepted() {
    // Holder 3 is in both sets and counts in both.
    for signers in [&[3, 1, 4][..], &[1, 2, 4, 5], &[1, 2, 3, 4, 5]] {
        let new = accept(&rotation(signers)).expect("good");
        assert_eq!(new, roots_of(2, 2, &[3, 4, 5]));
    }
}

#[test]
fn a_rotation_without_enough_of_the_old_set_is_refused() {
    assert_eq!(
        accept(&rotation(&[3, 4, 5])),
        Err(RootError::Signatures(SignatureError::TooFew { have: 1, need: 2 }))
    );
}

#[test]
fn a_rotation_without_enough_of_the_new_set_is_refused() {
    assert_eq!(
        accept(&rotation(&[1, 2, 4])),
        Err(RootError::Signatures(SignatureError::TooFew { have: 1, need: 2 }))
    );
    assert_eq!(accept(&rotation(&[])), Err(RootError::Signatures(SignatureError::Unsigned)));
}

#[test]
fn a_rotation_starts_from_one_set_only() {
    let good = rotation(&[1, 2, 4, 5]);
    let other = roots_of(1, 1, &[1, 2, 3]);
    assert_eq!(other.verify_rotation(&good, &RingVerifier), Err(RootError::OtherSet));
    let new = accept(&good).expect("good");
    assert_eq!(new.verify_rotation(&good, &RingVerifier), Err(RootError::OtherSet));
}

#[test]
fn a_rotation_cannot_skip_a_version_or_go_back() {
    for version in [1, 3] {
        let mut message = weft_format::ROTATION_TAG.to_vec();
        message.extend_from_slice(&roots().digest());
        let new = roots_of(version, 1, &[1, 2]);
        message.extend_from_slice(new.encode(&mut [0; MAX_ROOT_SET]));
        let mut list = [holder(1).sign(&message), holder(2).sign(&message)];
        list.sort_by_key(|entry| entry.key_id);
        let mut signatures = vec![0; 8 + 2 * 72];
        weft_format::signatures::write_list(&list, 32, &mut signatures).expect("list");
        message.extend_from_slice(&signatures);
        assert_eq!(accept(&message), Err(RootError::NotNext { old: 1, new: version }));
    }
}

#[test]
fn a_lab_set_never_becomes_a_real_one() {
    let lab = RootSet::new(1, 1, &keys(&[1]), true).expect("set");
    let next = document::rotation(&lab, 1, &keys(&[2])).expect("rotation");
    assert!(Rotation::parse(&next).expect("parse").new_set.is_lab());
    // The same rotation with the mark taken away.
    let mut message = next[..next.len() - 8].to_vec();
    message[48 + 20] = 0;
    let mut list = [holder(1).sign(&message), holder(2).sign(&message)];
    list.sort_by_key(|entry| entry.key_id);
    let mut signatures = vec![0; 8 + 2 * 72];
    weft_format::signatures::write_list(&list, 32, &mut signatures).expect("list");
    message.extend_from_slice(&signatures);
    assert_eq!(lab.verify_rotation(&message, &RingVerifier), Err(RootError::LabChange));
}

#[test]
fn no_bit_of_a_rotation_can_change() {
    let good = rotation(&[1, 2, 4, 5]);
    for bit in (0..good.len() * 8).step_by(11) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(roots().verify_rotation(&bytes, &RingVerifier).is_err(), "bit {bit}");
    }
    for len in (0..good.len()).step_by(3) {
        assert!(roots().verify_rotation(&good[..len], &RingVerifier).is_err(), "{len}");
    }
}

#[test]
fn only_holders_of_either_set_sign_a_rotation() {
    let signed = document::sign(&rotation(&[]), &holder(9), &roots());
    assert!(matches!(signed, Err(SigningError::NotAHolder(_))));
}
