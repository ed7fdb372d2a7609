//! Configuration records: from intent to signed bytes.
//!
//! The number of a record is durable before the record exists ([`weft_store::Store::next_record`]); the
//! signature covers the bytes as sent.

use weft_format::RecordError;
use weft_format::record::{encode_unsigned, with_signature};
use weft_types::{BlobDigest, NodeId, VsId};
use weft_wire::record::{
    BlobRef, Desired, Envelope, MAX_RECORD, NodeConfig, Payload, Standing, Verdict, VsSpec,
};

use crate::core::Core;
use crate::error::Error;
use crate::util::{hex, mac_bytes, unhex, unix_s};
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
    let servers = world.servers.values().filter(|vs| vs.row.node == id).filter_map(|vs| {
        let row = &vs.row;
        let blob = |digest: &str, size| Some(BlobRef { digest: BlobDigest(unhex(digest)?), size });
        Some(VsSpec {
            id: VsId(unhex(&row.id)?),
            name: row.name.clone(),
            generation: row.generation,
            instance: row.instance,
            desired: if row.running { Desired::Running } else { Desired::Stopped },
            vcpus: row.vcpus,
            memory_mib: row.memory_mib,
            kernel: blob(&row.kernel, row.kernel_size)?,
            initrd: if row.initrd.is_empty() { None } else { blob(&row.initrd, row.initrd_size) },
            append: row.append.clone(),
            macs: row.macs.iter().filter_map(|mac| mac_bytes(mac)).collect(),
        })
    });
    NodeConfig { name: name.to_string(), servers: servers.collect() }
}

/// Whether a configuration fits into a record.
pub(crate) fn fits(config: &NodeConfig) -> Result<(), RecordError> {
    let longest = Envelope {
        version: 1,
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
    /// Signs a payload for one boot of one node.
    async fn sign(&self, node: NodeId, boot_nonce: [u8; 16], payload: &Payload) -> Result<Vec<u8>, Error> {
        let number = self.store.next_record(&node.to_string()).await?;
        let envelope = Envelope {
            version: 1,
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
        Ok(with_signature(unsigned, &signature))
    }

    /// The records that a node should have now: its standing, and its configuration if it may have one.
    pub(crate) async fn records_for(&self, id: &str) -> Result<Vec<Vec<u8>>, Error> {
        let decided = {
            let world = self.world();
            let Some(node) = world.nodes.get(id) else { return Ok(Vec::new()) };
            let Some(report) = &node.report else { return Ok(Vec::new()) };
            let verdict = verdict(self, &world, node, report);
            let standing = Standing {
                unix_time_s: unix_s(),
                manifest_digest: report.boot.manifest_digest,
                delegation_version: report.boot.delegation_version,
                verdict,
            };
            let config = (verdict == Verdict::Good).then(|| node_config(&world, id, &node.row.name));
            (report.boot_nonce, standing, config)
        };
        let (nonce, standing, config) = decided;
        let Some(node) = unhex(id).map(NodeId) else { return Ok(Vec::new()) };
        let mut records = vec![self.sign(node, nonce, &Payload::Standing(standing)).await?];
        if let Some(config) = config {
            records.push(self.sign(node, nonce, &Payload::Config(config)).await?);
        }
        Ok(records)
    }
}
