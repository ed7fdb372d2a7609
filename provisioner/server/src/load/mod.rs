//! What nodes and virtual servers use: the last reports, and a bounded history of each object, in memory only.
//!
//! ```text
//! agent ─▶ report ─▶ rates since the report before ─┐ once a second ┌─▶ rings: 300 × 1 s, 360 × 60 s
//!                                                   └──── tick ─────┘
//! ```
//! - [`rates`]: from two reports to rates, and what is kept;
//! - [`ring`]: the history of one object;
//! - [`series`]: histories as the interface gives them; [`now`](mod@now): the present;
//! - [`openmetrics`]: the counters as they are, for `/metrics`.
//!
//! Invariants: an object whose node said nothing for [`FRESH`] has a gap and no rate; a server that spans nodes has a
//! value where all of its nodes have one. Time is that of the appliance's start, counted on by a clock that never
//! jumps. Locks: the world first, then this.

mod now;
mod openmetrics;
mod rates;
mod ring;
mod series;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weft_wire::load::{NodeLoad, ServerLoad};

use crate::core::Core;
use crate::util::{stopped, unix_s};
use crate::world::{VsEntry, World};
use rates::{NODE, NodeRow, VS, VS_SPANNING, VsRow};
use ring::Rings;

pub(crate) use series::SeriesQuery;

/// A report older than this says nothing about now; nodes send one a second.
const FRESH: Duration = Duration::from_secs(3);
/// Reports further apart give no rate: it would tell of a time in which nobody listened.
const MAX_ELAPSED_MS: u64 = 5_000;
const TICK: Duration = Duration::from_secs(1);
/// Where `exits` is in [`NODE`] and [`VS`].
const NODE_EXITS: usize = 7;
const VS_EXITS: usize = 4;

/// What a node last said.
#[derive(Debug)]
struct Told {
    last: Box<NodeLoad>,
    heard: Instant,
    /// What it used since the report before, where there was one.
    row: Option<NodeRow>,
    /// Likewise of its parts of servers, by their ids.
    parts: HashMap<String, Part>,
}

/// A server, or what of it is on one node.
#[derive(Debug)]
struct Part {
    instance: u64,
    row: Option<VsRow>,
}

impl Told {
    fn next(earlier: Option<&Self>, load: Box<NodeLoad>) -> Self {
        let elapsed = earlier.and_then(|old| {
            let elapsed = rates::elapsed(&old.last, &load)?;
            (elapsed <= MAX_ELAPSED_MS).then_some((old, elapsed))
        });
        let row = elapsed.map(|(old, elapsed)| rates::of_node(&old.last, &load, elapsed));
        let row_of = |now: &ServerLoad| {
            let (old, elapsed) = elapsed?;
            let before = old.last.servers.iter().find(|before| before.vs == now.vs);
            rates::of_part(before, now, elapsed)
        };
        let part = |now: &ServerLoad| Part { instance: now.instance, row: row_of(now) };
        let parts = load.servers.iter().map(|now| (now.vs.to_string(), part(now))).collect();
        Self { last: load, heard: Instant::now(), row, parts }
    }

    fn is_fresh(&self) -> bool {
        self.heard.elapsed() < FRESH
    }
}

#[derive(Debug, Default)]
struct State {
    /// By node id.
    told: HashMap<String, Told>,
    nodes: HashMap<String, Rings<{ NODE.len() }>>,
    /// By server id.
    servers: HashMap<String, Rings<{ VS.len() }>>,
    /// Second of the last tick.
    second: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Loads {
    state: Mutex<State>,
    started: Instant,
    started_unix_s: u64,
}

impl Default for Loads {
    fn default() -> Self {
        Self { state: Mutex::default(), started: Instant::now(), started_unix_s: unix_s() }
    }
}

impl Loads {
    /// Nothing in it is left half-changed by a panic: it is written by single assignments.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, seconds since 1970 as [`Loads`] counts them.
    fn second(&self) -> u64 {
        self.started_unix_s.saturating_add(self.started.elapsed().as_secs())
    }
}

impl State {
    fn fresh(&self, node: &str) -> Option<&Told> {
        self.told.get(node).filter(|told| told.is_fresh())
    }

