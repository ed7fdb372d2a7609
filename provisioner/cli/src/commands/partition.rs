//! `partition`: list, show, create, delete.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use hyper::Method;
use weft_api::{Partition, PartitionCreate};

use super::{Context, plan};
use crate::args::{Partition as Verb, Wait};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::prompt;

/// Pause between two looks at a partition's state.
const POLL: Duration = Duration::from_millis(300);

fn columns() -> [Column<Partition>; 8] {
    [
        Column { title: "NAME", wide: false, cell: |partition| partition.name.clone() },
        Column { title: "STATE", wide: false, cell: |partition| partition.state.clone() },
        Column { title: "MEMBERS", wide: false, cell: members },
        Column { title: "COORDINATOR", wide: false, cell: |partition| partition.coordinator.clone() },
        Column { title: "EPOCH", wide: false, cell: |partition| epoch(partition.epoch) },
        Column { title: "AGREED", wide: false, cell: |partition| partition.agreed.clone() },
        Column { title: "NEWEST", wide: true, cell: |partition| partition.configuration.clone() },
        Column { title: "SERVERS", wide: false, cell: |partition| partition.servers.join(",") },
    ]
}

fn members(partition: &Partition) -> String {
    let member = |member: &weft_api::PartitionMember| match member.state.as_str() {
        "agreed" => member.node.clone(),
        state => format!("{} ({state})", member.node),
    };
    partition.members.iter().map(member).collect::<Vec<_>>().join(", ")
}

/// Founding and number within it, as `1:7`.
fn epoch(counter: u64) -> String {
    if counter == 0 { String::new() } else { format!("{}:{}", counter >> 32, counter & 0xffff_ffff) }
}

fn path(name: &str) -> String {
    format!("/api/v1/partitions/{}", segment(name))
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List => {
            let partitions: Vec<Partition> = client.get("/api/v1/partitions").await?;
            let empty = "no partition yet; make one: weft partition create p1 --nodes node-1,node-2";
            output.list(&partitions, &columns(), empty)
        }
        Verb::Show(name) => output.one(&client.get::<Partition>(&path(&name.partition)).await?),
        Verb::Create { name, nodes, wait, dry_run } => {
            let body = PartitionCreate { name: name.clone(), nodes: nodes.clone() };
            let body = serde_json::to_value(body).map_err(|error| CliError::usage(error.to_string(), ""))?;
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, "/api/v1/partitions", Payload::Json(body)).await;
            }
            client.change(Method::POST, "/api/v1/partitions", Payload::Json(body)).await?;
            output.note(&format!("{name} is defined"));
            settle(context, name, *wait).await
        }
        Verb::Delete { name, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::DELETE, &path(&name.partition), Payload::None).await
        }
        Verb::Delete { name, yes, .. } => {
            prompt::confirm(&format!("Dissolve {}?", name.partition), *yes)?;
            client.change(Method::DELETE, &path(&name.partition), Payload::None).await?;
            output.note(&format!("{} is dissolved", name.partition));
            Ok(())
        }
    }
}

/// Waits until all members agree where that was asked for, then prints the partition.
async fn settle(context: &Context, name: &str, wait: Wait) -> Result<(), CliError> {
    let waits = wait.wait || (!wait.no_wait && std::io::stderr().is_terminal());
    let limit = Instant::now() + Duration::from_secs(wait.timeout);
    let mut last = String::new();
    loop {
        let partition: Partition = context.client.get(&path(name)).await?;
        if partition.state != last {
            context.output.progress(&format!("{name}: {}", partition.state));
            last.clone_from(&partition.state);
        }
        if !waits || partition.state == "whole" {
            return context.output.list(&[partition], &columns(), "");
        }
        if Instant::now() >= limit {
            return Err(CliError::TimedOut(format!("{name} is still {last} after {} s", wait.timeout)));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_founding_and_number() {
        assert_eq!(epoch(0), "");
        assert_eq!(epoch((1 << 32) + 7), "1:7");
    }
}
