//! `node`: list, show, approve, forget, move, label, log, reboot; `bmc` and `power` are beside.

use hyper::Method;
use weft_api::{LogEntry, Node, Selection};

use super::group::{self, NODES};
use super::{Context, plan};
use crate::args::{DryRun, Labelled, Node as Verb, Nodes};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{prompt, when};

fn columns() -> [Column<Node>; 16] {
    [
        Column { title: "NAME", wide: false, cell: |node| node.name.clone() },
        Column { title: "STATE", wide: false, cell: |node| node.state.clone() },
        Column {
            title: "STAGE",
            wide: false,
            cell: |node| node.stages.last().map(|stage| stage.stage.clone()).unwrap_or_default(),
        },
        Column { title: "BOOT", wide: false, cell: boot },
        Column { title: "CPUS", wide: false, cell: |node| count(u64::from(node.cpus)) },
        Column { title: "MEMORY", wide: false, cell: |node| memory(node.memory_kib) },
        Column { title: "GEN", wide: false, cell: |node| count(node.generation) },
        Column { title: "ADDRESS", wide: false, cell: |node| node.address.clone() },
        Column { title: "SEEN", wide: false, cell: |node| when::age(&node.last_seen, when::now()) },
        Column { title: "MAC", wide: true, cell: |node| node.mac.clone() },
        Column { title: "FINGERPRINT", wide: true, cell: |node| node.fingerprint.clone() },
        Column { title: "UPTIME", wide: true, cell: |node| when::span(node.uptime_ms / 1000) },
        Column { title: "FRAME", wide: true, cell: |node| node.frame.clone() },
        Column { title: "SERVERS", wide: true, cell: |node| node.servers.join(",") },
        Column { title: "LABELS", wide: true, cell: |node| crate::output::labels(&node.labels) },
        Column { title: "CPU", wide: true, cell: |node| node.cpu_model.clone() },
    ]
}

fn count(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn memory(kib: u64) -> String {
    match kib {
        0 => String::new(),
        1..1_048_576 => format!("{} MiB", kib / 1024),
        _ => format!("{}.{} GiB", kib / 1_048_576, kib % 1_048_576 * 10 / 1_048_576),
    }
}

fn boot(node: &Node) -> String {
    match (node.boot_path.as_str(), node.trusted_boot) {
        ("", _) => String::new(),
        (path, true) => format!("{path} trusted"),
        (path, false) => format!("{path} untrusted"),
    }
}

fn log_columns() -> [Column<LogEntry>; 4] {
    [
        Column { title: "AT", wide: false, cell: |entry| when::short(&entry.at) },
        Column {
            title: "UPTIME",
            wide: false,
            cell: |entry| format!("{}.{:03}", entry.uptime_ms / 1000, entry.uptime_ms % 1000),
        },
        Column { title: "LEVEL", wide: false, cell: |entry| entry.level.clone() },
        Column { title: "TEXT", wide: false, cell: |entry| entry.text.clone() },
    ]
}

fn path(name: &str) -> String {
    format!("/api/v1/nodes/{}", segment(name))
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List(shown) => {
            let nodes: Vec<Node> = client.get(&format!("/api/v1/nodes{}", shown.query())).await?;
            let empty = match shown.selector {
                Some(_) => "no node fits",
                None => "no node has booted yet; see weft doctor",
            };
            output.list(&nodes, &columns(), empty)
        }
        Verb::Show(name) => output.one(&client.get::<Node>(&path(&name.node)).await?),
        Verb::Approve { nodes, fingerprint, dry_run } => {
            let compared = compared(context, nodes, fingerprint)?;
            approve(context, nodes, &compared, *dry_run).await
        }
        Verb::Forget { nodes, dry_run, yes } => forget(context, nodes, *dry_run, *yes).await,
        Verb::Bmc(verb) => super::power::bmc(context, verb).await,
        Verb::Power(verb) => super::power::power(context, verb).await,
        Verb::Move(args) => super::container::move_nodes(context, args).await,
        Verb::Label { nodes, dry_run } => {
            let Labelled { select, labels } = nodes.read()?;
            let [name] = select.names.as_slice() else {
                return group::label_all(context, &NODES, &select, &labels, *dry_run).await;
            };
            if group::label(context, &path(name), &labels, *dry_run).await? {
                let node: Node = client.get(&path(name)).await?;
                group::told(context, &node.name, &node.labels);
                output.list(&[node], &columns(), "")?;
            }
            Ok(())
        }
        Verb::Log { name, lines, search } => {
            let query = search.query();
            let entries: Vec<LogEntry> =
                client.get(&format!("{}/log?lines={lines}{query}", path(&name.node))).await?;
            let empty = if query.is_empty() { "the node has sent no log line yet" } else { "no line fits" };
            output.list(&entries, &log_columns(), empty)?;
            if let Some(first) =
                entries.first().filter(|first| entries.len() == *lines as usize && first.seq > 0)
            {
                output.progress(&format!("older ones: weft node log {} --before {}", name.node, first.seq));
            }
            Ok(())
        }
        Verb::Reboot { name, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::POST, &format!("{}/reboot", path(&name.node)), Payload::None).await
        }
        Verb::Reboot { name, yes, .. } => {
            prompt::confirm(&format!("Restart {}? Its virtual servers stop.", name.node), *yes)?;
            client.change(Method::POST, &format!("{}/reboot", path(&name.node)), Payload::None).await?;
            output.note(&format!("{} restarts", name.node));
            Ok(())
        }
    }
}

