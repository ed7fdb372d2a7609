//! What operators are answered, and how their word gets to the members of the partition.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_membership::RecordId;
use weft_types::VsId;
use weft_wire::agent::{Level, ToServer};
use weft_wire::cluster::ClusterPayload;
use weft_wire::operator::{Change, NodeView};

use crate::cluster::ClusterEvent;
use crate::runtime::Runtime;
use crate::step::Effects;

impl Runtime {
    /// Tells the appliance, and remembers what operators may ask for.
    pub(crate) fn tell(&mut self, message: ToServer) {
        match &message {
            ToServer::Event(event) => self.notes.event(event),
            ToServer::Log(line) => self.notes.line(line),
            ToServer::ClusterResult(result) => self.door.outcome(result),
            ToServer::Hello(_)
            | ToServer::Heartbeat(_)
            | ToServer::RecordResult(_)
            | ToServer::VsStatus(_)
            | ToServer::Console { .. }
            | ToServer::Cluster(_)
            | ToServer::ClusterTalk { .. }
            | ToServer::SpanFigures(_)
            | ToServer::Wanted(_)
            | ToServer::Load(_) => {}
        }
        self.agent.send(message);
    }

    /// How things stand here.
    pub(crate) fn view(&self, now_ns: u64) -> NodeView {
        NodeView {
            node: self.id(),
            online: self.phase() == weft_agent::Phase::Online,
            uptime_ms: now_ns / 1_000_000,
            guest_memory_mib: self.node.guest_memory_mib(),
            partition: self.cluster.view(),
            servers: self.node.server_views(self.cluster.servers()),
        }
    }

    /// An operator starts or stops a server that is this node's alone.
    pub(crate) fn want(&mut self, now_ns: u64, vs: VsId, running: bool, by: &str) -> Result<(), String> {
        let mut effects = Effects::new();
        let result = self.node.want(now_ns, vs, running, by, &mut effects);
        self.apply(now_ns, effects);
        result
    }

    /// The amended record that an operator asks for, and its number; or why the members are not even asked.
    pub(crate) fn amended(
        &self,
        certificate: &[u8],
        amendment: &[u8],
    ) -> Result<(RecordId, Vec<u8>), String> {
        if self.door.waits() {
            return Err("another operator's change is under way; try again".into());
        }
        let record = self.cluster.amended(certificate, amendment)?;
        let trust = self.agent.cluster_trust().ok_or("the appliance has not vouched for this node")?;
        let (envelope, payload) = trust.judge(&record)?;
        let (_, amended) = trust.amendment(&record).ok_or("there is no amendment in it")?;
        self.cluster.follows(&amended)?;
        let ClusterPayload::Config(config) = payload else { return Err("it is no configuration".into()) };
        for server in &config.servers {
            let starts = |change: &Change| change.vs == server.id && change.running;
            let before = self.cluster.servers().iter().find(|before| before.id == server.id);
            let anew = before.is_none_or(|before| before.instance < server.instance);
            if anew && amended.changes.iter().any(starts) {
                self.node.startable(server)?;
            }
        }
        Ok((RecordId { epoch: envelope.epoch, counter: envelope.counter }, record))
    }

    /// Gives an amended record to the members. What becomes of it comes as a `ClusterResult`.
    pub(crate) fn give_amended(&mut self, now_ns: u64, record: Vec<u8>, by: &str) {
        let Some(trust) = self.agent.cluster_trust() else { return };
        let Ok((envelope, payload)) = trust.judge(&record) else { return };
        let id = RecordId { epoch: envelope.epoch, counter: envelope.counter };
        let text = format!("operator {by} asks the members for configuration {id}");
        self.report(now_ns, Level::Info, "operator.change", None, &text);
        self.cluster_event(now_ns, ClusterEvent::Record { envelope, payload, record, trust });
    }
}
