//! Virtual switches, gateway ports, ports, VNICs, VHBAs: the same five routes for each; and NICs of nodes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_api::{NetCreate, NetEdit, NetObject, NodeNic, Plan, Problem};
use weft_store::{NetKind, NetRow};

use super::dry_run::DryRun;
use super::five::five_routes;
use super::groups::Shown;
use super::{Body, Path, Query, to_the_end};
use crate::accounts::Caller;
use crate::auth::Sight;
use crate::error::Error;
use crate::http::App;
use crate::networks::{Links, gateways, show_net, show_nics};
use crate::view::natural;

fn listed(app: &App, caller: &Caller, kind: NetKind, shown: &Shown) -> Result<Json<Vec<NetObject>>, Error> {
    let selector = shown.selector()?;
    let mut sight = Sight::of(&app.core, caller);
    let world = app.core.world();
    let fits = |row: &NetRow| selector.as_ref().is_none_or(|selector| selector.matches(&row.labels));
    let rows: Vec<_> =
        world.nets(kind).filter(|row| fits(row)).filter(|row| sight.net(&world, row)).collect();
    let links = Links::of(&world);
    let mut all: Vec<NetObject> = rows.iter().map(|row| show_net(&world, &links, row, &mut sight)).collect();
    all.sort_by_key(|one| natural(&one.name));
    Ok(Json(all))
}

fn shown(app: &App, caller: &Caller, kind: NetKind, name: &str) -> Result<NetObject, Error> {
    let row = app.core.find_net(kind, name)?;
    let mut sight = Sight::of(&app.core, caller);
    let world = app.core.world();
    Ok(show_net(&world, &Links::of(&world), &row, &mut sight))
}

/// The routes of one kind.
macro_rules! kind {
    ($module:ident, $kind:expr, $tag:literal, $list:literal, $one:literal, $edit:literal, $words:literal, $plural:literal) => {
        five_routes! {
            $module: $kind, $tag at $list, $one, $edit;
            objects NetObject, NetCreate, NetEdit;
            calls net_create, net_edit, net_delete;
            words $words, $plural, "Rename, label or connect", "nothing is on"
        }
    };
}

kind!(
    switches,
    NetKind::Switch,
    "switches",
    "/api/v1/switches",
    "/api/v1/switches/{name}",
    "/api/v1/switches/{name}/edit",
    "virtual switch",
    "virtual switches"
);
kind!(
    gateways,
    NetKind::Gateway,
    "gateways",
    "/api/v1/gateways",
    "/api/v1/gateways/{name}",
    "/api/v1/gateways/{name}/edit",
    "gateway port",
    "gateway ports"
);
kind!(
    ports,
    NetKind::Port,
    "ports",
    "/api/v1/ports",
    "/api/v1/ports/{name}",
    "/api/v1/ports/{name}/edit",
    "port",
    "ports of virtual switches"
);
kind!(
    vnics,
    NetKind::Vnic,
    "vnics",
    "/api/v1/vnics",
    "/api/v1/vnics/{name}",
    "/api/v1/vnics/{name}/edit",
    "VNIC",
    "VNICs of virtual servers"
);
kind!(
    vhbas,
    NetKind::Vhba,
    "vhbas",
    "/api/v1/vhbas",
    "/api/v1/vhbas/{name}",
    "/api/v1/vhbas/{name}/edit",
    "VHBA",
    "VHBAs of virtual servers"
);

/// List the NICs of nodes, as the nodes report them
#[utoipa::path(get, path = "/api/v1/nics", tag = "nics", responses((status = 200, body = Vec<NodeNic>)))]
pub(crate) async fn nics(State(app): State<App>, caller: Caller) -> Json<Vec<NodeNic>> {
    let mut sight = Sight::of(&app.core, &caller);
    let world = app.core.world();
    let mut nodes: Vec<_> = world.nodes.values().filter(|node| sight.node(&node.row)).collect();
    nodes.sort_by_key(|node| natural(&node.row.name));
    let gateways = gateways(&world);
    let mut all: Vec<NodeNic> = Vec::new();
    for node in nodes {
        all.extend(show_nics(&gateways, node, |row| sight.net(&world, row)));
    }
    Json(all)
}
