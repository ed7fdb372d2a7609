//! Operators that speak to nodes by themselves: their certificates, and what they changed while the appliance was away.
//!
//! The operator draws its keys; only public halves come here. A certificate cannot be taken back but by a delegation
//! that revokes the operator's key, so it is short-lived.

use weft_api::{Drift, Operator, OperatorCreate, OperatorNode};
use weft_format::operator::{OperatorError, amended_link_key, encode_unsigned_certificate};
use weft_format::record::with_signature;
use weft_store::{Batch, NewEvent};
use weft_types::VsId;
use weft_wire::cluster::LinkKey;
use weft_wire::operator::{Certificate, MAX_OPERATOR_NAME, OPERATOR_VERSION, Role, Wanted};

use crate::core::{Core, event};
use crate::error::Error;
use crate::heard::clean;
use crate::spanning::lies_on;
use crate::transactions::{Change, Draft, Kind};
use crate::util::{at_unix, hex, now, unhex, unix_s};
use crate::world::{VsEntry, World};

/// Longest life of a certificate, days.
const MAX_DAYS: u32 = 90;
const DAY_S: u64 = 86_400;
/// A certificate holds from a little earlier: nodes' clocks are told, not exact.
const GRACE_S: u64 = 300;
/// A node's word moves the counters of a server by so much at most: they must never run out.
const MOST_AHEAD: u64 = 4096;

fn invalid(title: impl Into<String>, next: impl Into<String>) -> Error {
    Error::refused(422, "invalid", title, next)
}

fn certificate(core: &Core, wanted: &OperatorCreate, now_s: u64) -> Result<Certificate, Error> {
    let role = match wanted.role.as_str() {
        "observe" => Role::Observe,
        "operate" => Role::Operate,
        other => return Err(invalid(format!("there is no role {other}"), "observe or operate")),
    };
    if wanted.days == 0 || wanted.days > MAX_DAYS {
        return Err(invalid(
            format!("{} days", wanted.days),
            format!("1 to {MAX_DAYS}; have another one issued in time"),
        ));
    }
    let key = |text: &str| unhex(text).filter(|key: &[u8; 32]| *key != [0; 32]);
    let (Some(channel_key), Some(sign_key)) = (key(&wanted.channel_key), key(&wanted.sign_key)) else {
        return Err(invalid("a key is malformed", "64 hexadecimal digits; weft operator issue makes them"));
    };
    Ok(Certificate {
        version: OPERATOR_VERSION,
        key_id: core.keys().record_key_id().0,
        cluster: core.cluster,
        channel_key,
        sign_key,
        not_before: now_s.saturating_sub(GRACE_S),
        expiry: now_s.saturating_add(u64::from(wanted.days) * DAY_S),
        role,
        name: wanted.name.clone(),
    })
}

fn nodes(world: &World) -> Vec<OperatorNode> {
    let trusted = world.nodes.values().filter(|node| node.trusted_with_records());
    let mut nodes: Vec<OperatorNode> = trusted
        .map(|node| OperatorNode {
            name: node.row.name.clone(),
            state: node.state().to_string(),
            id: node.row.id.clone(),
            key: node.row.key.clone(),
            address: node.row.address.clone(),
        })
        .collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

impl Core {
    /// Signs a certificate for an operator's keys.
    pub(crate) async fn operator_issue(
        &self,
        actor: &str,
        wanted: &OperatorCreate,
    ) -> Result<Operator, Error> {
        let now_s = unix_s();
        let certificate = certificate(self, wanted, now_s)?;
        let unsigned = encode_unsigned_certificate(&certificate).map_err(|error| match error {
            OperatorError::Name => invalid(
                "the operator's name is malformed",
                format!("1 to {MAX_OPERATOR_NAME} letters, digits, - . _ @"),
            ),
            other => invalid(other.to_string(), ""),
        })?;
        let expires = at_unix(certificate.expiry);
        let key = weft_format::key_id(&certificate.channel_key);
        let text = format!("{} may {} until {expires}; key {key}", wanted.name, wanted.role);
        let told = NewEvent { actor: actor.to_string(), ..event("operator.issued", "info", text) };
        self.commit(Batch::new(now(), actor, "operator issue").event(told)).await?;
        let bytes = with_signature(unsigned.clone(), &self.keys().sign_record(&unsigned));
        Ok(Operator {
            name: wanted.name.clone(),
            state: "issued".to_string(),
            role: wanted.role.clone(),
            expires,
            cluster: self.cluster.to_string(),
            key: key.to_string(),
            certificate: hex(&bytes),
            nodes: nodes(&self.world()),
        })
    }

    /// A node tells what an operator changed while the appliance was away. It becomes the appliance's own word, unless
    /// that is later already.
    pub(crate) async fn operator_wanted(&self, id: &str, wanted: &Wanted) {
        if let Err(error) = self.take_over(id, wanted).await {
            tracing::error!(
                node = id,
                error = crate::chain(&error),
                "an operator's change was not taken over"
            );
        }
    }

    async fn take_over(&self, id: &str, wanted: &Wanted) -> Result<(), Error> {
        let _change = self.change.lock().await;
        let (entry, key) = {
            let world = self.world();
            let Some(entry) = world.servers.get(&wanted.vs.to_string()) else { return Ok(()) };
            let partition = world.partitions.get(&entry.row.partition).map(|partition| &partition.row);
            let member = partition.is_some_and(|row| row.members.iter().any(|member| member == id));
            if !member && !lies_on(&entry.row, id) {
                return Ok(());
            }
            (entry.clone(), partition.and_then(|row| unhex(&row.key)).map(LinkKey))
        };
        let VsEntry { row: before, .. } = entry;
        let ahead = wanted.generation.saturating_sub(before.generation);
        let later = wanted.instance.saturating_sub(before.instance);
        if ahead == 0 || ahead > MOST_AHEAD || later > MOST_AHEAD {
            return Ok(());
        }
        let mut row = before.clone();
        row.generation = wanted.generation;
        row.running = wanted.running;
        if !row.running {
            row.started = None;
        }
        if later > 0 {
            row.instance = wanted.instance;
            // The same key as the members have made.
            if let (Some(key), Some(vs)) = (key, unhex(&row.id).map(VsId)) {
                row.link_key = hex(&amended_link_key(&key, vs, wanted.instance).0);
            }
        }
        let by = clean(&wanted.by);
        let word = if wanted.running { "running" } else { "stopped" };
        let text = format!("operator {by} wanted it {word} while the appliance was away");
        let told = self.vs_event(&by, &row, "vs.wanted", &text);
        let kind = if wanted.running { Kind::VsStart } else { Kind::VsStop };
        let drift = Drift {
            name: format!("{}.operator", row.name),
            kind: "operator".to_string(),
            node: self.world().nodes.get(id).map(|node| node.row.name.clone()).unwrap_or_default(),
            vs: row.name.clone(),
            wanted: format!(
                "{}, generation {}",
                if before.running { "running" } else { "stopped" },
                before.generation
            ),
            seen: format!("{word} by operator {by}, generation {}", row.generation),
            ..Drift::default()
        };
        let change = Change::Vs { before: Some(before), after: Some(row) };
        let plan = self.carry_out(&by, Draft::new(kind, vec![change], told), false).await?;
        let number = plan.transaction;
        self.drift_taken_over(Drift {
            outcome: format!("taken over in transaction {number}; to take it back: weft tx undo {number}"),
            ..drift
        });
        Ok(())
    }
}
