//! Images and manifests that must be refused, each for its own reason.

use crate::common::{NOW, blank_image, holder, release, roots, roots_of, signed_image, with_certificates};
use proptest::prelude::*;
use weft_format::manifest::{BODY_SIZE, ManifestSection};
use weft_format::signatures::{MAX_SIGNATURES, write_list};
use weft_format::{
    DalekVerifier, ManifestError, SignatureError, ValidityError, Verifier, pe, sha256, verify_image,
    verify_manifest,
};
use weft_signing::{RingVerifier, SigningError, image};

const PAYLOAD: &[u8] = b"the payload";

fn judge(file: &[u8]) -> Result<weft_format::Manifest, ManifestError> {
    let ring = verify_image(file, &roots(), &RingVerifier, 0);
    let dalek = verify_image(file, &roots(), &DalekVerifier, 0);
    assert_eq!(ring, dalek);
    ring
}

/// The manifest section with other signatures.
fn section_with(file: &[u8], holders: &[u8]) -> Vec<u8> {
    let section = image::section(file).expect("section");
    let body = &section[..BODY_SIZE];
    let mut list: Vec<_> = holders.iter().map(|n| holder(*n).sign(body)).collect();
    list.sort_by_key(|entry| entry.key_id);
    let mut out = vec![0; 4096];
    out[..BODY_SIZE].copy_from_slice(body);
    write_list(&list, MAX_SIGNATURES, &mut out[BODY_SIZE..]).expect("list");
    out
}

fn judge_section(section: &[u8]) -> Result<weft_format::Manifest, ManifestError> {
    verify_manifest(section, &roots(), &DalekVerifier, 0, &sha256(PAYLOAD))
}

#[test]
fn enough_signatures_of_any_holders_are_accepted() {
    for holders in [&[1, 2][..], &[3, 1], &[2, 3], &[1, 2, 3]] {
        let manifest = judge(&signed_image(PAYLOAD, holders)).expect("good");
        assert_eq!(manifest.generation, 7);
        assert_eq!(manifest.build_id.as_str(), "test-1");
        assert_eq!(manifest.payload_digest, sha256(PAYLOAD));
    }
}

#[test]
fn an_image_without_a_manifest_is_refused() {
    assert_eq!(judge(&blank_image(PAYLOAD)), Err(ManifestError::Absent));
}

#[test]
fn an_unsigned_image_is_refused() {
    assert_eq!(judge(&signed_image(PAYLOAD, &[])), Err(ManifestError::Signatures(SignatureError::Unsigned)));
}

#[test]
fn an_image_signed_by_too_few_is_refused() {
    assert_eq!(
        judge(&signed_image(PAYLOAD, &[2])),
        Err(ManifestError::Signatures(SignatureError::TooFew { have: 1, need: 2 }))
    );
}

#[test]
fn a_holder_who_signs_twice_counts_once_and_is_refused() {
    let file = signed_image(PAYLOAD, &[1]);
    let mut section = image::section(&file).expect("section").to_vec();
    let first = BODY_SIZE + 8;
    section.copy_within(first..first + 72, first + 72);
    section[BODY_SIZE] = 2;
    assert_eq!(
        judge_section(&section),
        Err(ManifestError::Signatures(SignatureError::Duplicate(holder(1).key_id())))
    );
}

#[test]
fn a_foreign_signer_is_refused_even_beside_enough_good_ones() {
    let file = signed_image(PAYLOAD, &[1, 2]);
    assert!(judge_section(&section_with(&file, &[1, 2])).is_ok());
    assert_eq!(
        judge_section(&section_with(&file, &[1, 2, 9])),
        Err(ManifestError::Signatures(SignatureError::Foreign(holder(9).key_id())))
    );
}

#[test]
fn signatures_out_of_order_are_refused() {
    let file = signed_image(PAYLOAD, &[1, 2]);
    let mut section = image::section(&file).expect("section").to_vec();
    let list = BODY_SIZE + 8;
    let (first, second) = (list..list + 72, list + 72..list + 144);
    let entry = section[first.clone()].to_vec();
    section.copy_within(second.clone(), list);
    section[second].copy_from_slice(&entry);
    assert!(matches!(judge_section(&section), Err(ManifestError::Signatures(SignatureError::Order(_)))));
}

#[test]
fn an_older_image_than_the_floor_is_refused() {
    let file = signed_image(PAYLOAD, &[1, 2]);
    assert!(verify_image(&file, &roots(), &RingVerifier, 7).is_ok());
    assert_eq!(
        verify_image(&file, &roots(), &RingVerifier, 8),
        Err(ManifestError::BelowFloor { generation: 7, floor: 8 })
    );
}

