//! A test double of the appliance: the routes that the command line uses, in memory, on a port of the loopback.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use weft_api::{
    BootStage, Event, Finding, Image, Labels, Node, Plan, Problem, Selector, Transaction, TransactionDetail,
    Vs,
};

/// The version of each server.
const VERSION: &str = "\"7-1f2e3d4c\"";

/// What the double holds and what it has heard.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) vs: Vec<Vs>,
    /// Answers of `span`, one after the other; then there is none.
    pub(crate) spans: std::collections::VecDeque<weft_api::Span>,
    pub(crate) images: Vec<Image>,
    pub(crate) events: Vec<Event>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) transactions: Vec<Transaction>,
    /// What a dry run answers with, and an undo.
    pub(crate) plan: Plan,
    /// `METHOD path body` of each change.
    pub(crate) heard: Vec<String>,
    pub(crate) must_change: bool,
    /// Somebody else changes a server between a look and a change.
    pub(crate) edited_meanwhile: bool,
    /// States that a started server passes, one for each look.
    pub(crate) states: VecDeque<&'static str>,
    /// Answer to anything but the session routes, where it is not the ordinary one.
    pub(crate) broken: Option<(u16, &'static str)>,
    /// Streams of events break off after so many.
    pub(crate) break_after: usize,
    /// What a console printed before one attached.
    pub(crate) history: &'static str,
}

pub(crate) type Shared = Arc<Mutex<World>>;

pub(crate) struct Double {
    pub(crate) url: String,
    pub(crate) world: Shared,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Double {
    pub(crate) fn start() -> Self {
        let world = Shared::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let app = router(Arc::clone(&world));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url, world, runtime }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic in the double")
    }
}

pub(crate) fn router(world: Shared) -> Router {
    Router::new()
        .route("/api/v1/login", post(login))
        .route("/api/v1/logout", post(async || StatusCode::NO_CONTENT))
        .route("/api/v1/password", post(async || StatusCode::NO_CONTENT))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/nodes/{name}/labels", post(done))
        .route("/api/v1/groups/{noun}", post(group))
        .route("/api/v1/nodes/{name}", get(node).delete(done))
        .route("/api/v1/nodes/{name}/approve", post(approve))
        .route("/api/v1/nodes/{name}/reboot", post(done))
        .route("/api/v1/nodes/{name}/push", post(done))
        .route("/api/v1/nodes/{name}/log", get(log))
        .route("/api/v1/manifest", get(manifest).post(group))
        .route("/api/v1/nodes/{name}/bmc", put(done).delete(done))
        .route("/api/v1/groups/nodes/power", post(group))
        .route("/api/v1/operators", post(crate::operator_node::issue))
        .route("/api/v1/groups/vs/create", post(group))
        .route("/api/v1/templates", post(template))
        .route("/api/v1/pools/{name}/extend", post(done))
        .route("/api/v1/pools/{name}", get(pool))
        .route("/api/v1/licences", post(licence))
        .route("/api/v1/vs/{name}/copy", post(create))
        .route("/api/v1/vs", get(servers).post(create))
        .route("/api/v1/vs/{name}/labels", post(done))
        .route("/api/v1/vs/{name}", get(vs).patch(edit).delete(done))
        .route("/api/v1/vs/{name}/span", get(span))
        .route("/api/v1/vs/{name}/start", post(done))
        .route("/api/v1/vs/{name}/stop", post(done))
        .route("/api/v1/vs/{name}/reset", post(done))
        .route("/api/v1/vs/{name}/console", get(console))
        .route(
            "/api/v1/images",
            get(async |State(world): Held| Json(lock(&world).images.clone())).post(publish),
        )
        .route("/api/v1/images/{digest}/{verb}", post(done).put(done))
        .route("/api/v1/blobs", put(blob))
        .route("/api/v1/events", get(events))
        .route("/api/v1/events/stream", get(stream))
        .route("/api/v1/transactions", get(transactions))
        .route("/api/v1/transactions/{number}", get(transaction))
        .route("/api/v1/transactions/{number}/undo", post(undo))
        .route("/api/v1/doctor", get(async |State(world): Held| Json(lock(&world).findings.clone())))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&world), gate))
        .with_state(world)
}

type Held = State<Shared>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().expect("no panic in the double")
}

