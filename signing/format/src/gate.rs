//! The gate in front of configuration records: what one node accepts in one boot.
//!
//! ```text
//!            first good record: cluster pinned
//!  ┌──────┐ ────────────────────────────────────▶ ┌────────────────────────┐
//!  │ open │                                       │ pinned (epoch,counter) │──┐ later records of the
//!  └──────┘                                       └────────────────────────┘◀─┘ same cluster only
//! ```
//! The boot nonce ties a record to this boot, epoch and counter give it one place in the order, and the
//! cluster cannot change under a running node. A refused record leaves the gate as it was.

use weft_types::{ClusterId, NodeId};
use weft_wire::record::{Envelope, Payload};

use crate::delegation::Delegation;
use crate::digest::KeyId;
use crate::ed25519::Verifier;
use crate::record::{RecordError, verify_record};

/// See the module.
#[derive(Clone, Debug)]
pub struct RecordGate {
    node: NodeId,
    boot_nonce: [u8; 16],
    pinned: Option<Pin>,
}

#[derive(Clone, Copy, Debug)]
struct Pin {
    cluster: ClusterId,
    epoch: u64,
    counter: u64,
}

impl RecordGate {
    /// A gate for this boot of this node.
    pub const fn new(node: NodeId, boot_nonce: [u8; 16]) -> Self {
        Self { node, boot_nonce, pinned: None }
    }

    /// Epoch and counter of the last record accepted, zeros where none.
    pub fn last_record(&self) -> (u64, u64) {
        self.pinned.map_or((0, 0), |pin| (pin.epoch, pin.counter))
    }

    /// The cluster that this boot belongs to, once a record was accepted.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.pinned.map(|pin| pin.cluster)
    }

    /// Verifies a record and takes it, or says why not.
    pub fn accept(
        &mut self,
        bytes: &[u8],
        delegation: &Delegation,
        verifier: &impl Verifier,
    ) -> Result<(Envelope, Payload), RecordError> {
        let (envelope, payload) = verify_record(bytes, |id| record_key(delegation, id), verifier)?;
        if envelope.node != self.node {
            return Err(RecordError::OtherNode(envelope.node));
        }
        if envelope.boot_nonce != self.boot_nonce {
            return Err(RecordError::OtherBoot);
        }
        if let Some(pin) = self.pinned {
            if envelope.cluster != pin.cluster {
                return Err(RecordError::OtherCluster(envelope.cluster));
            }
            if (envelope.epoch, envelope.counter) <= (pin.epoch, pin.counter) {
                return Err(RecordError::Replayed {
                    epoch: envelope.epoch,
                    counter: envelope.counter,
                    last_epoch: pin.epoch,
                    last_counter: pin.counter,
                });
            }
        }
        self.pinned =
            Some(Pin { cluster: envelope.cluster, epoch: envelope.epoch, counter: envelope.counter });
        Ok((envelope, payload))
    }
}

/// The record key of this id, if the delegation names it and does not revoke it.
pub fn record_key(delegation: &Delegation, id: KeyId) -> Result<[u8; 32], RecordError> {
    if delegation.is_revoked(id) {
        return Err(RecordError::RevokedKey(id));
    }
    delegation.by_record_key(id).map(|appliance| appliance.record_key).ok_or(RecordError::ForeignKey(id))
}
