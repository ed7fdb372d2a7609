//! What members of partitions say, and what the appliance answers: founding, votes, configurations that were
//! missed.
//!
//! A promise is stored before it leaves, under the same lock as every other change.

use std::time::Instant;

use weft_membership::{Decision, Epoch, RecordId, Standing, Talk};
use weft_store::{Batch, NewEvent};
use weft_types::{ConfigNumber, NodeId};
use weft_wire::cluster::{ClusterPayload, ClusterReport, ClusterResult};

use crate::core::{Core, event};
use crate::error::Error;
use crate::partitions::bytes_of;
use crate::util::{hex, now, unhex};

fn standing(report: &ClusterReport) -> Standing {
    Standing {
        incarnation: report.incarnation,
        unfounded: report.unfounded,
        voter: report.voter,
        epoch: Epoch { counter: report.epoch.0, proposer: report.epoch.1 },
        record: RecordId { epoch: report.record.0, counter: report.record.1 },
        agreed: report.agreed,
    }
}

impl Core {
    /// A member reports how its partition stands.
    pub(crate) async fn cluster_report(&self, id: &str, report: ClusterReport) {
        if let Err(error) = self.on_report(id, report).await {
            tracing::error!(node = id, error = crate::chain(&error), "a partition's report was not answered");
        }
    }

    async fn on_report(&self, id: &str, report: ClusterReport) -> Result<(), Error> {
        let partition = report.partition.to_string();
        let known = {
            let mut world = self.world();
            let entry = world.partitions.get_mut(&partition);
            entry.filter(|entry| entry.row.members.iter().any(|member| member == id)).map(|entry| {
                entry.reports.insert(id.to_string(), (report.clone(), Instant::now()));
                entry.row.clone()
            })
        };
        let Some(row) = known else {
            if self.foreign_is_held(id, &report) {
                return Ok(());
            }
            // It was deleted while the node was away.
            let (_, record) = self.sign_cluster(&partition, &ClusterPayload::Dissolved).await?;
            self.send_cluster(id, record);
            return Ok(());
        };
        let behind = report.record < row.number;
        if (!report.agreed || (report.majority && behind))
            && let Some(record) = bytes_of(&row.record)
        {
            self.send_cluster(id, record);
        }
        if !report.agreed {
            self.consider_founding(&partition).await?;
        }
        Ok(())
    }

    /// Takes note of a partition that is not known here; whether its members are not to be told so yet.
    fn foreign_is_held(&self, id: &str, report: &ClusterReport) -> bool {
        let mut world = self.world();
        let Some(node) = world.nodes.get_mut(id) else { return true };
        let held = node.hold.holds();
        if held {
            node.foreign_partition(report);
        } else {
            node.foreign = None;
        }
        held
    }

    /// Founds a partition, the first time or anew, if too few of its members remember what was agreed.
    async fn consider_founding(&self, partition: &str) -> Result<(), Error> {
        let _change = self.change.lock().await;
        let considered = {
            let world = self.world();
            let Some(entry) = world.partitions.get(partition) else { return Ok(()) };
            let ids = |id: &String| unhex(id).map(NodeId);
            let members: Vec<NodeId> = entry.row.members.iter().filter_map(ids).collect();
            let reports: Vec<(NodeId, Standing)> = entry
                .row
                .members
                .iter()
                .filter_map(|id| Some((ids(id)?, standing(entry.report(&world, id)?))))
                .collect();
            let record = RecordId { epoch: entry.row.number.0, counter: entry.row.number.1 };
            let mut founder = entry.founder.clone();
            let founding = founder.consider(&members, &reports, record);
            founding.map(|founding| (founding, founder, entry.clone()))
        };
        let Some((founding, founder, entry)) = considered else { return Ok(()) };
        if founder != entry.founder {
            let mut row = entry.row.clone();
            row.founder = hex(&postcard::to_allocvec(&founder).unwrap_or_default());
            let told = event(
                "partition.founded",
                "info",
                format!("{} is founded, generation {}", row.name, founder.generation()),
            );
            let batch = Batch::new(now(), "appliance", "founding").observe_partition(&row).event(told);
            self.commit(batch).await?;
            if let Some(entry) = self.world().partitions.get_mut(partition) {
                entry.founder = founder;
                entry.row.founder = row.founder;
            }
        }
        self.tell_founding(partition, &founding, &entry.row.members, &entry.row.record).await
    }

    async fn tell_founding(
        &self,
        partition: &str,
        founding: &Decision,
        members: &[String],
        record: &str,
    ) -> Result<(), Error> {
        let bytes = postcard::to_allocvec(founding).unwrap_or_default();
        let (_, signed) = self.sign_cluster(partition, &ClusterPayload::Founding(bytes)).await?;
        for id in members {
            let named = unhex(id).is_some_and(|id| founding.incarnation(NodeId(id)) != 0);
            if named {
                // The configuration that it names must be in hand first.
                self.send_cluster(id, bytes_of(record).unwrap_or_default());
                self.send_cluster(id, signed.clone());
            }
        }
        Ok(())
    }

    /// A candidate asks for the appliance's vote.
    pub(crate) async fn cluster_talk(&self, id: &str, partition: &str, talk: &[u8]) {
        if let Err(error) = self.vote(id, partition, talk).await {
            tracing::error!(node = id, error = crate::chain(&error), "no vote was given");
        }
    }

    async fn vote(&self, id: &str, partition: &str, talk: &[u8]) -> Result<(), Error> {
        let Ok((talk, [])) = postcard::take_from_bytes::<Talk>(talk) else { return Ok(()) };
        let _change = self.change.lock().await;
        let (answer, founder, before) = {
            let world = self.world();
            let entry = world.partitions.get(partition);
            let Some(entry) = entry.filter(|entry| entry.row.members.iter().any(|member| member == id))
            else {
                return Ok(());
            };
            let mut founder = entry.founder.clone();
            let Some(answer) = founder.answer(&talk) else { return Ok(()) };
            (answer, founder, entry.clone())
        };
        if founder != before.founder {
            let mut row = before.row;
            row.founder = hex(&postcard::to_allocvec(&founder).unwrap_or_default());
            self.commit(Batch::new(now(), "appliance", "vote").observe_partition(&row)).await?;
            if let Some(entry) = self.world().partitions.get_mut(partition) {
                entry.founder = founder;
                entry.row.founder = row.founder;
            }
        }
        let bytes = postcard::to_allocvec(&answer).unwrap_or_default();
        let (_, signed) = self.sign_cluster(partition, &ClusterPayload::Vote(bytes)).await?;
        self.send_cluster(id, signed);
        Ok(())
    }

    /// What became of a configuration given to one member for all.
    pub(crate) fn cluster_result(&self, id: &str, name: &str, result: &ClusterResult) {
        let partition = result.partition.to_string();
        let entry = self.world().partitions.get(&partition).cloned();
        let Some(entry) = entry.filter(|entry| entry.row.members.iter().any(|member| member == id)) else {
            return;
        };
        let (epoch, counter) = result.record;
        let which = format!("configuration {} of {}", ConfigNumber { epoch, counter }, entry.row.name);
        let told = match &result.result {
            Ok(()) => event("partition.agreed", "info", format!("{which} is agreed")),
            Err(reason) => event(
                "partition.refused",
                "warn",
                format!("{which} is refused: {}", crate::heard::clean(reason)),
            ),
        };
        self.emit(NewEvent { node: name.to_string(), actor: name.to_string(), ..told });
    }
}
