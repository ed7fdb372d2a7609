//! A simulated node that follows its configuration as a real one does: it answers the record, does what is new in it, and
//! reports each server. Told to restart, it fetches what it is to boot, as a machine does. It can be told to wait, and to
//! fail. It outlives the appliance, and dials it again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_server::simnode::{Heard, SimNode, SimSession};
use weft_types::VsId;
use weft_wire::agent::{Command, ToNode, ToServer, VsState};
use weft_wire::operator::Wanted;
use weft_wire::record::{Desired, NodeConfig, VsSpec};

use crate::common::{Appliance, roots};

/// A server as the node has it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) spec: VsSpec,
    /// The instance that was started last, 0 where none was.
    pub(crate) instance: u64,
    pub(crate) state: VsState,
}

/// An appliance, as a node reaches it.
#[derive(Clone)]
struct Target {
    agent: SocketAddr,
    http: SocketAddr,
    key: [u8; 32],
    delegation: weft_format::delegation::Delegation,
}

/// What a node does when it is told to restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Restarts {
    /// It boots what it is offered.
    #[default]
    Offered,
    /// It boots what it had.
    Same,
    /// It does not come up until it is told otherwise.
    Never,
    /// It fetches what it is offered, and comes up with that once it is told otherwise.
    Late,
    /// It stays as it is.
    Deaf,
}

/// What the node holds and has heard.
#[derive(Default)]
pub(crate) struct Hands {
    /// Where the appliance is; `None`: the node does not dial.
    target: Option<Target>,
    last: (u64, u64),
    pub(crate) held: BTreeMap<String, Held>,
    /// The last configuration, by name.
    heard: BTreeMap<String, VsSpec>,
    /// What was new in each configuration: `start web`, `stop web`, `make web`, `drop web`, in the order of arrival.
    pub(crate) wishes: Vec<String>,
    /// Starts and stops that it still does; then it waits.
    pub(crate) permits: usize,
    /// What an operator changed at its door, told until a configuration says as much.
    pub(crate) wanted: Vec<Wanted>,
    /// Servers that fail when they are started.
    pub(crate) fails: BTreeSet<String>,
    pub(crate) restarts: Restarts,
    /// Times that it was told to restart.
    pub(crate) told: usize,
    /// What it fetched to boot and has not booted yet.
    pub(crate) fetched: Option<Vec<u8>>,
    /// Generations of the images that it booted since.
    pub(crate) boots: Vec<u64>,
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
        self.hands().target = Some(Target {
            agent: appliance.agent,
            http: appliance.http,
            key: appliance.channel_key,
            delegation: appliance.delegation.clone(),
        });
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

    /// An operator starts or stops a server at the node's door.
    pub(crate) fn at_the_door(&self, name: &str, running: bool, by: &str) {
        let mut hands = self.hands();
        let held = hands.held.get_mut(name).expect("it is there");
        held.spec.generation += 1;
        held.spec.desired = if running { Desired::Running } else { Desired::Stopped };
        held.state = if running { VsState::Running } else { VsState::Stopped };
        if running {
            held.instance += 1;
            held.spec.instance = held.instance;
        }
        let wanted = Wanted {
            vs: held.spec.id,
            generation: held.spec.generation,
            instance: held.spec.instance,
            running,
            by: by.to_string(),
        };
        hands.wanted.push(wanted);
    }

    /// State of a server; `None` where it is not there.
    pub(crate) fn state(&self, name: &str) -> Option<VsState> {
        self.hands().held.get(name).map(|held| held.state)
    }
}

