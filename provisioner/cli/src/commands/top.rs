//! `top`: what nodes and virtual servers use now, a line each. On a terminal it looks again each second.

use std::io::IsTerminal;
use std::time::Duration;

use serde::Serialize;
use weft_api::{NodeLoad, VsLoad};

use super::Context;
use super::span::{TOP_OF_SCREEN, amount, column, wide};
use crate::args::Format;
use crate::error::CliError;
use crate::output::{Column, print, table};

/// Pause between two looks; nodes report about once a second.
const LOOK: Duration = Duration::from_secs(1);

/// One look.
#[derive(Debug, Serialize)]
struct Top {
    nodes: Vec<NodeLoad>,
    servers: Vec<VsLoad>,
}

fn node_columns() -> [Column<NodeLoad>; 10] {
    [
        column("NODE", |node| node.name.clone()),
        column("STATE", |node| node.state.clone()),
        column("CPU", |node| node.processor.map(percent).unwrap_or_default()),
        column("CPUS", |node| node.processors.to_string()),
        column("MEMORY", |node| {
            let used = node.memory_guests.zip(node.memory_monitor).map(|(guests, monitor)| guests + monitor);
            of(used.map(bytes), bytes(node.memory_total as f64))
        }),
        wide("MONITOR", |node| node.memory_monitor.map(bytes).unwrap_or_default()),
        column("IN/S", |node| node.network_in.map(bytes).unwrap_or_default()),
        column("OUT/S", |node| node.network_out.map(bytes).unwrap_or_default()),
        column("EXITS/S", |node| node.exits.map(amount).unwrap_or_default()),
        column("FAULTS/S", |node| node.remote_faults.map(amount).unwrap_or_default()),
    ]
}

fn vs_columns() -> [Column<VsLoad>; 10] {
    [
        column("SERVER", |vs| vs.name.clone()),
        column("STATE", |vs| vs.state.clone()),
        column("CPU", |vs| of(vs.processor.map(|used| format!("{used:.2}")), vs.vcpus.to_string())),
        column("MEMORY", |vs| of(vs.memory.map(bytes), bytes(vs.memory_limit as f64))),
        column("IN/S", |vs| vs.network_in.map(bytes).unwrap_or_default()),
        column("OUT/S", |vs| vs.network_out.map(bytes).unwrap_or_default()),
        column("EXITS/S", |vs| vs.exits.map(amount).unwrap_or_default()),
        column("FAULTS/S", |vs| vs.remote_faults.map(amount).unwrap_or_default()),
        wide("MESSAGES/S", |vs| vs.messages.map(amount).unwrap_or_default()),
        column("NODES", |vs| vs.nodes.join(",")),
    ]
}

fn percent(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}

/// `0`, `900`, `1.5K`, `20M`, `1.2G`: powers of 1024.
fn bytes(value: f64) -> String {
    let mut value = value.max(0.0);
    for unit in ["", "K", "M", "G"] {
        if value < 1024.0 {
            let short = value < 10.0 && !unit.is_empty();
            return if short { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}

/// `used/limit`; nothing where no use is known.
fn of(used: Option<String>, limit: String) -> String {
    used.map(|used| format!("{used}/{limit}")).unwrap_or_default()
}

/// Both lists; servers that use most first. One that the caller may not read is left out, unless it is both.
async fn look(context: &Context) -> Result<Top, CliError> {
    let nodes = context.client.get::<Vec<NodeLoad>>("/api/v1/load/nodes").await;
    let servers = context.client.get::<Vec<VsLoad>>("/api/v1/load/vs").await;
    let (nodes, mut servers) = match (nodes, servers) {
        (Err(error), Err(_)) => return Err(error),
        (Err(error), Ok(servers)) if error.is_forbidden() => (Vec::new(), servers),
        (Ok(nodes), Err(error)) if error.is_forbidden() => (nodes, Vec::new()),
        (nodes, servers) => (nodes?, servers?),
    };
    let most = |vs: &VsLoad| vs.processor.unwrap_or(-1.0);
    servers.sort_by(|a, b| most(b).total_cmp(&most(a)));
    Ok(Top { nodes, servers })
}

fn text(top: &Top, wide: bool) -> String {
    let mut text = table(&top.nodes, &node_columns(), wide);
    text.push('\n');
    text.push_str(&table(&top.servers, &vs_columns(), wide));
    text
}

/// What fits on the screen; the first column of what does not is not seen, and neither are the last lines.
fn fitted(text: &str, columns: usize, rows: usize) -> String {
    let lines = text.lines().take(rows.saturating_sub(1).max(1));
    lines.map(|line| line.chars().take(columns.max(1)).collect::<String>() + "\n").collect()
}

fn screen() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        Ok(_) | Err(_) => (80, 24),
    }
}

/// Runs the verb.
pub(super) async fn run(context: &Context, once: bool) -> Result<(), CliError> {
    let format = context.output.format;
    let person = matches!(format, Format::Table | Format::Wide);
    let again = person && !once && std::io::stdout().is_terminal();
    loop {
        let top = look(context).await?;
        if !person {
            return context.output.one(&top);
        }
        let text = text(&top, format == Format::Wide);
        if !again {
            return print(&text);
        }
        let (columns, rows) = screen();
        print(&format!("{TOP_OF_SCREEN}{}", fitted(&text, columns, rows)))?;
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        let told = [0.0, 900.0, 1536.0, 20.0 * 1048576.0, 1.25e9, 5e12].map(bytes);
        assert_eq!(told, ["0", "900", "1.5K", "20M", "1.2G", "4.5T"]);
    }

    #[test]
    fn what_is_not_known_is_left_out_and_what_does_not_fit_is_cut() {
        let node = NodeLoad { name: "node-1".into(), state: "lost".into(), ..NodeLoad::default() };
        let vs = VsLoad {
            name: "web".into(),
            state: "running".into(),
            nodes: vec!["node-1".into()],
            vcpus: 2,
            processor: Some(1.5),
            memory: Some(3e8),
            memory_limit: 512 << 20,
            exits: Some(12_345.0),
            ..VsLoad::default()
        };
        let shown = text(&Top { nodes: vec![node], servers: vec![vs] }, false);
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(words(lines[1]), ["node-1", "lost", "-", "0", "-", "-", "-", "-", "-"]);
        assert_eq!(
            words(lines[4]),
            ["web", "running", "1.50/2", "286M/512M", "-", "-", "12.3k", "-", "node-1"]
        );
        assert_eq!(fitted("abcdef\nxy\nz\n", 4, 3), "abcd\nxy\n");
    }
}
