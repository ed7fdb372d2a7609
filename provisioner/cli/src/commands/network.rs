//! `switch`, `gateway`, `port`, `vnic`, `vhba` and `nic`.

use hyper::Method;
use weft_api::{NetCreate, NetEdit, NetObject, NodeNic};

use super::create::json;
use super::{Context, plan};
use crate::args::{DryRun, Gateway, LabelArg, NetHeld, NetNew, NetRename, Nic, Port, Switch, Vhba, Vnic};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::{Column, labels};
use crate::prompt;

/// One of the kinds.
struct Noun {
    path: &'static str,
    words: &'static str,
    columns: fn() -> Vec<Column<NetObject>>,
    /// What to do where there is none.
    first: &'static str,
}

const SWITCH: Noun = Noun {
    path: "switches",
    words: "virtual switch",
    columns: || with(vec![Column { title: "PORTS", wide: false, cell: |one| one.children.join(",") }]),
    first: "no virtual switch yet; make one: weft switch create NAME",
};
const GATEWAY: Noun = Noun {
    path: "gateways",
    words: "gateway port",
    columns: || {
        with(vec![
            Column { title: "SWITCH", wide: false, cell: |one| one.switch.clone() },
            Column { title: "NODE", wide: false, cell: |one| one.node.clone() },
            Column { title: "NIC", wide: false, cell: |one| one.nic.clone() },
            Column { title: "PORTS", wide: false, cell: |one| one.children.join(",") },
        ])
    },
    first: "no gateway port yet; make one: weft gateway create NAME --switch SWITCH --node NODE",
};
const PORT: Noun = Noun {
    path: "ports",
    words: "port",
    columns: || {
        with(vec![
            Column { title: "SWITCH", wide: false, cell: |one| one.switch.clone() },
            Column { title: "VNIC", wide: false, cell: |one| one.children.join(",") },
            Column { title: "GATEWAYS", wide: false, cell: |one| one.gateways.join(",") },
            Column { title: "PATHING", wide: false, cell: |one| one.pathing.clone() },
        ])
    },
    first: "no port yet; make one: weft port create NAME --switch SWITCH",
};
const VNIC: Noun = Noun {
    path: "vnics",
    words: "VNIC",
    columns: || {
        with(vec![
            Column { title: "SERVER", wide: false, cell: |one| one.server.clone() },
            Column { title: "MAC", wide: false, cell: |one| one.mac.clone() },
            Column { title: "PORT", wide: false, cell: |one| one.port.clone() },
            Column { title: "SWITCH", wide: false, cell: |one| one.switch.clone() },
        ])
    },
    first: "no VNIC yet: each virtual server comes with one: weft vs create NAME",
};
const VHBA: Noun = Noun {
    path: "vhbas",
    words: "VHBA",
    columns: || {
        with(vec![
            Column { title: "SERVER", wide: false, cell: |one| one.server.clone() },
            Column { title: "WWNN", wide: false, cell: |one| one.wwnn.clone() },
        ])
    },
    first: "no VHBA yet: each virtual server comes with one: weft vs create NAME",
};

/// Columns of a kind between those that all have.
fn with(own: Vec<Column<NetObject>>) -> Vec<Column<NetObject>> {
    let mut all = vec![
        Column { title: "NAME", wide: false, cell: |one: &NetObject| one.name.clone() },
        Column { title: "STATE", wide: false, cell: |one| one.state.clone() },
    ];
    all.extend(own);
    all.push(Column { title: "LABELS", wide: false, cell: |one| labels(&one.labels) });
    all.push(Column { title: "WHY", wide: true, cell: |one| one.reason.clone() });
    all.push(Column { title: "ID", wide: true, cell: |one| one.id.clone() });
    all
}

fn path(noun: &Noun, name: &str) -> String {
    format!("/api/v1/{}/{}", noun.path, segment(name))
}

