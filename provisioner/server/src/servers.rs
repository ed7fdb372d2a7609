//! Virtual servers: definition, placement, intent.
//!
//! The appliance keeps intent; the node makes it so and reports. Each change raises the definition's
//! generation, each start its instance, and the node's whole configuration is signed anew and pushed.

use std::collections::BTreeMap;

use weft_api::{Plan, Vs, VsCreate};
use weft_store::{NewEvent, VsRow};
use weft_types::VsId;
use weft_wire::agent::{ToNode, VsState};

use crate::affinity::check_affinity;
use crate::core::{Core, event};
use crate::error::Error;
use crate::labels::check_labels;
use crate::pools::identifiers;
use crate::records::{fits, node_config};
use crate::spanning::{nodes_of, places, rooms, show_places, spec};
use crate::transactions::{Change, Draft, Kind};
use crate::util::{hex, random, unhex};
use crate::world::{Ask, Lookup, NodeEntry, VsEntry, World};

/// Most processors.
const MAX_VCPUS: u16 = 32;
/// Least memory, MiB.
const MIN_MEMORY_MIB: u32 = 64;
/// Most servers of one node that span no others: a node refuses a configuration with more.
const MAX_NODE_SERVERS: usize = 16;
/// Longest command line, bytes.
const MAX_APPEND: usize = 1024;
/// Stands for a MAC that is drawn when the server is made; as long as any, for checks of size.
pub(crate) const PLACEHOLDER_MAC: &str = "02:57:ff:ff:ff:ff";
/// Longest piece of console input.
const INPUT_PIECE: usize = weft_wire::agent::MAX_CONSOLE_INPUT;

/// What to do with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Reset,
    Delete,
}

impl Verb {
    /// As a call for several servers names it.
    pub(crate) fn of(name: &str) -> Result<Self, Error> {
        match name {
            "start" => Ok(Self::Start),
            "stop" => Ok(Self::Stop),
            "reset" => Ok(Self::Reset),
            "delete" => Ok(Self::Delete),
            _ => Err(invalid(format!("there is no action {name}"), "start, stop, reset or delete")),
        }
    }

    /// The verb of a kind of transaction; `None` where it is another one's.
    pub(crate) fn of_kind(kind: Kind) -> Option<Self> {
        [Self::Start, Self::Stop, Self::Reset, Self::Delete].into_iter().find(|verb| verb.kind() == kind)
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Start => Kind::VsStart,
            Self::Stop => Kind::VsStop,
            Self::Reset => Kind::VsReset,
            Self::Delete => Kind::VsDelete,
        }
    }

    /// As policies about rights call it.
    pub(crate) fn right(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reset => "reset",
            Self::Delete => "delete",
        }
    }

    /// As events call it.
    fn told(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reset => "reset",
            Self::Delete => "deleted",
        }
    }
}

pub(crate) fn invalid(title: impl Into<String>, next: impl Into<String>) -> Error {
    Error::refused(422, "invalid", title, next)
}

/// Whether something may be called so.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        return Err(invalid(
            "the name has characters or a length that it may not",
            "1 to 63 letters, digits, -",
        ));
    }
    Ok(())
}

pub(crate) fn check(wanted: &VsCreate) -> Result<(), Error> {
    check_name(&wanted.name)?;
    if wanted.vcpus == 0 || wanted.vcpus > MAX_VCPUS {
        return Err(invalid(format!("{} processors", wanted.vcpus), format!("1 to {MAX_VCPUS}")));
    }
    if wanted.memory_mib < MIN_MEMORY_MIB {
        return Err(invalid(
            format!("{} MiB of memory", wanted.memory_mib),
            format!("{MIN_MEMORY_MIB} or more"),
        ));
    }
    if wanted.append.len() > MAX_APPEND || wanted.append.chars().any(char::is_control) {
        return Err(invalid(
            "the command line is too long or has control characters",
            format!("at most {MAX_APPEND} bytes"),
        ));
    }
    check_labels(&wanted.labels)
}

/// MiB that its node holds for a server: for what runs, and for its next start.
fn held_mib(row: &VsRow) -> u32 {
    row.started.as_ref().map_or(row.memory_mib, |started| started.memory_mib.max(row.memory_mib))
}

/// MiB that a node gives to a server.
pub(crate) fn given_mib(row: &VsRow, node: &str) -> u32 {
    match row.places.iter().find(|place| place.node == node) {
        Some(place) => place.memory_mib,
        None if row.partition.is_empty() && row.node == node => held_mib(row),
        None => 0,
    }
}

