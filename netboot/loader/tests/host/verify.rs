//! The judgement, with the code that a person sees.

use weft_format::manifest::{BODY_SIZE, BuildId, Manifest};
use weft_format::roots::MAX_ROOT_SET;
use weft_format::signatures::{MAX_SIGNATURES, Signature, write_list};
use weft_format::{RootSet, sha256};
use weft_loader::verify::verify;
use weft_signing::Holder;
use weft_types::handoff::MANIFEST_SIZE;

const PAYLOAD: &[u8] = b"the monitor";

struct Case {
    holders: Vec<Holder>,
    roots: Vec<u8>,
    manifest: Manifest,
}

fn case() -> Case {
    let holders: Vec<Holder> =
        ["anna", "ben", "cleo"].map(|name| Holder::generate(name).expect("a key")).into();
    let keys: Vec<_> = holders.iter().map(|holder| *holder.public_key()).collect();
    let set = RootSet::new(3, 2, &keys, true).expect("a root set");
    let mut roots = set.encode(&mut [0; MAX_ROOT_SET]).to_vec();
    roots.resize(512, 0);
    let manifest = Manifest {
        image_size: 4096,
        image_digest: [1; 32],
        payload_digest: sha256(PAYLOAD),
        build_id: BuildId::new("test").expect("a build id"),
        generation: 9,
        least_generation: 6,
        not_before: 1,
        expiry: 2,
        root_version: 3,
    };
    Case { holders, roots, manifest }
}

impl Case {
    fn section(&self, signers: &[&Holder]) -> Vec<u8> {
        let body = self.manifest.encode().expect("a manifest");
        let mut signatures: Vec<Signature> = signers.iter().map(|holder| holder.sign(&body)).collect();
        signatures.sort_by_key(|signature| signature.key_id);
        let mut section = vec![0; MANIFEST_SIZE];
        section[..BODY_SIZE].copy_from_slice(&body);
        write_list(&signatures, MAX_SIGNATURES, &mut section[BODY_SIZE..]).expect("room");
        section
    }

    fn code(&self, section: &[u8], payload: &[u8], floor: u64) -> &'static str {
        verify(section, &self.roots, payload, floor).map_or_else(|refusal| refusal.code(), |_| "accepted")
    }
}

#[test]
fn the_next_floor_is_the_least_acceptable_generation_and_never_sinks() {
    let case = case();
    let section = case.section(&[&case.holders[0], &case.holders[2]]);
    for (floor, next) in [(0, 6), (6, 6), (7, 7), (9, 9)] {
        let verified = verify(&section, &case.roots, PAYLOAD, floor).expect("accepted");
        assert_eq!(verified.next_floor, next);
        assert_eq!(verified.root_set_size, 32 + 3 * 32);
    }
}

#[test]
fn each_refusal_has_its_code() {
    let mut case = case();
    let two = |case: &Case| case.section(&[&case.holders[0], &case.holders[1]]);
    let good = two(&case);
    let stranger = Holder::generate("eve").expect("a key");
    let mut bit = good.clone();
    bit[24] ^= 1;
    let mut tail = good.clone();
    tail[MANIFEST_SIZE - 1] = 1;
    let cases = [
        ("below-floor", good.clone(), PAYLOAD, 10),
        ("payload-digest", good.clone(), b"another monitor".as_slice(), 0),
        ("too-few-signatures", case.section(&[&case.holders[0]]), PAYLOAD, 0),
        ("unsigned", case.section(&[]), PAYLOAD, 0),
        ("unsigned", vec![0; MANIFEST_SIZE], PAYLOAD, 0),
        ("bad-signature", case.section(&[&case.holders[0], &stranger]), PAYLOAD, 0),
        ("bad-signature", bit, PAYLOAD, 0),
        ("bad-manifest", tail, PAYLOAD, 0),
        ("bad-manifest", good[..MANIFEST_SIZE - 1].to_vec(), PAYLOAD, 0),
    ];
    for (code, section, payload, floor) in cases {
        assert_eq!(case.code(&section, payload, floor), code);
    }
    case.manifest.root_version = 4;
    assert_eq!(case.code(&two(&case), PAYLOAD, 0), "other-root-set");
    case.roots.fill(0);
    assert_eq!(case.code(&good, PAYLOAD, 0), "bad-root-set");
}

#[test]
fn expiry_is_not_the_entry_s_to_judge() {
    let case = case();
    assert_eq!(case.manifest.expiry, 2, "long ago");
    let section = case.section(&[&case.holders[1], &case.holders[2]]);
    assert_eq!(case.code(&section, PAYLOAD, 0), "accepted");
}
