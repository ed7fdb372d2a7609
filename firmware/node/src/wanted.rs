//! What operators want of servers while the appliance is away, as the state machine takes it: starts and stops of this
//! node's own, and how all of them stand.
//!
//! A change takes the generation after the one it changes. The appliance is told ([`ToServer::Wanted`]) until a
//! configuration of its own says as much or something later; where both changed the same thing, its word counts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_types::{BlobDigest, NodeId, VsId};
use weft_wire::agent::{Level, ToServer};
use weft_wire::codec::clip;
use weft_wire::operator::{MAX_NOTE, ServerView, Wanted};
use weft_wire::record::{Desired, VsSpec};

use crate::server::{Phase, Server};
use crate::step::{Effect, Effects, Node, event};

impl Node {
    /// An operator starts or stops a server that is this node's alone. `Err`: why not, and nothing changed.
    pub fn want(
        &mut self,
        now_ns: u64,
        vs: VsId,
        running: bool,
        by: &str,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let own = |server: &&Server| server.spec.id == vs && !server.leaving;
        let server = self.servers.iter().find(own).ok_or("there is no such server on this node")?;
        if server.agreed {
            return Err("it spans nodes, so the members of its partition must agree".into());
        }
        let wanted = server.spec.desired == Desired::Running;
        if wanted == running && !(running && has_ended(server)) {
            return Ok(());
        }
        if running {
            self.startable(&server.spec)?;
        }
        let Some(server) = self.servers.iter_mut().find(|server| server.spec.id == vs) else {
            return Ok(());
        };
        server.spec.generation = server.spec.generation.saturating_add(1);
        server.spec.desired = if running { Desired::Running } else { Desired::Stopped };
        if running {
            server.spec.instance = server.spec.instance.max(server.instance).saturating_add(1);
        }
        server.wanted_by = Some(by.into());
        let text = format!("operator {by} wants it {}", if running { "running" } else { "stopped" });
        effects.push(event(now_ns, Level::Info, "vs.wanted", vs, &text));
        effects.extend(wanted_of(server).map(Effect::Send));
        self.settle(now_ns, effects);
        Ok(())
    }

    /// Whether a start would find its files. Without the appliance only those do that are here.
    pub fn startable(&self, spec: &VsSpec) -> Result<(), String> {
        match self.missing(spec).first() {
            Some(digest) if !self.connected => Err(format!(
                "file {digest} of {} is not held by this node, and the appliance, which has it, does not answer; \
                 start the appliance, or a server whose files are here",
                spec.name
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Files that a start needs and that are not here; none where another node loads them.
    fn missing(&self, spec: &VsSpec) -> Vec<BlobDigest> {
        if self.loader(spec) != self.me {
            return Vec::new();
        }
        let files = core::iter::once(&spec.kernel).chain(&spec.initrd).map(|blob| blob.digest);
        files.filter(|digest| !self.blobs.holds(*digest)).collect()
    }

    /// The node that loads the files: the first place.
    fn loader(&self, spec: &VsSpec) -> NodeId {
        let first = spec.span.as_ref().and_then(|span| span.places.first());
        first.map_or(self.me, |place| place.node)
    }

    /// All servers of this node and those of its partition, as agreed.
    pub fn server_views(&self, spanning: &[VsSpec]) -> Vec<ServerView> {
        let own = self.servers.iter().filter(|server| !server.agreed && !server.leaving);
        let own = own.map(|server| self.server_view(&server.spec, Some(server)));
        let part =
            |spec: &VsSpec| self.servers.iter().find(|server| server.agreed && server.spec.id == spec.id);
        own.chain(spanning.iter().map(|spec| self.server_view(spec, part(spec)))).collect()
    }

    fn server_view(&self, spec: &VsSpec, server: Option<&Server>) -> ServerView {
        ServerView {
            id: spec.id,
            name: spec.name.clone(),
            wanted: spec.desired == Desired::Running,
            state: server.map(|server| server.status().state),
            reason: server.map_or(String::new(), |server| clip(&server.reason, MAX_NOTE).into()),
            generation: spec.generation,
            instance: spec.instance,
            ended: server.is_some_and(has_ended),
            spans: spec.span.is_some(),
            loader: self.loader(spec),
            missing: self.missing(spec),
        }
    }

    /// What the appliance has not heard of.
    pub(crate) fn tell_wanted(&self, effects: &mut Effects) {
        effects.extend(self.servers.iter().filter_map(wanted_of).map(Effect::Send));
    }
}

/// It ended by itself: a start needs a newer instance.
fn has_ended(server: &Server) -> bool {
    matches!(server.phase, Phase::Off | Phase::Failed) && server.instance >= server.spec.instance
}

fn wanted_of(server: &Server) -> Option<ToServer> {
    let spec = &server.spec;
    Some(ToServer::Wanted(Wanted {
        vs: spec.id,
        generation: spec.generation,
        instance: spec.instance,
        running: spec.desired == Desired::Running,
        by: server.wanted_by.clone()?,
    }))
}
