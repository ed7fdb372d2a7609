//! The verbs.

mod account;
mod appliance;
mod apply;
mod auth;
mod container;
mod create;
mod drift;
mod group;
mod image;
mod job;
mod network;
mod node;
mod partition;
mod plan;
mod pool;
mod power;
mod rollout;
mod session;
mod set;
mod span;
mod template;
mod token;
mod top;
mod topology;
mod tx;
mod vs;

use std::io;

use hyper::Method;
use weft_api::{ApplianceConfig, Event, EventPage, Finding, Node};

use weft_signing::cli::{Form, SigningCommand};

use crate::args::{Cli, Command, Config, Event as EventVerb, Format, Image, Licence, Operator};
use crate::client::{Client, Payload, segment};
use crate::error::{CliError, REFUSED, USAGE};
use crate::events;
use crate::output::{Column, Output};
use crate::settings::Settings;
use crate::when;

/// What every verb has at hand.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> Result<(), CliError> {
    let Cli { global, command } = cli;
    let output = Output { format: global.output, quiet: global.quiet };
    let settings = || Settings::resolve(&global);
    if let Some(credential) = &global.credential {
        return crate::operator::run(credential, &global, output, &command).await;
    }
    if global.at.is_some() {
        let next = "have one issued while the appliance is there: weft operator issue NAME --out FILE";
        return Err(CliError::usage("--at needs --credential", next));
    }
    let context =
        || -> Result<Context, CliError> { Ok(Context { client: Client::new(&settings()?)?, output }) };
    match command {
        Command::Completion { shell } => completion(shell),
        Command::Login(verb) => session::login(&settings()?, output, &verb).await,
        Command::Logout => session::logout(&settings()?, output).await,
        Command::Passwd(verb) => session::passwd(&settings()?, &context()?, &verb).await,
        Command::Get(args) => apply::get(&context()?, &args).await,
        Command::Diff(args) => apply::diff(&context()?, &args).await,
        Command::Apply(args) => apply::apply(&context()?, &args).await,
        Command::Node(verb) => node::run(&context()?, &verb).await,
        Command::Datacenter(verb) => container::datacenter(&context()?, &verb).await,
        Command::Mainframe(verb) => container::mainframe(&context()?, &verb).await,
        Command::Frame(verb) => container::frame(&context()?, &verb).await,
        Command::Switch(verb) => network::switch(&context()?, &verb).await,
        Command::Gateway(verb) => network::gateway(&context()?, &verb).await,
        Command::Port(verb) => network::port(&context()?, &verb).await,
        Command::Vnic(verb) => network::vnic(&context()?, &verb).await,
        Command::Vhba(verb) => network::vhba(&context()?, &verb).await,
        Command::Nic(verb) => network::nic(&context()?, &verb).await,
        Command::Topology(args) => topology::run(&context()?, &args).await,
        Command::Partition(verb) => partition::run(&context()?, &verb).await,
        Command::Configure { nodes, change, dry_run } if change.count() == 0 => {
            config(&context()?, &Config::Push { nodes, dry_run }).await
        }
        Command::Configure { .. } => Err(CliError::usage(
            "--start and --stop need --credential",
            "with the appliance: weft vs start, weft vs stop",
        )),
        Command::Operator(Operator::Issue(args)) => {
            crate::operator::issue(&context()?.client, output, &args).await
        }
        Command::Vs(verb) => vs::run(&context()?, &verb).await,
        Command::Template(verb) => template::run(&context()?, &verb).await,
        Command::Pool(verb) => pool::run(&context()?, &verb).await,
        Command::Licence(Licence::Held(verb)) => pool::licence(&context()?, &verb).await,
        Command::Licence(Licence::Offline(verb)) => offline(SigningCommand::Licence(verb), output),
        Command::Image(Image::Published(verb)) => image::run(&context()?, &verb).await,
        Command::Config(verb) => config(&context()?, &verb).await,
        Command::Appliance(verb) => appliance::run(&global, output, &verb).await,
        Command::Account(verb) => account::run(&context()?, &verb).await,
        Command::Session(verb) => account::sessions(&context()?, &verb).await,
        Command::Token(verb) => token::run(&context()?, &verb).await,
        Command::Auth(verb) => auth::run(&context()?, &verb).await,
        Command::Tx(verb) => tx::run(&context()?, &verb).await,
        Command::Drift(verb) => drift::run(&context()?, &verb).await,
        Command::Job(verb) => job::run(&context()?, &verb).await,
        Command::Event(verb) => event(&context()?, &verb).await,
        Command::Top { once } => top::run(&context()?, once).await,
        Command::Doctor => doctor(&context()?).await,
        Command::Image(Image::Offline(verb)) => offline(SigningCommand::Image(verb), output),
        Command::Key(verb) => offline(SigningCommand::Key(verb), output),
        Command::Root(verb) => offline(SigningCommand::Root(verb), output),
        Command::Delegation(verb) => offline(SigningCommand::Delegation(verb), output),
        Command::Revocation(verb) => offline(SigningCommand::Revocation(verb), output),
    }
}

/// Keys, documents and images on this machine, without an appliance.
fn offline(command: SigningCommand, output: Output) -> Result<(), CliError> {
    let form = match output.format {
        Format::Table | Format::Wide => Form::Table,
        Format::Json => Form::Json,
        Format::Yaml => Form::Yaml,
    };
    let report = command.execute().map_err(|error| {
        // A file that cannot be read is wrong use; anything else is a refusal.
        let file = error.chain().any(|cause| cause.is::<io::Error>());
        CliError::Offline { text: format!("{error:#}"), code: if file { USAGE } else { REFUSED } }
    })?;
    crate::output::print(&report.render(form))
}

