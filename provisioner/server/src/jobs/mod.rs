//! Jobs: several changes as one unit. A step is done when the nodes report it, not when its row is written; what fails is
//! undone as a whole, the last step first, each step by an ordinary transaction.
//!
//! ```text
//!            each step: change ─▶ nodes follow
//!  running ────────────────────────────────────▶ done
//!     │ cancelled, a step failed or came too late
//!     ▼      each step: undo ─▶ nodes follow
//!  undoing ────────────────────────────────────▶ undone
//!     │ ▲ an undo failed
//!     ▼ │ retry, skip
//!   stuck ─────────────────────────────────────▶ abandoned
//! ```
//! [`machine`] says what comes next, [`waits`] what nodes are to report, [`decide`] what a step changes, [`run`] does it,
//! [`verbs`] are the operator's. The state of a step is written in the batch of its change, so that a crash between them
//! cannot be: the appliance goes on where it was. A [`rollout`] is a job of another kind: where it fails it stops, and is not undone.

mod check;
mod decide;
mod machine;
mod plan;
mod rollout;
mod run;
mod show;
mod verbs;
mod waits;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use weft_store::{JobRow, NewEvent, Store, WaitFor};

use crate::core::event;
use crate::error::Error;
use crate::world::World;

/// A job that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct JobEntry {
    pub(crate) row: JobRow,
    /// Since when the step that waits has waited, as far as this process knows: the time during which no appliance ran
    /// counts for no node.
    pub(crate) since: Instant,
}

impl JobEntry {
    fn new(row: JobRow) -> Self {
        Self { row, since: Instant::now() }
    }
}

/// What jobs share.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// A job was made, or a person decided.
    wake: Notify,
    last: AtomicU64,
    /// Sessions in which a node was asked to restart.
    asked: Mutex<BTreeSet<u64>>,
}

impl Jobs {
    /// Takes up the jobs that had not ended.
    pub(crate) async fn open(store: &Store, world: &mut World) -> Result<Self, Error> {
        for row in store.open_jobs().await? {
            let waits = row.steps.iter().flat_map(|step| &step.waits);
            for wait in waits.filter(|wait| wait.wait == WaitFor::Gone) {
                // Its node says that it lives, if it does, before it says that it took anything.
                world.leaving.entry(wait.object.id.clone()).or_default();
            }
            world.jobs.insert(row.number, JobEntry::new(row));
        }
        Ok(Self {
            wake: Notify::new(),
            last: AtomicU64::new(store.last_job().await?),
            asked: Mutex::default(),
        })
    }

    /// The next number. The caller holds `change`.
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// An event of a job; the page looks again at each.
fn told(row: &JobRow, actor: &str, name: &str, state: &str, text: &str) -> NewEvent {
    let text = format!("job {} ({}): {text}", row.number, row.name);
    NewEvent { actor: actor.to_string(), ..event(name, state, text) }
}

/// A step for people: `step 2 (vs stop web)`.
fn step_words(row: &JobRow, index: usize) -> String {
    let Some(step) = row.steps.get(index) else { return String::new() };
    /// Names told of a step.
    const NAMES: usize = 3;
    let names: Vec<&str> = step.objects.iter().take(NAMES).map(|object| object.name.as_str()).collect();
    let more = match step.objects.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!("{} {}{more}", step.verb, names.join(" "));
    format!("step {} ({})", index.saturating_add(1), what.trim_end())
}
