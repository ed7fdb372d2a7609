//! What nodes say in a session: heartbeats, logs, events, results, states, console output.

use std::time::Instant;

use weft_api::LogEntry;
use weft_store::NewEvent;
use weft_wire::agent::{Level, LogLine, NodeEvent, RecordResult, ToServer, VsState, VsStatus};

use crate::agent::Talk;
use crate::core::{Core, count, event};
use crate::spanning::{lies_on, whole};
use crate::util::now;
use crate::world::LOG_LINES;

pub(crate) fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// Control characters have no place in what a terminal or a page will show.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Core {
    /// One message of a node's session.
    pub(crate) async fn heard(&self, id: &str, session: u64, message: ToServer, talk: &mut Talk) {
        let Some((name, trusted)) = self.touch(id, session) else { return };
        match message {
            // A second Hello changes nothing: the first one was judged.
            ToServer::Hello(_) => {}
            ToServer::Heartbeat(beat) => {
                if let Some(node) = self.world().nodes.get_mut(id) {
                    node.beat = beat;
                }
                self.beat_heard(id);
            }
            ToServer::Log(line) => {
                if talk.take() {
                    self.log(id, &line, talk);
                }
            }
            ToServer::Event(event) => {
                if talk.take() {
                    self.node_event(id, &name, &event);
                }
            }
            ToServer::RecordResult(result) => self.record_result(id, &name, &result),
            // What follows is about virtual servers, and only a node that may have them is listened to.
            ToServer::VsStatus(status) => {
                if trusted {
                    self.vs_status(id, &name, status);
                }
            }
            ToServer::SpanFigures(figures) => {
                if trusted {
                    self.span_figures(id, figures);
                }
            }
            ToServer::Load(load) => {
                if trusted {
                    self.load_report(id, load);
                }
            }
            ToServer::Console { vs, instance, offset, bytes } => {
                let vs = vs.to_string();
                let placed = self.world().servers.get(&vs).is_some_and(|entry| lies_on(&entry.row, id));
                if trusted && placed && self.consoles.output(&vs, instance, offset, &bytes) {
                    self.history.output(&vs, instance, offset, &bytes);
                }
            }
            ToServer::Cluster(report) => {
                if trusted {
                    self.cluster_report(id, report).await;
                }
            }
            ToServer::ClusterTalk { partition, talk } => {
                if trusted {
                    self.cluster_talk(id, &partition.to_string(), &talk).await;
                }
            }
            ToServer::ClusterResult(result) => {
                if trusted {
                    self.cluster_result(id, &name, &result);
                }
            }
            ToServer::Wanted(wanted) => {
                if trusted {
                    self.operator_wanted(id, &wanted).await;
                }
            }
        }
    }

    /// Notes that the session is alive. `None` where it is not the node's session any more.
    fn touch(&self, id: &str, session: u64) -> Option<(String, bool)> {
        let mut world = self.world();
        let node = world.nodes.get_mut(id)?;
        let live = node.live.as_mut().filter(|live| live.session == session)?;
        live.heard = Instant::now();
        node.last_seen = now();
        Some((node.row.name.clone(), node.trusted_with_records()))
    }

    fn log(&self, id: &str, line: &LogLine, talk: &mut Talk) {
        let dropped = std::mem::take(&mut talk.dropped);
        let mut world = self.world();
        let Some(node) = world.nodes.get_mut(id) else { return };
        let mut seq = node.log.back().map_or(0, |last| last.seq);
        let mut entry = |level: &str, text: String| LogEntry {
            seq: {
                seq = seq.saturating_add(1);
                seq
            },
            at: now(),
            uptime_ms: line.uptime_ms,
            level: level.to_string(),
            text,
        };
        let gap = (dropped > 0)
            .then(|| entry("warn", format!("[{dropped} lines dropped: the node said too much]")));
        for entry in gap.into_iter().chain([entry(level(line.level), clean(&line.text))]) {
            // Strangers get no room on the disk.
            if node.row.approved {
                self.history.line(id, &entry);
            }
            node.log.push_back(entry);
        }
        let excess = node.log.len().saturating_sub(LOG_LINES);
        node.log.drain(..excess);
    }

    fn node_event(&self, id: &str, name: &str, said: &NodeEvent) {
        let vs = said.vs.map(|vs| vs.to_string()).unwrap_or_default();
        let vs_name = {
            let world = self.world();
            world.servers.get(&vs).filter(|entry| lies_on(&entry.row, id)).map(|entry| entry.row.name.clone())
        };
        self.emit(NewEvent {
            node: name.to_string(),
            vs: vs_name.unwrap_or_default(),
            actor: name.to_string(),
            ..event(&clean(&said.kind), level(said.level), clean(&said.text))
        });
    }

    fn record_result(&self, id: &str, name: &str, result: &RecordResult) {
        let refused = match &result.result {
            Ok(()) => String::new(),
            Err(reason) => clean(reason),
        };
        if !refused.is_empty() {
            count(&self.counts.records_refused);
            let (epoch, counter) = result.record;
            self.emit(NewEvent {
                node: name.to_string(),
                ..event("record.refused", "error", format!("record {epoch}.{counter} refused: {refused}"))
            });
        }
        if let Some(node) = self.world().nodes.get_mut(id) {
            if refused.is_empty() {
                node.taken.answered(result.record);
                if node.taken.all() {
                    // What it has not is given up without a word, where nothing of it ran.
                    node.strangers.retain(|_, status| status.state == VsState::Running);
                }
            }
            node.refused = refused;
        }
    }

    fn vs_status(&self, id: &str, name: &str, mut status: VsStatus) {
        status.reason = clean(&status.reason);
        let told = {
            let mut world = self.world();
            let vs_id = status.vs.to_string();
            if let Some(nodes) = world.leaving.get_mut(&vs_id) {
                match status.state {
                    VsState::Fetching | VsState::Running => _ = nodes.insert(id.to_string()),
                    VsState::Stopped | VsState::Off | VsState::Failed => _ = nodes.remove(id),
                }
            }
            let here = world.servers.get(&vs_id).is_some_and(|entry| lies_on(&entry.row, id));
            if !here {
                if let Some(node) = world.nodes.get_mut(id) {
                    match status.state {
                        VsState::Fetching | VsState::Running => node.stranger(&vs_id, status),
                        VsState::Stopped | VsState::Off | VsState::Failed => {
                            node.strangers.remove(&vs_id);
                        }
                    }
                }
                return;
            }
            let Some(entry) = world.servers.get_mut(&vs_id) else { return };
            if status.instance > entry.row.instance {
                if entry.row.partition.is_empty() {
                    entry.ahead = Some(status);
                    drop(world);
                    self.look_at_server(&vs_id);
                }
                return;
            }
            entry.ahead = None;
            if !entry.row.partition.is_empty() {
                entry.parts.insert(id.to_string(), status);
                let whole = world.servers.get(&vs_id).and_then(|entry| whole(&world, entry));
                let Some(of_whole) = whole else { return };
                status = of_whole;
            }
            let Some(entry) = world.servers.get_mut(&vs_id) else { return };
            let changed = entry
                .status
                .as_ref()
                .is_none_or(|old| old.state != status.state || old.instance != status.instance);
            let vs = entry.row.name.clone();
            let told = changed.then(|| status_event(&status, vs, name));
            entry.status = Some(status);
            let fresh = world.nodes.get(id).is_some_and(|node| node.taken.nothing());
            drop(world);
            if fresh {
                self.look_at_server(&vs_id);
            }
            told
        };
        if let Some(told) = told {
            self.emit(told);
        }
    }
}

fn status_event(status: &VsStatus, vs: String, node: &str) -> NewEvent {
    let (name, state, text) = match status.state {
        VsState::Stopped if !status.reason.is_empty() => ("vs.held", "warn", status.reason.clone()),
        VsState::Stopped => ("vs.stopped", "info", "stopped".to_string()),
        VsState::Fetching => {
            ("vs.fetching", "info", "kernel and initial ram disk are on their way".to_string())
        }
        VsState::Running => ("vs.running", "info", "running".to_string()),
        VsState::Off => ("vs.off", "info", "the guest switched itself off".to_string()),
        VsState::Failed => ("vs.failed", "error", format!("failed: {}", status.reason)),
    };
    NewEvent { vs, node: node.to_string(), actor: node.to_string(), ..event(name, state, text) }
}
