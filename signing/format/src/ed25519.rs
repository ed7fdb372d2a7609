//! Ed25519 (RFC 8032) as Weft accepts it: one answer from every implementation.
//!
//! Implementations differ at the edges: keys of small order, field elements written with a value of
//! p or more, and the identity in R. All of these are refused here, before an implementation sees the
//! signature, and so is S >= L. What is left is decided by the cofactorless equation
//! `R = [S]B - [k]A`, compared as bytes, on which `ed25519-dalek` and `ring` agree.

/// Checks Ed25519 signatures.
pub trait Verifier {
    /// Whether the signature equation holds. Called only with what [`well_formed`] accepts.
    fn equation_holds(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;

    /// Whether `signature` is `key`'s over `message`.
    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        well_formed(key, signature) && self.equation_holds(key, message, signature)
    }
}

/// The order L of the base point, little-endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The field's modulus p = 2^255 - 19, little-endian.
const MODULUS: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The y coordinates of the eight points whose order divides 8, little-endian. Each appears with
/// one or both signs of x: 0 (order 4), 1 (the identity), p - 1 (order 2), and two of order 8.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut y = [0; 32];
        y[0] = 1;
        y
    },
    {
        let mut y = MODULUS;
        y[0] = 0xec;
        y
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Whether two little-endian numbers stand as `left < right`.
fn less(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().rev().lt(right.iter().rev())
}

/// Whether an encoded point is canonical (y < p) and not of small order. Whether it lies on the
/// curve at all is for the implementation to say.
pub fn acceptable_point(point: &[u8; 32]) -> bool {
    let mut y = *point;
    y[31] &= 0x7f;
    less(&y, &MODULUS) && !SMALL_ORDER_Y.contains(&y)
}

/// Whether key and signature have the one form that Weft accepts.
pub fn well_formed(key: &[u8; 32], signature: &[u8; 64]) -> bool {
    let (Some(r), Some(s)) = (signature.first_chunk::<32>(), signature.last_chunk::<32>()) else {
        return false;
    };
    acceptable_point(key) && acceptable_point(r) && less(s, &ORDER)
}

/// Signature checks by `ed25519-dalek`.
#[cfg(feature = "dalek")]
#[derive(Clone, Copy, Debug, Default)]
pub struct DalekVerifier;

#[cfg(feature = "dalek")]
impl Verifier for DalekVerifier {
    fn equation_holds(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(key) else {
            return false;
        };
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        key.verify_strict(message, &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_is_by_value_from_the_high_end() {
        let mut one = [0; 32];
        one[0] = 1;
        let mut high = [0; 32];
        high[31] = 1;
        assert!(less(&one, &high));
        assert!(!less(&high, &one));
        assert!(!less(&one, &one));
    }

    #[test]
    fn each_small_order_point_is_refused_with_both_signs() {
        for y in SMALL_ORDER_Y {
            let mut signed = y;
            signed[31] |= 0x80;
            assert!(!acceptable_point(&y));
            assert!(!acceptable_point(&signed));
        }
    }

    #[test]
    fn field_elements_of_p_or_more_are_refused() {
        let mut point = MODULUS;
        assert!(!acceptable_point(&point));
        for low in 0xee..=0xff {
            point[0] = low;
            assert!(!acceptable_point(&point));
        }
        point[0] = 0xeb;
        assert!(acceptable_point(&point));
    }
}
