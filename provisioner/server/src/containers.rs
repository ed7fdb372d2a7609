//! What nodes stand in: data centers, virtual mainframes, frames. No node hears of it.
//!
//! ```text
//! data center ─▶ virtual mainframe ─▶ frame ─▶ node        free pool: approved nodes in no frame
//! ```
//! Each but the first stands in exactly one of the level before it, and what holds something stays.

use weft_api::{Container, ContainerCreate, ContainerEdit, Plan};
use weft_store::{ContainerRow, Level, NewEvent};

use crate::auth::ObjectKind;
use crate::core::{Core, event};
use crate::error::Error;
use crate::labels::{check_labels, relabelled};
use crate::servers::{check_name, invalid};
use crate::transactions::{Change, Draft, Kept, Kind};
use crate::util::{hex, random};
use crate::world::{Lookup, World};

/// Most of one level.
pub(crate) const MAX_OF_LEVEL: usize = 4096;
/// Names that a refusal tells.
const MAX_TOLD: usize = 3;

/// As people read it.
pub(crate) const fn words(level: Level) -> &'static str {
    match level {
        Level::Datacenter => "data center",
        Level::Mainframe => "virtual mainframe",
        Level::Frame => "frame",
    }
}

/// What it stands in; `None`: nothing.
pub(crate) const fn above(level: Level) -> Option<Level> {
    match level {
        Level::Datacenter => None,
        Level::Mainframe => Some(Level::Datacenter),
        Level::Frame => Some(Level::Mainframe),
    }
}

/// As rights call it.
pub(crate) const fn object_kind(level: Level) -> ObjectKind {
    match level {
        Level::Datacenter => ObjectKind::Datacenter,
        Level::Mainframe => ObjectKind::Mainframe,
        Level::Frame => ObjectKind::Frame,
    }
}

/// Kinds of transactions: create, edit, delete.
const fn kinds(level: Level) -> [Kind; 3] {
    match level {
        Level::Datacenter => [Kind::DatacenterCreate, Kind::DatacenterEdit, Kind::DatacenterDelete],
        Level::Mainframe => [Kind::MainframeCreate, Kind::MainframeEdit, Kind::MainframeDelete],
        Level::Frame => [Kind::FrameCreate, Kind::FrameEdit, Kind::FrameDelete],
    }
}

impl World {
    /// A container of a level by name, id, or unique prefix.
    pub(crate) fn container(&self, level: Level, name: &str) -> Result<&ContainerRow, Lookup> {
        let all = self.containers.values().filter(|row| row.level == level);
        match all.clone().find(|row| row.name == name) {
            Some(row) => Ok(row),
            None => crate::world::unique(all.filter(|row| crate::world::prefix(&row.id, name))),
        }
    }

    /// The name of a container; its id where it is gone.
    pub(crate) fn container_name(&self, id: &str) -> String {
        self.containers.get(id).map_or_else(|| id.to_string(), |row| row.name.clone())
    }

    /// Names of what stands in a container, in order.
    pub(crate) fn inside(&self, row: &ContainerRow) -> Vec<String> {
        let mut names: Vec<String> = match row.level {
            Level::Frame => {
                let nodes = self.nodes.values().map(|node| &node.row);
                nodes.filter(|node| node.approved && node.frame == row.id).map(|n| n.name.clone()).collect()
            }
            Level::Datacenter | Level::Mainframe => {
                let rows = self.containers.values().filter(|inner| inner.parent == row.id);
                rows.map(|inner| inner.name.clone()).collect()
            }
        };
        names.sort();
        names
    }
}

/// A container that a name does not lead to.
pub(crate) fn lost(lookup: Lookup, level: Level, name: &str) -> Error {
    let (code, list) = match level {
        Level::Datacenter => ("datacenter-not-found", "weft datacenter list"),
        Level::Mainframe => ("mainframe-not-found", "weft mainframe list"),
        Level::Frame => ("frame-not-found", "weft frame list"),
    };
    match lookup {
        Lookup::Missing => Error::not_found(code, words(level), name, list),
        Lookup::Ambiguous => Error::ambiguous(words(level), name),
    }
}