async fn run(mut node: SimNode, hands: Arc<Mutex<Hands>>) {
    loop {
        let (target, last) = {
            let hands = hands.lock().expect("no panic");
            (hands.target.clone(), hands.last)
        };
        if let Some(Target { agent, key, delegation, .. }) = target
            && let Ok(session) = node.connect(agent, &key, &delegation, last).await
            && serve(session, &hands, agent).await
        {
            restart(&mut node, &hands).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a machine gets that asks for this file from this address.
pub(crate) async fn fetch(from: IpAddr, at: SocketAddr, path: &str) -> Option<Vec<u8>> {
    let socket = tokio::net::TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(from, 0)).ok()?;
    let mut stream = socket.connect(at).await.ok()?;
    let ask = format!("GET /{path} HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    (answer.get(9..12)? == b"200").then(|| answer.split_off(end))
}

/// Goes off, and comes up again with what it is offered from there on.
async fn restart(node: &mut SimNode, hands: &Mutex<Hands>) {
    {
        let mut hands = hands.lock().expect("no panic");
        hands.told += 1;
        hands.held.clear();
        hands.heard.clear();
    }
    node.reboot();
    loop {
        let (restarts, target, fetched) = {
            let hands = hands.lock().expect("no panic");
            (hands.restarts, hands.target.clone(), hands.fetched.clone())
        };
        let booted = match (restarts, target) {
            (Restarts::Same, _) => true,
            (Restarts::Offered, Some(target)) => {
                let image = match fetched {
                    Some(image) => Some(image),
                    None => fetch(node.source.into(), target.http, "weft.efi").await,
                };
                image.is_some_and(|image| node.boot_into(&image, &roots(false)).is_ok())
            }
            (Restarts::Late, Some(target)) if fetched.is_none() => {
                let image = fetch(node.source.into(), target.http, "weft.efi").await;
                hands.lock().expect("no panic").fetched = image;
                false
            }
            (Restarts::Never | Restarts::Late | Restarts::Deaf, _) | (Restarts::Offered, None) => false,
        };
        if booted {
            let mut hands = hands.lock().expect("no panic");
            hands.fetched = None;
            hands.boots.push(node.boot.generation);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns whether it was told to restart.
async fn serve(mut session: SimSession, hands: &Mutex<Hands>, at: SocketAddr) -> bool {
    let wanted = hands.lock().expect("no panic").wanted.clone();
    for wanted in wanted {
        if session.send(&ToServer::Wanted(wanted)).await.is_err() {
            return false;
        }
    }
    let known: Vec<Held> = hands.lock().expect("no panic").held.values().cloned().collect();
    for held in known {
        if report(&mut session, &held).await.is_err() {
            return false;
        }
    }
    let mut beat = Instant::now();
    loop {
        let here = hands.lock().expect("no panic").target.as_ref().is_some_and(|target| target.agent == at);
        if !here {
            return false;
        }
        match tokio::time::timeout(Duration::from_millis(20), session.next()).await {
            Ok(Ok(Heard::Config(config))) => {
                let mut hands = hands.lock().expect("no panic");
                hands.last = session.numbers.last().copied().unwrap_or_default();
                hands.hear(config);
            }
            Ok(Ok(Heard::Refused(error))) => panic!("a record was refused: {error}"),
            Ok(Ok(Heard::Message(ToNode::Command(Command::Reboot)))) => {
                let mut hands = hands.lock().expect("no panic");
                if hands.restarts != Restarts::Deaf {
                    return true;
                }
                hands.told += 1;
            }
            Ok(Ok(Heard::Standing(_) | Heard::Message(_))) | Err(_) => {}
            Ok(Err(_)) => return false,
        }
        let done = hands.lock().expect("no panic").follow();
        for held in done {
            if report(&mut session, &held).await.is_err() {
                return false;
            }
        }
        if beat.elapsed() > Duration::from_millis(500) {
            beat = Instant::now();
            if session.beat(1).await.is_err() {
                return false;
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
            let held = self.held.entry(name.clone()).or_insert(fresh);
            // What it knows of a later generation stays.
            if spec.generation >= held.spec.generation {
                held.spec = spec.clone();
                self.wanted.retain(|wanted| wanted.vs != spec.id);
            }
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