/// MiB that a node can still give, as far as is known: its memory less the monitor and what is placed.
pub(crate) fn free_mib(world: &World, node: &NodeEntry) -> u64 {
    left_mib(node, world.servers.values().map(|vs| u64::from(given_mib(&vs.row, &node.row.id))).sum())
}

/// MiB of a node that are left beside what is placed there.
fn left_mib(node: &NodeEntry, placed: u64) -> u64 {
    let Some(report) = &node.report else { return 0 };
    let usable = report.inventory.memory_kib.saturating_sub(node.beat.monitor_kib) / 1024;
    usable.saturating_sub(placed)
}

/// MiB of each node that servers take.
fn placed_mib(world: &World) -> BTreeMap<&str, u64> {
    let mut placed: BTreeMap<&str, u64> = BTreeMap::new();
    for vs in world.servers.values() {
        for place in &vs.row.places {
            *placed.entry(place.node.as_str()).or_default() += u64::from(place.memory_mib);
        }
        let listed = vs.row.places.iter().any(|place| place.node == vs.row.node);
        if vs.row.partition.is_empty() && !listed {
            *placed.entry(vs.row.node.as_str()).or_default() += u64::from(held_mib(&vs.row));
        }
    }
    placed
}

/// What each node can still give, while several servers are placed one after the other: MiB, and servers.
pub(crate) struct Free(BTreeMap<String, (u64, usize)>);

impl Free {
    pub(crate) fn of(world: &World) -> Self {
        let mut servers: BTreeMap<&str, usize> = BTreeMap::new();
        for vs in world.servers.values().filter(|vs| vs.row.partition.is_empty()) {
            *servers.entry(vs.row.node.as_str()).or_default() += 1;
        }
        let placed = placed_mib(world);
        let free = |node: &NodeEntry| {
            let has = servers.get(node.row.id.as_str()).copied().unwrap_or(0);
            let given = placed.get(node.row.id.as_str()).copied().unwrap_or(0);
            (left_mib(node, given), MAX_NODE_SERVERS.saturating_sub(has))
        };
        Self(world.nodes.values().map(|node| (node.row.id.clone(), free(node))).collect())
    }

    /// MiB that a node can still give.
    pub(crate) fn mib(&self, node: &str) -> u64 {
        self.0.get(node).map_or(0, |(mib, _)| *mib)
    }

    /// Takes out what nodes give to a server that was placed.
    pub(crate) fn give(&mut self, row: &VsRow) {
        for (node, (mib, servers)) in &mut self.0 {
            *mib = mib.saturating_sub(u64::from(given_mib(row, node)));
            *servers = servers.saturating_sub(usize::from(row.partition.is_empty() && row.node == *node));
        }
    }
}

/// The node for a new server: the one that was named, or the approved one with most free memory.
pub(crate) fn place(world: &World, wanted: &VsCreate, free: &Free) -> Result<String, Error> {
    let need = u64::from(wanted.memory_mib);
    let room = |node: &NodeEntry| free.0.get(&node.row.id).map_or(0, |(mib, _)| *mib);
    let takes = |node: &NodeEntry| free.0.get(&node.row.id).is_some_and(|(_, servers)| *servers > 0);
    if !wanted.node.is_empty() {
        let node = world.node(&wanted.node).map_err(|lookup| match lookup {
            Lookup::Missing => Error::not_found("node-not-found", "node", &wanted.node, "weft node list"),
            Lookup::Ambiguous => Error::ambiguous("node", &wanted.node),
        })?;
        if !node.trusted_with_records() {
            return Err(Error::refused(
                409,
                "node-not-approved",
                format!("{} is {}", node.row.name, node.state()),
                format!("approve it first: weft node approve {}", node.row.name),
            ));
        }
        if room(node) < need {
            return Err(no_room(&format!("{} has {} MiB free, {need} are asked", node.row.name, room(node))));
        }
        return Ok(node.row.id.clone());
    }
    let mut nodes: Vec<_> = world.nodes.values().filter(|node| node.trusted_with_records()).collect();
    if nodes.is_empty() {
        return Err(Error::refused(
            409,
            "no-node",
            "no node is approved",
            "approve one: weft node list, weft node approve NAME --fingerprint …",
        ));
    }
    nodes.retain(|node| takes(node));
    if nodes.is_empty() {
        return Err(node_full("each approved node"));
    }
    // Connected ones first; then by room; then by name, so that the choice can be told beforehand.
    nodes.sort_by_key(|node| (node.live.is_none(), std::cmp::Reverse(room(node)), node.row.name.clone()));
    nodes.iter().find(|node| room(node) >= need).map(|node| node.row.id.clone()).ok_or_else(|| {
        let most = nodes.iter().map(|node| room(node)).max().unwrap_or(0);
        no_room(&format!("no approved node has {need} MiB free; the most is {most}"))
    })
}

