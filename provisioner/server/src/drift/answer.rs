//! What a person says to a drift: what is becomes what is wanted, or what is wanted is made so.

use weft_api::{DriftAnswer, Plan};
use weft_store::{Batch, NewEvent, VsRow};
use weft_types::ConfigNumber;
use weft_wire::agent::VsStatus;

use super::About;
use super::find::{self, Found};
use super::hold::lives;
use crate::auth::{Object, ObjectKind, Sight, asking};
use crate::core::{Core, event};
use crate::error::Error;
use crate::servers::{Verb, invalid};
use crate::transactions::{Change, Draft, Kind, row_of_history};
use crate::util::now;

/// A node's word moves counters of a server by so much at most: they must never run out.
const MOST_AHEAD: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accept,
    Enforce,
}

impl Answer {
    fn of(action: &str) -> Result<Self, Error> {
        match action {
            "accept" => Ok(Self::Accept),
            "enforce" => Ok(Self::Enforce),
            _ => Err(invalid(format!("there is no answer {action}"), "accept or enforce")),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Enforce => "enforce",
        }
    }
}

impl Core {
    /// Answers one drift, or says only what that would do.
    pub(crate) async fn drift_answer(
        &self,
        actor: &str,
        wanted: &DriftAnswer,
        dry: bool,
    ) -> Result<Plan, Error> {
        let answer = Answer::of(&wanted.action)?;
        let _change = self.change.lock().await;
        let name = wanted.name.as_str();
        let found = {
            let world = self.world();
            find::all(self, &world).remove(name)
        };
        let found =
            found.ok_or_else(|| Error::not_found("drift-not-found", "drift", name, "weft drift list"))?;
        if let Some(caller) = asking::current() {
            let mut sight = Sight::of(self, &caller);
            let about = About { kind: found.kind, node: &found.node, vs: &found.vs };
            if !super::seen(&self.world(), &mut sight, about) {
                return Err(Error::not_found("drift-not-found", "drift", name, "weft drift list"));
            }
        }
        if !found.answers.contains(&answer.word()) {
            let next = if found.next.is_empty() { "wait: it settles by itself".into() } else { found.next };
            return Err(Error::refused(
                409,
                "drift-not-answered",
                format!("{name} cannot be told to {}: {}", answer.word(), found.does),
                next,
            ));
        }
        let plan = match found.kind {
            "unknown" => self.answer_unknown(actor, &found, answer, dry).await?,
            "partition" => self.answer_partition(actor, &found, dry).await?,
            _ => self.answer_server(actor, &found, answer, dry).await?,
        };
        if !dry {
            let outcome = match (answer, plan.transaction) {
                (Answer::Accept, number) => format!("accepted by {actor}, in transaction {number}"),
                (Answer::Enforce, 0) => format!("{actor} had it made as it is wanted"),
                (Answer::Enforce, number) => {
                    format!("{actor} had it made as it is wanted, in transaction {number}")
                }
            };
            self.settle_drift(name, &outcome);
            let id = if found.kind == "partition" { &found.partition } else { &found.vs_id };
            self.answered_for(&found.node_id, (answer == Answer::Enforce).then_some(id.as_str()));
        }
        Ok(plan)
    }

    /// A server that the store has, and whose node says something else of it.
    async fn answer_server(
        &self,
        actor: &str,
        found: &Found,
        answer: Answer,
        dry: bool,
    ) -> Result<Plan, Error> {
        let entry = self.find_vs(&found.vs_id)?;
        let seen = entry.ahead.clone().or_else(|| entry.status.clone());
        let live = seen.as_ref().is_some_and(lives);
        let before = entry.row.clone();
        let later = seen.as_ref().map_or(0, |seen| seen.instance.saturating_sub(before.instance));
        let ahead = seen.as_ref().map_or(0, |seen| seen.generation.saturating_sub(before.generation));
        if later.max(ahead) > u64::MAX / 4 {
            return Err(Error::refused(
                409,
                "drift-too-far",
                format!(
                    "its node says a start or generation of {} that is too high to be meant",
                    before.name
                ),
                format!("restart the node, or copy the server: weft vs copy {} NAME", before.name),
            ));
        }
        let mut row = before.clone();
        row.generation =
            row.generation.max(seen.as_ref().map_or(0, |seen| seen.generation)).saturating_add(1);
        match answer {
            Answer::Accept => {
                row.running = live;
                row.instance = row.instance.max(seen.as_ref().map_or(0, |seen| seen.instance));
                if !live {
                    row.started = None;
                }
            }
            Answer::Enforce => {
                let told_again = seen.as_ref().is_some_and(|seen| {
                    seen.instance <= before.instance && seen.generation <= before.generation
                });
                if told_again && (live || !before.running) {
                    // Nothing of it changes: its node hears of it once nothing else is held there.
                    return self.tell_again(actor, found, &before, dry);
                }
                row.instance = row.instance.max(seen.as_ref().map_or(0, |seen| seen.instance));
                if row.running && (!live || later > 0) {
                    crate::servers::start_afresh(&mut row);
                }
            }
        }
        self.check_spanned(&row, true)?;
        // Also where its counters alone move: who may start it may say so.
        let kind = if row.running { Kind::VsStart } else { Kind::VsStop };
        let told = self.vs_event(
            actor,
            &row,
            if answer == Answer::Accept { "drift.accepted" } else { "drift.enforced" },
            &format!("wanted {}, seen {}", found.wanted, found.seen),
        );
        let change = Change::Vs { before: Some(before), after: Some(row) };
        self.carry_out(actor, Draft::new(kind, vec![change], told), dry).await
    }

