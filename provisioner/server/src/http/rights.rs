//! What each route asks for: one row for each, beside the list of routes. A route without a row answers nobody.

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::Method;

use super::App;
use super::versions::Subject;
use crate::accounts::Caller;
use crate::auth::{Object, ObjectKind};
use crate::error::Error;

/// Which right, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Anybody may, without a session.
    Public,
    /// Everybody with a session or a token may: it is about himself.
    Own,
    /// On something of the kind; the handler looks at each object.
    Some(&'static str, ObjectKind),
    /// On the kind as a whole.
    Whole(&'static str, ObjectKind),
    /// On the object that the path names.
    Named(&'static str, ObjectKind),
}

/// The table: method, path, right.
#[rustfmt::skip]
pub(crate) const RIGHTS: &[(&str, &str, Right)] = {
    use ObjectKind::{Account, Appliance, AuthPolicy, Blob, Datacenter, Event, Frame, Gateway, History, Image, Job, Licence, Mainframe, Node, Operator, Partition, Pool, Port, Session, Switch, Template, Token, Vhba, Vnic, Vs};
    use Right::{Named, Own, Public, Some, Whole};
    &[
        ("get",    "/healthz",                              Public),
        ("get",    "/readyz",                               Public),
        ("get",    "/metrics",                              Whole("view", Appliance)),
        ("get",    "/api/v1/openapi.json",                  Public),
        ("get",    "/api/v1/appliances",                    Whole("view", Appliance)),
        ("delete", "/api/v1/appliances/{name}",             Whole("remove", Appliance)),
        ("post",   "/api/v1/login",                         Public),
        ("post",   "/api/v1/logout",                        Own),
        ("post",   "/api/v1/password",                      Own),
        ("get",    "/api/v1/auth/can-i",                    Own),
        ("post",   "/api/v1/auth/can-i",                    Own),
        ("get",    "/api/v1/auth/schema",                   Own),
        ("get",    "/api/v1/auth/policies",                 Some("view", AuthPolicy)),
        ("post",   "/api/v1/auth/policies",                 Some("create", AuthPolicy)),
        ("get",    "/api/v1/auth/policies/{name}",          Named("view", AuthPolicy)),
        ("delete", "/api/v1/auth/policies/{name}",          Named("delete", AuthPolicy)),
        ("get",    "/api/v1/accounts",                      Some("view", Account)),
        ("post",   "/api/v1/accounts",                      Some("create", Account)),
        ("get",    "/api/v1/accounts/{name}",               Named("view", Account)),
        ("delete", "/api/v1/accounts/{name}",               Named("delete", Account)),
        ("post",   "/api/v1/accounts/{name}/role",          Named("set-role", Account)),
        ("post",   "/api/v1/accounts/{name}/password",      Named("set-password", Account)),
        ("get",    "/api/v1/sessions",                      Some("view", Session)),
        ("delete", "/api/v1/sessions/{name}",               Named("end", Session)),
        ("get",    "/api/v1/tokens",                        Some("view", Token)),
        ("post",   "/api/v1/tokens",                        Some("create", Token)),
        ("delete", "/api/v1/tokens/{name}",                 Named("revoke", Token)),
        ("get",    "/api/v1/nodes",                         Some("view", Node)),
        ("get",    "/api/v1/nodes/{name}",                  Named("view", Node)),
        ("delete", "/api/v1/nodes/{name}",                  Named("forget", Node)),
        ("post",   "/api/v1/nodes/{name}/approve",          Named("approve", Node)),
        ("post",   "/api/v1/nodes/{name}/reboot",           Named("reboot", Node)),
        ("post",   "/api/v1/nodes/{name}/push",             Named("push", Node)),
        ("get",    "/api/v1/nodes/{name}/log",              Named("view", Node)),
        ("get",    "/api/v1/nodes/{name}/series",           Named("view", Node)),
        ("post",   "/api/v1/nodes/{name}/labels",           Named("label", Node)),
        ("get",    "/api/v1/nodes/{name}/bmc",              Named("view", Node)),
        ("put",    "/api/v1/nodes/{name}/bmc",              Named("set-bmc", Node)),
        ("delete", "/api/v1/nodes/{name}/bmc",              Named("set-bmc", Node)),
        ("get",    "/api/v1/nodes/{name}/power",            Named("power", Node)),
        ("post",   "/api/v1/groups/nodes/power",            Some("power", Node)),
        ("get",    "/api/v1/partitions",                    Some("view", Partition)),
        ("post",   "/api/v1/partitions",                    Some("create", Partition)),
        ("get",    "/api/v1/partitions/{name}",             Named("view", Partition)),
        ("get",    "/api/v1/partitions/{name}/series",      Named("view", Partition)),
        ("delete", "/api/v1/partitions/{name}",             Named("delete", Partition)),
        ("get",    "/api/v1/datacenters",                   Some("view", Datacenter)),
        ("post",   "/api/v1/datacenters",                   Some("create", Datacenter)),
        ("get",    "/api/v1/datacenters/{name}",            Named("view", Datacenter)),
        ("delete", "/api/v1/datacenters/{name}",            Named("delete", Datacenter)),
        ("post",   "/api/v1/datacenters/{name}/edit",       Named("edit", Datacenter)),
        ("get",    "/api/v1/mainframes",                    Some("view", Mainframe)),
        ("post",   "/api/v1/mainframes",                    Some("create", Mainframe)),
        ("get",    "/api/v1/mainframes/{name}",             Named("view", Mainframe)),
        ("delete", "/api/v1/mainframes/{name}",             Named("delete", Mainframe)),
        ("post",   "/api/v1/mainframes/{name}/edit",        Named("edit", Mainframe)),
        ("get",    "/api/v1/frames",                        Some("view", Frame)),
        ("post",   "/api/v1/frames",                        Some("create", Frame)),
        ("get",    "/api/v1/frames/{name}",                 Named("view", Frame)),
        ("delete", "/api/v1/frames/{name}",                 Named("delete", Frame)),
        ("post",   "/api/v1/frames/{name}/edit",            Named("edit", Frame)),
        ("get",    "/api/v1/switches",                   Some("view", Switch)),
        ("post",   "/api/v1/switches",                   Some("create", Switch)),
        ("get",    "/api/v1/switches/{name}",            Named("view", Switch)),
        ("delete", "/api/v1/switches/{name}",            Named("delete", Switch)),
        ("post",   "/api/v1/switches/{name}/edit",       Named("edit", Switch)),
        ("get",    "/api/v1/gateways",                   Some("view", Gateway)),
        ("post",   "/api/v1/gateways",                   Some("create", Gateway)),
        ("get",    "/api/v1/gateways/{name}",            Named("view", Gateway)),
        ("delete", "/api/v1/gateways/{name}",            Named("delete", Gateway)),
        ("post",   "/api/v1/gateways/{name}/edit",       Named("edit", Gateway)),
        ("get",    "/api/v1/ports",                      Some("view", Port)),
        ("post",   "/api/v1/ports",                      Some("create", Port)),
        ("get",    "/api/v1/ports/{name}",               Named("view", Port)),
        ("delete", "/api/v1/ports/{name}",               Named("delete", Port)),
        ("post",   "/api/v1/ports/{name}/edit",          Named("edit", Port)),
        ("get",    "/api/v1/vnics",                      Some("view", Vnic)),
        ("post",   "/api/v1/vnics",                      Some("create", Vnic)),
        ("get",    "/api/v1/vnics/{name}",               Named("view", Vnic)),
        ("delete", "/api/v1/vnics/{name}",               Named("delete", Vnic)),
        ("post",   "/api/v1/vnics/{name}/edit",          Named("edit", Vnic)),
        ("get",    "/api/v1/vhbas",                      Some("view", Vhba)),
        ("post",   "/api/v1/vhbas",                      Some("create", Vhba)),
        ("get",    "/api/v1/vhbas/{name}",               Named("view", Vhba)),
        ("delete", "/api/v1/vhbas/{name}",               Named("delete", Vhba)),
        ("post",   "/api/v1/vhbas/{name}/edit",          Named("edit", Vhba)),
        ("get",    "/api/v1/nics",                          Some("view", Node)),
        ("get",    "/api/v1/manifest",                      Some("view", Vs)),
        ("post",   "/api/v1/manifest",                      Some("view", Vs)),
        ("get",    "/api/v1/topology",                      Some("view", Node)),
        ("get",    "/api/v1/topology/targets",              Some("view", Node)),
        ("post",   "/api/v1/groups/nodes/move",             Some("move", Node)),
        ("post",   "/api/v1/vs/{name}/move",                Named("move", Vs)),
        ("post",   "/api/v1/operators",                     Whole("issue", Operator)),
        ("get",    "/api/v1/vs",                            Some("view", Vs)),
        ("post",   "/api/v1/vs",                            Some("create", Vs)),
        ("get",    "/api/v1/vs/{name}",                     Named("view", Vs)),
        ("delete", "/api/v1/vs/{name}",                     Named("delete", Vs)),
        ("patch",  "/api/v1/vs/{name}",                     Named("edit", Vs)),
        ("get",    "/api/v1/vs/{name}/span",                Named("view", Vs)),
        ("get",    "/api/v1/vs/{name}/series",              Named("view", Vs)),
        ("post",   "/api/v1/vs/{name}/copy",                Named("copy", Vs)),
        ("post",   "/api/v1/vs/{name}/start",               Named("start", Vs)),
        ("post",   "/api/v1/vs/{name}/stop",                Named("stop", Vs)),
        ("post",   "/api/v1/vs/{name}/reset",               Named("reset", Vs)),
        ("post",   "/api/v1/vs/{name}/labels",              Named("label", Vs)),
        ("get",    "/api/v1/vs/{name}/console",             Named("console", Vs)),
        ("post",   "/api/v1/groups/vs",                     Some("view", Vs)),
        ("post",   "/api/v1/groups/vs/move",                Some("move", Vs)),
        ("post",   "/api/v1/groups/vs/labels",              Some("label", Vs)),
        ("post",   "/api/v1/groups/nodes/labels",           Some("label", Node)),
        ("post",   "/api/v1/groups/vs/create",              Some("create", Vs)),
        ("post",   "/api/v1/groups/nodes",                  Some("view", Node)),
        ("get",    "/api/v1/templates",                     Some("view", Template)),
        ("post",   "/api/v1/templates",                     Some("create", Template)),
        ("get",    "/api/v1/templates/{name}",              Named("view", Template)),
        ("delete", "/api/v1/templates/{name}",              Named("delete", Template)),
        ("post",   "/api/v1/templates/{name}/labels",       Named("label", Template)),
        ("get",    "/api/v1/pools",                         Some("view", Pool)),
        ("post",   "/api/v1/pools",                         Some("create", Pool)),
        ("get",    "/api/v1/pools/{name}",                  Named("view", Pool)),
        ("delete", "/api/v1/pools/{name}",                  Named("delete", Pool)),
        ("post",   "/api/v1/pools/{name}/extend",           Named("extend", Pool)),
        ("get",    "/api/v1/licences",                      Some("view", Licence)),
        ("post",   "/api/v1/licences",                      Some("add", Licence)),
        ("get",    "/api/v1/licences/{id}",                 Named("view", Licence)),
        ("delete", "/api/v1/licences/{id}",                 Named("remove", Licence)),
        ("get",    "/api/v1/images",                        Some("view", Image)),
        ("post",   "/api/v1/images",                        Some("publish", Image)),
        ("put",    "/api/v1/images/{digest}/bios",          Named("publish", Image)),
        ("post",   "/api/v1/images/{digest}/activate",      Named("activate", Image)),
        ("post",   "/api/v1/images/{digest}/revoke",        Named("revoke", Image)),
        ("get",    "/api/v1/rollouts",                      Whole("view", Job)),
        ("post",   "/api/v1/rollouts",                      Some("activate", Image)),
        ("get",    "/api/v1/rollouts/{number}",             Whole("view", Job)),
        ("post",   "/api/v1/rollouts/{number}/pause",       Whole("decide", Job)),
        ("post",   "/api/v1/rollouts/{number}/resume",      Whole("decide", Job)),
        ("post",   "/api/v1/rollouts/{number}/abort",       Whole("decide", Job)),
        ("post",   "/api/v1/rollouts/{number}/back",        Some("activate", Image)),
        ("put",    "/api/v1/blobs",                         Whole("upload", Blob)),
        ("get",    "/api/v1/load/nodes",                    Some("view", Node)),
        ("get",    "/api/v1/load/vs",                       Some("view", Vs)),
        ("get",    "/api/v1/jobs",                          Whole("view", Job)),
        ("post",   "/api/v1/jobs",                          Whole("create", Job)),
        ("get",    "/api/v1/jobs/{number}",                 Whole("view", Job)),
        ("post",   "/api/v1/jobs/{number}/cancel",          Whole("cancel", Job)),
        ("post",   "/api/v1/jobs/{number}/retry",           Whole("decide", Job)),
        ("post",   "/api/v1/jobs/{number}/skip",            Whole("decide", Job)),
        ("post",   "/api/v1/jobs/{number}/abandon",         Whole("decide", Job)),
        ("get",    "/api/v1/transactions",                  Whole("view", History)),
        ("get",    "/api/v1/transactions/{number}",         Whole("view", History)),
        ("post",   "/api/v1/transactions/{number}/undo",    Whole("undo", History)),
        ("get",    "/api/v1/events",                        Whole("view", Event)),
        ("get",    "/api/v1/events/search",                 Whole("view", Event)),
        ("get",    "/api/v1/events/stream",                 Whole("view", Event)),
        ("get",    "/api/v1/doctor",                        Whole("view", Appliance)),
        ("get",    "/api/v1/drift",                         Whole("view", Appliance)),
        ("post",   "/api/v1/drift",                         Some("view", Vs)),
        ("get",    "/api/v1/config",                        Whole("view", Appliance)),
        ("post",   "/api/v1/backup",                        Whole("backup", Appliance)),
    ]
};

/// What a route asks for; a `HEAD` is a `GET` without its body.
fn right(method: &Method, path: &str) -> Option<Right> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let row = RIGHTS.iter().find(|(known, at, _)| known.eq_ignore_ascii_case(method.as_str()) && *at == path);
    row.map(|(_, _, right)| *right)
}

/// Lets a request go on to its handler, or refuses it.
pub(crate) async fn check(app: &App, caller: &Caller, request: Request) -> Result<Request, Error> {
    // What matches no route finds no handler but the page's.
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else { return Ok(request) };
    let Some(right) = right(request.method(), path.as_str()) else {
        return Err(Error::refused(
            405,
            "no-such-method",
            format!("there is no {} of {}", request.method(), path.as_str()),
            "see /api/v1/openapi.json",
        ));
    };
    match right {
        Right::Public | Right::Own => Ok(request),
        Right::Some(verb, kind) => app.core.allow_some(caller, verb, kind).map(|()| request),
        Right::Whole(verb, kind) => {
            app.core.allow(caller, verb, &Object::new(kind, "all", "")).map(|()| request)
        }
        Right::Named(verb, kind) => {
            let (mut parts, body) = request.into_parts();
            let params = RawPathParams::from_request_parts(&mut parts, &()).await.map_err(|_| malformed())?;
            let name = params.iter().next().map(|(_, name)| name.to_string()).ok_or_else(malformed)?;
            app.core.allow_named(caller, verb, kind, &name)?;
            let alone = path.as_str().ends_with('}');
            parts.extensions.insert(Subject { kind, name, alone });
            Ok(Request::from_parts(parts, body))
        }
    }
}

fn malformed() -> Error {
    Error::refused(400, "bad-request", "the path is malformed", "see /api/v1/openapi.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_of_the_document_has_a_right_and_every_right_a_route() {
        let document = serde_json::to_value(super::super::openapi()).expect("JSON");
        let mut routes = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("operations").keys() {
                assert!(routes.insert((method.clone(), path.clone())));
            }
        }
        let declared: BTreeSet<_> =
            RIGHTS.iter().map(|(method, path, _)| ((*method).to_string(), (*path).to_string())).collect();
        assert_eq!(declared.len(), RIGHTS.len(), "a route has two rows");
        assert_eq!(routes, declared);
    }

    #[test]
    fn what_is_public_is_what_needs_no_session_and_each_verb_is_one_of_its_kind() {
        for (method, path, right) in RIGHTS {
            let public = super::super::PUBLIC.contains(&(*method, *path));
            assert_eq!(public, *right == Right::Public, "{method} {path}");
            match right {
                Right::Public | Right::Own => {}
                Right::Some(verb, kind) | Right::Whole(verb, kind) | Right::Named(verb, kind) => {
                    assert_eq!(kind.verb(verb), Some(*verb), "{method} {path}");
                }
            }
            // Rights do not tell appliances apart: who may remove one may remove any.
            let alike = matches!(right, Right::Whole(_, ObjectKind::Appliance));
            assert_eq!(
                matches!(right, Right::Named(..)),
                !alike && ["{name}", "{digest}", "{id}"].iter().any(|part| path.contains(part)),
                "{path}"
            );
        }
        assert_eq!(super::right(&Method::HEAD, "/api/v1/vs"), super::right(&Method::GET, "/api/v1/vs"));
        assert_eq!(super::right(&Method::PATCH, "/api/v1/vs"), None);
    }
}