/// Runs a verb of virtual switches.
pub(super) async fn switch(context: &Context, verb: &Switch) -> Result<(), CliError> {
    match verb {
        Switch::Held(verb) => held(context, &SWITCH, verb).await,
        Switch::Create(new) => create(context, &SWITCH, new, NetCreate::default()).await,
        Switch::Edit(args) => edit(context, &SWITCH, args, NetEdit::default()).await,
    }
}

/// Runs a verb of gateway ports.
pub(super) async fn gateway(context: &Context, verb: &Gateway) -> Result<(), CliError> {
    match verb {
        Gateway::Held(verb) => held(context, &GATEWAY, verb).await,
        Gateway::Create { new, switch, node, nic } => {
            let wanted = NetCreate {
                switch: switch.clone(),
                node: node.clone(),
                nic: nic.clone(),
                ..NetCreate::default()
            };
            create(context, &GATEWAY, new, wanted).await
        }
        Gateway::Edit { rename, node, nic } => {
            let wanted = NetEdit { node: node.clone(), nic: nic.clone(), ..NetEdit::default() };
            edit(context, &GATEWAY, rename, wanted).await
        }
    }
}

/// Names of a list; `""` is none.
fn listed(names: Option<&Vec<String>>) -> Option<Vec<String>> {
    names.map(|names| names.iter().filter(|name| !name.is_empty()).cloned().collect())
}

/// Runs a verb of ports.
pub(super) async fn port(context: &Context, verb: &Port) -> Result<(), CliError> {
    match verb {
        Port::Held(verb) => held(context, &PORT, verb).await,
        Port::Create { new, switch, leads } => {
            let wanted = NetCreate {
                switch: switch.clone(),
                gateways: listed(leads.gateways.as_ref()).unwrap_or_default(),
                pathing: leads.pathing.clone().unwrap_or_default(),
                ..NetCreate::default()
            };
            create(context, &PORT, new, wanted).await
        }
        Port::Edit { rename, leads } => {
            let wanted = NetEdit {
                gateways: listed(leads.gateways.as_ref()),
                pathing: leads.pathing.clone().unwrap_or_default(),
                ..NetEdit::default()
            };
            edit(context, &PORT, rename, wanted).await
        }
    }
}

/// Runs a verb of VNICs.
pub(super) async fn vnic(context: &Context, verb: &Vnic) -> Result<(), CliError> {
    match verb {
        Vnic::Held(verb) => held(context, &VNIC, verb).await,
        Vnic::Create { new, of, port, pool } => {
            let wanted = NetCreate {
                server: of.server.clone(),
                port: port.clone(),
                pool: pool.clone(),
                ..NetCreate::default()
            };
            create(context, &VNIC, new, wanted).await
        }
        Vnic::Edit { rename, port, gateway, detach } => {
            let wanted = NetEdit {
                port: if *detach { Some(String::new()) } else { port.clone() },
                gateway: gateway.clone().unwrap_or_default(),
                ..NetEdit::default()
            };
            edit(context, &VNIC, rename, wanted).await
        }
    }
}

/// Runs a verb of VHBAs.
pub(super) async fn vhba(context: &Context, verb: &Vhba) -> Result<(), CliError> {
    match verb {
        Vhba::Held(verb) => held(context, &VHBA, verb).await,
        Vhba::Create { new, of, pool } => {
            let wanted = NetCreate { server: of.server.clone(), pool: pool.clone(), ..NetCreate::default() };
            create(context, &VHBA, new, wanted).await
        }
        Vhba::Edit(args) => edit(context, &VHBA, args, NetEdit::default()).await,
    }
}