    /// Its node is told what is wanted, again or at last. No object changes.
    fn tell_again(&self, actor: &str, found: &Found, row: &VsRow, dry: bool) -> Result<Plan, Error> {
        let verb = if row.running { Verb::Start } else { Verb::Stop };
        if let Some(caller) = asking::current() {
            let labels = Some(&row.labels);
            self.allow(
                &caller,
                verb.right(),
                &Object { labels, ..Object::new(ObjectKind::Vs, &row.id, &row.name) },
            )?;
        }
        let does = if row.running { "is told to run" } else { "is told to end" };
        if !dry {
            self.emit(self.vs_event(
                actor,
                row,
                "drift.enforced",
                &format!("wanted {}, seen {}", found.wanted, found.seen),
            ));
            self.push(&found.node_id);
        }
        Ok(plan(found, dry, vec![format!("{} {does} {}", found.node, row.name)]))
    }

    /// A server that runs and that the store does not have.
    async fn answer_unknown(
        &self,
        actor: &str,
        found: &Found,
        answer: Answer,
        dry: bool,
    ) -> Result<Plan, Error> {
        let id = found.vs_id.as_str();
        if answer == Answer::Enforce {
            if let Some(caller) = asking::current() {
                self.allow(&caller, "delete", &Object::new(ObjectKind::Vs, id, ""))?;
            }
            if !dry {
                self.emit(NewEvent {
                    actor: actor.to_string(),
                    node: found.node.clone(),
                    ..event("drift.enforced", "warn", format!("{id}, which the store does not have, may end"))
                });
            }
            let effect =
                format!("{} ends {id} once nothing else is held there; its memory is lost", found.node);
            return Ok(plan(found, dry, vec![effect]));
        }
        let status = {
            let world = self.world();
            world.nodes.get(&found.node_id).and_then(|node| node.strangers.get(id)).cloned()
        };
        let gone = || Error::not_found("drift-not-found", "drift", id, "weft drift list");
        let (row, deletion) = self.remembered(found, &status.ok_or_else(gone)?).await?;
        self.check_return(&self.sketch(), &row)?;
        self.check_spanned(&row, true)?;
        let told = self.vs_event(
            actor,
            &row,
            "drift.accepted",
            &format!("it runs, and is back as transaction {deletion} found it"),
        );
        let change = Change::Vs { before: None, after: Some(row.clone()) };
        let draft = Draft { undoes: deletion, ..Draft::new(Kind::VsCreate, vec![change], told) };
        self.carry_out(actor, draft, dry).await
    }

    /// A deleted server as history has it, going on where its node has it, and the number of its deletion.
    async fn remembered(&self, found: &Found, seen: &VsStatus) -> Result<(VsRow, u64), Error> {
        let id = found.vs_id.as_str();
        let elsewhere = self.world().servers.get(id).map(|entry| entry.row.name.clone());
        if let Some(name) = elsewhere {
            return Err(Error::refused(
                409,
                "drift-elsewhere",
                format!("{name} lies elsewhere, as the store has it"),
                format!("end it here, and start it there: weft vs show {name}"),
            ));
        }
        let last = self.store.changes_after("vs", id, 0, 1).await?.into_iter().next();
        let before: Option<(VsRow, u64)> = match &last {
            Some(last) if last.after == "null" => {
                row_of_history("vs", &last.before)?.map(|row| (row, last.number))
            }
            Some(_) | None => None,
        };
        let Some((mut row, deletion)) = before else {
            return Err(Error::refused(
                409,
                "drift-unknown",
                format!("history has nothing of {id}: it was made after the backup that this store is of"),
                format!(
                    "restore a later backup, or let it run on while you fetch what is in it, and then: weft drift \
                     enforce {}.{}.unknown",
                    found.node,
                    super::short(id)
                ),
            ));
        };
        if !row.partition.is_empty() {
            return Err(Error::refused(
                409,
                "drift-spans",
                format!("{} spans nodes, and history keeps no key of its links", row.name),
                format!("end it here, then have it started afresh: weft tx undo {deletion}"),
            ));
        }
        row.node.clone_from(&found.node_id);
        row.running = lives(seen);
        row.started = None;
        row.generation = row.generation.max(seen.generation).saturating_add(1);
        row.instance = row.instance.max(seen.instance);
        Ok((row, deletion))
    }