/// MiB of a node that servers take which are made together.
fn taken_mib(along: &[VsRow], node: &str) -> u64 {
    along.iter().map(|row| u64::from(given_mib(row, node))).sum()
}

/// The places of a new server over a partition, beside those that are made along with it.
pub(crate) fn place_over(
    world: &World,
    wanted: &VsCreate,
    row: &mut VsRow,
    along: &[VsRow],
) -> Result<(), Error> {
    if !wanted.node.is_empty() {
        return Err(invalid("a node and a partition were named", "name one of them"));
    }
    let partition = world.partition(&wanted.partition).map_err(|lookup| match lookup {
        Lookup::Missing => {
            Error::not_found("partition-not-found", "partition", &wanted.partition, "weft partition list")
        }
        Lookup::Ambiguous => Error::ambiguous("partition", &wanted.partition),
    })?;
    let mut rooms = rooms(world, partition);
    for room in &mut rooms {
        let places = along.iter().flat_map(|row| &row.places).filter(|place| place.node == room.node);
        let vcpus: u32 = places.map(|place| u32::from(place.vcpus)).sum();
        room.given = room.given.saturating_add(u16::try_from(vcpus).unwrap_or(u16::MAX));
        room.free_mib = room.free_mib.saturating_sub(taken_mib(along, &room.node));
    }
    row.places = places(&rooms, wanted.vcpus, wanted.memory_mib)
        .map_err(|missing| no_room(&format!("{}: {missing}", partition.row.name)))?;
    row.node = row.places.first().map(|place| place.node.clone()).unwrap_or_default();
    row.partition = partition.row.id.clone();
    Ok(())
}

fn node_full(who: &str) -> Error {
    Error::refused(
        409,
        "node-full",
        format!("{who} has {MAX_NODE_SERVERS} virtual servers, as many as a node takes"),
        "approve another node, name one, or delete a server: weft node list, weft vs list",
    )
}

pub(crate) fn no_room(title: &str) -> Error {
    Error::refused(409, "no-room", title, "ask for less memory, or delete a server: weft vs list")
}

/// Digest and size of an uploaded blob.
pub(crate) fn blob(world: &World, digest: &str, what: &str) -> Result<(String, u64), Error> {
    let size = world.blobs.get(digest).copied().ok_or_else(|| {
        Error::refused(
            422,
            "blob-not-found",
            format!("there is no {what} {digest}"),
            "upload it first: PUT /api/v1/blobs",
        )
    })?;
    Ok((digest.to_string(), size))
}

/// The files of a new server.
pub(crate) fn guest(world: &World, wanted: &VsCreate, row: &mut VsRow) -> Result<(), Error> {
    let (default_kernel, default_initrd) = &world.default_guest;
    let (kernel, initrd) = if wanted.kernel.is_empty() {
        let initrd = if wanted.initrd.is_empty() { default_initrd } else { &wanted.initrd };
        (default_kernel, initrd)
    } else {
        (&wanted.kernel, &wanted.initrd)
    };
    if kernel.is_empty() {
        return Err(Error::refused(
            422,
            "no-default-guest",
            "no kernel was named, and this appliance has no default guest",
            "name one: weft vs create … --kernel FILE",
        ));
    }
    (row.kernel, row.kernel_size) = blob(world, kernel, "kernel")?;
    if !initrd.is_empty() {
        (row.initrd, row.initrd_size) = blob(world, initrd, "initial ram disk")?;
    }
    Ok(())
}

/// Whether the node's configuration, with this row in it and those that come along, still fits into a record.
pub(crate) fn check_size(world: &World, row: &VsRow, along: &[&VsRow]) -> Result<(), Error> {
    // What is still to be started must fit as well as what runs.
    let next = |row: &VsRow| VsRow { started: None, ..row.clone() };
    let mut config = node_config(world, &row.node, "");
    let waiting = world.servers.values().map(|vs| &vs.row).filter(|vs| vs.started.is_some());
    for spec in waiting.filter_map(|row| spec(&next(row))) {
        config.servers.iter_mut().filter(|held| held.id == spec.id).for_each(|held| *held = spec.clone());
    }
    config.name = world.nodes.get(&row.node).map(|node| node.row.name.clone()).unwrap_or_default();
    let mut alone = World::default();
    for row in along.iter().copied().chain([row]) {
        alone.servers.insert(row.id.clone(), VsEntry::from_row(next(row)));
    }
    config.servers.retain(|spec| !alone.servers.contains_key(&spec.id.to_string()));
    config.servers.extend(node_config(&alone, &row.node, "").servers);
    if config.servers.len() > MAX_NODE_SERVERS {
        return Err(node_full(&config.name));
    }
    fits(&config).map_err(|error| {
        Error::refused(
            409,
            "record-too-large",
            format!("the node's configuration would not fit into a record: {error}"),
            "shorten --append, or place the server on another node",
        )
    })
}