fn problem(status: u16, code: &str, title: &str, next: &str) -> Response {
    let body =
        Problem { code: code.into(), status, title: title.into(), next: next.into(), ..Problem::default() };
    (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
}

/// A body as text. The fields of JSON come in the order of their names: whether `serde_json` keeps the order in
/// which they were written depends on what else is in the build.
fn in_order(body: &[u8]) -> String {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<String, Value> =
                    fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
                Value::Object(fields.into_iter().collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
            plain => plain,
        }
    }
    match serde_json::from_slice(body) {
        Ok(value) => sorted(value).to_string(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Notes changes, refuses those without a session, breaks on demand.
async fn gate(State(world): Held, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
    let path = parts.uri.path().to_owned();
    let dry = parts.uri.query() == Some("dry_run=true");
    if parts.method != "GET" {
        let shown = if bytes.len() > 400 { format!("({} bytes)", bytes.len()) } else { in_order(&bytes) };
        let query = if dry { "?dry_run=true" } else { "" };
        lock(&world).heard.push(format!("{} {path}{query} {shown}", parts.method).trim_end().to_owned());
    }
    let token = parts.headers.get("authorization").map(|value| value.as_bytes().to_vec());
    if path != "/api/v1/login" && token.as_deref() != Some(b"Bearer good-token") {
        return problem(401, "no-session", "you are not logged in", "");
    }
    if dry {
        return Json(lock(&world).plan.clone()).into_response();
    }
    if let Some((status, text)) = lock(&world).broken {
        return (StatusCode::from_u16(status).expect("a status"), text).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

async fn login(State(world): Held, Json(body): Json<Value>) -> Response {
    if body["password"] != "right" {
        return problem(401, "wrong-password", "user or password is wrong", "try again");
    }
    Json(json!({ "token": "good-token", "must_change": lock(&world).must_change })).into_response()
}

/// Whether labels fit the selector of a list.
fn fits(query: &HashMap<String, String>, labels: &Labels) -> bool {
    let selector = query.get("selector").map(|text| text.parse::<Selector>().expect("a selector"));
    selector.is_none_or(|selector| selector.matches(labels))
}

async fn nodes(State(world): Held, Query(query): Query<HashMap<String, String>>) -> Json<Vec<Node>> {
    let world = lock(&world);
    Json(world.nodes.iter().filter(|node| fits(&query, &node.labels)).cloned().collect())
}

async fn servers(State(world): Held, Query(query): Query<HashMap<String, String>>) -> Json<Vec<Vs>> {
    let world = lock(&world);
    Json(world.vs.iter().filter(|vs| fits(&query, &vs.labels)).cloned().collect())
}

async fn manifest(Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let name = query.get("name").cloned().unwrap_or_default();
    Json(
        json!({ "vs": [{ "name": if name.is_empty() { "all" } else { &name }, "running": false, "labels": { "num": "007" } }] }),
    )
}

/// A group is changed as the plan says.
async fn group(State(world): Held) -> Json<Plan> {
    Json(Plan { state: "done".into(), transaction: 7, ..lock(&world).plan.clone() })
}

async fn done() -> StatusCode {
    StatusCode::ACCEPTED
}

async fn node(State(world): Held, Path(name): Path<String>) -> Response {
    match lock(&world).nodes.iter().find(|node| node.name == name) {
        Some(node) => Json(node.clone()).into_response(),
        None => problem(404, "node-not-found", &format!("there is no node {name}"), "see weft node list"),
    }
}

async fn approve(State(world): Held, Path(name): Path<String>, Json(body): Json<Value>) -> Response {
    let mut world = lock(&world);
    match world.nodes.iter_mut().find(|node| node.name == name) {
        Some(node) if body["fingerprint"] == node.fingerprint.as_str() => {
            node.state = "approved".into();
            Json(node.clone()).into_response()
        }
        Some(_) => problem(
            409,
            "fingerprint-differs",
            "the fingerprint is another one",
            "compare it with the node's console",
        ),
        None => problem(404, "node-not-found", "there is no such node", ""),
    }
}

#[derive(Deserialize)]
struct Lines {
    lines: u32,
}

async fn log(Query(query): Query<Lines>) -> Json<Value> {
    let entry = |index: u32| json!({ "at": "2026-11-21T07:00:00Z", "uptime_ms": index * 1500, "level": "info", "text": format!("line {index}\u{1b}[31m") });
    Json((0..query.lines.min(3)).map(entry).collect())
}

async fn create(State(world): Held, Json(body): Json<Value>) -> Response {
    let mut world = lock(&world);
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    if world.vs.iter().any(|vs| vs.name == name) {
        return problem(409, "name-taken", &format!("there is a server {name}"), "choose another name");
    }
    let made = server(&name, "stopped");
    world.vs.push(made.clone());
    (StatusCode::CREATED, Json(made)).into_response()
}

async fn template(Json(body): Json<Value>) -> Json<Value> {
    let name = body["name"].clone();
    Json(json!(weft_api::Template { name: name.as_str().unwrap_or_default().into(), ..Default::default() }))
}

async fn pool(Path(name): Path<String>) -> Json<weft_api::Pool> {
    Json(weft_api::Pool {
        name,
        state: "low".into(),
        kind: "mac".into(),
        size: 300,
        drawn: 290,
        in_use: 200,
        free: 10,
        ..Default::default()
    })
}

async fn licence() -> Json<weft_api::Licence> {
    Json(weft_api::Licence { id: "ab".repeat(16), pool: "lab".into(), size: 8, ..Default::default() })
}

/// A server is changed where its version is named as it is; what changed meanwhile is told.
async fn edit(State(world): Held, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut world = lock(&world);
    let named = headers.get("if-match").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if named != VERSION || world.edited_meanwhile {
        let field = |field: &str, before: &str, after: &str| weft_api::FieldChange {
            field: field.into(),
            before: before.into(),
            after: after.into(),
            changed: true,
            derived: false,
        };
        let changed = vec![field("memory_mib", "256", "512"), field("append", "\u{1b}quiet", "")];
        let (code, title) = ("changed-meanwhile".into(), "virtual server web was changed by bob".into());
        let body = Problem { code, status: 412, title, next: "look at it again".into(), changed };
        return (StatusCode::PRECONDITION_FAILED, Json(body)).into_response();
    }
    if let (Some(vs), Some(name)) = (world.vs.first_mut(), body["name"].as_str()) {
        vs.name = name.to_owned();
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn vs(State(world): Held, Path(name): Path<String>) -> Response {
    let mut world = lock(&world);
    let next = world.states.pop_front();
    match world.vs.iter_mut().find(|vs| vs.name == name || vs.id == name) {
        Some(vs) => {
            if let Some(state) = next {
                vs.state = state.into();
                vs.reason = if state == "failed" { "triple fault".into() } else { String::new() };
            }
            ([("etag", VERSION)], Json(vs.clone())).into_response()
        }
        None => problem(404, "vs-not-found", &format!("there is no server {name}"), ""),
    }
}

async fn span(State(world): Held, Path(name): Path<String>) -> Response {
    match lock(&world).spans.pop_front() {
        Some(span) => Json(span).into_response(),
        None => problem(409, "not-spanning", &format!("{name} does not span nodes"), ""),
    }
}

async fn publish(State(world): Held, body: Bytes) -> Json<Image> {
    let image = Image {
        name: "1.0".into(),
        state: "published".into(),
        digest: "ab".repeat(32),
        generation: 3,
        floor: 1,
        size: body.len() as u64,
        ..Image::default()
    };
    lock(&world).images.push(image.clone());
    Json(image)
}

async fn blob(body: Bytes) -> Json<Value> {
    Json(
        json!({ "digest": if body.len() > 1000 { "aa".repeat(32) } else { "bb".repeat(32) }, "size": body.len() }),
    )
}

async fn transactions(
    State(world): Held,
    Query(page): Query<HashMap<String, String>>,
) -> Json<Vec<Transaction>> {
    let number =
        |name: &str, missing: u64| page.get(name).and_then(|text| text.parse().ok()).unwrap_or(missing);
    let (before, limit) = (number("before", u64::MAX), number("limit", 50));
    let fits = |tx: &&Transaction| {
        let named = |name: &String| tx.objects.iter().any(|object| object.name == *name);
        tx.number < before
            && page.get("actor").is_none_or(|actor| tx.actor == *actor)
            && page.get("object").is_none_or(named)
    };
    let world = lock(&world);
    Json(
        world
            .transactions
            .iter()
            .filter(fits)
            .take(usize::try_from(limit).expect("small"))
            .cloned()
            .collect(),
    )
}

async fn transaction(State(world): Held, Path(number): Path<u64>) -> Response {
    let world = lock(&world);
    match world.transactions.iter().find(|tx| tx.number == number) {
        Some(tx) => {
            let changes = world.plan.objects.clone();
            Json(TransactionDetail { transaction: tx.clone(), changes }).into_response()
        }
        None => problem(404, "transaction-not-found", "there is no such transaction", "see weft tx list"),
    }
}

async fn undo(State(world): Held, Path(number): Path<u64>) -> Json<Plan> {
    let plan = lock(&world).plan.clone();
    Json(Plan { state: "done".into(), transaction: number + 1, ..plan })
}

#[derive(Deserialize)]
struct After {
    after: Option<u64>,
    limit: Option<usize>,
}

async fn events(State(world): Held, Query(query): Query<After>) -> Json<Vec<Event>> {
    let after = query.after.unwrap_or(0);
    Json(
        lock(&world)
            .events
            .iter()
            .filter(|event| event.seq > after)
            .take(query.limit.unwrap_or(100))
            .cloned()
            .collect(),
    )
}

/// Sends what is there after the number, one event early (as a reconnecting server may), and breaks off.
async fn stream(State(world): Held, Query(query): Query<After>) -> Response {
    let world = lock(&world);
    let after = query.after.unwrap_or(0).saturating_sub(1);
    let text: String = world
        .events
        .iter()
        .filter(|event| event.seq > after)
        .take(world.break_after)
        .map(|event| {
            format!(
                ": keep\r\nid: {}\r\ndata: {}\r\n\r\n",
                event.seq,
                serde_json::to_string(event).expect("JSON")
            )
        })
        .collect();
    ([("content-type", "text/event-stream")], text).into_response()
}

async fn console(
    State(world): Held,
    Path(name): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let held = lock(&world);
    if !held.vs.iter().any(|vs| vs.name == name) {
        return problem(404, "vs-not-found", &format!("there is no server {name}"), "see weft vs list");
    }
    let history = held.history;
    assert!(headers.contains_key("authorization"));
    upgrade.on_upgrade(move |socket| guest(socket, history))
}

/// A guest that echoes, answers each line with `ran: LINE`, and ends at `poweroff`.
async fn guest(mut socket: WebSocket, history: &'static str) {
    let _ = socket.send(Message::Binary(Bytes::from_static(history.as_bytes()))).await;
    let mut line = Vec::new();
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Binary(bytes) = message else { continue };
        for byte in bytes {
            if byte == 3 {
                let _ = socket.send(Message::Binary(Bytes::from_static(b"^C interrupted\r\n"))).await;
                continue;
            }
            let _ = socket.send(Message::Binary(Bytes::copy_from_slice(&[byte]))).await;
            if byte != b'\n' && byte != b'\r' {
                line.push(byte);
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = socket.send(Message::Binary(Bytes::from(format!("ran: {text}\r\n# ")))).await;
            if text == "poweroff" {
                return;
            }
        }
    }
}

/// A node that is up.
pub(crate) fn ready_node(name: &str) -> Node {
    Node {
        name: name.into(),
        state: "ready".into(),
        id: "3f2a91c077de0b14".repeat(2),
        fingerprint: "3f2a-91c0-77de-0b14".into(),
        mac: "02:00:00:00:00:01".into(),
        address: "10.20.0.11".into(),
        boot_path: "uefi".into(),
        trusted_boot: true,
        generation: 7,
        cpus: 4,
        cpu_model: "AMD EPYC".into(),
        memory_kib: 1_572_864,
        uptime_ms: 61_000,
        stages: vec![
            BootStage { stage: "dhcp".into(), at: "2026-11-21T07:00:00Z".into(), since_first_ms: 0 },
            BootStage { stage: "channel".into(), at: "2026-11-21T07:00:02Z".into(), since_first_ms: 2100 },
        ],
        servers: vec!["web".into()],
        ..Node::default()
    }
}

/// A virtual server.
pub(crate) fn server(name: &str, state: &str) -> Vs {
    Vs {
        name: name.into(),
        state: state.into(),
        id: format!("id-of-{name}"),
        desired: "stopped".into(),
        node: "node-1".into(),
        vcpus: 1,
        memory_mib: 256,
        ..Vs::default()
    }
}

/// An event.
pub(crate) fn event(seq: u64) -> Event {
    Event {
        seq,
        at: "2026-11-21T07:00:00Z".into(),
        name: "boot.dhcp".into(),
        state: "info".into(),
        node: "node-1".into(),
        text: format!("event {seq}"),
        ..Event::default()
    }
}