/// Some names, for a person.
pub(crate) fn some(names: &[String]) -> String {
    let shown = names.iter().take(MAX_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_TOLD) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a container may stand as it is here, after it stood as `before`; also for undos.
pub(crate) fn check_container(
    world: &World,
    before: Option<&ContainerRow>,
    after: Option<&ContainerRow>,
) -> Result<(), Error> {
    let Some(row) = after else { return before.map_or(Ok(()), |row| check_empty(world, row)) };
    let taken =
        |other: &&ContainerRow| other.level == row.level && other.name == row.name && other.id != row.id;
    if let Some(other) = world.containers.values().find(taken) {
        let title = format!("there is a {} {}", words(other.level), other.name);
        return Err(Error::refused(409, "taken", title, "choose another name"));
    }
    let parent = world.containers.get(&row.parent);
    match above(row.level) {
        None => Ok(()),
        Some(level) if parent.is_some_and(|parent| parent.level == level) => Ok(()),
        Some(level) => Err(Error::refused(
            409,
            "parent-gone",
            format!("the {} that {} stood in is gone", words(level), row.name),
            "undo that it was deleted first: weft tx list",
        )),
    }
}

fn check_empty(world: &World, row: &ContainerRow) -> Result<(), Error> {
    let inside = world.inside(row);
    let Some(first) = inside.first() else { return Ok(()) };
    let (what, next) = match row.level {
        Level::Datacenter => ("holds", format!("delete or move it first: weft mainframe delete {first}")),
        Level::Mainframe => ("holds", format!("delete or move it first: weft frame delete {first}")),
        Level::Frame => ("holds", format!("move them out first: weft node move {} --free", inside.join(" "))),
    };
    let title = format!("{} {} {what} {}", words(row.level), row.name, some(&inside));
    Err(Error::refused(409, "in-use", title, next))
}

/// As the interface shows it, with the names of those inside that are seen.
pub(crate) fn show_container(
    world: &World,
    row: &ContainerRow,
    mut seen: impl FnMut(&World, &str) -> bool,
) -> Container {
    let mut children = world.inside(row);
    let state = if children.is_empty() { "empty" } else { "in-use" };
    children.retain(|name| seen(world, name));
    Container {
        name: row.name.clone(),
        state: state.to_string(),
        id: row.id.clone(),
        kind: row.level.word().to_string(),
        parent: world.containers.get(&row.parent).map(|parent| parent.name.clone()).unwrap_or_default(),
        children,
        labels: row.labels.clone(),
        generation: row.generation,
    }
}

pub(crate) fn container_event(actor: &str, level: Level, what: &str, text: String) -> NewEvent {
    NewEvent { actor: actor.to_string(), ..event(&format!("{}.{what}", level.word()), "info", text) }
}

impl Core {
    pub(crate) fn find_container(&self, level: Level, name: &str) -> Result<ContainerRow, Error> {
        self.world().container(level, name).cloned().map_err(|lookup| lost(lookup, level, name))
    }

    /// What something of this level is to stand in.
    fn parent_of(&self, level: Level, name: &str) -> Result<String, Error> {
        let Some(above) = above(level) else {
            return if name.is_empty() {
                Ok(String::new())
            } else {
                Err(invalid("a data center stands in nothing", "leave parent out"))
            };
        };
        if name.is_empty() {
            let title = format!("it is not said which {} the {} stands in", words(above), words(level));
            let (word, own) = (above.word(), level.word());
            return Err(invalid(title, format!("weft {own} create NAME --{word} {}", word.to_uppercase())));
        }
        self.allow_named_by("view", object_kind(above), name)?;
        self.find_container(above, name).map(|row| row.id)
    }

    /// Creates a container: the plan, and its id where it is made.
    pub(crate) async fn container_create(
        &self,
        actor: &str,
        level: Level,
        wanted: &ContainerCreate,
        dry: bool,
    ) -> Result<(Plan, Option<ContainerRow>), Error> {
        check_name(&wanted.name)?;
        check_labels(&wanted.labels)?;
        let _change = self.change.lock().await;
        if self.world().containers.values().filter(|row| row.level == level).count() >= MAX_OF_LEVEL {
            let title = format!("there are {MAX_OF_LEVEL} {}s", words(level));
            let next = format!("delete one: weft {} list", level.word());
            return Err(Error::refused(409, "too-many", title, next));
        }
        let row = ContainerRow {
            id: hex(&random::<16>()),
            level,
            name: wanted.name.clone(),
            parent: self.parent_of(level, &wanted.parent)?,
            labels: wanted.labels.clone(),
            generation: 1,
        };
        check_container(&self.world(), None, Some(&row))?;
        let told = container_event(actor, level, "created", row.name.clone());
        let id = row.id.clone();
        let [kind, _, _] = kinds(level);
        let change = Change::Kept(Kept::Container { before: None, after: Some(row) });
        let plan = self.carry_out(actor, Draft::new(kind, vec![change], told), dry).await?;
        Ok((plan, self.world().containers.get(&id).cloned()))
    }

    /// Renames, relabels or moves a container.
    pub(crate) async fn container_edit(
        &self,
        actor: &str,
        (level, name): (Level, &str),
        wanted: &ContainerEdit,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let before = self.find_container(level, name)?;
        let ContainerEdit { name: renamed, parent, labels, generation } = wanted;
        let relabel = !labels.set.is_empty() || !labels.remove.is_empty();
        if renamed.is_empty() && parent.is_empty() && !relabel {
            return Err(invalid("nothing is to change", "give a name, a parent, or labels"));
        }
        if *generation > 0 && *generation != before.generation {
            return Err(Error::refused(
                409,
                "changed-meanwhile",
                format!("{} has generation {} by now, not {generation}", before.name, before.generation),
                format!(
                    "look at it again: weft {} show {}; what changed: weft tx list",
                    level.word(),
                    before.name
                ),
            ));
        }
        let mut after = before.clone();
        if !renamed.is_empty() {
            check_name(renamed)?;
            after.name.clone_from(renamed);
        }
        if !parent.is_empty() {
            after.parent = self.parent_of(level, parent)?;
        }
        if relabel {
            after.labels = relabelled(&before.labels, labels)?;
        }
        check_container(&self.world(), Some(&before), Some(&after))?;
        let [_, kind, _] = kinds(level);
        let decided = (after != before).then(|| {
            after.generation = before.generation.saturating_add(1);
            let told = container_event(actor, level, "changed", after.name.clone());
            (Change::Kept(Kept::Container { before: Some(before), after: Some(after) }), told)
        });
        self.carry_out(actor, Draft::of(kind, decided), dry).await
    }

    /// Deletes a container that holds nothing.
    pub(crate) async fn container_delete(
        &self,
        actor: &str,
        level: Level,
        name: &str,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.find_container(level, name)?;
        check_empty(&self.world(), &row)?;
        let told = container_event(actor, level, "deleted", row.name.clone());
        let [_, _, kind] = kinds(level);
        let change = Change::Kept(Kept::Container { before: Some(row), after: None });
        self.carry_out(actor, Draft::new(kind, vec![change], told), dry).await
    }
}