/// Runs a verb of NICs.
pub(super) async fn nic(context: &Context, verb: &Nic) -> Result<(), CliError> {
    let Nic::List = verb;
    let all: Vec<NodeNic> = context.client.get("/api/v1/nics").await?;
    let columns = [
        Column { title: "NODE", wide: false, cell: |one: &NodeNic| one.node.clone() },
        Column { title: "MAC", wide: false, cell: |one| one.mac.clone() },
        Column { title: "STATE", wide: false, cell: |one| one.state.clone() },
        Column { title: "ADDRESS", wide: false, cell: |one| one.address.clone() },
        Column { title: "GATEWAY", wide: false, cell: |one| one.gateway.clone() },
        Column {
            title: "BRIDGED",
            wide: false,
            cell: |one| if one.bridged { "yes".to_owned() } else { String::new() },
        },
        Column { title: "DRIVER", wide: true, cell: |one| one.driver.clone() },
        Column { title: "PCI", wide: true, cell: |one| one.pci_id.clone() },
    ];
    context.output.list(&all, &columns, "no node has reported a NIC yet; see weft node list")
}

async fn held(context: &Context, noun: &Noun, verb: &NetHeld) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        NetHeld::List(shown) => {
            let all: Vec<NetObject> = client.get(&format!("/api/v1/{}{}", noun.path, shown.query())).await?;
            let empty = if shown.selector.is_some() { "none fits" } else { noun.first };
            output.list(&all, &(noun.columns)(), empty)
        }
        NetHeld::Show(name) => output.one(&client.get::<NetObject>(&path(noun, &name.name)).await?),
        NetHeld::Label { name, labels, dry_run } => {
            let mut wanted = NetEdit::default();
            for label in labels {
                match label {
                    LabelArg::Set(key, value) => _ = wanted.labels.set.insert(key.clone(), value.clone()),
                    LabelArg::Remove(key) => wanted.labels.remove.push(key.clone()),
                }
            }
            change(context, noun, &name.name, &wanted, *dry_run).await
        }
        NetHeld::Delete { name, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::DELETE, &path(noun, &name.name), Payload::None).await
        }
        NetHeld::Delete { name, yes, .. } => {
            prompt::confirm(&format!("Delete the {} {}?", noun.words, name.name), *yes)?;
            client.change(Method::DELETE, &path(noun, &name.name), Payload::None).await?;
            output.note(&format!("{} is deleted", name.name));
            Ok(())
        }
    }
}

/// What is kept and has no effect yet is said to be so.
fn shown(context: &Context, noun: &Noun, one: NetObject) -> Result<(), CliError> {
    if one.state != "applied" {
        context.output.note(&format!("{} is {}: {}", one.name, one.state, one.reason));
    }
    context.output.list(&[one], &(noun.columns)(), "")
}

async fn create(context: &Context, noun: &Noun, new: &NetNew, wanted: NetCreate) -> Result<(), CliError> {
    let wanted = NetCreate { name: new.name.clone(), labels: new.labels.iter().cloned().collect(), ..wanted };
    let (body, at) = (json(&wanted)?, format!("/api/v1/{}", noun.path));
    if new.dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, Payload::Json(body)).await;
    }
    let made: NetObject = context.client.answer(Method::POST, &at, Payload::Json(body)).await?;
    shown(context, noun, made)
}

async fn edit(context: &Context, noun: &Noun, args: &NetRename, wanted: NetEdit) -> Result<(), CliError> {
    let wanted = NetEdit { name: args.renamed.clone(), ..wanted };
    change(context, noun, &args.of.name, &wanted, args.dry_run).await
}

async fn change(
    context: &Context,
    noun: &Noun,
    name: &str,
    wanted: &NetEdit,
    dry_run: DryRun,
) -> Result<(), CliError> {
    let at = path(noun, name);
    let (body, edit) = (json(wanted)?, format!("{at}/edit"));
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &edit, Payload::Json(body)).await;
    }
    let before: NetObject = context.client.get(&at).await?;
    context.client.change(Method::POST, &edit, Payload::Json(body)).await?;
    // By its identity: it may be called otherwise now.
    let after: NetObject = context.client.get(&path(noun, &before.id)).await?;
    shown(context, noun, after)
}
