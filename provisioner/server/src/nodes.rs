//! Nodes: arrival, identity, approval, departure.
//!
//! ```text
//!            unknown key                     approve(fingerprint)
//!  arrive ───────────────▶ quarantined ─────────────────────────▶ ready ──▶ lost ──▶ ready …
//!     │ known, stale boot counter or a second live session               │
//!     └────────────────────────▶ conflict ◀──────────────────────────────┘   approve again, or forget
//! ```
//! A node's identity is its Noise static key. A key that waits for approval lives in memory only, so
//! that strangers cannot fill the store.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weft_api::Plan;
use weft_store::{Batch, BmcRow, NetKind, NewEvent, NodeRow, RecordNumber};
use weft_types::{Fingerprint, NodeId};
use weft_wire::agent::{Hello, ToNode};

use crate::core::{Core, event};
use crate::drift::Hold;
use crate::error::Error;
use crate::spanning::{lies_on, whole};
use crate::transactions::{Change, Draft, Kind};
use crate::util::{hex, mac_text, now, sha256};
use crate::world::{Ask, Live, Lookup, MAX_UNAPPROVED, NodeEntry, Report, World};

/// How long an older session is given to show that it is alive: more than two heartbeats.
const PROBE: Duration = Duration::from_millis(2600);
/// What was on its way when the newer session came does not count.
const IN_FLIGHT: Duration = Duration::from_millis(150);
/// Longest name of a node.
const TAG: &[u8] = b"weft node key v1";

/// The identity that belongs to a static key.
pub(crate) fn node_id(key: &[u8; 32]) -> NodeId {
    let digest = sha256(&[TAG, key].concat());
    let mut id = [0; 16];
    id.copy_from_slice(digest.split_at(16).0);
    NodeId(id)
}

/// What becomes of a node that says `Hello`.
pub(crate) enum Admission {
    /// It has a session.
    In { session: u64, quarantined: bool, reason: String },
    /// It has none.
    Out(String),
}

/// The MAC that a node booted with: that of its first NIC with an address, else its first.
fn boot_mac(hello: &Hello) -> String {
    let nics = &hello.inventory.nics;
    nics.iter()
        .find(|nic| nic.address != [0; 4])
        .or_else(|| nics.first())
        .map(|nic| mac_text(&nic.mac))
        .unwrap_or_default()
}

pub(crate) fn node_event(name: &str, state: &str, node: &str, text: impl Into<String>) -> NewEvent {
    NewEvent { node: node.to_string(), ..event(name, state, text) }
}

impl Core {
    /// A node showed its key and said `Hello`.
    pub(crate) async fn arrive(
        &self,
        key: [u8; 32],
        peer: SocketAddr,
        hello: Hello,
        asks: mpsc::Sender<Ask>,
    ) -> Result<Admission, Error> {
        let id = node_id(&key).to_string();
        let older = self.world().nodes.get(&id).and_then(|node| node.live.clone());
        let twice = match &older {
            Some(older) => self.still_alive(&id, older).await,
            None => false,
        };
        let _change = self.change.lock().await;
        if twice {
            return self.two_holders(&id, "a second live session showed the same key").await;
        }
        let known = self.world().nodes.get(&id).cloned();
        let last = RecordNumber { epoch: hello.last_record.0, counter: hello.last_record.1 };
        let mut older_store = false;
        if let Some(node) = &known {
            if stale(node, &hello) {
                return self.two_holders(&id, "a stale boot counter was shown").await;
            }
            if node.row.approved && last.epoch > 0 && self.store.heard_record(&id, last).await? {
                self.emit(node_event(
                    "record.epoch",
                    "warn",
                    &node.row.name,
                    "the node knows later records than this store: the store was restored; a new epoch begins",
                ));
            }
            // This store has not spoken to the node since it was restored.
            older_store =
                node.row.approved && last.epoch > 0 && last.epoch < self.store.record_epoch(&id).await?;
        }
        let approved = known.as_ref().is_some_and(|node| node.row.approved);
        let beyond = !approved && last.epoch > 0 && !self.store.has_numbered(&id, last).await?;
        let hold = Hold::of(older_store);
        self.admit((id, key), peer, hello, asks, known, (hold, beyond)).await
    }