    /// Members that agreed on a later configuration than the store has, or a partition that it does not have.
    async fn answer_partition(&self, actor: &str, found: &Found, dry: bool) -> Result<Plan, Error> {
        let known =
            self.find_partition(&found.partition).ok().filter(|_| found.wanted != "no such partition");
        let object = known.as_ref().map_or("", |entry| entry.row.id.as_str());
        if let Some(caller) = asking::current() {
            self.allow(&caller, "delete", &Object::new(ObjectKind::Partition, object, ""))?;
        }
        let told = |text: String| NewEvent {
            actor: actor.to_string(),
            node: found.node.clone(),
            ..event("drift.enforced", "warn", text)
        };
        let Some(entry) = known else {
            if !dry {
                self.emit(told(format!(
                    "partition {}, which the store does not have, may end",
                    found.partition
                )));
            }
            let effect = format!("the members of {} are told that it is dissolved", found.partition);
            return Ok(plan(found, dry, vec![effect]));
        };
        let row = entry.row;
        let latest = {
            let world = self.world();
            let all = self.world_partition_reports(&world, &row.id);
            all.into_iter().max().unwrap_or_default()
        };
        let effect =
            format!("members of {} are given the store's configuration, numbered beyond {latest}", row.name);
        self.checked_config(&row, &[], &[])?;
        if !dry {
            let count = latest.base().counter >> 40;
            let heard = weft_store::RecordNumber { epoch: latest.epoch, counter: count.max(1) };
            self.store.heard_record(&format!("partition-{}", row.id), heard).await?;
            let next = self.next_config(&row, &[], &[]).await?;
            let told = told(format!("{}: members are told what the store has", row.name));
            self.commit(Batch::new(now(), actor, "drift enforce").observe_partition(&next).event(told))
                .await?;
            if let Some(entry) = self.world().partitions.get_mut(&row.id) {
                entry.row = next.clone();
            }
            self.push_partition(&next);
        }
        Ok(plan(found, dry, vec![effect]))
    }

    /// Configurations that members of a partition say they agreed on.
    fn world_partition_reports(&self, world: &crate::world::World, id: &str) -> Vec<ConfigNumber> {
        let Some(entry) = world.partitions.get(id) else { return Vec::new() };
        let reports = entry.row.members.iter().filter_map(|member| entry.report(world, member));
        reports.map(|report| ConfigNumber { epoch: report.record.0, counter: report.record.1 }).collect()
    }

    /// Takes over what nodes say of starts that the store has not heard of, where both want the same of the server.
    pub(super) async fn take_counters_over(&self) {
        let names: Vec<String> = {
            let world = self.world();
            let agree = |entry: &&crate::world::VsEntry| {
                let held = world.nodes.get(&entry.row.node).is_some_and(|node| node.hold.holds());
                entry.ahead.as_ref().is_some_and(|ahead| {
                    let far = ahead.instance.saturating_sub(entry.row.instance) > MOST_AHEAD
                        || ahead.generation.saturating_sub(entry.row.generation) > MOST_AHEAD;
                    !held && !far && entry.row.running == lives(ahead)
                })
            };
            world.servers.values().filter(agree).map(|entry| format!("{}.instance", entry.row.name)).collect()
        };
        for name in names {
            let answer = DriftAnswer { action: "accept".to_string(), name: name.clone() };
            if let Err(error) = self.drift_answer("appliance", &answer, false).await {
                tracing::warn!(
                    drift = name,
                    error = crate::chain(&error),
                    "a later start was not taken over"
                );
            }
        }
    }
}

/// A plan of what no object of the store changes by.
fn plan(found: &Found, dry: bool, effects: Vec<String>) -> Plan {
    Plan {
        name: "drift enforce".to_string(),
        state: if dry { "planned" } else { "done" }.to_string(),
        lost: if found.kind == "unknown" {
            "what the guest holds in memory".to_string()
        } else {
            String::new()
        },
        effects,
        ..Plan::default()
    }
}
