//! One lab with an appliance and a node that is ready: where most whole-node tests begin.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use weft_images::guest;
use weft_lab::{Lab, LabConfig, Node, NodeSpec};

use super::{Access, LabKeys, Progress, appliance, image, nodes};
use crate::{permit, workspace};

/// Time for a node from power-on to ready on a loaded machine.
const READY: Duration = Duration::from_secs(240);

/// Everything of one lab; the node is switched off before the wire ends.
pub struct Stack {
    /// The appliance, through its own program.
    pub access: Access,
    /// The node.
    pub node: Node,
    _lab: Lab,
    _permit: permit::Permit,
}

impl Stack {
    /// Starts an appliance, publishes the image, boots one node and waits until it is ready.
    pub fn boot(name: &str, spec: impl Fn(&LabKeys) -> anyhow::Result<NodeSpec>) -> anyhow::Result<Self> {
        let permit = permit::nodes().context("a permit")?;
        let keys = LabKeys::open()?;
        let image = image::build_with(&keys)?;
        let guest = guest::build(&workspace::root().join("target/guest"))?;
        let mut lab = Lab::start(LabConfig::test(name))?;
        let access = appliance::start(&mut lab, &keys, &guest)?;
        appliance::publish(&access, &image)?;
        let mut node = lab.node(spec(&keys)?)?;
        node.power_on()?;
        nodes::bring_up(&access, std::slice::from_ref(&node), READY, &Progress::start())?;
        Ok(Self { access, node, _lab: lab, _permit: permit })
    }

    /// Runs `weft` with these arguments and returns what it printed; its failure is an error.
    pub fn weft(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Ok(workspace::output(self.access.weft(arguments).stdin(Stdio::null()))?)
    }

    /// The only node, as the appliance lists it.
    pub fn listed_node(&self) -> anyhow::Result<Value> {
        let mut listed = self.access.ask(&["node", "list"])?;
        let nodes = listed.as_array_mut().context("a list")?;
        anyhow::ensure!(nodes.len() == 1, "one node expected: {nodes:?}");
        nodes.pop().context("a node")
    }

    /// A virtual server, as the appliance shows it.
    pub fn server(&self, name: &str) -> anyhow::Result<Value> {
        let listed = self.access.ask(&["vs", "list"])?;
        let found = listed.as_array().into_iter().flatten().find(|server| server["name"] == name);
        found.cloned().with_context(|| format!("no virtual server {name} in {listed}"))
    }

    /// Waits until a virtual server is in one of these states and returns it.
    pub fn await_state(&self, name: &str, states: &[&str], patience: Duration) -> anyhow::Result<Value> {
        let end = std::time::Instant::now() + patience;
        loop {
            let server = self.server(name)?;
            if states.iter().any(|state| server["state"] == *state) {
                return Ok(server);
            }
            anyhow::ensure!(std::time::Instant::now() < end, "{name} is not one of {states:?}: {server}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
