//! Delegations and revocation lists that must be refused, each for its own reason.

use crate::common::{NOW, delegation, holder, roots, roots_of, signed_delegation};
use proptest::prelude::*;
use weft_format::delegation::{Appliance, Delegation, DelegationError, MAX_DELEGATION, SignedDelegation};
use weft_format::revocation::{RevocationError, Revocations};
use weft_format::{
    DalekVerifier, SignatureError, ValidityError, key_id, verify_delegation, verify_revocations,
};
use weft_signing::{RingVerifier, SigningError, document};

fn judge(bytes: &[u8]) -> Result<Delegation, DelegationError> {
    let ring = verify_delegation(bytes, &roots(), &RingVerifier, 4);
    let dalek = verify_delegation(bytes, &roots(), &DalekVerifier, 4);
    assert_eq!(ring, dalek);
    ring
}

#[test]
fn a_delegation_signed_by_enough_says_what_was_written() {
    let read = judge(&signed_delegation(&delegation(), &[1, 3])).expect("good");
    assert_eq!(read, delegation());
    assert_eq!(read.appliances[0].address, Some([10, 0, 0, 1]));
    assert_eq!(read.appliances[1].address, None);
}

#[test]
fn an_unsigned_delegation_and_one_signed_by_too_few_are_refused() {
    assert_eq!(
        judge(&signed_delegation(&delegation(), &[])),
        Err(DelegationError::Signatures(SignatureError::Unsigned))
    );
    assert_eq!(
        judge(&signed_delegation(&delegation(), &[2])),
        Err(DelegationError::Signatures(SignatureError::TooFew { have: 1, need: 2 }))
    );
}

#[test]
fn an_older_delegation_than_one_seen_is_refused() {
    let bytes = signed_delegation(&delegation(), &[1, 2]);
    assert_eq!(
        verify_delegation(&bytes, &roots(), &RingVerifier, 5),
        Err(DelegationError::Older { version: 4, least: 5 })
    );
}

#[test]
fn a_delegation_for_another_root_set_version_is_refused() {
    let bytes = signed_delegation(&delegation(), &[1, 2]);
    assert_eq!(
        verify_delegation(&bytes, &roots_of(2, 2, &[1, 2, 3]), &RingVerifier, 0),
        Err(DelegationError::RootVersion { ours: 2, theirs: 1 })
    );
    let signed = document::sign(&bytes, &holder(3), &roots_of(2, 2, &[1, 2, 3]));
    assert!(matches!(
        signed,
        Err(SigningError::Delegation(DelegationError::RootVersion { ours: 2, theirs: 1 }))
    ));
}

#[test]
fn a_delegation_expires() {
    let read = judge(&signed_delegation(&delegation(), &[1, 2])).expect("good");
    assert_eq!(read.valid_at(NOW), Ok(()));
    assert!(matches!(read.valid_at(NOW + 1000), Err(ValidityError::Expired { .. })));
    assert!(matches!(read.valid_at(NOW - 1001), Err(ValidityError::NotYet { .. })));
}

#[test]
fn an_appliance_with_a_revoked_key_is_not_dialled() {
    let mut delegation = delegation();
    assert_eq!(delegation.usable().count(), 2);
    for lost in [delegation.appliances[0].channel_key, delegation.appliances[0].record_key] {
        delegation.revoked = vec![key_id(&lost)];
        let bytes = signed_delegation(&delegation, &[1, 2]);
        let read = judge(&bytes).expect("good");
        let names: Vec<&str> = read.usable().map(|appliance| appliance.name.as_str()).collect();
        assert_eq!(names, ["hall-b"]);
    }
}

