//! Drift: where nodes say something else than the store wants, after either was away.
//!
//! ```text
//! node is back ─▶ older store than it knows? ─ yes ─▶ listen ─▶ guests that would end? ─ yes ─▶ held: told nothing
//!                        │ no                           │ none                                   │ accept, enforce
//!                        ▼                              ▼                                        ▼
//!                  told what is wanted ◀────────────────┴────────────────────────────────────────┘
//! each second, and as servers are reported: compare ─▶ noticed ─▶ told (event, list) ─▶ gone: settled
//! ```
//! [`find`] says what differs, [`hold`] keeps a restored appliance from ending what it does not know, [`answer`] is the
//! operator's. Nothing of it is kept on disk: nodes say it again to an appliance that starts.

mod answer;
mod find;
mod hold;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weft_api::Drift;
use weft_store::NewEvent;

use crate::auth::Sight;
use crate::core::{Core, event};
use crate::util::{now, stopped};
use crate::world::World;
use find::Found;

pub(crate) use hold::Hold;

/// What of a drift says who may see it.
pub(crate) struct About<'a> {
    pub(crate) kind: &'a str,
    pub(crate) node: &'a str,
    pub(crate) vs: &'a str,
}

/// Whether a caller sees a drift: its node, and the server that it is about. One that the store does not have is its node's.
pub(crate) fn seen(world: &World, sight: &mut Sight, about: About<'_>) -> bool {
    sight.node_named(world, about.node)
        && (about.kind == "unknown" || about.vs.is_empty() || sight.vs_named(world, about.vs))
}

/// How often what nodes said is compared with what is wanted.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What differs for less is on its way: a guest that starts, a record that a node has just been sent.
const GRACE: Duration = Duration::from_secs(10);
/// Settled ones that are remembered.
const SETTLED: usize = 200;
/// Differences noticed at once.
const MAX_NOTICED: usize = 20_000;

/// What was noticed.
#[derive(Debug, Default)]
pub(crate) struct Drifts(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    noticed: BTreeMap<String, Noticed>,
    settled: VecDeque<Drift>,
}

#[derive(Debug)]
struct Noticed {
    found: Found,
    since: String,
    at: Instant,
    /// It lasted long enough, or needs no lasting: it is in the list.
    told: bool,
    /// Its node is not heard.
    away: bool,
}

impl Noticed {
    fn show(&self, name: &str) -> Drift {
        let found = &self.found;
        let settled = Drift {
            name: name.to_string(),
            kind: found.kind.to_string(),
            node: found.node.clone(),
            vs: found.vs.clone(),
            partition: found.partition.clone(),
            since: self.since.clone(),
            wanted: found.wanted.clone(),
            seen: found.seen.clone(),
            state: found.state.to_string(),
            does: found.does.clone(),
            next: found.next.clone(),
            answers: found.answers.iter().map(|answer| (*answer).to_string()).collect(),
            ..Drift::default()
        };
        if self.away {
            return Drift {
                state: "away".to_string(),
                does: "waits until its node is heard again".to_string(),
                next: "see where it stopped: weft doctor".to_string(),
                answers: Vec::new(),
                ..settled
            };
        }
        settled
    }
}

impl Drifts {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Takes note of a difference; its event, where it is told of now.
    fn notice(&mut self, name: &str, found: Found) -> Option<NewEvent> {
        if !self.noticed.contains_key(name) && self.noticed.len() >= MAX_NOTICED {
            return None;
        }
        let urgent = found.urgent;
        let noticed = self.noticed.entry(name.to_string()).or_insert_with(|| Noticed {
            found: found.clone(),
            since: now(),
            at: Instant::now(),
            told: false,
            away: false,
        });
        noticed.found = found;
        noticed.away = false;
        if noticed.told || !(urgent || noticed.at.elapsed() >= GRACE) {
            return None;
        }
        noticed.told = true;
        let found = &noticed.found;
        let level = if found.state == "settling" { "info" } else { "warn" };
        let text = format!("{name}: wanted {}, seen {}; {}", found.wanted, found.seen, found.does);
        Some(about(found, "drift.found", level, text))
    }

    /// It is no more; its event, where anybody was told of it.
    fn settle(&mut self, name: &str, outcome: &str) -> Option<NewEvent> {
        let noticed = self.noticed.remove(name)?;
        if !noticed.told {
            return None;
        }
        let drift = Drift {
            state: "settled".to_string(),
            does: String::new(),
            next: String::new(),
            answers: Vec::new(),
            ended: now(),
            outcome: outcome.to_string(),
            ..noticed.show(name)
        };
        self.keep(drift);
        Some(about(&noticed.found, "drift.settled", "info", format!("{name}: {outcome}")))
    }

    fn keep(&mut self, drift: Drift) {
        if self.settled.len() >= SETTLED {
            self.settled.pop_front();
        }
        self.settled.push_back(drift);
    }
}

