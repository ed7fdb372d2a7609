//! Judging cluster records: signed by a delegated key, of this boot's cluster, within their bounds; amended by an
//! operator, perhaps.

use alloc::format;
use alloc::string::String;

use weft_format::gate::record_key;
use weft_format::operator::{
    Amended, amend, amended_number, is_amended, verify_amendment, verify_certificate,
};
use weft_format::{DalekVerifier, Delegation, verify_cluster};
use weft_types::{ClusterId, ConfigNumber};
use weft_wire::cluster::{ClusterEnvelope, ClusterPayload};
use weft_wire::operator::{Amendment, Role};

/// Whose word counts. Records come from the appliance and, just as well, from other members.
#[derive(Clone, Debug)]
pub struct ClusterTrust {
    delegation: Delegation,
    cluster: ClusterId,
}

impl ClusterTrust {
    /// Records signed under this delegation, of this cluster.
    pub const fn new(delegation: Delegation, cluster: ClusterId) -> Self {
        Self { delegation, cluster }
    }

    /// What a record says, or why it counts for nothing. Of an amended one: what it says with the amendment, under the
    /// number that this makes of it.
    pub fn judge(&self, record: &[u8]) -> Result<(ClusterEnvelope, ClusterPayload), String> {
        if !is_amended(record) {
            return self.judge_plain(record);
        }
        let parts = Amended::parse(record).map_err(|error| format!("{error}"))?;
        let (_, amendment) = self.judge_amendment(&parts)?;
        let (mut envelope, payload) = self.judge_plain(parts.base)?;
        let ClusterPayload::Config(mut config) = payload else {
            return Err("it amends what is no configuration".into());
        };
        if amendment.partition != envelope.partition {
            return Err(format!("its amendment is of partition {}", amendment.partition));
        }
        let base = ConfigNumber { epoch: envelope.epoch, counter: envelope.counter };
        let number = amended_number(base, &amendment, parts.amendment)
            .ok_or_else(|| format!("its amendment does not fit configuration {base}"))?;
        amend(&mut config, &amendment).map_err(|error| format!("its amendment is refused: {error}"))?;
        config.check().map_err(|error| format!("{error}"))?;
        envelope.counter = number.counter;
        Ok((envelope, ClusterPayload::Config(config)))
    }

    fn judge_plain(&self, record: &[u8]) -> Result<(ClusterEnvelope, ClusterPayload), String> {
        let (envelope, payload) =
            verify_cluster(record, |id| record_key(&self.delegation, id), &DalekVerifier)
                .map_err(|error| format!("{error}"))?;
        self.check_cluster(envelope.cluster)?;
        if let ClusterPayload::Config(config) = &payload {
            if config.partition.id != envelope.partition {
                return Err("it describes another partition than it names".into());
            }
            config.check().map_err(|error| format!("{error}"))?;
        }
        Ok((envelope, payload))
    }

    /// Who amended, and what. Time is not judged: what was agreed stays agreed.
    fn judge_amendment(&self, parts: &Amended<'_>) -> Result<(String, Amendment), String> {
        let lookup = |id| record_key(&self.delegation, id);
        let certificate = verify_certificate(parts.certificate, lookup, &DalekVerifier)
            .map_err(|error| format!("its operator's certificate is refused: {error}"))?;
        let amendment = verify_amendment(parts.amendment, &certificate.sign_key, &DalekVerifier)
            .map_err(|error| format!("its amendment is refused: {error}"))?;
        self.check_cluster(certificate.cluster)?;
        self.check_cluster(amendment.cluster)?;
        if certificate.role < Role::Operate {
            return Err(format!("{} may look only", certificate.name));
        }
        Ok((certificate.name, amendment))
    }

    fn check_cluster(&self, theirs: ClusterId) -> Result<(), String> {
        if theirs == self.cluster {
            return Ok(());
        }
        Err(format!("it is of cluster {theirs}, and this boot belongs to another"))
    }

    /// Who amended a record, and what; `None` of one that is the appliance's own word.
    pub fn amendment(&self, record: &[u8]) -> Option<(String, Amendment)> {
        let parts = Amended::parse(record).ok()?;
        self.judge_amendment(&parts).ok()
    }
}