fn completion(shell: clap_complete::Shell) -> Result<(), CliError> {
    let name = shell.to_string();
    let shells = clap_complete::env::Shells::builtins();
    let writer = shells.completer(&name).ok_or_else(|| {
        CliError::usage(format!("no completion for {name}"), "known: bash, elvish, fish, powershell, zsh")
    })?;
    writer
        .write_registration("COMPLETE", "weft", "weft", "weft", &mut io::stdout().lock())
        .map_err(|source| CliError::Io { what: "standard output".into(), source })
}

async fn config(context: &Context, verb: &Config) -> Result<(), CliError> {
    match verb {
        Config::Show => context.output.one(&context.client.get::<ApplianceConfig>("/api/v1/config").await?),
        Config::Push { nodes, dry_run } => {
            let names = if nodes.is_empty() {
                let all: Vec<Node> = context.client.get("/api/v1/nodes").await?;
                all.into_iter().filter(|node| node.state == "ready").map(|node| node.name).collect()
            } else {
                nodes.clone()
            };
            if names.is_empty() {
                context.output.note("no node is ready; see weft node list");
            }
            for name in &names {
                let path = format!("/api/v1/nodes/{}/push", segment(name));
                if dry_run.dry_run {
                    plan::dry_run(context, Method::POST, &path, Payload::None).await?;
                    continue;
                }
                context.client.change(Method::POST, &path, Payload::None).await?;
                context.output.note(&format!("sent to {name}"));
            }
            Ok(())
        }
    }
}

fn event_columns() -> [Column<Event>; 7] {
    [
        Column { title: "SEQ", wide: false, cell: |event| event.seq.to_string() },
        Column { title: "AT", wide: false, cell: |event| when::short(&event.at) },
        Column { title: "STATE", wide: false, cell: |event| event.state.clone() },
        Column { title: "NAME", wide: false, cell: |event| event.name.clone() },
        Column { title: "NODE", wide: false, cell: |event| event.node.clone() },
        Column { title: "VS", wide: false, cell: |event| event.vs.clone() },
        Column { title: "TEXT", wide: false, cell: |event| event.text.clone() },
    ]
}

async fn event(context: &Context, verb: &EventVerb) -> Result<(), CliError> {
    let EventVerb::List { after, before, limit, follow, search } = verb;
    let query = search.query();
    let items: Vec<Event> = if query.is_empty() && before.is_none() {
        let from = after.map(|seq| format!("after={seq}&")).unwrap_or_default();
        context.client.get(&format!("/api/v1/events?{from}limit={limit}")).await?
    } else {
        found(context, *after, *before, *limit, &query).await?
    };
    if *follow {
        let mut last = after.unwrap_or(0);
        for event in &items {
            context.output.item(event, &events::line(event))?;
            last = last.max(event.seq);
        }
        if items.is_empty() && after.is_none() {
            // Nothing fits yet: what comes now may.
            let newest: Vec<Event> = context.client.get("/api/v1/events?limit=1").await?;
            last = newest.last().map_or(0, |event| event.seq);
        }
        return events::follow(&context.client, context.output, &query, last).await;
    }
    let empty = if query.is_empty() { "nothing happened yet" } else { "no event fits" };
    context.output.list(&items, &event_columns(), empty)?;
    if let Some(first) = items.first().filter(|_| items.len() == *limit as usize && after.is_none()) {
        context.output.progress(&format!("older ones: weft event list --before {}", first.seq));
    }
    Ok(())
}

/// Events that fit, page by page until there are enough.
async fn found(
    context: &Context,
    after: Option<u64>,
    before: Option<u64>,
    limit: u32,
    query: &str,
) -> Result<Vec<Event>, CliError> {
    let (forward, mut at) = (after.is_some(), after.or(before));
    let limit = limit as usize;
    let mut all: Vec<Event> = Vec::new();
    loop {
        let word = if forward { "after" } else { "before" };
        let from = at.map(|seq| format!("&{word}={seq}")).unwrap_or_default();
        let left = limit - all.len();
        let page: EventPage =
            context.client.get(&format!("/api/v1/events/search?limit={left}{from}{query}")).await?;
        all = if forward { [all, page.events].concat() } else { [page.events, all].concat() };
        if page.state != "more" || all.len() >= limit {
            return Ok(all);
        }
        at = Some(page.next);
    }
}

fn finding_columns() -> [Column<Finding>; 4] {
    [
        Column { title: "STATE", wide: false, cell: |finding| finding.state.clone() },
        Column { title: "NAME", wide: false, cell: |finding| finding.name.clone() },
        Column { title: "SEEN", wide: false, cell: |finding| finding.text.clone() },
        Column { title: "NEXT", wide: false, cell: |finding| finding.next.clone() },
    ]
}

async fn doctor(context: &Context) -> Result<(), CliError> {
    let findings: Vec<Finding> = context.client.get("/api/v1/doctor").await?;
    context.output.list(&findings, &finding_columns(), "nothing to report")?;
    match findings.iter().filter(|finding| finding.state == "fail").count() {
        0 => Ok(()),
        failures => Err(CliError::Findings(failures)),
    }
}
