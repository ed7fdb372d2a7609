//! Changes of virtual servers that are there: name, size, files, command line, settings, labels.
//!
//! A name, an affinity and labels are taken at once. What only a start can take is wished for: a running server keeps what it was
//! started with ([`VsRow::started`]), is told of to its node as that, and shows the rest as pending. Its memory is counted
//! as the larger of both, so that the next start finds its room.

use weft_api::{FieldChange, LabelChange, Plan, VsCreate, VsEdit};
use weft_store::{NewEvent, StartedRow, VsRow};

use crate::affinity::{check_affinity, normal};
use crate::auth::{Object, ObjectKind};
use crate::core::Core;
use crate::error::Error;
use crate::guest_settings::check_settings;
use crate::labels::relabelled;
use crate::moves::check_still;
use crate::servers::{
    blob, check, check_name, check_size, free_mib, given_mib, invalid, name_is_free, no_room, place_over,
};
use crate::transactions::{Change, Draft, Kind, compare};
use crate::world::World;

/// Whether a change of labels names any.
pub(crate) fn relabels(change: &LabelChange) -> bool {
    !change.set.is_empty() || !change.remove.is_empty()
}

/// What a running server does not have yet.
pub(crate) fn pending(row: &VsRow) -> Vec<FieldChange> {
    let Some(started) = &row.started else { return Vec::new() };
    let mut fields = compare("vs", started, &StartedRow::of(row));
    // The digests tell it.
    fields.retain(|field| !matches!(field.field.as_str(), "kernel_size" | "initrd_size"));
    fields
}

/// Lets a server that runs on keep what it was started with.
pub(crate) fn keep_started(before: &VsRow, row: &mut VsRow) {
    let goes_on = before.running && row.running && before.instance == row.instance;
    let started = before.started.clone().unwrap_or_else(|| StartedRow::of(before));
    row.started = Some(started).filter(|started| goes_on && *started != StartedRow::of(row));
}

/// The row after a change that was asked for, without the marks that [`check_edit`] makes.
fn wanted_row(before: &VsRow, wanted: &VsEdit) -> Result<VsRow, Error> {
    let mut row = before.clone();
    let VsEdit {
        name,
        vcpus,
        memory_mib,
        kernel,
        initrd,
        append,
        hostname,
        address,
        gateway,
        affinity,
        labels,
    } = wanted;
    for (field, value) in [
        (&mut row.name, name),
        (&mut row.kernel, kernel),
        (&mut row.initrd, initrd),
        (&mut row.append, append),
        (&mut row.hostname, hostname),
        (&mut row.address, address),
        (&mut row.gateway, gateway),
    ] {
        if let Some(value) = value {
            field.clone_from(value);
        }
    }
    if let Some(affinity) = affinity {
        row.affinity = normal(affinity)?;
    }
    row.vcpus = vcpus.unwrap_or(row.vcpus);
    row.memory_mib = memory_mib.unwrap_or(row.memory_mib);
    // A gateway goes with its address.
    if row.address.is_empty() && gateway.is_none() {
        row.gateway.clear();
    }
    if relabels(labels) {
        row.labels = relabelled(&before.labels, labels)?;
    }
    Ok(row)
}

/// Whether a server can become what `row` says; also for undos. Completes the row: sizes of files, places of one that
/// spans nodes, and what a running one keeps.
pub(crate) fn check_edit(world: &World, before: &VsRow, row: &mut VsRow) -> Result<(), Error> {
    if row.name != before.name {
        check_name(&row.name)?;
        name_is_free(world, &row.name)?;
    }
    if StartedRow::of(row) != StartedRow::of(before) {
        check_definition(world, before, row)?;
    }
    if (&row.affinity, row.vcpus, &row.places) != (&before.affinity, before.vcpus, &before.places) {
        check_affinity(world, row)?;
    }
    keep_started(before, row);
    let own = |id: &String| given_mib(before, id);
    if row.partition.is_empty() {
        if let Some(node) = world.nodes.get(&row.node).filter(|_| row.node == before.node) {
            let (need, had) = (given_mib(row, &row.node), own(&row.node));
            let room = free_mib(world, node).saturating_add(u64::from(had));
            if need > had && u64::from(need) > room {
                let title = format!("{} has {room} MiB for {}, {need} are asked", node.row.name, row.name);
                return Err(no_room(&title));
            }
        }
        let told = |row: &VsRow| (row.name.clone(), row.affinity.clone(), StartedRow::of(row));
        if told(row) != told(before) {
            check_size(world, row, &[])?;
        }
    }
    Ok(())
}

fn check_definition(world: &World, before: &VsRow, row: &mut VsRow) -> Result<(), Error> {
    check(&VsCreate {
        name: row.name.clone(),
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        append: row.append.clone(),
        ..VsCreate::default()
    })?;
    check_settings(&row.hostname, &row.address, &row.gateway)?;
    if row.kernel.is_empty() {
        return Err(invalid("a server has a kernel", "name one by its digest, or leave it out"));
    }
    (row.kernel, row.kernel_size) = blob(world, &row.kernel, "kernel")?;
    row.initrd_size = 0;
    if !row.initrd.is_empty() {
        (row.initrd, row.initrd_size) = blob(world, &row.initrd, "initial ram disk")?;
    }
    let resized = row.vcpus != before.vcpus || row.memory_mib != before.memory_mib;
    if resized && !row.partition.is_empty() {
        share_out_anew(world, before, row)?;
    }
    Ok(())
}

