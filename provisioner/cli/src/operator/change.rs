//! Starts and stops without the appliance. What is one node's alone is asked of that node; what spans nodes becomes an
//! amendment that this operator signs, and that any one member passes on.

use std::time::{Duration, Instant};

use weft_api::Problem;
use weft_format::operator::encode_unsigned_amendment;
use weft_format::record::with_signature;
use weft_types::ConfigNumber;
use weft_wire::agent::VsState;
use weft_wire::operator::{Amendment, Ask, Change, NodeView, OPERATOR_VERSION, ServerView};

use super::channel::Channel;
use super::{Direct, show};
use crate::args::Wait;
use crate::error::CliError;

/// Pause between two looks at a server's state.
const POLL: Duration = Duration::from_millis(300);

fn refused(status: u16, code: &str, title: String, next: &str) -> CliError {
    CliError::Refused(Problem { code: code.into(), status, title, next: next.into(), ..Problem::default() })
}

fn find<'a>(view: &'a NodeView, name: &str) -> Result<&'a ServerView, CliError> {
    let named = view.servers.iter().find(|server| server.name == name || server.id.to_string() == name);
    named.ok_or_else(|| {
        refused(
            404,
            "vs-not-found",
            format!("the node that was asked has no server {name}"),
            "see what there is: weft --credential FILE --at NODE vs list",
        )
    })
}

/// Whether it runs or is about to.
fn is_up(server: &ServerView) -> bool {
    server.wanted && !server.ended && matches!(server.state, Some(VsState::Running | VsState::Fetching))
}

/// Starts and stops servers by name, then prints them.
pub(super) async fn run(
    direct: &Direct,
    start: &[String],
    stop: &[String],
    wait: Wait,
) -> Result<(), CliError> {
    let mut door = direct.dial().await?;
    let view = door.view().await?;
    let mut changes = Vec::new();
    let named = start.iter().map(|name| (name, true)).chain(stop.iter().map(|name| (name, false)));
    for (name, running) in named.clone() {
        let server = find(&view, name)?;
        if !server.spans {
            door.change(&Ask::Want { vs: server.id, running }).await?;
        } else if let Some(change) = change(direct, &view, server, running).await? {
            changes.push(change);
        }
    }
    if !changes.is_empty() {
        let amendment = amendment(direct, &view, &changes)?;
        door.change(&Ask::Amend(amendment)).await?;
        direct.output.note("the members have agreed");
    }
    for (name, running) in named {
        if wait.wait {
            settle(direct, find(&view, name)?, running, wait).await?;
        }
    }
    // Waiting may have taken longer than a session lasts in silence.
    let after = if wait.wait { direct.dial().await?.view().await? } else { door.view().await? };
    let changed = |server: &&ServerView| start.iter().chain(stop).any(|name| find_is(server, name));
    let servers: Vec<ServerView> = after.servers.iter().filter(changed).cloned().collect();
    show::list(direct, &servers)
}

fn find_is(server: &ServerView, name: &str) -> bool {
    server.name == name || server.id.to_string() == name
}

/// What to change about a spanning server; `None` where it is so already. The node that loads a server's files must
/// hold them: it is asked before anything is changed.
async fn change(
    direct: &Direct,
    view: &NodeView,
    server: &ServerView,
    running: bool,
) -> Result<Option<Change>, CliError> {
    let next =
        Change { vs: server.id, generation: server.generation + 1, instance: server.instance, running };
    if !running {
        return Ok(Some(next).filter(|_| server.wanted));
    }
    let (online, there) = if server.loader == view.node {
        (view.online, server.clone())
    } else {
        let theirs = direct.dial_node(server.loader).await?.view().await?;
        (theirs.online, find(&theirs, &server.id.to_string())?.clone())
    };
    if is_up(&there) {
        return Ok(None);
    }
    if let Some(digest) = there.missing.first().filter(|_| !online) {
        return Err(refused(
            409,
            "file-missing",
            format!("{} does not hold file {digest} of {}", direct.name_of(server.loader), server.name),
            "start the appliance, which has it, or a server whose files are there: vs list -o wide",
        ));
    }
    Ok(Some(Change { instance: server.instance + 1, ..next }))
}

/// The next amendment of what is in force: all that differs from the appliance's word.
fn amendment(direct: &Direct, view: &NodeView, changes: &[Change]) -> Result<Vec<u8>, CliError> {
    let away =
        || refused(409, "no-partition", "the node is in no partition".into(), "ask another: --at NODE");
    let partition = view.partition.as_ref().ok_or_else(away)?;
    let (epoch, counter) = partition.record;
    let number = ConfigNumber { epoch, counter };
    let next = number.amendment().checked_add(1).ok_or_else(|| {
        refused(
            409,
            "amended-too-often",
            format!("configuration {number} has no more amendments"),
            "start the appliance",
        )
    })?;
    let base = number.base();
    if base.amended(next, 0).is_none() {
        return Err(refused(
            409,
            "not-amendable",
            format!("configuration {number} was made by an earlier version of the appliance"),
            "start the appliance and change any server of the partition once",
        ));
    }
    let kept = partition.changes.iter().filter(|old| changes.iter().all(|new| new.vs != old.vs));
    let amendment = Amendment {
        version: OPERATOR_VERSION,
        cluster: direct.credential.cluster()?,
        partition: partition.id,
        base: (base.epoch, base.counter),
        number: next,
        changes: kept.chain(changes).copied().collect(),
    };
    let unsigned = encode_unsigned_amendment(&amendment)
        .map_err(|error| CliError::usage(format!("the amendment: {error}"), ""))?;
    let signature = direct.credential.sign(&unsigned)?;
    Ok(with_signature(unsigned, &signature))
}

/// Waits on the node that loads a server until it is up, or down.
async fn settle(direct: &Direct, server: &ServerView, running: bool, wait: Wait) -> Result<(), CliError> {
    let limit = Instant::now() + Duration::from_secs(wait.timeout);
    let mut channel: Channel = direct.dial_node(server.loader).await?;
    loop {
        let view = channel.view().await?;
        let now = find(&view, &server.id.to_string())?;
        let state = show::state(now);
        match (running, state) {
            (true, "running") | (false, "stopped" | "off") => return Ok(()),
            (_, "failed") if running => {
                let title = format!("{} failed: {}", now.name, now.reason);
                return Err(refused(500, "vs-failed", title, "see weft --credential FILE event list"));
            }
            (false, "failed") => return Ok(()),
            (_, _) if Instant::now() >= limit => {
                return Err(CliError::TimedOut(format!("{} is still {state}", now.name)));
            }
            (_, _) => tokio::time::sleep(POLL).await,
        }
    }
}
