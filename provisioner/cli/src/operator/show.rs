//! What a node tells by itself: node, servers, what happened.

use serde::Serialize;
use weft_api::OperatorNode;
use weft_types::{ConfigNumber, NodeId};
use weft_wire::agent::{Level, VsState};
use weft_wire::operator::{Answer, Ask, NodeView, Note, ServerView};

use super::Direct;
use crate::error::CliError;
use crate::output::Column;

/// A server as a node has it.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    name: String,
    state: String,
    id: String,
    desired: String,
    node: String,
    spans: bool,
    generation: u64,
    instance: u64,
    reason: String,
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    state: String,
    id: String,
    appliance: String,
    uptime_ms: u64,
    guest_memory_mib: u64,
    partition: String,
    majority: bool,
    epoch: u64,
    configuration: String,
    view: Vec<String>,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Happened {
    seq: u64,
    name: String,
    state: String,
    uptime_ms: u64,
    text: String,
}

/// The state in the interface's words.
pub(super) fn state(server: &ServerView) -> &'static str {
    match server.state {
        None => "unknown",
        Some(VsState::Stopped) if server.wanted => "starting",
        Some(VsState::Stopped) => "stopped",
        Some(VsState::Fetching) => "fetching",
        Some(VsState::Running) => "running",
        Some(VsState::Off) => "off",
        Some(VsState::Failed) => "failed",
    }
}

fn shown(direct: &Direct, server: &ServerView) -> Server {
    Server {
        name: server.name.clone(),
        state: state(server).into(),
        id: server.id.to_string(),
        desired: if server.wanted { "running" } else { "stopped" }.into(),
        node: direct.name_of(server.loader),
        spans: server.spans,
        generation: server.generation,
        instance: server.instance,
        reason: server.reason.clone(),
        missing: server.missing.iter().map(ToString::to_string).collect(),
    }
}

fn columns() -> [Column<Server>; 8] {
    [
        Column { title: "NAME", wide: false, cell: |server| server.name.clone() },
        Column { title: "STATE", wide: false, cell: |server| server.state.clone() },
        Column { title: "NODE", wide: false, cell: |server| server.node.clone() },
        Column { title: "SPANS", wide: false, cell: |server| if server.spans { "yes" } else { "no" }.into() },
        Column { title: "DESIRED", wide: false, cell: |server| server.desired.clone() },
        Column { title: "STARTS", wide: true, cell: |server| server.instance.to_string() },
        Column { title: "MISSING", wide: true, cell: |server| server.missing.join(",") },
        Column { title: "REASON", wide: false, cell: |server| server.reason.clone() },
    ]
}

/// Servers of a view as a list.
pub(super) fn list(direct: &Direct, servers: &[ServerView]) -> Result<(), CliError> {
    let servers: Vec<Server> = servers.iter().map(|server| shown(direct, server)).collect();
    direct.output.list(&servers, &columns(), "this node has no servers")
}

/// `vs list`.
pub(super) async fn servers(direct: &Direct) -> Result<(), CliError> {
    let view = direct.dial().await?.view().await?;
    list(direct, &view.servers)
}

/// `node list`: the credential's nodes; nobody is asked.
pub(super) async fn nodes(direct: &Direct) -> Result<(), CliError> {
    let columns: [Column<OperatorNode>; 4] = [
        Column { title: "NAME", wide: false, cell: |node| node.name.clone() },
        Column { title: "STATE", wide: false, cell: |node| node.state.clone() },
        Column { title: "ADDRESS", wide: false, cell: |node| node.address.clone() },
        Column { title: "ID", wide: true, cell: |node| node.id.clone() },
    ];
    direct.output.note("as they were when the credential was issued");
    direct.output.list(direct.credential.nodes(), &columns, "the credential names no node")
}

/// `node show`.
pub(super) async fn node(direct: &Direct) -> Result<(), CliError> {
    let view = direct.dial().await?.view().await?;
    direct.output.one(&of_node(direct, &view))
}

fn of_node(direct: &Direct, view: &NodeView) -> Shown {
    let partition = view.partition.as_ref();
    let names = |nodes: &[NodeId]| nodes.iter().map(|node| direct.name_of(*node)).collect();
    let configuration = partition.filter(|partition| partition.record.1 != 0).map(|partition| {
        let (epoch, counter) = partition.record;
        ConfigNumber { epoch, counter }.to_string()
    });
    Shown {
        name: direct.name_of(view.node),
        state: match partition {
            None => "alone",
            Some(partition) if partition.view.is_empty() => "joining",
            Some(partition) if !partition.majority => "minority",
            Some(_) => "agreed",
        }
        .into(),
        id: view.node.to_string(),
        appliance: if view.online { "connected" } else { "away" }.into(),
        uptime_ms: view.uptime_ms,
        guest_memory_mib: view.guest_memory_mib,
        partition: partition.map_or_else(String::new, |partition| partition.name.clone()),
        majority: partition.is_some_and(|partition| partition.majority),
        epoch: partition.map_or(0, |partition| partition.epoch),
        configuration: configuration.unwrap_or_default(),
        view: partition.map_or_else(Vec::new, |partition| names(&partition.view)),
        servers: view.servers.iter().map(|server| shown(direct, server)).collect(),
    }
}

/// `event list`.
pub(super) async fn notes(direct: &Direct) -> Result<(), CliError> {
    let mut channel = direct.dial().await?;
    let notes = match channel.ask(&Ask::Notes).await? {
        Answer::Notes(notes) => notes,
        other => return Err(channel.unexpected(&other)),
    };
    let happened = |note: Note| Happened {
        seq: note.seq,
        name: note.kind,
        state: match note.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
        .into(),
        uptime_ms: note.uptime_ms,
        text: note.text,
    };
    let happened: Vec<Happened> = notes.into_iter().map(happened).collect();
    let columns: [Column<Happened>; 5] = [
        Column { title: "SEQ", wide: false, cell: |note| note.seq.to_string() },
        Column { title: "UPTIME", wide: false, cell: |note| format!("{}s", note.uptime_ms / 1000) },
        Column { title: "STATE", wide: false, cell: |note| note.state.clone() },
        Column { title: "NAME", wide: false, cell: |note| note.name.clone() },
        Column { title: "TEXT", wide: false, cell: |note| note.text.clone() },
    ];
    direct.output.list(&happened, &columns, "nothing happened yet")
}