/// The next start of a server: nodes tell starts apart by their number, and each has a key of its own.
pub(crate) fn start_afresh(row: &mut VsRow) {
    row.running = true;
    row.started = None;
    row.instance = row.instance.saturating_add(1);
    if !row.partition.is_empty() {
        row.link_key = hex(&random::<32>());
    }
}

pub(crate) fn name_is_free(world: &World, name: &str) -> Result<(), Error> {
    if world.servers.values().any(|vs| vs.row.name == name) {
        let title = format!("there is a virtual server {name}");
        return Err(Error::refused(409, "taken", title, "choose another name"));
    }
    Ok(())
}

/// Whether the identifiers of a server that comes back are of a pool that is still there.
fn check_pooled(world: &World, row: &VsRow) -> Result<(), Error> {
    let lost = identifiers(row).find(|(kind, text)| world.identifiers.pool_of(*kind, text).is_none());
    match lost {
        Some((_, text)) => Err(Error::refused(
            409,
            "pool-gone",
            format!("{text} of {} is of no pool any more", row.name),
            "undo that its pool was deleted or its licence removed first: weft tx list",
        )),
        None => Ok(()),
    }
}

impl Core {
    /// Starts, stops, resets or deletes a virtual server.
    pub(crate) async fn vs_do(&self, actor: &str, name: &str, verb: Verb, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let decided = self.decide_vs(actor, self.find_vs(name)?, verb)?;
        self.carry_out(actor, Draft::of(verb.kind(), decided), dry).await
    }

    /// What a verb does to a server; `None` where all is so already.
    pub(crate) fn decide_vs(
        &self,
        actor: &str,
        entry: VsEntry,
        verb: Verb,
    ) -> Result<Option<(Change, NewEvent)>, Error> {
        let before = entry.row;
        let told = self.vs_event(actor, &before, &format!("vs.{}", verb.told()), verb.told());
        let ended = entry.status.as_ref().is_some_and(|status| {
            status.instance == before.instance && matches!(status.state, VsState::Off | VsState::Failed)
        });
        let mut row = before.clone();
        match verb {
            // One that ended by itself starts afresh.
            Verb::Start if before.running && !ended => return Ok(None),
            Verb::Stop if !before.running => return Ok(None),
            Verb::Reset if !before.running => {
                return Err(Error::refused(
                    409,
                    "vs-stopped",
                    format!("{} is stopped", row.name),
                    format!("start it: weft vs start {}", row.name),
                ));
            }
            Verb::Start | Verb::Reset => start_afresh(&mut row),
            Verb::Stop => (row.running, row.started) = (false, None),
            // One that runs is stopped by its node.
            Verb::Delete => {
                self.check_spanned(&before, false)?;
                return Ok(Some((Change::Vs { before: Some(before), after: None }, told)));
            }
        }
        row.generation = row.generation.saturating_add(1);
        self.check_spanned(&row, true)?;
        Ok(Some((Change::Vs { before: Some(before), after: Some(row) }, told)))
    }

    /// Whether the next configuration of a spanning server's partition can be told: with the server as it is here, or
    /// without it.
    pub(crate) fn check_spanned(&self, row: &VsRow, stays: bool) -> Result<(), Error> {
        if row.partition.is_empty() {
            return Ok(());
        }
        let partition = self.find_partition(&row.partition)?.row;
        let (changed, deleted) =
            if stays { (vec![row.clone()], Vec::new()) } else { (Vec::new(), vec![row.id.clone()]) };
        self.checked_config(&partition, &changed, &deleted).map(drop)
    }