fn about(found: &Found, name: &str, level: &str, text: String) -> NewEvent {
    // One that the store does not have is known by no name that rights could be judged by.
    let vs = if found.kind == "unknown" { String::new() } else { found.vs.clone() };
    NewEvent { node: found.node.clone(), vs, ..event(name, level, text) }
}

impl Core {
    /// Compares, again and again, until `stop`.
    pub async fn run_drift(self: Arc<Self>, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _ = looks.tick() => {}
            }
            self.listened_long_enough();
            self.look_for_drift();
            self.take_counters_over().await;
        }
    }

    /// Compares everything.
    fn look_for_drift(&self) {
        let (found, silent) = {
            let world = self.world();
            let found = find::all(self, &world);
            let mut book = self.drifts.book();
            let mut silent = Vec::new();
            for (name, noticed) in &mut book.noticed {
                if !found.contains_key(name) {
                    noticed.away = !find::heard(&world, &noticed.found);
                    if !noticed.away && find::over(&world, &noticed.found) {
                        silent.push(name.clone());
                    }
                }
            }
            (found, silent)
        };
        let events: Vec<NewEvent> = {
            let mut book = self.drifts.book();
            let over = silent.iter().filter_map(|name| book.settle(name, "it is as it is wanted now"));
            let mut events: Vec<NewEvent> = over.collect();
            events.extend(found.into_iter().filter_map(|(name, found)| book.notice(&name, found)));
            events
        };
        events.into_iter().for_each(|event| self.emit(event));
    }

    /// A node said how a server of its stands: what differs is noticed before the node hears what is wanted.
    pub(crate) fn look_at_server(&self, id: &str) {
        let found = {
            let world = self.world();
            world.servers.get(id).map(|entry| find::of_server(&world, entry))
        };
        let events: Vec<NewEvent> = {
            let mut book = self.drifts.book();
            let urgent = found.into_iter().flatten().filter(|(_, found)| found.urgent);
            urgent.filter_map(|(name, found)| book.notice(&name, found)).collect()
        };
        events.into_iter().for_each(|event| self.emit(event));
    }

    /// Something that differed and that the appliance took over by itself.
    pub(crate) fn drift_taken_over(&self, drift: Drift) {
        self.drifts.book().keep(Drift {
            state: "settled".to_string(),
            since: if drift.since.is_empty() { now() } else { drift.since.clone() },
            ended: now(),
            ..drift
        });
    }

    /// What differs now, by name; `settled`: and what did, the newest last.
    pub(crate) fn show_drift(&self, settled: bool) -> Vec<Drift> {
        let book = self.drifts.book();
        let open = book.noticed.iter().filter(|(_, noticed)| noticed.told);
        let mut all: Vec<Drift> = open.map(|(name, noticed)| noticed.show(name)).collect();
        if settled {
            all.extend(book.settled.iter().cloned());
        }
        all
    }

    /// Differences that wait for a person, and all that there are.
    pub(crate) fn count_drift(&self) -> (usize, usize) {
        let book = self.drifts.book();
        let told =
            || book.noticed.values().filter(|noticed| noticed.told && noticed.found.state != "settling");
        (told().filter(|noticed| noticed.found.state == "held").count(), told().count())
    }

    fn settle_drift(&self, name: &str, outcome: &str) {
        let event = self.drifts.book().settle(name, outcome);
        event.into_iter().for_each(|event| self.emit(event));
    }
}

/// The first digits of an id, for names.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// A node's name in this world.
fn node_name(world: &World, id: &str) -> String {
    crate::partitions::name_of(world, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(urgent: bool) -> Found {
        Found { kind: "state", state: "open", urgent, ..Found::default() }
    }

    #[test]
    fn what_differs_for_a_moment_is_not_told_and_what_is_told_is_settled_once() {
        let mut book = Book::default();
        assert!(book.notice("web.state", found(false)).is_none());
        assert!(book.settle("web.state", "x").is_none(), "nobody heard of it");
        assert_eq!(book.notice("web.state", found(true)).map(|event| event.name), Some("drift.found".into()));
        assert!(book.notice("web.state", found(true)).is_none(), "told once");
        let settled = book.settle("web.state", "as wanted").expect("an event");
        assert_eq!((settled.name.as_str(), book.settled.len()), ("drift.settled", 1));
        assert!(book.settle("web.state", "x").is_none());
    }

    #[test]
    fn little_is_remembered_of_what_is_over_and_of_too_much() {
        let mut book = Book::default();
        for n in 0..SETTLED + 10 {
            book.keep(Drift { name: n.to_string(), ..Drift::default() });
        }
        assert_eq!((book.settled.len(), book.settled[0].name.as_str()), (SETTLED, "10"));
        for n in 0..MAX_NOTICED + 10 {
            let _ = book.notice(&n.to_string(), found(true));
        }
        assert_eq!(book.noticed.len(), MAX_NOTICED);
    }
}