    /// What a node uses now.
    fn node_row(&self, world: &World, id: &str) -> Option<NodeRow> {
        let told = self.fresh(id)?;
        let mut row = told.row?;
        let exits = told.parts.values().map(|part| part.row.map_or(f32::NAN, |row| row[VS_EXITS]));
        row[NODE_EXITS] = exits.sum();
        let spanning = told.parts.keys().filter_map(|vs| world.servers.get(vs)).filter(|vs| spans(vs));
        for entry in spanning {
            let remote = entry.figures.get(id).and_then(|figures| figures.remote()).unwrap_or([f32::NAN; 2]);
            for (sum, value) in row[NODE_EXITS + 1..].iter_mut().zip(remote) {
                *sum += value;
            }
        }
        Some(row)
    }

    /// What a server uses now, on all its nodes.
    fn vs_row(&self, entry: &VsEntry) -> Option<VsRow> {
        let mut sum = [0.0; VS.len()];
        for node in nodes_of(entry) {
            let told = self.fresh(node)?;
            let part = told.parts.get(&entry.row.id)?;
            let row = part.row.filter(|_| part.instance == entry.row.instance)?;
            let remote = entry.figures.get(node).and_then(|figures| figures.remote());
            let remote = remote.unwrap_or([f32::NAN; VS_SPANNING]);
            let (own, of_span) = sum.split_at_mut(VS.len() - VS_SPANNING);
            for (sum, value) in own.iter_mut().zip(row).chain(of_span.iter_mut().zip(remote)) {
                *sum += value;
            }
        }
        Some(sum)
    }

    /// Notes what all use in a second, and forgets what is gone.
    fn tick(&mut self, world: &World, second: u64) {
        self.second = second;
        let trusted = |id: &str| world.nodes.get(id).is_some_and(|node| node.trusted_with_records());
        self.told.retain(|id, _| trusted(id));
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.retain(|id, rings| trusted(id) && !rings.is_over(second));
        for id in world.nodes.keys() {
            note(&mut nodes, id, second, self.node_row(world, id));
        }
        self.nodes = nodes;
        let mut servers = std::mem::take(&mut self.servers);
        servers.retain(|id, rings| world.servers.contains_key(id) && !rings.is_over(second));
        for (id, entry) in &world.servers {
            note(&mut servers, id, second, self.vs_row(entry));
        }
        self.servers = servers;
    }
}

/// An object that never said anything has no history.
fn note<const N: usize>(all: &mut HashMap<String, Rings<N>>, id: &str, second: u64, row: Option<[f32; N]>) {
    match (all.get_mut(id), row) {
        (Some(rings), row) => rings.push(second, row.unwrap_or([f32::NAN; N])),
        (None, Some(row)) => all.entry(id.to_string()).or_default().push(second, row),
        (None, None) => {}
    }
}

fn spans(entry: &VsEntry) -> bool {
    !entry.row.partition.is_empty()
}

fn nodes_of(entry: &VsEntry) -> impl Iterator<Item = &str> {
    let alone = (!spans(entry)).then_some(entry.row.node.as_str());
    let places = entry.row.places.iter().filter(|_| spans(entry)).map(|place| place.node.as_str());
    alone.into_iter().chain(places)
}

impl Core {
    /// A node's report.
    pub(crate) fn load_report(&self, id: &str, load: Box<NodeLoad>) {
        let mut state = self.loads.state();
        let next = Told::next(state.told.get(id), load);
        state.told.insert(id.to_string(), next);
    }

    /// Counters of nodes and servers, as OpenMetrics text.
    pub(crate) fn load_metrics(&self, out: &mut String) {
        let world = self.world();
        openmetrics::write(out, &world, &self.loads.state());
    }

    /// Notes the load of all objects once a second, until the appliance stops.
    pub async fn run_loads(self: Arc<Self>, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            let world = self.world();
            let second = self.loads.second();
            self.loads.state().tick(&world, second);
        }
    }
}

#[cfg(test)]
mod tests;