/// Fingerprints from the nodes' own consoles, one for each: as given, or asked for.
fn compared(context: &Context, nodes: &[String], given: &[String]) -> Result<Vec<String>, CliError> {
    if given.is_empty() && prompt::can_ask() {
        let ask = |name: &String| {
            context.output.note(&format!("Read the fingerprint on {name}'s own screen or serial console."));
            prompt::line("Fingerprint there: ").map(|text| text.trim().to_owned())
        };
        return nodes.iter().map(ask).collect();
    }
    if given.len() == nodes.len() {
        return Ok(given.iter().map(|text| text.trim().to_owned()).collect());
    }
    let name = nodes.first().map(String::as_str).unwrap_or_default();
    let what = if given.is_empty() { "the fingerprint is missing" } else { "each node has one fingerprint" };
    Err(CliError::usage(
        what,
        format!(
            "read it on the node's own console, then: weft node approve {name} --fingerprint FINGERPRINT"
        ),
    ))
}

async fn approve(
    context: &Context,
    nodes: &[String],
    compared: &[String],
    dry_run: DryRun,
) -> Result<(), CliError> {
    let ([name], [fingerprint]) = (nodes, compared) else {
        let select = Selection { names: nodes.to_vec(), ..Selection::default() };
        let Some(plan) = group::act(context, &NODES, "approve", &select, compared, dry_run).await? else {
            return Ok(());
        };
        let mut all: Vec<Node> = context.client.get("/api/v1/nodes").await?;
        all.retain(|node| plan.objects.iter().any(|object| object.name == node.name));
        return context.output.list(&all, &columns(), "");
    };
    let body = serde_json::json!({ "fingerprint": fingerprint });
    let at = format!("{}/approve", path(name));
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, Payload::Json(body)).await;
    }
    context.client.change(Method::POST, &at, Payload::Json(body)).await?;
    let node: Node = context.client.get(&path(name)).await?;
    context.output.note(&format!("{} is approved", node.name));
    context.output.list(&[node], &columns(), "")
}

async fn forget(context: &Context, nodes: &Nodes, dry_run: DryRun, yes: bool) -> Result<(), CliError> {
    let chosen = nodes.chosen();
    let Some(name) = chosen.one() else {
        let yes = yes || dry_run.dry_run;
        let select = group::confirmed(context, &NODES, "Forget", chosen, yes).await?;
        return group::act(context, &NODES, "forget", &select, &[], dry_run).await.map(drop);
    };
    if dry_run.dry_run {
        return plan::dry_run(context, Method::DELETE, &path(name), Payload::None).await;
    }
    prompt::confirm(&format!("Forget {name} and its key?"), yes)?;
    context.client.change(Method::DELETE, &path(name), Payload::None).await?;
    context.output.note(&format!("{name} is forgotten"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_in_its_unit() {
        assert_eq!(memory(0), "");
        assert_eq!(memory(524_288), "512 MiB");
        assert_eq!(memory(1_572_864), "1.5 GiB");
    }
}
