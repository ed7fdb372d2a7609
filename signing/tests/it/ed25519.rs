//! The two implementations of Ed25519 must give one answer.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use weft_format::ed25519::{acceptable_point, well_formed};
use weft_format::{DalekVerifier, Verifier};
use weft_signing::{Holder, RingVerifier};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal"))
        .collect()
}

/// Both answers; they must be equal.
fn judge(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let dalek = DalekVerifier.verify(key, message, signature);
    let ring = RingVerifier.verify(key, message, signature);
    assert_eq!(dalek, ring, "key {key:02x?} signature {signature:02x?}");
    dalek
}

fn join(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(r);
    signature[32..].copy_from_slice(s);
    signature
}

/// RFC 8032, section 7.1: secret key, public key, message, signature.
const RFC_8032: [[&str; 4]; 4] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];

#[test]
fn the_vectors_of_rfc_8032_are_signed_and_accepted() {
    for [secret, public, message, signature] in RFC_8032 {
        let seed: [u8; 32] = hex(secret).try_into().expect("32 bytes");
        let holder = Holder::from_seed("rfc-8032", seed.into()).expect("a key");
        let (message, signature) = (hex(message), hex(signature));
        assert_eq!(holder.public_key().as_slice(), hex(public));
        assert_eq!(holder.sign(&message).signature.as_slice(), signature);
        let signature: [u8; 64] = signature.try_into().expect("64 bytes");
        assert!(judge(holder.public_key(), &message, &signature));
        let mut other = message.clone();
        other.push(0);
        assert!(!judge(holder.public_key(), &other, &signature));
    }
}

