//! Templates: what several servers have in common, without what is each one's own.

use weft_api::{LabelChange, Plan, Template, TemplateCreate, VsCreate};
use weft_store::{NewEvent, TemplateRow, VsRow};

use crate::auth::ObjectKind;
use crate::core::{Core, event};
use crate::error::Error;
use crate::labels::{relabelled, text};
use crate::servers::{blob, check, check_name, guest, invalid};
use crate::transactions::{Change, Draft, Kept, Kind};
use crate::util::{hex, random};
use crate::world::{Lookup, World};

/// Most templates.
const MAX_TEMPLATES: usize = 1024;

pub(crate) fn template_event(actor: &str, name: &str, text: String) -> NewEvent {
    NewEvent { actor: actor.to_string(), ..event(name, "info", text) }
}

impl World {
    /// A template by name, id, or unique prefix.
    pub(crate) fn template(&self, name: &str) -> Result<&TemplateRow, Lookup> {
        let all = self.templates.values();
        match all.clone().find(|row| row.name == name) {
            Some(row) => Ok(row),
            None => crate::world::unique(all.filter(|row| crate::world::prefix(&row.id, name))),
        }
    }
}

/// A template that a name does not lead to.
fn lost(lookup: Lookup, name: &str) -> Error {
    match lookup {
        Lookup::Missing => Error::not_found("template-not-found", "template", name, "weft template list"),
        Lookup::Ambiguous => Error::ambiguous("template", name),
    }
}

/// Whether a template may stand so: a free name, files and a partition that are there.
pub(crate) fn check_template(world: &World, row: &TemplateRow) -> Result<(), Error> {
    if world.templates.values().any(|other| other.name == row.name && other.id != row.id) {
        let title = format!("there is a template {}", row.name);
        return Err(Error::refused(409, "taken", title, "choose another name"));
    }
    blob(world, &row.kernel, "kernel")?;
    if !row.initrd.is_empty() {
        blob(world, &row.initrd, "initial ram disk")?;
    }
    if !row.partition.is_empty() && !world.partitions.contains_key(&row.partition) {
        return Err(Error::not_found(
            "partition-not-found",
            "partition",
            &row.partition,
            "weft partition list",
        ));
    }
    Ok(())
}

/// As the interface shows it.
pub(crate) fn show_template(world: &World, row: &TemplateRow) -> Template {
    let partition = world.partitions.get(&row.partition);
    let complete = row.partition.is_empty() || partition.is_some();
    Template {
        name: row.name.clone(),
        state: if complete { "ready" } else { "incomplete" }.to_string(),
        id: row.id.clone(),
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        kernel: row.kernel.clone(),
        initrd: row.initrd.clone(),
        append: row.append.clone(),
        partition: partition.map_or_else(|| row.partition.clone(), |entry| entry.row.name.clone()),
        labels: row.labels.clone(),
        generation: row.generation,
    }
}

