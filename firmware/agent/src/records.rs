//! Judging records: the gate of `weft_format`, then standing, then configuration.

use alloc::format;
use alloc::string::String;

use weft_format::manifest::Manifest;
use weft_format::{DalekVerifier, Delegation, RecordGate};
use weft_types::{BlobDigest, NodeId};
use weft_wire::record::{NodeConfig, Payload, Standing, Verdict};

/// What an accepted record means.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// The image may run here; seconds since 1970.
    Good(u64),
    /// A configuration to look at.
    Config(NodeConfig),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Judge {
    gate: RecordGate,
    manifest: Option<(Manifest, BlobDigest)>,
    /// A good standing came on this connection.
    good: bool,
    /// The last standing of this boot was good, and nothing said otherwise since.
    vouched: bool,
}

impl Judge {
    pub(crate) const fn new(node: NodeId, nonce: [u8; 16], manifest: Option<(Manifest, BlobDigest)>) -> Self {
        Self { gate: RecordGate::new(node, nonce), manifest, good: false, vouched: false }
    }

    /// A new connection: the standing must come again.
    pub(crate) fn new_connection(&mut self) {
        self.good = false;
    }

    /// The appliance does not stand by this node any more.
    pub(crate) fn withdraw(&mut self) {
        self.good = false;
        self.vouched = false;
    }

    /// Whether the appliance's last word about this node was good, over connections.
    pub(crate) fn is_vouched(&self) -> bool {
        self.vouched
    }

    /// The cluster that this boot belongs to, once a record was accepted.
    pub(crate) fn cluster(&self) -> Option<weft_types::ClusterId> {
        self.gate.cluster()
    }

    pub(crate) fn last_record(&self) -> (u64, u64) {
        self.gate.last_record()
    }

    /// Judges a record. The identity is (0, 0) where not even that could be believed.
    pub(crate) fn judge(
        &mut self,
        bytes: &[u8],
        delegation: &Delegation,
    ) -> ((u64, u64), Result<Accepted, String>) {
        let (envelope, payload) = match self.gate.accept(bytes, delegation, &DalekVerifier) {
            Ok(record) => record,
            Err(error) => return ((0, 0), Err(format!("{error}"))),
        };
        let id = (envelope.epoch, envelope.counter);
        let result = match payload {
            Payload::Standing(standing) => self.standing(&standing, delegation),
            Payload::Config(config) if self.good => Ok(Accepted::Config(config)),
            Payload::Config(_) => Err("the appliance has not yet confirmed that this image may run".into()),
        };
        (id, result)
    }

    fn standing(&mut self, standing: &Standing, delegation: &Delegation) -> Result<Accepted, String> {
        self.withdraw();
        let ours = self.manifest.map_or(BlobDigest::default(), |(_, digest)| digest);
        if standing.manifest_digest != ours {
            return Err("the appliance judged another manifest than this node runs".into());
        }
        if standing.delegation_version != delegation.version {
            return Err(format!(
                "the appliance judged delegation version {}, this node holds {}",
                standing.delegation_version, delegation.version
            ));
        }
        match standing.verdict {
            Verdict::Good => {}
            Verdict::Quarantined => return Err("this node or its image waits for approval".into()),
            Verdict::Revoked => return Err("the image that this node runs was revoked".into()),
            Verdict::Expired => return Err("the manifest of this node's image has expired".into()),
        }
        let now = standing.unix_time_s;
        delegation.valid_at(now).map_err(|error| format!("the delegation is not valid now: {error}"))?;
        if let Some((manifest, _)) = &self.manifest {
            manifest.valid_at(now).map_err(|error| format!("the manifest is not valid now: {error}"))?;
        }
        self.good = true;
        self.vouched = true;
        Ok(Accepted::Good(now))
    }
}
