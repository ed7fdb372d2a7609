//! What the leader does for the others: makes voters of learners, keeps what each says of itself, removes one that is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use weft_api::{Appliance, ApplianceState};
use weft_store::{ApplianceRow, Standing, StoreError, api_address};

use super::{Peers, dial, peer_address};
use crate::core::{Core, event};
use crate::error::Error;
use crate::util::{now, stopped};

/// How often the leader looks after the others.
const EVERY: Duration = Duration::from_secs(1);
/// Records of the log that a learner may lack when it becomes a voter; it gets them before it counts.
const BEHIND: u64 = 100;
/// Below so many, a vote more makes nothing safer.
const LEAST: usize = 3;
/// Time for an appliance to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time for a change of voters.
const CHANGE: Duration = Duration::from_secs(60);

/// What an appliance says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) urls: Vec<String>,
    pub(super) applied: u64,
    pub(super) lacks: usize,
}

impl Peers {
    /// How this one is.
    pub(super) async fn status(&self) -> Result<Status, Error> {
        let standing = self.store.standing().await?;
        let lacks = self.lacking().await?.len().saturating_add(usize::from(self.lacks_documents().await?));
        let (id, name) = (self.member.id, self.member.name.clone());
        Ok(Status { id, name, urls: self.urls(), applied: standing.applied, lacks })
    }

    async fn status_of(&self, at: SocketAddr) -> Option<Status> {
        let asked = ("GET", "/cluster/status");
        let answer = dial::ask(&self.client, peer_address(at), asked, None, Vec::new(), PATIENCE).await;
        serde_json::from_slice(&answer.ok()?).ok()
    }

    /// The state of each of the others that answers, by number.
    async fn statuses(&self, standing: &Standing) -> BTreeMap<u64, Status> {
        let others = standing.holders.iter().filter(|holder| holder.id != standing.own);
        let asked = others.filter_map(|holder| {
            let at: SocketAddr = holder.address.parse().ok()?;
            Some(async move { Some((holder.id, self.status_of(at).await?)) })
        });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Looks after the others until `stop`; the core leads.
    pub async fn tend(self: Arc<Self>, core: Arc<Core>, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.look_after(&core).await {
                tracing::debug!(error = crate::chain(&error), "looking after the other appliances");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    async fn look_after(&self, core: &Core) -> Result<(), Error> {
        let standing = self.store.standing().await?;
        if !standing.leads {
            return Ok(());
        }
        let known = core.store.appliances().await?;
        let own = (self.member.id, self.member.address.to_string());
        let mut said = vec![(own.1.clone(), self.status().await?)];
        let mut statuses = self.statuses(&standing).await;
        let answers: BTreeSet<u64> = statuses.keys().copied().collect();
        self.promote(core, &standing, &answers).await?;
        for holder in &standing.holders {
            said.extend(statuses.remove(&holder.id).map(|status| (holder.address.clone(), status)));
        }
        for (address, status) in said {
            let row = ApplianceRow { id: status.id, name: status.name, address, urls: status.urls };
            if !known.contains(&row) {
                core.store.put_appliance(&row).await?;
            }
        }
        Ok(())
    }

    /// Makes voters of all learners that have the log and answer, where there are three of all.
    async fn promote(&self, core: &Core, standing: &Standing, answers: &BTreeSet<u64>) -> Result<(), Error> {
        let has_it = |has: Option<u64>| has.is_some_and(|has| has.saturating_add(BEHIND) >= standing.log);
        let learners: Vec<u64> = standing
            .holders
            .iter()
            .filter(|holder| !holder.voter && has_it(holder.has) && answers.contains(&holder.id))
            .map(|holder| holder.id)
            .collect();
        let mut voters: Vec<u64> =
            standing.holders.iter().filter(|holder| holder.voter).map(|holder| holder.id).collect();
        if learners.is_empty() || voters.len().saturating_add(learners.len()) < LEAST {
            return Ok(());
        }
        voters.extend(&learners);
        self.change_voters("POST", &json!(voters)).await?;
        let text = format!("{} appliances have a vote now", voters.len());
        core.emit(event("appliance.voters", "info", text));
        Ok(())
    }

    /// A change of voters by the store's own interface, here: the leader makes it.
    async fn change_voters(&self, method: &str, what: &serde_json::Value) -> Result<(), Error> {
        let at = api_address(self.member.address);
        let asked = (method, "/cluster/membership/sqlite");
        let body = what.to_string().into_bytes();
        dial::ask(&self.client, at, asked, Some(&self.secret), body, CHANGE).await?;
        Ok(())
    }

    /// All appliances, as this one knows them.
    pub(crate) async fn show(&self) -> Result<Vec<Appliance>, Error> {
        let standing = self.store.standing().await?;
        let statuses = self.statuses(&standing).await;
        let own = self.status().await?;
        let mut all = Vec::new();
        for row in self.store.appliances().await? {
            let holder = standing.holders.iter().find(|holder| holder.id == row.id);
            let status = if row.id == standing.own { Some(&own) } else { statuses.get(&row.id) };
            let voter = holder.is_some_and(|holder| holder.voter);
            let state = match (holder, status) {
                (None, _) => ApplianceState::Invited,
                (Some(_), None) => ApplianceState::Unreachable,
                (Some(_), Some(_)) if standing.leader == Some(row.id) => ApplianceState::Leads,
                (Some(_), Some(_)) if voter => ApplianceState::Follows,
                (Some(_), Some(_)) => ApplianceState::Learns,
            };
            let applied = status.map_or(0, |status| status.applied);
            all.push(Appliance {
                id: row.id,
                name: row.name,
                state,
                voter,
                address: row.address,
                urls: status.map(|status| status.urls.clone()).unwrap_or(row.urls),
                applied,
                behind: standing.log.saturating_sub(applied),
                lacks: status.map_or(0, |status| status.lacks as u64),
            });
        }
        Ok(all)
    }

    /// Removes another one, which need not answer.
    pub(crate) async fn remove(&self, core: &Core, actor: &str, name: &str) -> Result<(), Error> {
        let rows = core.store.appliances().await?;
        let row = rows.into_iter().find(|row| row.name == name);
        let row = row
            .ok_or_else(|| Error::not_found("no-such-appliance", "appliance", name, "weft appliance list"))?;
        if row.id == self.member.id {
            return Err(Error::refused(
                409,
                "leads",
                format!("{name} leads, and does not remove itself"),
                "stop it; once another leads, remove it there",
            ));
        }
        self.change_voters("DELETE", &json!({"node_id": row.id, "stay_as_learner": false})).await?;
        // With other voters it takes a moment until a majority of them has answered.
        let mut tries = 0u32;
        while let Err(error) = core.store.delete_appliance(row.id).await {
            tries = tries.saturating_add(1);
            if tries > 50 || !matches!(error, StoreError::NotLeader) {
                return Err(error.into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let told = weft_store::NewEvent {
            actor: actor.to_string(),
            ..event("appliance.removed", "warn", format!("appliance {name} is none of them any more"))
        };
        core.commit(weft_store::Batch::new(now(), actor, "appliance remove").event(told)).await?;
        Ok(())
    }
}
