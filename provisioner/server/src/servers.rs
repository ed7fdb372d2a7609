//! Virtual servers: definition, placement, intent.
//!
//! The appliance keeps intent; the node makes it so and reports. Each change raises the definition's
//! generation, each start its instance, and the node's whole configuration is signed anew and pushed.

use weft_api::{Vs, VsCreate};
use weft_store::{Batch, NewEvent, VsRow};
use weft_types::VsId;
use weft_wire::agent::{ToNode, VsState};

use crate::core::{Core, event};
use crate::error::Error;
use crate::records::{fits, node_config};
use crate::util::{hex, mac_text, now, random, unhex};
use crate::world::{Ask, Lookup, NodeEntry, VsEntry, World};

/// Most processors.
const MAX_VCPUS: u16 = 32;
/// Least memory, MiB.
const MIN_MEMORY_MIB: u32 = 64;
/// Longest command line, bytes.
const MAX_APPEND: usize = 1024;
/// Longest piece of console input.
const INPUT_PIECE: usize = weft_wire::agent::MAX_CONSOLE_INPUT;

/// What to do with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Reset,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reset => "reset",
        }
    }
}

fn invalid(title: impl Into<String>, next: impl Into<String>) -> Error {
    Error::refused(422, "invalid", title, next)
}

fn check(wanted: &VsCreate) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if wanted.name.is_empty() || wanted.name.len() > 63 || !wanted.name.chars().all(good) {
        return Err(invalid(
            "the name has characters or a length that it may not",
            "1 to 63 letters, digits, -",
        ));
    }
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
    Ok(())
}

/// MiB that a node can still give, as far as is known: its memory less the monitor and what is placed.
fn free_mib(world: &World, node: &NodeEntry) -> u64 {
    let Some(report) = &node.report else { return 0 };
    let placed: u64 = world
        .servers
        .values()
        .filter(|vs| vs.row.node == node.row.id)
        .map(|vs| u64::from(vs.row.memory_mib))
        .sum();
    let usable = report.inventory.memory_kib.saturating_sub(node.beat.monitor_kib) / 1024;
    usable.saturating_sub(placed)
}

/// The node for a new server: the one that was named, or the approved one with most free memory.
fn place(world: &World, wanted: &VsCreate) -> Result<String, Error> {
    let need = u64::from(wanted.memory_mib);
    let room = |node: &NodeEntry| free_mib(world, node);
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
    // Connected ones first; then by room; then by name, so that the choice can be told beforehand.
    nodes.sort_by_key(|node| (node.live.is_none(), std::cmp::Reverse(room(node)), node.row.name.clone()));
    nodes.iter().find(|node| room(node) >= need).map(|node| node.row.id.clone()).ok_or_else(|| {
        let most = nodes.iter().map(|node| room(node)).max().unwrap_or(0);
        no_room(&format!("no approved node has {need} MiB free; the most is {most}"))
    })
}

fn no_room(title: &str) -> Error {
    Error::refused(409, "no-room", title, "ask for less memory, or delete a server: weft vs list")
}