    async fn admit(
        &self,
        (id, key): (String, [u8; 32]),
        peer: SocketAddr,
        hello: Hello,
        asks: mpsc::Sender<Ask>,
        known: Option<NodeEntry>,
        (hold, beyond): (Hold, bool),
    ) -> Result<Admission, Error> {
        let mac = boot_mac(&hello);
        let is_new = known.is_none();
        let mut node = match known {
            Some(node) => node,
            None => match self.newcomer(&id, &key, &mac, hello.boot_counter).await? {
                Some(node) => node,
                None => return Ok(Admission::Out("too many nodes wait for approval".to_string())),
            },
        };
        let same_boot = node.report.as_ref().is_some_and(|report| report.boot_nonce == hello.boot_nonce);
        let stages = match peer.ip() {
            IpAddr::V4(address) => self.boots.arrived(&mac, address, &hello.boot.stages, same_boot),
            IpAddr::V6(_) => Vec::new(),
        };
        if !same_boot {
            self.renumber_consoles(&id);
            self.nothing_runs(&id);
        }
        node.knew = hello.last_record;
        node.hold = hold;
        node.beyond = beyond;
        node.strangers.clear();
        node.foreign = None;
        let report =
            Report { boot_nonce: hello.boot_nonce, boot: hello.boot, inventory: hello.inventory, stages };
        node.row.boot_counter = hello.boot_counter;
        node.row.mac = mac;
        node.row.address = peer.ip().to_string();
        node.row.last_seen = now();
        node.row.report = serde_json::to_value(&report).unwrap_or_default();
        if node.row.approved {
            // Durable before the node hears anything: a copy that shows this counter again is caught.
            self.commit(Batch::new(now(), "appliance", "arrival").observe_node(&node.row)).await?;
        }
        let session = self.sessions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let older = node.live.replace(Live { session, asks, heard: Instant::now() });
        if let Some(older) = older {
            let _ = older.asks.try_send(Ask::Close(None));
        }
        node.report = Some(report);
        node.lost = false;
        node.last_seen.clone_from(&node.row.last_seen);
        node.beat = Default::default();
        node.taken.anew();
        let quarantined = !node.trusted_with_records();
        let reason = waiting_for(&node);
        let (name, text) = if is_new {
            ("node.new", format!("a new node waits for approval: {}", fingerprint(&id)))
        } else if quarantined {
            ("node.waiting", format!("the node is back and waits: {reason}"))
        } else {
            ("node.ready", "the node is ready".to_string())
        };
        self.emit(node_event(name, "info", &node.row.name, text));
        self.world().nodes.insert(id, node);
        Ok(Admission::In { session, quarantined, reason })
    }

    /// A node that booted numbers the output of its guests from the beginning.
    fn renumber_consoles(&self, id: &str) {
        let world = self.world();
        for vs in world.servers.values().filter(|vs| crate::spanning::lies_on(&vs.row, id)) {
            self.consoles.renumber(&vs.row.id);
            self.history.renumbered(&vs.row.id);
        }
    }