    /// Whether a server that was deleted can be where it was, as it was, in a world that has what came back before it.
    pub(crate) fn check_return(&self, world: &World, row: &VsRow) -> Result<(), Error> {
        name_is_free(world, &row.name)?;
        check_pooled(&self.world(), row)?;
        blob(world, &row.kernel, "kernel")?;
        if !row.initrd.is_empty() {
            blob(world, &row.initrd, "initial ram disk")?;
        }
        let nodes = row.places.iter().map(|place| &place.node).chain([&row.node]);
        for id in nodes {
            let Some(node) = world.nodes.get(id).filter(|node| node.trusted_with_records()) else {
                return Err(Error::refused(
                    409,
                    "node-not-approved",
                    format!("the node {id} that {} lay on is not approved", row.name),
                    "approve it, or undo that it was forgotten: weft tx list",
                ));
            };
            let (need, room) = (u64::from(given_mib(row, id)), free_mib(world, node));
            if room < need {
                return Err(no_room(&format!("{} has {room} MiB free, {need} are needed", node.row.name)));
            }
        }
        check_affinity(world, row)?;
        if row.partition.is_empty() { check_size(world, row, &[]) } else { Ok(()) }
    }

    /// Keys typed at a console.
    pub(crate) async fn vs_input(&self, id: &str, bytes: &[u8]) -> Result<(), Error> {
        let node = {
            let world = self.world();
            world.servers.get(id).and_then(|vs| world.nodes.get(&vs.row.node)).cloned()
        };
        let (Some(node), Some(vs)) = (node.filter(NodeEntry::trusted_with_records), unhex(id)) else {
            return Err(Error::refused(409, "node-away", "its node is not there", "weft node list"));
        };
        for piece in bytes.chunks(INPUT_PIECE) {
            let message = ToNode::ConsoleInput { vs: VsId(vs), bytes: piece.to_vec() };
            self.ask(&node, Ask::Send(message)).await?;
        }
        Ok(())
    }

    pub(crate) fn find_vs(&self, name: &str) -> Result<VsEntry, Error> {
        self.world().server(name).cloned().map_err(|lookup| match lookup {
            Lookup::Missing => Error::not_found("vs-not-found", "virtual server", name, "weft vs list"),
            Lookup::Ambiguous => Error::ambiguous("virtual server", name),
        })
    }

    pub(crate) fn vs_event(&self, actor: &str, row: &VsRow, name: &str, text: &str) -> NewEvent {
        let node = self.world().nodes.get(&row.node).map(|node| node.row.name.clone()).unwrap_or_default();
        NewEvent { actor: actor.to_string(), vs: row.name.clone(), node, ..event(name, "info", text) }
    }
}

/// State as the interface says it: intent and report together.
pub(crate) fn state(world: &World, vs: &VsEntry) -> &'static str {
    let here = |id: &String| world.nodes.get(id).is_some_and(|node| node.live.is_some());
    let node_here = nodes_of(&vs.row).any(here);
    let report = vs.status.as_ref().filter(|status| status.instance == vs.row.instance);
    match (vs.row.running, report) {
        (false, None) if vs.status.is_none() || node_here => "stopped",
        _ if !node_here => "unknown",
        (true, None) => "starting",
        (false, None) => "stopped",
        (_, Some(status)) => match status.state {
            VsState::Stopped if vs.row.running => "starting",
            VsState::Stopped => "stopped",
            VsState::Fetching => "fetching",
            VsState::Running => "running",
            VsState::Off => "off",
            VsState::Failed => "failed",
        },
    }
}

/// As the interface shows it.
pub(crate) fn show(world: &World, vs: &VsEntry) -> Vs {
    let row = &vs.row;
    Vs {
        name: row.name.clone(),
        state: state(world, vs).to_string(),
        id: row.id.clone(),
        desired: if row.running { "running" } else { "stopped" }.to_string(),
        node: world.nodes.get(&row.node).map(|node| node.row.name.clone()).unwrap_or_default(),
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        kernel: row.kernel.clone(),
        initrd: row.initrd.clone(),
        append: row.append.clone(),
        macs: row.macs.clone(),
        generation: row.generation,
        instance: row.instance,
        reason: vs.status.as_ref().map(|status| status.reason.clone()).unwrap_or_default(),
        exits: vs.status.as_ref().map_or(0, |status| status.exits),
        partition: world
            .partitions
            .get(&row.partition)
            .map(|entry| entry.row.name.clone())
            .unwrap_or_default(),
        places: show_places(world, vs),
        labels: row.labels.clone(),
        wwnn: row.wwnn.clone(),
        hostname: row.hostname.clone(),
        address: row.address.clone(),
        gateway: row.gateway.clone(),
        pinned: row.pinned,
        affinity: row.affinity.clone(),
        processors: Vec::new(),
        pending: crate::editing::pending(row),
    }
}