/// S + L is the same number modulo L; RFC 8032, section 5.1.7, refuses it.
#[test]
fn a_signature_with_s_of_l_or_more_is_refused() {
    let holder = Holder::from_seed("malleable", [7; 32].into()).expect("a key");
    let good = holder.sign(b"message").signature;
    let order = {
        let mut bytes = (-Scalar::ONE).to_bytes();
        bytes[0] += 1;
        bytes
    };
    let mut bad = good;
    let mut carry = 0;
    for (byte, more) in bad[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(judge(holder.public_key(), b"message", &good));
    assert!(!well_formed(holder.public_key(), &bad));
    assert!(!judge(holder.public_key(), b"message", &bad));
    let mut s_is_order = good;
    s_is_order[32..].copy_from_slice(&order);
    assert!(!well_formed(holder.public_key(), &s_is_order));
    let mut s_below = good;
    s_below[32..].copy_from_slice(&(-Scalar::ONE).to_bytes());
    assert!(well_formed(holder.public_key(), &s_below));
    assert!(!judge(holder.public_key(), b"message", &s_below));
}

/// With the identity as key, `[S]B` signs every message. Implementations differ here: one accepts.
#[test]
fn small_order_keys_are_refused_before_an_implementation_sees_them() {
    let s = Scalar::from(5u64);
    let r = (ED25519_BASEPOINT_POINT * s).compress().to_bytes();
    let signature = join(&r, &s.to_bytes());
    let identity = EIGHT_TORSION[0].compress().to_bytes();
    assert!(RingVerifier.equation_holds(&identity, b"anything", &signature));
    assert!(!DalekVerifier.equation_holds(&identity, b"anything", &signature));
    for point in EIGHT_TORSION {
        let key = point.compress().to_bytes();
        assert!(!acceptable_point(&key), "{key:02x?}");
        assert!(!judge(&key, b"anything", &signature));
    }
}

#[test]
fn small_order_r_is_refused() {
    let holder = Holder::from_seed("small-r", [8; 32].into()).expect("a key");
    for point in EIGHT_TORSION {
        let r = point.compress().to_bytes();
        let signature = join(&r, &Scalar::from(1u64).to_bytes());
        assert!(!well_formed(holder.public_key(), &signature));
        assert!(!judge(holder.public_key(), b"message", &signature));
    }
}

/// y and y + p name one point; only y < p is accepted. The 19 values from p up are all there are.
#[test]
fn non_canonical_points_are_refused_as_key_and_as_r() {
    let holder = Holder::from_seed("canonical", [9; 32].into()).expect("a key");
    let good = holder.sign(b"message").signature;
    for low in 0xed..=0xffu8 {
        for sign in [0x7f, 0xff] {
            let mut point = [0xff; 32];
            point[0] = low;
            point[31] = sign;
            assert!(!acceptable_point(&point));
            assert!(!judge(&point, b"message", &good));
            let mut signature = good;
            signature[..32].copy_from_slice(&point);
            assert!(!judge(holder.public_key(), b"message", &signature));
        }
    }
}

#[test]
fn a_key_off_the_curve_is_refused() {
    let holder = Holder::from_seed("off-curve", [10; 32].into()).expect("a key");
    let good = holder.sign(b"message").signature;
    let mut off_curve = 0;
    for low in 2..50 {
        let mut key = [0; 32];
        key[0] = low;
        if curve25519_dalek::edwards::CompressedEdwardsY(key).decompress().is_none() {
            off_curve += 1;
            assert!(acceptable_point(&key));
        }
        assert!(!judge(&key, b"message", &good));
    }
    assert!(off_curve > 10);
}

/// Signs with the key `aB + torsion` and the nonce point `rB + torsion`.
fn mixed_signature(
    key_torsion: EdwardsPoint,
    r_torsion: EdwardsPoint,
    message: &[u8],
) -> ([u8; 32], [u8; 64]) {
    let (a, r) = (Scalar::from(12345u64), Scalar::from(67890u64));
    let key = (ED25519_BASEPOINT_POINT * a + key_torsion).compress().to_bytes();
    let r_bytes = (ED25519_BASEPOINT_POINT * r + r_torsion).compress().to_bytes();
    let mut hash = ring::digest::Context::new(&ring::digest::SHA512);
    for part in [&r_bytes[..], &key, message] {
        hash.update(part);
    }
    let wide: [u8; 64] = hash.finish().as_ref().try_into().expect("64 bytes");
    let k = Scalar::from_bytes_mod_order_wide(&wide);
    (key, join(&r_bytes, &(r + k * a).to_bytes()))
}

/// Keys with a small-order part pass or fail by the cofactorless equation, in both implementations.
#[test]
fn points_of_mixed_order_get_one_answer() {
    let mut accepted = 0;
    let mut refused = 0;
    for key_torsion in EIGHT_TORSION {
        for r_torsion in [EIGHT_TORSION[0], EIGHT_TORSION[3]] {
            for number in 0..6u8 {
                let message = [number];
                let (key, signature) = mixed_signature(key_torsion, r_torsion, &message);
                if judge(&key, &message, &signature) {
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    assert!(accepted > 6, "{accepted}");
    assert!(refused > 40, "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_one_signs_both_accept(seed: [u8; 32], message in proptest::collection::vec(any::<u8>(), 0..200)) {
        let holder = Holder::from_seed("any", seed.into()).expect("a key");
        let signature = holder.sign(&message).signature;
        prop_assert!(judge(holder.public_key(), &message, &signature));
        let dalek = ed25519_dalek::SigningKey::from_bytes(&seed);
        prop_assert_eq!(&dalek.verifying_key().to_bytes(), holder.public_key());
        let same = ed25519_dalek::Signer::sign(&dalek, &message).to_bytes();
        prop_assert_eq!(same, signature);
    }

    #[test]
    fn a_changed_bit_of_key_or_signature_is_refused_by_both(seed: [u8; 32], bit in 0usize..96 * 8) {
        let holder = Holder::from_seed("any", seed.into()).expect("a key");
        let mut signature = holder.sign(b"message").signature;
        let mut key = *holder.public_key();
        let flip = |byte: &mut u8| *byte ^= 1 << (bit % 8);
        if bit / 8 < 64 { flip(&mut signature[bit / 8]) } else { flip(&mut key[bit / 8 - 64]) }
        prop_assert!(!judge(&key, b"message", &signature));
    }

    #[test]
    fn random_bytes_get_one_answer(key: [u8; 32], r: [u8; 32], s: [u8; 32]) {
        prop_assert!(!judge(&key, b"message", &join(&r, &s)));
    }
}
