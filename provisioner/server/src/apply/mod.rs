//! What is wanted, as one document: exported, compared, and made so in one transaction.
//!
//! ```text
//! document ─▶ each object decided on what those before it leave ─┬─ none refuses ─▶ one Draft ─▶ one transaction, or its plan
//!                                                                └─ one refuses ──▶ each refusal by name, nothing is changed
//! ```
//! [`decide`] turns a document into changes by the code of the single verbs, [`export`] turns the world into a document.

mod decide;
mod export;
mod networks;
mod servers;

use weft_api::{Apply, MAX_MANIFEST_OBJECTS, Manifest, Plan, Selector};

use crate::auth::{Sight, asking};
use crate::core::Core;
use crate::error::Error;
use crate::servers::invalid;
use crate::transactions::{Draft, Kind};
use crate::world::World;
use decide::Decision;

impl Core {
    /// Makes a document so, or says only what that would do.
    pub(crate) async fn apply(&self, actor: &str, wanted: &Apply, dry: bool) -> Result<Plan, Error> {
        let Apply { manifest, prune } = wanted;
        if manifest.objects() > MAX_MANIFEST_OBJECTS {
            return Err(invalid(
                format!("the document names {} objects", manifest.objects()),
                format!("at most {MAX_MANIFEST_OBJECTS}: apply it in parts"),
            ));
        }
        let prune: Option<Selector> = if prune.is_empty() { None } else { Some(prune.parse()?) };
        let _change = self.change.lock().await;
        let mut decision = Decision::new(self, actor);
        decision.all(manifest)?;
        if let Some(selector) = &prune {
            let sight = asking::current().map(|caller| Sight::of(self, &caller));
            decision.prune(manifest, selector, sight)?;
        }
        let Decision { world, decided, refused, .. } = decision;
        if !refused.is_empty() {
            let plan = Plan {
                name: Kind::Apply.name().to_string(),
                state: "conflict".to_string(),
                conflicts: refused,
                ..Plan::default()
            };
            return if dry { Ok(plan) } else { Err(refusal(&plan)) };
        }
        let sources = self.world().sources("", "")?;
        let draft = Draft { sources, ..Draft::of(Kind::Apply, decided) };
        let mut plan = self.carry_out(actor, draft, dry).await?;
        names(&world, &mut plan);
        Ok(plan)
    }

    /// What there is, as a document: all kinds, or one; all objects, or one of that name.
    pub(crate) fn export(&self, kind: &str, name: &str) -> Result<Manifest, Error> {
        let sight = asking::current().map(|caller| Sight::of(self, &caller));
        export::export(&self.world(), sight, kind, name)
    }
}

fn refusal(plan: &Plan) -> Error {
    let reasons: Vec<&str> = plan.conflicts.iter().map(|conflict| conflict.text.as_str()).collect();
    Error::refused(
        409,
        "apply-refused",
        format!("nothing was changed, {} in the way: {}", reasons.len(), reasons.join(". ")),
        "change the document, or clear what is in the way; see each: weft diff -f FILE",
    )
}

/// Names of switches, ports and gateway ports: one identity, or a list of them as JSON.
fn net_names(world: &World, ids: &str) -> Option<String> {
    if let Some(row) = world.networks.get(ids) {
        return Some(row.name.clone());
    }
    let ids: Vec<String> = serde_json::from_str(ids).ok()?;
    Some(ids.iter().map(|id| world.net_name(id)).collect::<Vec<_>>().join(", "))
}

/// Puts names where a plan has identities, as the document has them.
fn names(world: &World, plan: &mut Plan) {
    let name = |field: &str, id: &str| -> Option<String> {
        match field {
            "node" => world.nodes.get(id).map(|node| node.row.name.clone()),
            "frame" | "parent" => world.containers.get(id).map(|row| row.name.clone()),
            "switch" | "port" | "gateways" => net_names(world, id),
            "server" => world.servers.get(id).map(|vs| vs.row.name.clone()),
            "partition" => world.partitions.get(id).map(|entry| entry.row.name.clone()),
            _ => None,
        }
    };
    for field in plan.objects.iter_mut().flat_map(|object| &mut object.fields) {
        for text in [&mut field.before, &mut field.after] {
            if let Some(name) = name(&field.field, text) {
                *text = name;
            }
        }
    }
}