/// Digest and size of an uploaded blob.
fn blob(world: &World, digest: &str, what: &str) -> Result<(String, u64), Error> {
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

fn guest(world: &World, wanted: &VsCreate, row: &mut VsRow) -> Result<(), Error> {
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

/// Whether the node's configuration, with this row in it, still fits into a record.
fn check_size(world: &World, row: &VsRow) -> Result<(), Error> {
    let mut config = node_config(world, &row.node, "");
    config.name = world.nodes.get(&row.node).map(|node| node.row.name.clone()).unwrap_or_default();
    let mut alone = World::default();
    alone.servers.insert(row.id.clone(), VsEntry { row: row.clone(), status: None });
    config.servers.retain(|spec| spec.id.to_string() != row.id);
    config.servers.extend(node_config(&alone, &row.node, "").servers);
    fits(&config).map_err(|error| {
        Error::refused(
            409,
            "record-too-large",
            format!("the node's configuration would not fit into a record: {error}"),
            "shorten --append, or place the server on another node",
        )
    })
}

impl Core {
    /// Creates a virtual server, stopped.
    pub(crate) async fn vs_create(&self, actor: &str, wanted: VsCreate) -> Result<Vs, Error> {
        check(&wanted)?;
        let _change = self.change.lock().await;
        let mut row = VsRow {
            id: hex(&random::<16>()),
            name: wanted.name.clone(),
            vcpus: wanted.vcpus,
            memory_mib: wanted.memory_mib,
            append: wanted.append.clone(),
            generation: 1,
            // As long as any MAC, for the size check.
            macs: vec!["02:57:ff:ff:ff:ff".to_string()],
            ..VsRow::default()
        };
        {
            let world = self.world();
            if world.servers.values().any(|vs| vs.row.name == row.name) {
                return Err(Error::refused(
                    409,
                    "taken",
                    format!("there is a virtual server {}", row.name),
                    "choose another name",
                ));
            }
            row.node = place(&world, &wanted)?;
            guest(&world, &wanted, &mut row)?;
            check_size(&world, &row)?;
        }
        row.macs = vec![mac_text(&self.store.draw_mac(&row.id).await?)];
        let told = self.vs_event(actor, &row, "vs.created", "created");
        self.commit(Batch::new(now(), actor, "vs create").put_vs(None, &row).event(told)).await?;
        let entry = VsEntry { row: row.clone(), status: None };
        let mut world = self.world();
        let shown = show(&world, &entry);
        world.servers.insert(row.id.clone(), entry);
        drop(world);
        self.push(&row.node);
        Ok(shown)
    }

    /// Starts, stops or resets a virtual server.
    pub(crate) async fn vs_do(&self, actor: &str, name: &str, verb: Verb) -> Result<(), Error> {
        let _change = self.change.lock().await;
        let entry = self.find_vs(name)?;
        let before = &entry.row;
        let ended = entry.status.as_ref().is_some_and(|status| {
            status.instance == before.instance && matches!(status.state, VsState::Off | VsState::Failed)
        });
        let mut row = before.clone();
        match verb {
            // Running, and wanted so: nothing to do. One that ended by itself starts afresh.
            Verb::Start if before.running && !ended => return Ok(()),
            Verb::Stop if !before.running => return Ok(()),
            Verb::Start | Verb::Reset => {
                if verb == Verb::Reset && !before.running {
                    return Err(Error::refused(
                        409,
                        "vs-stopped",
                        format!("{} is stopped", row.name),
                        format!("start it: weft vs start {}", row.name),
                    ));
                }
                row.running = true;
                row.instance = row.instance.saturating_add(1);
            }
            Verb::Stop => row.running = false,
        }
        row.generation = row.generation.saturating_add(1);
        let told = self.vs_event(actor, &row, &format!("vs.{}", verb.name()), verb.name());
        let cause = format!("vs {}", verb.name());
        self.commit(Batch::new(now(), actor, cause).put_vs(Some(before), &row).event(told)).await?;
        if let Some(entry) = self.world().servers.get_mut(&row.id) {
            entry.row = row.clone();
        }
        self.push(&row.node);
        Ok(())
    }

    /// Deletes a virtual server; one that runs is stopped by its node.
    pub(crate) async fn vs_delete(&self, actor: &str, name: &str) -> Result<(), Error> {
        let _change = self.change.lock().await;
        let entry = self.find_vs(name)?;
        let told = self.vs_event(actor, &entry.row, "vs.deleted", "deleted");
        self.commit(Batch::new(now(), actor, "vs delete").delete_vs(&entry.row).event(told)).await?;
        self.world().servers.remove(&entry.row.id);
        self.consoles.forget(&entry.row.id);
        self.push(&entry.row.node);
        Ok(())
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

    fn vs_event(&self, actor: &str, row: &VsRow, name: &str, text: &str) -> NewEvent {
        let node = self.world().nodes.get(&row.node).map(|node| node.row.name.clone()).unwrap_or_default();
        NewEvent { actor: actor.to_string(), vs: row.name.clone(), node, ..event(name, "info", text) }
    }
}

/// State as the interface says it: intent and report together.
fn state(world: &World, vs: &VsEntry) -> &'static str {
    let node_here = world.nodes.get(&vs.row.node).is_some_and(|node| node.live.is_some());
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
    }
}