#[test]
fn delegations_out_of_bounds_cannot_be_made() {
    let refused = |change: fn(&mut Delegation)| {
        let mut delegation = delegation();
        change(&mut delegation);
        delegation.encode().expect_err("out of bounds")
    };
    assert_eq!(refused(|d| d.version = 0), DelegationError::Version);
    assert_eq!(refused(|d| d.expiry = d.not_before), DelegationError::Validity);
    assert_eq!(refused(|d| d.appliances.reverse()), DelegationError::Order);
    assert_eq!(refused(|d| d.appliances[0].agent_port = 0), DelegationError::Port);
    assert_eq!(refused(|d| d.appliances[0].record_key = [0; 32]), DelegationError::Key);
    assert_eq!(refused(|d| d.appliances[1].record_key = d.appliances[0].record_key), DelegationError::Key);
    assert_eq!(refused(|d| d.appliances[0].name = "Hall A".into()), DelegationError::Name);
    assert_eq!(refused(|d| d.appliances[0].name = "h".repeat(64)), DelegationError::Name);
    assert_eq!(refused(|d| d.appliances[0].name.clear()), DelegationError::Name);
    assert_eq!(refused(|d| d.appliances.clear()), DelegationError::Count { appliances: 0, revoked: 0 });
    assert_eq!(
        refused(|d| d.revoked = vec![key_id(&[1; 32]); 65]),
        DelegationError::Count { appliances: 2, revoked: 65 }
    );
    assert_eq!(refused(|d| d.revoked = vec![key_id(&[1; 32]); 2]), DelegationError::Order);
}

#[test]
fn the_largest_delegation_fits() {
    let mut delegation = delegation();
    let template = delegation.appliances[0].clone();
    delegation.appliances = (100..116)
        .map(|number: u8| Appliance {
            name: format!("{number}{}", "x".repeat(60)),
            channel_key: [number; 32],
            record_key: *holder(number).public_key(),
            ..template.clone()
        })
        .collect();
    delegation.revoked = (0..64).map(|number| key_id(&[number; 32])).collect();
    delegation.revoked.sort_unstable();
    let bytes = signed_delegation(&delegation, &[1, 2, 3]);
    assert!(bytes.len() <= MAX_DELEGATION);
    assert_eq!(judge(&bytes), Ok(delegation));
    let mut longer = bytes;
    longer.resize(MAX_DELEGATION + 1, 0);
    assert_eq!(judge(&longer), Err(DelegationError::TooLong(MAX_DELEGATION + 1)));
}

#[test]
fn trailing_bytes_and_every_truncation_are_refused() {
    let good = signed_delegation(&delegation(), &[1, 2]);
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(judge(&longer), Err(DelegationError::Trailing));
    for len in 0..good.len() {
        assert!(SignedDelegation::parse(&good[..len]).is_err(), "{len}");
    }
}

fn revocations(images: &[u8]) -> Revocations {
    Revocations { version: 2, root_version: 1, images: images.iter().map(|number| [*number; 32]).collect() }
}

fn signed_revocations(images: &[u8], holders: &[u8]) -> Vec<u8> {
    let blank = document::revocations(&revocations(images)).expect("encode");
    holders
        .iter()
        .fold(blank, |bytes, number| document::sign(&bytes, &holder(*number), &roots()).expect("sign"))
}

#[test]
fn a_revoked_image_is_found_in_a_signed_list() {
    let bytes = signed_revocations(&[3, 5, 9], &[1, 2]);
    let list = verify_revocations(&bytes, &roots(), &RingVerifier, 2).expect("good");
    assert!(list.contains(&[5; 32]));
    assert!(!list.contains(&[4; 32]));
}

#[test]
fn a_revocation_list_without_authority_or_order_is_refused() {
    let judge = |bytes: &[u8], least| verify_revocations(bytes, &roots(), &RingVerifier, least);
    assert_eq!(
        judge(&signed_revocations(&[3], &[1]), 0),
        Err(RevocationError::Signatures(SignatureError::TooFew { have: 1, need: 2 }))
    );
    assert_eq!(
        judge(&signed_revocations(&[3], &[1, 2]), 3),
        Err(RevocationError::Older { version: 2, least: 3 })
    );
    assert_eq!(revocations(&[5, 3]).encode(), Err(RevocationError::Order));
    assert_eq!(revocations(&[3, 3]).encode(), Err(RevocationError::Order));
    let good = signed_revocations(&[3, 5], &[1, 2]);
    for bit in (0..good.len() * 8).step_by(11) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(&bytes, 0).is_err(), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_bit_of_a_signed_delegation_can_change(bit in 0usize..8 * (56 + 2 * 144 + 8 + 2 * 72)) {
        let mut bytes = signed_delegation(&delegation(), &[1, 2]);
        prop_assert_eq!(bytes.len(), 56 + 2 * 144 + 8 + 2 * 72);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(judge(&bytes).is_err());
    }
}
