//! `node`: list, show, approve, forget, log, reboot.

use hyper::Method;
use weft_api::{LogEntry, Node};

use super::Context;
use crate::args::Node as Verb;
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{prompt, when};

fn columns() -> [Column<Node>; 14] {
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
        Column { title: "SERVERS", wide: true, cell: |node| node.servers.join(",") },
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
        Verb::List => {
            let nodes: Vec<Node> = client.get("/api/v1/nodes").await?;
            output.list(&nodes, &columns(), "no node has booted yet; see weft doctor")
        }
        Verb::Show(name) => output.one(&client.get::<Node>(&path(&name.node)).await?),
        Verb::Approve { name, fingerprint } => approve(context, &name.node, fingerprint.as_deref()).await,
        Verb::Forget { name, yes } => {
            prompt::confirm(&format!("Forget {} and its key?", name.node), *yes)?;
            client.change(Method::DELETE, &path(&name.node), Payload::None).await?;
            output.note(&format!("{} is forgotten", name.node));
            Ok(())
        }
        Verb::Log { name, lines } => {
            let entries: Vec<LogEntry> =
                client.get(&format!("{}/log?lines={lines}", path(&name.node))).await?;
            output.list(&entries, &log_columns(), "the node has sent no log line yet")
        }
        Verb::Reboot { name, yes } => {
            prompt::confirm(&format!("Restart {}? Its virtual servers stop.", name.node), *yes)?;
            client.change(Method::POST, &format!("{}/reboot", path(&name.node)), Payload::None).await?;
            output.note(&format!("{} restarts", name.node));
            Ok(())
        }
    }
}

async fn approve(context: &Context, name: &str, fingerprint: Option<&str>) -> Result<(), CliError> {
    let fingerprint = match fingerprint {
        Some(text) => text.trim().to_owned(),
        None if prompt::can_ask() => {
            context.output.note(&format!("Read the fingerprint on {name}'s own screen or serial console."));
            prompt::line("Fingerprint there: ")?.trim().to_owned()
        }
        None => {
            return Err(CliError::usage(
                "the fingerprint is missing",
                format!(
                    "read it on the node's own console, then: weft node approve {name} --fingerprint FINGERPRINT"
                ),
            ));
        }
    };
    let body = serde_json::json!({ "fingerprint": fingerprint });
    context.client.change(Method::POST, &format!("{}/approve", path(name)), Payload::Json(body)).await?;
    let node: Node = context.client.get(&path(name)).await?;
    context.output.note(&format!("{} is approved", node.name));
    context.output.list(&[node], &columns(), "")
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