/// The places of a spanning server whose size changes: its members share it out anew, as if it were new.
fn share_out_anew(world: &World, before: &VsRow, row: &mut VsRow) -> Result<(), Error> {
    if before.running || row.running {
        return Err(Error::refused(
            409,
            "vs-running",
            format!(
                "{} spans nodes and is to run: its processors and memory are shared out anew, which takes that it is \
                 stopped",
                before.name
            ),
            format!("stop it first: weft vs stop {}", before.name),
        ));
    }
    if let Some(entry) = world.servers.get(&before.id) {
        check_still(world, entry)?;
    }
    let mut without = world.sketch();
    without.servers.remove(&before.id);
    let wanted = VsCreate {
        name: row.name.clone(),
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        partition: row.partition.clone(),
        ..VsCreate::default()
    };
    place_over(&without, &wanted, row, &[])
}

/// The row that an edit makes of a server, checked; the generation is as it was.
pub(crate) fn edited(world: &World, before: &VsRow, wanted: &VsEdit) -> Result<VsRow, Error> {
    let mut row = wanted_row(before, wanted)?;
    check_edit(world, before, &mut row)?;
    Ok(row)
}

/// What happened, for an event.
fn told(before: &VsRow, after: &VsRow) -> String {
    let fields = compare("vs", before, after);
    let of = |field: &FieldChange| {
        let shown =
            |text: &str| if text.is_empty() { "none".to_string() } else { text.chars().take(72).collect() };
        format!("{} {} → {}", field.field, shown(&field.before), shown(&field.after))
    };
    let all: Vec<String> =
        fields.iter().filter(|field| !field.derived && !field.field.ends_with("_size")).map(of).collect();
    let when = if after.started.is_some() { "; what a start takes waits for the next one" } else { "" };
    format!("{}{when}", all.join(", "))
}

impl Core {
    /// Changes a virtual server.
    pub(crate) async fn vs_edit(
        &self,
        actor: &str,
        name: &str,
        wanted: &VsEdit,
        dry: bool,
    ) -> Result<Plan, Error> {
        if *wanted == VsEdit::default() {
            return Err(invalid(
                "nothing is to change",
                "name what is: weft vs set NAME --memory 512M; see weft vs set --help",
            ));
        }
        let _change = self.change.lock().await;
        let before = self.find_vs(name)?.row;
        let after = edited(&self.world(), &before, wanted)?;
        let (kind, decided) = self.decide_edit(actor, before, after)?;
        self.carry_out(actor, Draft::of(kind, decided), dry).await
    }

    /// The change that makes a row of another, and its kind: labels alone are no new definition.
    pub(crate) fn decide_edit(
        &self,
        actor: &str,
        before: VsRow,
        mut after: VsRow,
    ) -> Result<(Kind, Option<(Change, NewEvent)>), Error> {
        if before == after {
            return Ok((Kind::VsSet, None));
        }
        let alone = VsRow { labels: before.labels.clone(), ..after.clone() } == before;
        if !alone {
            if after.labels != before.labels {
                for row in [&before, &after] {
                    let object = Object::new(ObjectKind::Vs, &row.id, &row.name);
                    self.allow_asked("label", &Object { labels: Some(&row.labels), ..object })?;
                }
            }
            after.generation = before.generation.saturating_add(1);
        }
        self.check_spanned(&after, true)?;
        let (kind, name) = if alone { (Kind::VsLabel, "vs.labelled") } else { (Kind::VsSet, "vs.changed") };
        let event = self.vs_event(actor, &after, name, &told(&before, &after));
        Ok((kind, Some((Change::Vs { before: Some(before), after: Some(after) }, event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(memory_mib: u32, running: bool) -> VsRow {
        VsRow { name: "web".into(), memory_mib, running, instance: 1, vcpus: 1, ..VsRow::default() }
    }

    #[test]
    fn what_runs_keeps_what_it_was_started_with_until_it_is_as_it_was() {
        let before = row(256, true);
        let mut larger = row(512, true);
        keep_started(&before, &mut larger);
        assert_eq!((larger.memory_mib, larger.in_force().memory_mib), (512, 256));
        let fields: Vec<_> = pending(&larger).into_iter().map(|f| (f.field, f.before, f.after)).collect();
        assert_eq!(fields, [("memory_mib".to_string(), "256".to_string(), "512".to_string())]);
        let mut larger_still = VsRow { memory_mib: 1024, ..larger.clone() };
        keep_started(&larger, &mut larger_still);
        assert_eq!(larger_still.in_force().memory_mib, 256, "the start counts, not the last wish");
        let mut back = VsRow { memory_mib: 256, ..larger_still.clone() };
        keep_started(&larger_still, &mut back);
        assert_eq!((back.started.clone(), pending(&back)), (None, Vec::new()));
        let mut stopped = VsRow { running: false, ..larger_still.clone() };
        keep_started(&larger_still, &mut stopped);
        assert_eq!(stopped.in_force().memory_mib, 1024);
    }

    #[test]
    fn what_is_left_out_stays_and_a_gateway_goes_with_its_address() {
        let before = VsRow {
            append: "quiet".into(),
            address: "10.0.0.5/24".into(),
            gateway: "10.0.0.1".into(),
            ..row(256, false)
        };
        let wanted = VsEdit { vcpus: Some(2), address: Some(String::new()), ..VsEdit::default() };
        let after = wanted_row(&before, &wanted).expect("a row");
        assert_eq!((after.vcpus, after.memory_mib, after.append.as_str()), (2, 256, "quiet"));
        assert_eq!((after.address.as_str(), after.gateway.as_str()), ("", ""));
    }
}
