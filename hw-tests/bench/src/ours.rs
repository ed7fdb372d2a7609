//! Our side: the appliance and one node at a time, driven as `./just up` drives them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use weft_hw_tests::stack::{Access, LabKeys, Progress, appliance, image, nodes};
use weft_hw_tests::workspace::{output, root, run};
use weft_images::guest;
use weft_lab::{Lab, LabConfig, Node};

use crate::machine;

/// Time for each step; a step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(240);
const PATIENCE_S: &str = "240";

/// A lab with the appliance in it and the image published.
pub(crate) struct Ours {
    // Before the lab: its console is part of it.
    node: Option<Node>,
    lab: Lab,
    access: Access,
    progress: Progress,
    pub(crate) image: image::SignedImage,
    next: u8,
}

impl Ours {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let progress = Progress::start();
        let guest = guest::build(&root().join("target/guest"))?;
        let keys = LabKeys::open()?;
        let image = image::build_with(&keys)?;
        let mut lab = Lab::start(LabConfig::test("bench-ours"))?;
        let access = appliance::start(&mut lab, &keys, &guest)?;
        appliance::publish(&access, &image)?;
        Ok(Self { node: None, lab, access, progress, image, next: 1 })
    }

    /// Switches a machine on that was never seen, in place of the one before, and gives the moment.
    pub(crate) fn power_on(&mut self) -> anyhow::Result<Instant> {
        self.node = None;
        let mut node = self.lab.node(machine(self.next))?;
        self.next += 1;
        let started = Instant::now();
        node.power_on()?;
        self.node = Some(node);
        Ok(started)
    }

    /// Waits for a line on the node's console.
    pub(crate) fn wait_for(&mut self, pattern: &str) -> anyhow::Result<String> {
        let node = self.node.as_mut().context("a node is on")?;
        Ok(node.wait_for(pattern, PATIENCE)?)
    }

    /// Approves the node by its own console and waits until it is ready.
    pub(crate) fn bring_up(&self) -> anyhow::Result<()> {
        let node = self.node.as_ref().context("a node is on")?;
        nodes::bring_up(&self.access, std::slice::from_ref(node), PATIENCE, &self.progress)
    }

    /// Creates and starts a guest.
    pub(crate) fn start_guest(&self, name: &str, append: &str) -> anyhow::Result<()> {
        let mut create = self.access.weft(&["vs", "create", name, "--memory", "256M", "--start", "--wait"]);
        run(create.arg(format!("--append={append}")).stdout(Stdio::null()))
    }

    /// Waits for words on a guest's console and returns what it printed until then.
    pub(crate) fn console(&self, name: &str, pattern: &str) -> anyhow::Result<String> {
        let words = ["vs", "console", name, "--timeout", PATIENCE_S, "--wait-for", pattern];
        output(self.access.weft(&words).stdin(Stdio::null()))
    }

    /// What the appliance knows of the node that is on.
    pub(crate) fn seen(&self) -> anyhow::Result<Value> {
        let mac = self.node.as_ref().context("a node is on")?.spec().mac_text();
        let listed = self.access.ask(&["node", "list"])?;
        let found = listed.as_array().into_iter().flatten().find(|node| node["mac"].as_str() == Some(&mac));
        match found {
            Some(node) => Ok(node.clone()),
            None => bail!("the appliance does not know {mac}"),
        }
    }

    /// Takes a guest away.
    pub(crate) fn delete_guest(&self, name: &str) -> anyhow::Result<()> {
        // A guest that is off is deleted at once; one that runs is stopped first.
        let _off_already = output(&mut self.access.weft(&["vs", "stop", name, "--wait"]));
        output(&mut self.access.weft(&["vs", "delete", name, "--yes"])).map(drop)
    }
}
