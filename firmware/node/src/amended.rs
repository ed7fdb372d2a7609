//! Membership's side of what operators change: what is in force to look at, and the record that an amendment makes of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_format::operator::{Amended, is_amended};
use weft_wire::operator::{Amendment, PartitionView};
use weft_wire::record::VsSpec;

use crate::cluster::Cluster;

impl Cluster {
    /// The servers of the partition, as agreed.
    pub fn servers(&self) -> &[VsSpec] {
        self.joined.as_ref().map_or(&[], |joined| &joined.in_force.servers)
    }

    /// The partition as an operator sees it.
    pub fn view(&self) -> Option<PartitionView> {
        let joined = self.joined.as_ref()?;
        let standing = joined.membership.standing();
        let amendment = joined.in_force.amendment.as_ref();
        Some(PartitionView {
            id: joined.partition.id,
            name: joined.partition.name.clone(),
            members: joined.partition.members.iter().map(|member| member.node).collect(),
            view: joined.reach.members.clone(),
            majority: joined.majority,
            epoch: standing.epoch.counter,
            record: (standing.record.epoch, standing.record.counter),
            changes: amendment.map_or(Vec::new(), |(_, amendment)| amendment.changes.clone()),
        })
    }

    /// The record in force with an operator's amendment in place of the one that it may have. Nothing is judged.
    pub fn amended(&self, certificate: &[u8], amendment: &[u8]) -> Result<Vec<u8>, String> {
        let joined = self.joined.as_ref().ok_or("this node is in no partition")?;
        let record = &joined.in_force.record;
        if record.is_empty() {
            return Err("this node has not joined its partition yet; try again".into());
        }
        let base = match is_amended(record) {
            true => Amended::parse(record).map_err(|error| format!("{error}"))?.base,
            false => record,
        };
        Amended { certificate, amendment, base }.encode().map_err(|error| format!("the amendment: {error}"))
    }

    /// Whether an amendment was made of what is in force now.
    pub fn follows(&self, amendment: &Amendment) -> Result<(), String> {
        let standing = self.joined.as_ref().map(|joined| joined.membership.standing().record);
        let agreed = standing.unwrap_or_default();
        let base = agreed.number().base();
        let next = agreed.number().amendment().checked_add(1);
        let next = next.ok_or("this configuration was amended too often; start the appliance")?;
        if amendment.base == (base.epoch, base.counter) && amendment.number == next {
            return Ok(());
        }
        Err(format!("configuration {agreed} is in force by now; look again"))
    }
}
