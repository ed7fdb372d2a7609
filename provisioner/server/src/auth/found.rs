//! Objects by kind and name.

use weft_api::Labels;
use weft_store::{ContainerRow, Level, NetKind, NetRow};

use super::judge::Object;
use super::kinds::ObjectKind;
use crate::containers::object_kind;
use crate::core::Core;
use crate::error::Error;
use crate::world::Lookup;

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: ObjectKind,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) labels: Option<Labels>,
}

impl Found {
    fn new(kind: ObjectKind, id: &str, name: &str) -> Self {
        Self { kind, id: id.to_string(), name: name.to_string(), owner: String::new(), labels: None }
    }

    pub(crate) fn object(&self) -> Object<'_> {
        let Self { kind, id, name, owner, labels } = self;
        Object { kind: *kind, id, name, owner, labels: labels.as_ref() }
    }
}

/// What is said of a name that leads nowhere, and of one that the caller may not see.
pub(crate) fn not_found(kind: ObjectKind, name: &str) -> Error {
    let (code, list) = match kind {
        ObjectKind::Vs => ("vs-not-found", "weft vs list"),
        ObjectKind::Node => ("node-not-found", "weft node list"),
        ObjectKind::Partition => ("partition-not-found", "weft partition list"),
        ObjectKind::Datacenter => ("datacenter-not-found", "weft datacenter list"),
        ObjectKind::Mainframe => ("mainframe-not-found", "weft mainframe list"),
        ObjectKind::Frame => ("frame-not-found", "weft frame list"),
        ObjectKind::Switch => ("switch-not-found", "weft switch list"),
        ObjectKind::Port => ("port-not-found", "weft port list"),
        ObjectKind::Gateway => ("gateway-not-found", "weft gateway list"),
        ObjectKind::Vnic => ("vnic-not-found", "weft vnic list"),
        ObjectKind::Vhba => ("vhba-not-found", "weft vhba list"),
        ObjectKind::Image => ("image-not-found", "weft image list"),
        ObjectKind::Template => ("template-not-found", "weft template list"),
        ObjectKind::Pool => ("pool-not-found", "weft pool list"),
        ObjectKind::Licence => ("licence-not-found", "weft licence list"),
        ObjectKind::Account => ("account-not-found", "weft account list"),
        ObjectKind::Session => ("session-not-found", "weft session list"),
        ObjectKind::Token => ("token-not-found", "weft token list"),
        ObjectKind::AuthPolicy => ("policy-not-found", "weft auth policy list"),
        ObjectKind::Blob
        | ObjectKind::Job
        | ObjectKind::History
        | ObjectKind::Event
        | ObjectKind::Appliance
        | ObjectKind::Operator => ("not-found", "weft --help"),
    };
    Error::not_found(code, kind.words(), name, list)
}

fn of_container(row: &ContainerRow) -> Found {
    Found { labels: Some(row.labels.clone()), ..Found::new(object_kind(row.level), &row.id, &row.name) }
}

fn of_net(row: &NetRow) -> Found {
    let kind = crate::networks::object_kind(row.kind);
    Found { labels: Some(row.labels.clone()), ..Found::new(kind, &row.id, &row.name) }
}

impl Core {
    /// An object by name or id; `Ok(None)` where there is none.
    pub(crate) fn found(&self, kind: ObjectKind, name: &str) -> Result<Option<Found>, Error> {
        let world = self.world();
        let found = match kind {
            ObjectKind::Vs => world.server(name).map(|vs| Found {
                labels: Some(vs.row.labels.clone()),
                ..Found::new(kind, &vs.row.id, &vs.row.name)
            }),
            ObjectKind::Node => world.node(name).map(|node| Found {
                labels: Some(node.row.labels.clone()),
                ..Found::new(kind, &node.row.id, &node.row.name)
            }),
            ObjectKind::Partition => {
                world.partition(name).map(|entry| Found::new(kind, &entry.row.id, &entry.row.name))
            }
            ObjectKind::Datacenter => world.container(Level::Datacenter, name).map(of_container),
            ObjectKind::Mainframe => world.container(Level::Mainframe, name).map(of_container),
            ObjectKind::Frame => world.container(Level::Frame, name).map(of_container),
            ObjectKind::Switch => world.net(NetKind::Switch, name).map(|row| of_net(&row)),
            ObjectKind::Port => world.net(NetKind::Port, name).map(|row| of_net(&row)),
            ObjectKind::Gateway => world.net(NetKind::Gateway, name).map(|row| of_net(&row)),
            ObjectKind::Vnic => world.net(NetKind::Vnic, name).map(|row| of_net(&row)),
            ObjectKind::Vhba => world.net(NetKind::Vhba, name).map(|row| of_net(&row)),
            ObjectKind::Image => world.image(name).map(|image| Found::new(kind, &image.digest, &image.name)),
            ObjectKind::Template => world.template(name).map(|row| Found {
                labels: Some(row.labels.clone()),
                ..Found::new(kind, &row.id, &row.name)
            }),
            ObjectKind::Pool => world.pool(name).map(|row| Found::new(kind, &row.id, &row.name)),
            ObjectKind::Licence => world.licence(name).map(|row| Found::new(kind, &row.id, &row.id)),
            ObjectKind::Account | ObjectKind::Session | ObjectKind::Token | ObjectKind::AuthPolicy => {
                drop(world);
                return Ok(self.accounts.found(kind, name));
            }
            // There is one of each.
            ObjectKind::Blob
            | ObjectKind::Job
            | ObjectKind::History
            | ObjectKind::Event
            | ObjectKind::Appliance
            | ObjectKind::Operator => Ok(Found::new(kind, "all", "")),
        };
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Lookup::Missing) => Ok(None),
            Err(Lookup::Ambiguous) => Err(Error::ambiguous(kind.words(), name)),
        }
    }
}