/// What a server is that is made of a template, with what the request says itself.
pub(crate) fn of_template(world: &World, wanted: &VsCreate) -> Result<VsCreate, Error> {
    if wanted.template.is_empty() {
        return Ok(wanted.clone());
    }
    let row = world.template(&wanted.template).map_err(|lookup| lost(lookup, &wanted.template))?;
    let mut whole = wanted.clone();
    if whole.vcpus == 0 {
        whole.vcpus = row.vcpus;
    }
    if whole.memory_mib == 0 {
        whole.memory_mib = row.memory_mib;
    }
    if whole.kernel.is_empty() {
        whole.kernel.clone_from(&row.kernel);
        if whole.initrd.is_empty() {
            whole.initrd.clone_from(&row.initrd);
        }
    }
    if whole.append.is_empty() {
        whole.append.clone_from(&row.append);
    }
    if whole.node.is_empty() && whole.partition.is_empty() {
        whole.partition.clone_from(&row.partition);
    }
    for (key, value) in &row.labels {
        whole.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Ok(whole)
}

/// The row of a new template.
pub(crate) fn new_template(world: &World, wanted: &TemplateCreate) -> Result<TemplateRow, Error> {
    check_name(&wanted.name)?;
    if world.templates.len() >= MAX_TEMPLATES {
        let title = format!("there are {MAX_TEMPLATES} templates");
        return Err(Error::refused(409, "too-many", title, "delete one: weft template list"));
    }
    let mut row = TemplateRow {
        id: hex(&random::<16>()),
        name: wanted.name.clone(),
        labels: wanted.labels.clone(),
        generation: 1,
        ..TemplateRow::default()
    };
    let described = VsCreate {
        name: wanted.name.clone(),
        vcpus: wanted.vcpus,
        memory_mib: wanted.memory_mib,
        kernel: wanted.kernel.clone(),
        initrd: wanted.initrd.clone(),
        append: wanted.append.clone(),
        labels: wanted.labels.clone(),
        ..VsCreate::default()
    };
    if wanted.from.is_empty() {
        check(&described)?;
        let mut files = VsRow::default();
        guest(world, &described, &mut files)?;
        if !wanted.partition.is_empty() {
            let partition = world.partition(&wanted.partition).map_err(|lookup| match lookup {
                Lookup::Missing => Error::not_found(
                    "partition-not-found",
                    "partition",
                    &wanted.partition,
                    "weft partition list",
                ),
                Lookup::Ambiguous => Error::ambiguous("partition", &wanted.partition),
            })?;
            row.partition.clone_from(&partition.row.id);
        }
        (row.vcpus, row.memory_mib, row.append) = (wanted.vcpus, wanted.memory_mib, wanted.append.clone());
        (row.kernel, row.initrd) = (files.kernel, files.initrd);
        return Ok(row);
    }
    let own = VsCreate { name: wanted.name.clone(), labels: wanted.labels.clone(), ..VsCreate::default() };
    if described != own || !wanted.partition.is_empty() {
        return Err(invalid(
            "a server was named, and a description beside it",
            "name the server alone, or describe the template",
        ));
    }
    crate::labels::check_labels(&wanted.labels)?;
    let vs = world.server(&wanted.from).map_err(|lookup| match lookup {
        Lookup::Missing => Error::not_found("vs-not-found", "virtual server", &wanted.from, "weft vs list"),
        Lookup::Ambiguous => Error::ambiguous("virtual server", &wanted.from),
    })?;
    let of = vs.row.clone();
    (row.vcpus, row.memory_mib, row.append) = (of.vcpus, of.memory_mib, of.append);
    (row.kernel, row.initrd, row.partition) = (of.kernel, of.initrd, of.partition);
    if row.labels.is_empty() {
        row.labels = of.labels;
    }
    Ok(row)
}

impl Core {
    pub(crate) fn find_template(&self, name: &str) -> Result<TemplateRow, Error> {
        self.world().template(name).cloned().map_err(|lookup| lost(lookup, name))
    }

    /// Creates a template: the plan, and the template where it is made.
    pub(crate) async fn template_create(
        &self,
        actor: &str,
        wanted: TemplateCreate,
        dry: bool,
    ) -> Result<(Plan, Option<Template>), Error> {
        let _change = self.change.lock().await;
        // It has all that the server has.
        self.allow_named_by("copy", ObjectKind::Vs, &wanted.from)?;
        let row = {
            let world = self.world();
            let row = new_template(&world, &wanted)?;
            check_template(&world, &row)?;
            row
        };
        let told = template_event(actor, "template.created", row.name.clone());
        let id = row.id.clone();
        let change = Change::Kept(Kept::Template { before: None, after: Some(row) });
        let plan = self.carry_out(actor, Draft::new(Kind::TemplateCreate, vec![change], told), dry).await?;
        let world = self.world();
        Ok((plan, world.templates.get(&id).map(|row| show_template(&world, row))))
    }

    /// Deletes a template. Servers that were made of it stay as they are.
    pub(crate) async fn template_delete(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.find_template(name)?;
        let told = template_event(actor, "template.deleted", row.name.clone());
        let change = Change::Kept(Kept::Template { before: Some(row), after: None });
        self.carry_out(actor, Draft::new(Kind::TemplateDelete, vec![change], told), dry).await
    }

    /// Changes labels of a template.
    pub(crate) async fn label_template(
        &self,
        actor: &str,
        name: &str,
        wanted: &LabelChange,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let before = self.find_template(name)?;
        let labels = relabelled(&before.labels, wanted)?;
        let decided = (labels != before.labels).then(|| {
            let told =
                template_event(actor, "template.labelled", format!("{}: {}", before.name, text(&labels)));
            let generation = before.generation.saturating_add(1);
            let after = TemplateRow { labels, generation, ..before.clone() };
            (Change::Kept(Kept::Template { before: Some(before), after: Some(after) }), told)
        });
        self.carry_out(actor, Draft::of(Kind::TemplateLabel, decided), dry).await
    }
}