    /// A node that booted runs nothing: what it said before is of its earlier life.
    fn nothing_runs(&self, id: &str) {
        let mut world = self.world();
        let here = world.servers.iter().filter(|(_, vs)| lies_on(&vs.row, id));
        for id_of_vs in here.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let Some(vs) = world.servers.get_mut(&id_of_vs) else { continue };
            vs.parts.remove(id);
            vs.status = None;
            vs.ahead = None;
            // Of one that spans nodes the others still say how it stands.
            let whole = world.servers.get(&id_of_vs).and_then(|vs| whole(&world, vs));
            if let Some(vs) = world.servers.get_mut(&id_of_vs) {
                vs.status = whole;
            }
        }
        world.leaving.values_mut().for_each(|nodes| _ = nodes.remove(id));
    }

    /// A node that was never seen; `None` where too many wait already.
    async fn newcomer(
        &self,
        id: &str,
        key: &[u8; 32],
        mac: &str,
        boot_counter: u64,
    ) -> Result<Option<NodeEntry>, Error> {
        let mut row = NodeRow { id: id.to_string(), key: hex(key), first_seen: now(), ..NodeRow::default() };
        let (crowded, predecessor) = {
            let mut world = self.world();
            let crowded = !make_room(&mut world);
            // A machine that keeps no key comes back with a new one. It gets its old name, labels and frame back,
            // and nothing else: it waits for approval.
            let predecessor = (boot_counter == 0 && !mac.is_empty())
                .then(|| {
                    world
                        .nodes
                        .values()
                        .find(|node| node.row.mac == mac && node.row.boot_counter == 0 && node.live.is_none())
                })
                .flatten()
                .cloned();
            row.name =
                predecessor.as_ref().map_or_else(|| world.free_node_name(), |node| node.row.name.clone());
            row.labels = predecessor.as_ref().map(|node| node.row.labels.clone()).unwrap_or_default();
            row.image = predecessor.as_ref().map(|node| node.row.image.clone()).unwrap_or_default();
            row.frame = predecessor.as_ref().map(|node| node.row.frame.clone()).unwrap_or_default();
            (crowded, predecessor)
        };
        if crowded {
            return Ok(None);
        }
        if let Some(old) = predecessor {
            self.succeed(&old, id).await?;
        }
        Ok(Some(NodeEntry::from_row(row)))
    }

    /// Servers of the old row move to the new one, which gets them once it is approved.
    async fn succeed(&self, old: &NodeEntry, id: &str) -> Result<(), Error> {
        let mut batch =
            Kind::NodeSuccession.batch("appliance").because("the machine came back with a new key");
        let servers: Vec<_> = {
            let world = self.world();
            world.servers.values().filter(|vs| vs.row.node == old.row.id).map(|vs| vs.row.clone()).collect()
        };
        for before in &servers {
            let mut after = before.clone();
            after.node = id.to_string();
            after.generation = after.generation.saturating_add(1);
            batch = batch.put_vs(Some(before), &after);
        }
        if old.row.approved {
            batch = batch.delete_node(&old.row);
        }
        let bmc = self.world().bmcs.get(&old.row.id).cloned();
        let bmc = bmc.map(|row| BmcRow { node: id.to_string(), ..row });
        if let Some(row) = &bmc {
            // It is the machine's, as is its place.
            batch = batch.drop_bmc(&old.row.id).put_bmc(None, row);
        }
        self.commit(batch).await?;
        let mut world = self.world();
        if let Some(row) = bmc {
            world.bmcs.remove(&old.row.id);
            world.bmcs.insert(id.to_string(), row);
        }
        world.nodes.remove(&old.row.id);
        self.history.forget_node(&old.row.id);
        for before in servers {
            if let Some(vs) = world.servers.get_mut(&before.id) {
                vs.row.node = id.to_string();
                vs.row.generation = vs.row.generation.saturating_add(1);
                vs.status = None;
            }
        }
        Ok(())
    }

    /// Whether an older session still speaks: it is asked to, and given time.
    async fn still_alive(&self, id: &str, older: &Live) -> bool {
        let from = Instant::now() + IN_FLIGHT;
        let _ = older.asks.try_send(Ask::Send(ToNode::Ping));
        let end = Instant::now() + PROBE;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match self.world().nodes.get(id).and_then(|node| node.live.as_ref()) {
                Some(live) if live.session == older.session => {
                    if live.heard > from {
                        return true;
                    }
                }
                Some(_) | None => return false,
            }
        }
        false
    }

    /// Two machines hold one identity: neither is trusted until a person decides. `change` is held.
    async fn two_holders(&self, id: &str, what: &str) -> Result<Admission, Error> {
        const REASON: &str = "identity used twice";
        let Some(node) = self.world().nodes.get(id).cloned() else {
            return Ok(Admission::Out(REASON.to_string()));
        };
        if node.row.conflict.is_empty() {
            let mut row = node.row.clone();
            row.conflict = what.to_string();
            let found = node_event(
                "node.conflict",
                "error",
                &row.name,
                format!("{REASON}: {what}; both are held back"),
            );
            if row.approved {
                let batch = Kind::NodeConflict.batch("appliance").because(what);
                self.commit(batch.put_node(Some(&node.row), &row).event(found)).await?;
            } else {
                self.emit(found);
            }
            if let Some(entry) = self.world().nodes.get_mut(id) {
                entry.row = row;
            }
            if let Some(live) = &node.live {
                // It gets a standing that says so.
                let _ = live.asks.try_send(Ask::Push);
            }
        }
        Ok(Admission::Out(REASON.to_string()))
    }

    /// A session ended.
    pub(crate) async fn left(&self, id: &str, session: u64, asked: bool) {
        let row = {
            let mut world = self.world();
            let Some(node) = world.nodes.get_mut(id) else { return };
            if node.live.as_ref().is_none_or(|live| live.session != session) {
                return;
            }
            node.live = None;
            node.lost = !asked;
            node.row.last_seen.clone_from(&node.last_seen);
            node.row.clone()
        };
        if !row.approved {
            return;
        }
        if !asked {
            self.emit(node_event("node.lost", "warn", &row.name, "the node is no longer heard"));
        }
        let _change = self.change.lock().await;
        let current = self.world().nodes.get(id).map(|node| node.row.clone());
        if let Some(row) = current
            && let Err(error) =
                self.commit(Batch::new(now(), "appliance", "departure").observe_node(&row)).await
        {
            tracing::error!(node = row.name, %error, "the departure was not written");
        }
    }

    /// Approves a node whose fingerprint a person compared.
    pub(crate) async fn approve(
        &self,
        actor: &str,
        name: &str,
        given: &str,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let decided = decide_approve(actor, self.find_node(name)?, &[given])?;
        self.carry_out(actor, Draft::of(Kind::NodeApprove, [decided]), dry).await
    }

    /// Forgets a node.
    pub(crate) async fn forget(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let decided = self.decide_forget(&self.sketch(), actor, self.find_node(name)?)?;
        self.carry_out(actor, Draft::of(Kind::NodeForget, [decided]), dry).await
    }

    /// What becomes of a node that is forgotten, with what lies on it in this world.
    pub(crate) fn decide_forget(
        &self,
        world: &World,
        actor: &str,
        node: NodeEntry,
    ) -> Result<(Change, NewEvent), Error> {
        let row = node.row;
        check_unused(world, &row.id, &row.name)?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..node_event("node.forgotten", "info", &row.name, "forgotten")
        };
        let before = row.approved.then(|| row.clone());
        Ok((Change::Node { held: row, before, after: None, forget: true }, told))
    }

    /// Signs and sends a node's records anew. No object changes, so history has nothing of it.
    pub(crate) async fn push_node(&self, name: &str, dry: bool) -> Result<Plan, Error> {
        let node = self.find_node(name)?;
        let live = node.live.as_ref().ok_or_else(|| away(&node))?;
        let effect = format!("{} is sent its standing and its configuration, signed anew", node.row.name);
        if !dry {
            ask(&node, live, Ask::Push).await?;
        }
        Ok(Plan {
            name: "config push".to_string(),
            state: if dry { "planned" } else { "done" }.to_string(),
            effects: vec![effect],
            ..Plan::default()
        })
    }

    /// Asks a node's session for something, and waits where it is busy.
    pub(crate) async fn ask(&self, node: &NodeEntry, what: Ask) -> Result<(), Error> {
        let live = node.live.as_ref().ok_or_else(|| away(node))?;
        ask(node, live, what).await
    }

    /// Lets a node have its records anew. Where its line is full a push is in it already.
    pub(crate) fn push(&self, id: &str) {
        if let Some(node) = self.world().nodes.get_mut(id) {
            push(node);
        }
    }

    pub(crate) fn push_all(&self) {
        self.world().nodes.values_mut().for_each(push);
    }

    pub(crate) fn find_node(&self, name: &str) -> Result<NodeEntry, Error> {
        self.world().node(name).cloned().map_err(|lookup| match lookup {
            Lookup::Missing => Error::not_found("node-not-found", "node", name, "weft node list"),
            Lookup::Ambiguous => Error::ambiguous("node", name),
        })
    }
}

