//! An operator on the appliance's host, written on snow and `weft_wire::operator` without the node's own code; and what
//! the appliance signs for one.

use ed25519_dalek::{Signer, SigningKey};
use weft_format::key_id;
use weft_format::operator::{encode_unsigned_amendment, encode_unsigned_certificate};
use weft_format::record::with_signature;
use weft_transport::noise::public_key;
use weft_wire::operator::{Amendment, Certificate, OPERATOR_VERSION, Role};

use crate::trust::{NOW_S, Trust};

/// An operator's secret keys.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) channel: [u8; 32],
    pub(crate) sign: SigningKey,
}

impl Keys {
    pub(crate) fn new(seed: u8) -> Self {
        Self { channel: [seed; 32], sign: SigningKey::from_bytes(&[seed ^ 0x0f; 32]) }
    }

    /// What the appliance would sign for them.
    pub(crate) fn certificate(&self, trust: &Trust) -> Certificate {
        Certificate {
            version: OPERATOR_VERSION,
            key_id: key_id(&trust.record.verifying_key().to_bytes()).0,
            cluster: trust.cluster,
            channel_key: public_key(&self.channel),
            sign_key: self.sign.verifying_key().to_bytes(),
            not_before: NOW_S - 300,
            expiry: NOW_S + 600,
            role: Role::Operate,
            name: "ann".into(),
        }
    }

    pub(crate) fn signed(&self, amendment: &Amendment) -> Vec<u8> {
        let unsigned = encode_unsigned_amendment(amendment).expect("within bounds");
        let signature = self.sign.sign(&unsigned).to_bytes();
        with_signature(unsigned, &signature)
    }
}

/// Signs a certificate as the appliance of `trust`.
pub(crate) fn issued(trust: &Trust, certificate: &Certificate) -> Vec<u8> {
    let unsigned = encode_unsigned_certificate(certificate).expect("within bounds");
    let signature = trust.record.sign(&unsigned).to_bytes();
    with_signature(unsigned, &signature)
}
