//! One lab with an appliance, and where most whole-node tests begin: a node that is ready.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use weft_images::guest::{self, Guest};
use weft_lab::{Lab, LabConfig, Node, NodeSpec};

use super::appliance::Options;
use super::{Access, LabKeys, Progress, appliance, image, nodes};
use crate::{permit, workspace};

/// Time for a node from power-on to ready on a loaded machine.
const READY: Duration = Duration::from_secs(240);

/// A lab with an appliance that has an image to boot, and no node yet.
pub struct Ground {
    /// The appliance, through its own program.
    pub access: Access,
    /// This machine's keys.
    pub keys: LabKeys,
    /// The default guest.
    pub guest: Guest,
    /// The lab; nodes and hosts must end before it.
    pub lab: Lab,
    _permit: permit::Permit,
}

impl Ground {
    /// Starts an appliance and publishes the image.
    pub fn open(name: &str, options: &Options) -> anyhow::Result<Self> {
        let permit = permit::nodes().context("a permit")?;
        let keys = LabKeys::open()?;
        let image = image::build_with(&keys)?;
        let guest = guest::build(&workspace::root().join("target/guest"))?;
        let mut lab = Lab::start(LabConfig::test(name))?;
        let access = appliance::start_with(&mut lab, &keys, &guest, options)?;
        appliance::publish(&access, &image)?;
        Ok(Self { access, keys, guest, lab, _permit: permit })
    }

    /// A node, as the appliance lists it by its hardware address.
    pub fn listed(&self, node: &Node) -> anyhow::Result<Option<Value>> {
        let listed = self.access.ask(&["node", "list"])?;
        let mac = node.spec().mac_text();
        Ok(listed.as_array().into_iter().flatten().find(|seen| seen["mac"].as_str() == Some(&mac)).cloned())
    }

    /// Waits until a node is listed so that `is_so`, and returns it.
    pub fn await_listed(
        &self,
        node: &Node,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let end = Instant::now() + READY;
        loop {
            let seen = self.listed(node)?;
            if let Some(seen) = seen.as_ref().filter(|seen| is_so(seen)) {
                return Ok(seen.clone());
            }
            anyhow::ensure!(
                Instant::now() < end,
                "{} is not {what}: {seen:?}; its console ends:\n{}",
                node.spec().name,
                node.serial().last_lines(10)
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Waits until these nodes are ready and approves them on the way.
    pub fn bring_up(&self, nodes: &[Node]) -> anyhow::Result<()> {
        nodes::bring_up(&self.access, nodes, READY, &Progress::start())
    }

    /// The appliance's events of this name.
    pub fn events(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let listed = self.access.ask(&["event", "list", "--limit", "1000"])?;
        let events = listed.as_array().cloned().context("a list")?;
        Ok(events.into_iter().filter(|event| event["name"] == name).collect())
    }

    /// Waits for an event of this name whose text contains `words`.
    pub fn await_event(&self, name: &str, words: &str, patience: Duration) -> anyhow::Result<Value> {
        let end = Instant::now() + patience;
        loop {
            let events = self.events(name)?;
            let wanted = |event: &&Value| event["text"].as_str().is_some_and(|text| text.contains(words));
            if let Some(event) = events.iter().find(wanted) {
                return Ok(event.clone());
            }
            anyhow::ensure!(Instant::now() < end, "no event {name} with {words:?}: {events:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Everything of one lab; the node is switched off before the wire ends.
pub struct Stack {
    /// The appliance, through its own program.
    pub access: Access,
    /// The node.
    pub node: Node,
    ground: Ground,
}

impl Stack {
    /// Starts an appliance, publishes the image, boots one node and waits until it is ready.
    pub fn boot(name: &str, spec: impl Fn(&LabKeys) -> anyhow::Result<NodeSpec>) -> anyhow::Result<Self> {
        let mut ground = Ground::open(name, &Options::default())?;
        let mut node = ground.lab.node(spec(&ground.keys)?)?;
        node.power_on()?;
        let ready = ground.bring_up(std::slice::from_ref(&node));
        if ready.is_err() {
            // The test fails only after the lab is gone.
            ground.lab.keep();
        }
        ready?;
        Ok(Self { access: ground.access.clone(), node, ground })
    }

    /// This machine's keys.
    pub fn keys(&self) -> &LabKeys {
        &self.ground.keys
    }

    /// Runs `weft` with these arguments and returns what it printed; its failure is an error.
    pub fn weft(&self, arguments: &[&str]) -> anyhow::Result<String> {
        workspace::output(self.access.weft(arguments).stdin(Stdio::null()))
    }

    /// The only node, as the appliance lists it.
    pub fn listed_node(&self) -> anyhow::Result<Value> {
        let mut listed = self.access.ask(&["node", "list"])?;
        let nodes = listed.as_array_mut().context("a list")?;
        anyhow::ensure!(nodes.len() == 1, "one node expected: {nodes:?}");
        nodes.pop().context("a node")
    }

    /// Waits until the node is ready, and has been up for all of the time since `begun`.
    pub fn await_ready_since(&self, begun: Instant) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        loop {
            let node = self.listed_node()?;
            let up = Duration::from_millis(node["uptime_ms"].as_u64().unwrap_or_default());
            // Its clock is one of its own.
            if node["state"] == "ready" && up > begun.elapsed().mul_f64(0.9) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < end, "not ready since {:?}: {node}", begun.elapsed());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// A virtual server, as the appliance shows it.
    pub fn server(&self, name: &str) -> anyhow::Result<Value> {
        let listed = self.access.ask(&["vs", "list"])?;
        let found = listed.as_array().into_iter().flatten().find(|server| server["name"] == name);
        found.cloned().with_context(|| format!("no virtual server {name} in {listed}"))
    }

    /// Waits until a virtual server is in one of these states and returns it.
    pub fn await_state(&self, name: &str, states: &[&str], patience: Duration) -> anyhow::Result<Value> {
        let end = Instant::now() + patience;
        loop {
            let server = self.server(name)?;
            if states.iter().any(|state| server["state"] == *state) {
                return Ok(server);
            }
            anyhow::ensure!(Instant::now() < end, "{name} is not one of {states:?}: {server}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
