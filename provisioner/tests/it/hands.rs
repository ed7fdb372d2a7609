//! A simulated node that follows its configuration as a real one does: it answers the record, does what is new in it, and
//! reports each server. It can be told to wait, and to fail. It outlives the appliance, and dials it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use weft_server::simnode::{Heard, SimNode, SimSession};
use weft_types::VsId;
use weft_wire::agent::VsState;
use weft_wire::record::{Desired, NodeConfig, VsSpec};

use crate::common::Appliance;

/// A server as the node has it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) spec: VsSpec,
    /// The instance that was started last, 0 where none was.
    pub(crate) instance: u64,
    pub(crate) state: VsState,
}

/// What the node holds and has heard.
#[derive(Default)]
pub(crate) struct Hands {
    /// Where the appliance is; `None`: the node does not dial.
    target: Option<(std::net::SocketAddr, [u8; 32], weft_format::delegation::Delegation)>,
    last: (u64, u64),
    pub(crate) held: BTreeMap<String, Held>,
    /// The last configuration, by name.
    heard: BTreeMap<String, VsSpec>,
    /// What was new in each configuration: `start web`, `stop web`, `make web`, `drop web`, in the order of arrival.
    pub(crate) wishes: Vec<String>,
    /// Starts and stops that it still does; then it waits.
    pub(crate) permits: usize,
    /// Servers that fail when they are started.
    pub(crate) fails: BTreeSet<String>,
}

/// A running node.
pub(crate) struct Machine {
    pub(crate) node: SimNode,
    hands: Arc<Mutex<Hands>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Machine {
    /// A node that dials this appliance.
    pub(crate) fn start(node: SimNode, appliance: &Appliance) -> Self {
        let hands = Arc::new(Mutex::new(Hands { permits: usize::MAX, ..Hands::default() }));
        let task = tokio::spawn(run(node.clone(), Arc::clone(&hands)));
        let machine = Self { node, hands, task };
        machine.dial(appliance);
        machine
    }

    pub(crate) fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().expect("no panic in the node")
    }

    /// The appliance is here now.
    pub(crate) fn dial(&self, appliance: &Appliance) {
        self.hands().target = Some((appliance.agent, appliance.channel_key, appliance.delegation.clone()));
    }

    /// The node is not reached any more.
    pub(crate) fn hang_up(&self) {
        self.hands().target = None;
    }

    /// What it was asked for so far.
    pub(crate) fn wishes(&self) -> Vec<String> {
        self.hands().wishes.clone()
    }

    /// Waits until something holds of the node.
    pub(crate) async fn until(&self, what: &str, good: impl Fn(&Hands) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !good(&self.hands()) {
            assert!(Instant::now() < end, "never {what}; it heard {:?}", self.wishes());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// State of a server; `None` where it is not there.
    pub(crate) fn state(&self, name: &str) -> Option<VsState> {
        self.hands().held.get(name).map(|held| held.state)
    }
}

async fn run(node: SimNode, hands: Arc<Mutex<Hands>>) {
    loop {
        let (target, last) = {
            let hands = hands.lock().expect("no panic");
            (hands.target.clone(), hands.last)
        };
        if let Some((at, key, delegation)) = target
            && let Ok(session) = node.connect(at, &key, &delegation, last).await
        {
            serve(session, &hands, at).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn serve(mut session: SimSession, hands: &Mutex<Hands>, at: std::net::SocketAddr) {
    let known: Vec<Held> = hands.lock().expect("no panic").held.values().cloned().collect();
    for held in known {
        if report(&mut session, &held).await.is_err() {
            return;
        }
    }
    let mut beat = Instant::now();
    loop {
        let here = hands.lock().expect("no panic").target.as_ref().is_some_and(|target| target.0 == at);
        if !here {
            return;
        }
        match tokio::time::timeout(Duration::from_millis(20), session.next()).await {
            Ok(Ok(Heard::Config(config))) => {
                let mut hands = hands.lock().expect("no panic");
                hands.last = session.numbers.last().copied().unwrap_or_default();
                hands.hear(config);
            }
            Ok(Ok(Heard::Refused(error))) => panic!("a record was refused: {error}"),
            Ok(Ok(Heard::Standing(_) | Heard::Message(_))) | Err(_) => {}
            Ok(Err(_)) => return,
        }
        let done = hands.lock().expect("no panic").follow();
        for held in done {
            if report(&mut session, &held).await.is_err() {
                return;
            }
        }
        if beat.elapsed() > Duration::from_millis(500) {
            beat = Instant::now();
            if session.beat(1).await.is_err() {
                return;
            }
        }
    }
}

async fn report(session: &mut SimSession, held: &Held) -> Result<(), weft_server::simnode::SimError> {
    let id: VsId = held.spec.id;
    session.status(id, held.spec.generation, held.instance, held.state).await
}

impl Hands {
    fn hear(&mut self, config: NodeConfig) {
        let new: BTreeMap<String, VsSpec> =
            config.servers.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        for name in self.heard.keys().filter(|name| !new.contains_key(*name)) {
            self.wishes.push(format!("drop {name}"));
        }
        for (name, spec) in &new {
            let old = self.heard.get(name);
            if old.is_none() {
                self.wishes.push(format!("make {name}"));
            }
            let ran = old.is_some_and(|old| old.desired == Desired::Running);
            let runs = spec.desired == Desired::Running;
            if runs && (!ran || old.is_some_and(|old| old.instance != spec.instance)) {
                self.wishes.push(format!("start {name}"));
            } else if ran && !runs {
                self.wishes.push(format!("stop {name}"));
            }
            let fresh = Held { spec: spec.clone(), instance: 0, state: VsState::Stopped };
            self.held.entry(name.clone()).or_insert(fresh).spec = spec.clone();
        }
        self.heard = new;
    }

    /// Does what is asked for as far as it may; what is to be reported.
    fn follow(&mut self) -> Vec<Held> {
        let mut done = Vec::new();
        let names: Vec<String> = self.held.keys().cloned().collect();
        for name in names {
            let Some(mut held) = self.held.get(&name).cloned() else { continue };
            let leaving = !self.heard.contains_key(&name);
            let wanted = !leaving && held.spec.desired == Desired::Running;
            let runs = held.state == VsState::Running;
            let acts = (wanted && held.spec.instance > held.instance) || (!wanted && runs);
            if acts {
                let Some(left) = self.permits.checked_sub(1) else { continue };
                self.permits = left;
                held.state = match wanted {
                    true if self.fails.contains(&name) => VsState::Failed,
                    true => VsState::Running,
                    false => VsState::Stopped,
                };
                if wanted {
                    held.instance = held.spec.instance;
                }
                done.push(held.clone());
                self.held.insert(name.clone(), held);
            }
            if leaving && (!runs || acts) {
                self.held.remove(&name);
            }
        }
        done
    }
}
