//! Without the appliance: the same verbs, asked of a node with a credential (docs/operator-access.md).
//!
//! - [`credential`]: the file that the appliance signs for an operator, and `operator issue`;
//! - [`channel`]: the sealed connection to a node;
//! - [`show`]: what a node tells; [`change`]: starts and stops.

mod change;
mod channel;
mod credential;
mod show;

pub(crate) use credential::issue;

use std::path::Path;
use std::time::Duration;

use channel::Channel;
use credential::Credential;
use weft_types::NodeId;

use crate::args::{Command, DryRun, Event, Global, Node, Servers, Shown, StartStop, Vs, Wait};
use crate::error::CliError;
use crate::output::Output;

/// Longest wait for a node's answer when a list of nodes is tried.
const TRY: Duration = Duration::from_secs(3);

/// A credential, and where the answers go.
pub(crate) struct Direct {
    credential: Credential,
    at: Option<String>,
    output: Output,
}

impl Direct {
    /// The node that was named, or the first of the credential that answers.
    async fn dial(&self) -> Result<Channel, CliError> {
        if let Some(at) = &self.at {
            return Channel::dial(&self.credential, &self.credential.target(at)?).await;
        }
        let mut last = CliError::usage(
            "the credential names no node with an address",
            "name one: --at ADDRESS, and have a credential issued while nodes are connected",
        );
        for target in self.credential.targets() {
            match tokio::time::timeout(TRY, Channel::dial(&self.credential, &target)).await {
                Ok(Ok(channel)) => {
                    self.output.progress(&format!("asking {}", target.name));
                    return Ok(channel);
                }
                // It answered, and said no.
                Ok(Err(error @ CliError::Refused(_))) => return Err(error),
                Ok(Err(error)) => last = error,
                Err(_) => last = channel::unreachable(&target, "no answer in time"),
            }
        }
        Err(last)
    }

    /// A node by its identity, at the address that was named where that is its own.
    async fn dial_node(&self, node: NodeId) -> Result<Channel, CliError> {
        let named = self.at.as_deref().map(|at| self.credential.target(at)).transpose()?;
        let target = match named.filter(|target| target.id == node.to_string()) {
            Some(target) => target,
            None => self.credential.by_id(node)?,
        };
        Channel::dial(&self.credential, &target).await
    }

    /// Name of a node as the credential has it.
    fn name_of(&self, node: NodeId) -> String {
        self.credential.name_of(node)
    }
}

/// Runs a command with a node in the appliance's place.
pub(crate) async fn run(
    path: &Path,
    global: &Global,
    output: Output,
    command: &Command,
) -> Result<(), CliError> {
    let direct = |at: Option<&String>| -> Result<Direct, CliError> {
        let at = at.or(global.at.as_ref()).cloned();
        Ok(Direct { credential: Credential::read(path)?, at, output })
    };
    const AT_ONCE: Wait = Wait { wait: false, no_wait: true, timeout: 120 };
    let certain = |dry_run: DryRun| match dry_run.dry_run {
        true => Err(CliError::usage("a node does not plan ahead", "leave --dry-run out")),
        false => Ok(()),
    };
    match command {
        Command::Node(Node::List(Shown { selector: None })) => show::nodes(&direct(None)?).await,
        Command::Node(Node::Show(name)) => show::node(&direct(Some(&name.node))?).await,
        Command::Vs(Vs::List(Shown { selector: None })) => show::servers(&direct(None)?).await,
        Command::Vs(Vs::Start { servers, wait, dry_run }) => {
            certain(*dry_run)?;
            change::run(&direct(None)?, one(servers)?, &[], *wait).await
        }
        Command::Vs(Vs::Stop { servers, wait, dry_run }) => {
            certain(*dry_run)?;
            change::run(&direct(None)?, &[], one(servers)?, *wait).await
        }
        Command::Node(Node::List(_)) | Command::Vs(Vs::List(_)) => {
            Err(CliError::usage("a node knows no labels", "leave -l out"))
        }
        Command::Configure { nodes, change: StartStop { start, stop }, dry_run } => {
            certain(*dry_run)?;
            match (nodes.as_slice(), start.len() + stop.len()) {
                (_, 0) => Err(CliError::usage(
                    "a credential can start and stop servers, and there is nothing to do",
                    "say what: weft configure NODE --start web --stop old",
                )),
                ([], _) => change::run(&direct(None)?, start, stop, AT_ONCE).await,
                ([node], _) => change::run(&direct(Some(node))?, start, stop, AT_ONCE).await,
                (_, _) => Err(CliError::usage("more than one node", "any one node reaches all; name one")),
            }
        }
        Command::Event(Event::List { .. }) => show::notes(&direct(None)?).await,
        _ => Err(CliError::usage(
            "this verb needs the appliance",
            "leave --credential out; with it: node list, node show, vs list, vs start, vs stop, configure, event list",
        )),
    }
}

/// The server that is named. A node makes no transaction of several, and does not know labels.
fn one(servers: &Servers) -> Result<&[String], CliError> {
    match servers.names.as_slice() {
        names @ [_] => Ok(names),
        _ => Err(CliError::usage("a node takes one server by its name", "name one")),
    }
}