#[test]
fn image_and_manifest_of_different_builds_are_refused() {
    let mut file = signed_image(PAYLOAD, &[1, 2]);
    let other = signed_image(b"another payload", &[1, 2]);
    let place = pe::find_section(&file, pe::MANIFEST_SECTION)
        .and_then(|section| section.content_range())
        .expect("section");
    file[place].copy_from_slice(image::section(&other).expect("section"));
    assert_eq!(judge(&file), Err(ManifestError::PayloadDigest));
}

#[test]
fn a_stub_of_another_build_is_refused_by_who_holds_the_file() {
    let mut file = signed_image(PAYLOAD, &[1, 2]);
    let stub = pe::find_section(&file, ".text").expect("section");
    file[stub.file_offset as usize] ^= 1;
    assert_eq!(judge(&file), Err(ManifestError::ImageDigest));
}

#[test]
fn an_expired_manifest_and_one_not_yet_valid_are_told_apart() {
    let manifest = judge(&signed_image(PAYLOAD, &[1, 2])).expect("good");
    assert_eq!(manifest.valid_at(NOW), Ok(()));
    assert_eq!(manifest.valid_at(NOW + 999), Ok(()));
    let (not_before, expiry) = (NOW - 1000, NOW + 1000);
    assert_eq!(manifest.valid_at(NOW + 1000), Err(ValidityError::Expired { expiry, now: expiry }));
    let now = NOW - 1001;
    assert_eq!(manifest.valid_at(now), Err(ValidityError::NotYet { not_before, now }));
}

#[test]
fn a_manifest_for_another_root_set_version_is_refused() {
    let file = signed_image(PAYLOAD, &[1, 2]);
    let section = image::section(&file).expect("section");
    let next = roots_of(2, 2, &[1, 2, 3]);
    assert_eq!(
        verify_manifest(section, &next, &DalekVerifier, 0, &sha256(PAYLOAD)),
        Err(ManifestError::RootVersion { ours: 2, theirs: 1 })
    );
}

#[test]
fn an_image_that_pins_other_roots_is_neither_signed_nor_published() {
    let other = roots_of(1, 1, &[1, 2, 3]);
    let mut file = signed_image(PAYLOAD, &[1, 2]);
    assert_eq!(verify_image(&file, &other, &RingVerifier, 0), Err(ManifestError::OtherRoots));
    let signed = image::sign(&mut file, &holder(3), &other);
    assert!(matches!(signed, Err(SigningError::Manifest(ManifestError::OtherRoots))));
    let placed = image::place_manifest(&mut blank_image(PAYLOAD), &release(), &other);
    assert!(matches!(placed, Err(SigningError::Manifest(ManifestError::OtherRoots))));
}

#[test]
fn a_signature_for_another_kind_of_document_does_not_serve() {
    // The holders sign a text that differs from the manifest in its tag only.
    let file = signed_image(PAYLOAD, &[1, 2]);
    let mut section = image::section(&file).expect("section").to_vec();
    let mut other = section[..BODY_SIZE].to_vec();
    other[..16].copy_from_slice(weft_format::DELEGATION_TAG);
    let mut list = [holder(1).sign(&other), holder(2).sign(&other)];
    list.sort_by_key(|entry| entry.key_id);
    write_list(&list, MAX_SIGNATURES, &mut section[BODY_SIZE..]).expect("list");
    assert!(matches!(judge_section(&section), Err(ManifestError::Signatures(SignatureError::Bad(_)))));
}

#[test]
fn bytes_after_the_signatures_and_in_reserved_places_are_refused() {
    let file = signed_image(PAYLOAD, &[1, 2]);
    let good = image::section(&file).expect("section").to_vec();
    let mut section = good.clone();
    section[4095] = 1;
    assert_eq!(judge_section(&section), Err(ManifestError::Trailing));
    for place in [19, 23, 200, 255] {
        let mut section = good.clone();
        section[place] = 1;
        assert_eq!(judge_section(&section), Err(ManifestError::Malformed), "{place}");
    }
    assert_eq!(judge_section(&good[..4095]), Err(ManifestError::Malformed));
}

