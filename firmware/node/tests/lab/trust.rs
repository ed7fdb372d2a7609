//! Keys and signed documents of a test world.

use ed25519_dalek::{Signer, SigningKey};
use weft_format::manifest::{MANIFEST_SIZE, Manifest};
use weft_format::roots::MAX_ROOT_SET;
use weft_format::signatures::{MAX_SIGNATURES, Signature, list_size, write_list};
use weft_format::{Appliance, Delegation, KeyId, RootSet, key_id};
use weft_transport::noise::public_key;
use weft_types::{ClusterId, NodeId};
use weft_wire::record::{Envelope, Payload, RECORD_VERSION};

pub(crate) const NOW_S: u64 = 1_800_000_000;

pub(crate) struct Trust {
    root: SigningKey,
    pub(crate) record: SigningKey,
    pub(crate) channel: [u8; 32],
    pub(crate) cluster: ClusterId,
}

fn signed(message: &[u8], key: &SigningKey) -> Vec<u8> {
    let entry = Signature {
        key_id: key_id(&key.verifying_key().to_bytes()),
        signature: key.sign(message).to_bytes(),
    };
    let mut list = vec![0; list_size(1)];
    write_list(&[entry], MAX_SIGNATURES, &mut list).expect("one signature");
    [message, &list].concat()
}

impl Trust {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            root: SigningKey::from_bytes(&[seed; 32]),
            record: SigningKey::from_bytes(&[seed ^ 0x55; 32]),
            channel: [seed ^ 0x33; 32],
            cluster: ClusterId([seed; 16]),
        }
    }

    pub(crate) fn root_set(&self) -> Vec<u8> {
        let set = RootSet::new(1, 1, &[self.root.verifying_key().to_bytes()], true).expect("a root set");
        set.encode(&mut [0; MAX_ROOT_SET]).to_vec()
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let manifest = Manifest {
            image_size: 1 << 20,
            image_digest: [7; 32],
            payload_digest: [8; 32],
            build_id: weft_format::manifest::BuildId::new("test").expect("a name"),
            generation: 3,
            least_generation: 2,
            not_before: NOW_S - 1000,
            expiry: NOW_S + 1_000_000,
            root_version: 1,
        };
        let mut section = signed(&manifest.encode().expect("a manifest"), &self.root);
        section.resize(MANIFEST_SIZE, 0);
        section
    }

    pub(crate) fn delegation(&self, version: u64, expiry: u64, revoked: Vec<KeyId>) -> Vec<u8> {
        let delegation = Delegation {
            version,
            root_version: 1,
            not_before: NOW_S - 1000,
            expiry,
            appliances: vec![Appliance {
                name: "lab".into(),
                channel_key: public_key(&self.channel),
                record_key: self.record.verifying_key().to_bytes(),
                agent_port: 4470,
                http_port: 80,
                address: None,
            }],
            revoked,
        };
        signed(&delegation.encode().expect("a delegation"), &self.root)
    }

    pub(crate) fn envelope(&self, node: NodeId, boot_nonce: [u8; 16], counter: u64) -> Envelope {
        Envelope {
            version: RECORD_VERSION,
            key_id: key_id(&self.record.verifying_key().to_bytes()).0,
            node,
            cluster: self.cluster,
            epoch: 1,
            counter,
            boot_nonce,
        }
    }

    pub(crate) fn seal(&self, envelope: &Envelope, payload: &Payload) -> Vec<u8> {
        let unsigned = weft_format::record::encode_unsigned(envelope, payload).expect("short");
        let signature = self.record.sign(&unsigned).to_bytes();
        weft_format::record::with_signature(unsigned, &signature)
    }
}