/// Refuses where a server lies on the node, or a partition has it.
pub(crate) fn check_unused(world: &World, id: &str, name: &str) -> Result<(), Error> {
    let placed = world.servers.values().find(|vs| lies_on(&vs.row, id)).map(|vs| &vs.row.name);
    if let Some(vs) = placed {
        return Err(Error::refused(
            409,
            "node-in-use",
            format!("{name} runs {vs}"),
            format!("delete it first: weft vs delete {vs}"),
        ));
    }
    let joined = world.partitions.values().find(|entry| entry.row.members.iter().any(|member| member == id));
    if let Some(entry) = joined {
        let partition = &entry.row.name;
        return Err(Error::refused(
            409,
            "node-in-use",
            format!("{name} is a member of partition {partition}"),
            format!("delete it first: weft partition delete {partition}"),
        ));
    }
    let mut gateways = world.kept_nets(NetKind::Gateway, |row| row.node == id);
    if let Some(gateway) = gateways.next() {
        return Err(Error::refused(
            409,
            "node-in-use",
            format!("{name} has gateway port {}", gateway.name),
            format!("delete it first: weft gateway delete {}", gateway.name),
        ));
    }
    Ok(())
}

fn push(node: &mut NodeEntry) {
    node.taken.want();
    if let Some(live) = &node.live {
        let _ = live.asks.try_send(Ask::Push);
    }
}