#[test]
fn contradictory_manifests_cannot_be_made() {
    let mut release = release();
    release.least_generation = 8;
    let placed = image::place_manifest(&mut blank_image(PAYLOAD), &release, &roots());
    assert!(matches!(
        placed,
        Err(SigningError::Manifest(ManifestError::Generation { generation: 7, least: 8 }))
    ));
    release.least_generation = 0;
    release.expiry = release.not_before;
    let placed = image::place_manifest(&mut blank_image(PAYLOAD), &release, &roots());
    assert!(matches!(placed, Err(SigningError::Manifest(ManifestError::Validity))));
    release.expiry += 1;
    for build_id in ["", "two words", "naïve", &"x".repeat(65)] {
        release.build_id = build_id.into();
        let placed = image::place_manifest(&mut blank_image(PAYLOAD), &release, &roots());
        assert!(matches!(placed, Err(SigningError::Manifest(ManifestError::BuildId))));
    }
}

#[test]
fn authenticode_changes_no_digest_and_comes_last() {
    let file = signed_image(PAYLOAD, &[1, 2]);
    assert!(image::ready_for_authenticode(&file, &roots()).is_ok());
    let mut certified = with_certificates(&file);
    assert_eq!(pe::image_digest(&certified), pe::image_digest(&file));
    assert!(judge(&certified).is_ok());
    let late = image::sign(&mut certified, &holder(3), &roots());
    assert!(matches!(late, Err(SigningError::Authenticode)));
    let again = image::ready_for_authenticode(&certified, &roots());
    assert!(matches!(again, Err(SigningError::Authenticode)));
}

#[test]
fn authenticode_is_refused_below_the_threshold() {
    let one = signed_image(PAYLOAD, &[1]);
    assert!(matches!(
        image::ready_for_authenticode(&one, &roots()),
        Err(SigningError::Manifest(ManifestError::Signatures(SignatureError::TooFew { .. })))
    ));
}

#[test]
fn a_holder_signs_once_and_only_what_is_in_order() {
    let mut file = signed_image(PAYLOAD, &[1]);
    let before = file.clone();
    let twice = image::sign(&mut file, &holder(1), &roots());
    assert!(matches!(twice, Err(SigningError::SignedAlready(id)) if id == holder(1).key_id()));
    let foreign = image::sign(&mut file, &holder(9), &roots());
    assert!(matches!(foreign, Err(SigningError::NotAHolder(_))));
    assert_eq!(file, before);
    let last = file.len() - 512;
    file[last] ^= 1;
    let changed = image::sign(&mut file, &holder(2), &roots());
    assert!(matches!(changed, Err(SigningError::Manifest(ManifestError::ImageDigest))));
}

#[test]
fn a_second_manifest_does_not_replace_the_first() {
    let mut file = signed_image(PAYLOAD, &[]);
    let again = image::place_manifest(&mut file, &release(), &roots());
    assert!(matches!(again, Err(SigningError::HasManifest)));
}

#[test]
fn a_verifier_that_refuses_is_asked() {
    struct Never;
    impl Verifier for Never {
        fn equation_holds(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
            false
        }
    }
    let file = signed_image(PAYLOAD, &[1, 2]);
    assert!(matches!(
        verify_image(&file, &roots(), &Never, 0),
        Err(ManifestError::Signatures(SignatureError::Bad(_)))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_bit_of_a_signed_manifest_can_change(bit in 0usize..4096 * 8, three: bool) {
        let holders: &[u8] = if three { &[1, 2, 3] } else { &[1, 2] };
        let file = signed_image(PAYLOAD, holders);
        let mut section = image::section(&file).expect("section").to_vec();
        section[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(judge_section(&section).is_err());
    }

    #[test]
    fn no_bit_of_a_signed_image_can_change_but_its_checksum(at: prop::sample::Index) {
        let mut file = signed_image(PAYLOAD, &[1, 2]);
        let bit = at.index(file.len() * 8);
        let checksum = 64 + 24 + 64;
        prop_assume!(!(checksum..checksum + 4).contains(&(bit / 8)));
        file[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(judge(&file).is_err());
    }

    #[test]
    fn a_signed_manifest_cut_or_grown_is_refused(len in 0usize..9000) {
        let file = signed_image(PAYLOAD, &[1, 2]);
        let mut section = image::section(&file).expect("section").to_vec();
        prop_assume!(len != section.len());
        section.resize(len, 0);
        prop_assert!(judge_section(&section).is_err());
    }

    #[test]
    fn what_parses_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 256), place in 0usize..256) {
        // One byte of a good body replaced: if it still parses, it encodes to itself.
        let file = signed_image(PAYLOAD, &[]);
        let mut section = image::section(&file).expect("section").to_vec();
        section[place] = bytes[place];
        if let Ok(parsed) = ManifestSection::parse(&section) {
            let again = parsed.manifest.encode().expect("encode");
            prop_assert_eq!(again.as_slice(), &section[..BODY_SIZE]);
        }
    }
}
