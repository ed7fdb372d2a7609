//! Configuration records: from intent to signed bytes.
//!
//! The number of a record is durable before the record exists ([`weft_store::Store::next_record`]); the
//! signature covers the bytes as sent.

use weft_format::RecordError;
use weft_format::record::{encode_unsigned, with_signature};
use weft_types::NodeId;
use weft_wire::record::{Envelope, MAX_RECORD, NodeConfig, Payload, RECORD_VERSION, Standing, Verdict};

use crate::core::Core;
use crate::error::Error;
use crate::partitions::bytes_of;
use crate::spanning::spec;
use crate::util::{hex, unhex, unix_s};
use crate::world::{NodeEntry, Report, World};

/// The appliance's judgement of what a node runs.
pub(crate) fn verdict(core: &Core, world: &World, node: &NodeEntry, report: &Report) -> Verdict {
    if !node.trusted_with_records() {
        return Verdict::Quarantined;
    }
    judge_image(core, world, report)
}

/// The judgement of the image alone.
pub(crate) fn judge_image(core: &Core, world: &World, report: &Report) -> Verdict {
    let trust = core.trust();
    if trust.is_revoked(&report.boot.image_digest.0) {
        return Verdict::Revoked;
    }
    let now = unix_s();
    if trust.delegation.as_ref().is_some_and(|(delegation, _)| delegation.valid_at(now).is_err()) {
        return Verdict::Expired;
    }
    let manifest = hex(&report.boot.manifest_digest.0);
    let known = world.images.values().find_map(|image| {
        let current = (image.manifest == manifest).then_some(image.expiry);
        let earlier =
            || image.earlier.iter().find(|(digest, _)| *digest == manifest).map(|(_, expiry)| *expiry);
        current.or_else(earlier).map(|expiry| (image.state, expiry))
    });
    match known {
        Some((weft_store::ImageState::Revoked, _)) => Verdict::Revoked,
        Some((_, expiry)) if expiry <= now => Verdict::Expired,
        Some(_) => Verdict::Good,
        // What was never published here cannot be vouched for.
        None => Verdict::Quarantined,
    }
}

/// All that a node is meant to do.
pub(crate) fn node_config(world: &World, id: &str, name: &str) -> NodeConfig {
    // What spans nodes is for its partition to agree on.
    let own = world.servers.values().filter(|vs| vs.row.partition.is_empty() && vs.row.node == id);
    let servers = own.filter_map(|vs| spec(&vs.row));
    NodeConfig { name: name.to_string(), servers: servers.collect() }
}

/// Whether a configuration fits into a record.
pub(crate) fn fits(config: &NodeConfig) -> Result<(), RecordError> {
    let longest = Envelope {
        version: RECORD_VERSION,
        key_id: [0xff; 8],
        node: NodeId([0xff; 16]),
        cluster: weft_types::ClusterId([0xff; 16]),
        epoch: u64::MAX,
        counter: u64::MAX,
        boot_nonce: [0xff; 16],
    };
    encode_unsigned(&longest, &Payload::Config(config.clone())).map(|_| ())
}

impl Core {
    /// Signs a payload for one boot of one node; its number and its bytes.
    async fn sign(
        &self,
        node: NodeId,
        boot_nonce: [u8; 16],
        payload: &Payload,
    ) -> Result<((u64, u64), Vec<u8>), Error> {
        let number = self.store.next_record(&node.to_string()).await?;
        let envelope = Envelope {
            version: RECORD_VERSION,
            key_id: self.keys.record_key_id().0,
            node,
            cluster: self.cluster,
            epoch: number.epoch,
            counter: number.counter,
            boot_nonce,
        };
        let unsigned = encode_unsigned(&envelope, payload).map_err(|error| {
            Error::refused(
                409,
                "record-too-large",
                error.to_string(),
                format!("a record holds {MAX_RECORD} bytes"),
            )
        })?;
        let signature = self.keys.sign_record(&unsigned);
        Ok(((number.epoch, number.counter), with_signature(unsigned, &signature)))
    }

    /// The records that a node should have now: its standing, and its configuration if it may have one.
    pub(crate) async fn records_for(&self, id: &str) -> Result<Vec<Vec<u8>>, Error> {
        let decided = {
            let world = self.world();
            let Some(node) = world.nodes.get(id) else { return Ok(Vec::new()) };
            let Some(report) = &node.report else { return Ok(Vec::new()) };
            if node.hold.holds() {
                return Ok(Vec::new());
            }
            let verdict = verdict(self, &world, node, report);
            let standing = Standing {
                unix_time_s: unix_s(),
                manifest_digest: report.boot.manifest_digest,
                delegation_version: report.boot.delegation_version,
                verdict,
            };
            let config = (verdict == Verdict::Good).then(|| node_config(&world, id, &node.row.name));
            (report.boot_nonce, standing, config, node.taken.covers())
        };
        let (nonce, standing, config, covers) = decided;
        let Some(node) = unhex(id).map(NodeId) else { return Ok(Vec::new()) };
        let mut records = vec![self.sign(node, nonce, &Payload::Standing(standing)).await?.1];
        if let Some(config) = config {
            let (number, record) = self.sign(node, nonce, &Payload::Config(config)).await?;
            if let Some(entry) = self.world().nodes.get_mut(id) {
                entry.taken.sent(number, covers);
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The configuration of a node's partition, for a node whose image may run.
    pub(crate) fn cluster_record_for(&self, id: &str) -> Option<Vec<u8>> {
        let world = self.world();
        let node = world.nodes.get(id)?;
        let good = verdict(self, &world, node, node.report.as_ref()?) == Verdict::Good;
        let mut partitions = world.partitions.values();
        let entry = partitions.find(|entry| entry.row.members.iter().any(|member| member == id))?;
        let good = good && !world.partition_held(&entry.row.members);
        bytes_of(&entry.row.record).filter(|_| good)
    }
}