/// The approval of a node whose fingerprint is among those that a person read on consoles.
pub(crate) fn decide_approve(
    actor: &str,
    node: NodeEntry,
    compared: &[impl AsRef<str>],
) -> Result<(Change, NewEvent), Error> {
    let expected = fingerprint(&node.row.id);
    if !compared.iter().any(|given| plain(given.as_ref()) == plain(&expected)) {
        return Err(Error::refused(
            409,
            "fingerprint-differs",
            format!("the fingerprint differs from that of {}", node.row.name),
            "compare with the node's own console; where it shows another one, do not approve",
        ));
    }
    let mut row = node.row.clone();
    row.approved = true;
    row.approved_boot_only = row.boot_counter == 0;
    row.conflict.clear();
    let scope = if row.approved_boot_only { " for this boot" } else { "" };
    let told = NewEvent {
        actor: actor.to_string(),
        ..node_event("node.approved", "info", &row.name, format!("approved{scope}: {expected}"))
    };
    let before = node.row.approved.then(|| node.row.clone());
    Ok((Change::Node { held: node.row, before, after: Some(row), forget: false }, told))
}

async fn ask(node: &NodeEntry, live: &Live, what: Ask) -> Result<(), Error> {
    live.asks.send_timeout(what, Duration::from_secs(5)).await.map_err(|_| away(node))
}

pub(crate) fn away(node: &NodeEntry) -> Error {
    Error::refused(
        409,
        "node-away",
        format!("{} is not connected", node.row.name),
        "see where it stopped: weft doctor",
    )
}

/// A counter lower than one seen before, or the same counter from another boot.
fn stale(node: &NodeEntry, hello: &Hello) -> bool {
    let other_boot = node.report.as_ref().is_some_and(|report| report.boot_nonce != hello.boot_nonce);
    hello.boot_counter < node.row.boot_counter || (hello.boot_counter == node.row.boot_counter && other_boot)
}

fn waiting_for(node: &NodeEntry) -> String {
    if !node.row.conflict.is_empty() {
        "identity used twice".to_string()
    } else if !node.row.approved {
        "waiting for approval".to_string()
    } else {
        String::new()
    }
}

/// Keeps the number of nodes without approval bounded: the one away longest goes.
fn make_room(world: &mut World) -> bool {
    let waiting: Vec<_> = world.nodes.values().filter(|node| !node.row.approved).collect();
    if waiting.len() < MAX_UNAPPROVED {
        return true;
    }
    let oldest = waiting
        .iter()
        .filter(|node| node.live.is_none())
        .min_by(|a, b| a.last_seen.cmp(&b.last_seen))
        .map(|node| node.row.id.clone());
    match oldest {
        Some(id) => {
            world.nodes.remove(&id);
            true
        }
        None => false,
    }
}

/// A fingerprint as a person compares it.
pub(crate) fn fingerprint(id: &str) -> String {
    crate::util::unhex(id).map(|id| Fingerprint(NodeId(id)).to_string()).unwrap_or_default()
}

fn plain(fingerprint: &str) -> String {
    fingerprint.chars().filter(|c| *c != '-' && !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}
