//! `vs span`: how a server that spans nodes works, node by node, and its hottest pages.

use std::io::IsTerminal;
use std::time::Duration;

use weft_api::{Span, SpanLatency, SpanNode, SpanPage, SpanRates};

use super::Context;
use crate::args::Format;
use crate::client::segment;
use crate::error::CliError;
use crate::output::{Column, print, table};

/// Pause between two looks; nodes report about once a second.
const LOOK: Duration = Duration::from_secs(1);
/// Home, and erase what is below.
pub(super) const TOP_OF_SCREEN: &str = "\u{1b}[H\u{1b}[J";

pub(super) const fn column<T>(title: &'static str, cell: fn(&T) -> String) -> Column<T> {
    Column { title, wide: false, cell }
}

pub(super) const fn wide<T>(title: &'static str, cell: fn(&T) -> String) -> Column<T> {
    Column { title, wide: true, cell }
}

fn columns() -> [Column<SpanNode>; 23] {
    [
        column("NODE", |node| node.node.clone()),
        column("STATE", |node| node.state.clone()),
        column("VCPUS", vcpus),
        column("MEMORY", |node| format!("{} MiB", node.memory_mib)),
        column("PAGES", |node| told(node, format!("{}w {}r", node.pages.writable, node.pages.readable))),
        wide("FRAMES", |node| told(node, node.pages.frames.to_string())),
        column("READ/S", |node| rate(node, |rates| rates.remote_read)),
        column("WRITE/S", |node| rate(node, |rates| rates.remote_write)),
        column("UPGRADE/S", |node| rate(node, |rates| rates.upgrade)),
        column("ZERO/S", |node| rate(node, |rates| rates.zero)),
        column("DIFF/S", |node| rate(node, |rates| rates.diff)),
        column("WHOLE/S", |node| rate(node, |rates| rates.whole)),
        wide("OWN/S", |node| rate(node, |rates| rates.own)),
        wide("AHEAD/S", |node| rate(node, |rates| rates.prefetched)),
        wide("MIGRATED/S", |node| rate(node, |rates| rates.migrated)),
        wide("LOST/S", |node| rate(node, |rates| rates.lost)),
        column("MESSAGES/S", |node| rate(node, |rates| rates.messages_sent + rates.messages_received)),
        column("BYTES/S", |node| rate(node, |rates| rates.bytes_sent + rates.bytes_received)),
        column("READ-P50/P99", |node| times(&node.read_latency)),
        column("WRITE-P50/P99", |node| times(&node.write_latency)),
        column("RTT", rtt),
        wide("RESENT", |node| {
            told(node, node.links.iter().map(|link| link.retransmits).sum::<u64>().to_string())
        }),
        wide("AGE", |node| node.age_ms.map(|ms| time(ms.saturating_mul(1_000_000))).unwrap_or_default()),
    ]
}

fn page_columns() -> [Column<SpanPage>; 6] {
    [
        column("ADDRESS", |page| page.address.clone()),
        column("MEMORY OF", |page| page.node.clone()),
        column("REGION", |page| page.region.clone()),
        column("READS", |page| page.reads.to_string()),
        column("WRITES", |page| page.writes.to_string()),
        column("MOVES", |page| page.moves.to_string()),
    ]
}

/// What only a node that reports can say.
fn told(node: &SpanNode, text: String) -> String {
    if node.age_ms.is_some() { text } else { String::new() }
}

/// `0@1,1@0`: processor of the guest at processor of the node.
fn vcpus(node: &SpanNode) -> String {
    node.vcpus.iter().map(|home| format!("{}@{}", home.vcpu, home.cpu)).collect::<Vec<_>>().join(",")
}

fn rate(node: &SpanNode, of: fn(&SpanRates) -> f64) -> String {
    node.rates.as_ref().map(|rates| amount(of(rates))).unwrap_or_default()
}

/// `7.5`, `450`, `12.3k`, `4.5M`.
pub(super) fn amount(value: f64) -> String {
    match value {
        small if small < 10.0 => format!("{small:.1}"),
        small if small < 10_000.0 => format!("{small:.0}"),
        thousands if thousands < 1e6 => format!("{:.1}k", thousands / 1e3),
        millions => format!("{:.1}M", millions / 1e6),
    }
}

fn times(latency: &SpanLatency) -> String {
    if latency.count == 0 {
        return String::new();
    }
    format!("{}/{}", time(latency.p50_ns), time(latency.p99_ns))
}

/// `350ns`, `270us`, `1.5ms`, `2.0s`: one word, for scripts that split at spaces.
fn time(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{:.0}us", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", value / 1e6),
        _ => format!("{:.1}s", value / 1e9),
    }
}

/// The longest of its round trips: a fault may need any other node.
fn rtt(node: &SpanNode) -> String {
    node.links.iter().filter_map(|link| link.rtt_ns).max().map(time).unwrap_or_default()
}

fn path(name: &str) -> String {
    format!("/api/v1/vs/{}/span", segment(name))
}

/// Both tables.
fn text(span: &Span, wide: bool) -> String {
    let mut text = table(&span.nodes, &columns(), wide);
    if span.hottest.is_empty() {
        let silent = span.nodes.iter().all(|node| node.age_ms.is_none());
        text.push_str(if silent {
            "\nno node has told figures yet\n"
        } else {
            "\nno page was fought over yet\n"
        });
    } else {
        text.push_str("\nhottest pages\n");
        text.push_str(&table(&span.hottest, &page_columns(), wide));
    }
    text
}

/// The section of `vs show`, for a person.
pub(super) async fn section(context: &Context, name: &str) -> Result<(), CliError> {
    let wide = match context.output.format {
        Format::Table => false,
        Format::Wide => true,
        Format::Json | Format::Yaml => return Ok(()),
    };
    match context.client.get::<Span>(&path(name)).await {
        Ok(span) => print(&format!("\n{}", text(&span, wide))),
        Err(error) => {
            context.output.note(&format!("how it works on its nodes is not to be had: {error}"));
            Ok(())
        }
    }
}

/// Runs the verb.
pub(super) async fn run(context: &Context, name: &str, watch: bool) -> Result<(), CliError> {
    let Context { client, output } = context;
    let clears = watch && std::io::stdout().is_terminal();
    loop {
        let span: Span = client.get(&path(name)).await?;
        match output.format {
            Format::Table | Format::Wide => {
                let top = if clears { TOP_OF_SCREEN } else { "" };
                print(&format!("{top}{}", text(&span, output.format == Format::Wide)))?;
            }
            Format::Json if watch => output.item(&span, "")?,
            Format::Json | Format::Yaml => output.one(&span)?,
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_short() {
        assert_eq!([7.54, 450.2, 12_345.0, 4.5e6].map(amount), ["7.5", "450", "12.3k", "4.5M"]);
        assert_eq!([350, 270_400, 1_540_000, 2_000_000_000].map(time), ["350ns", "270us", "1.5ms", "2.0s"]);
    }
}
