//! A node's runtime and an appliance on one wire, in simulated time.

pub(crate) mod server;
pub(crate) mod trust;
pub(crate) mod wire;

use std::sync::{Arc, Mutex};

use weft_agent::Facts;
use weft_node::runtime::{Command, Parts, Runtime};
use weft_node::{Event, Limits};
use weft_types::{BlobDigest, VsId};
use weft_wire::agent::{
    BootKind, Hello, Inventory, NicReport, RecordResult, Stage, ToNode, ToServer, VsState,
};
use weft_wire::record::{BlobRef, Desired, NodeConfig, Payload, Standing, Verdict, VsSpec};

use server::Server;
use trust::{NOW_S, Trust};
use wire::{Dice, Faults, NodeNic, Shared, Wire};

pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x12];
pub(crate) const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 0, 1];
pub(crate) const VS: VsId = VsId([0xaa; 16]);

pub(crate) struct World {
    pub(crate) now_ns: u64,
    pub(crate) wire: Shared,
    pub(crate) trust: Trust,
    pub(crate) runtime: Runtime,
    pub(crate) server: Option<Server>,
    pub(crate) printed: Arc<Mutex<String>>,
    pub(crate) commands: Vec<Command>,
    pub(crate) counter: u64,
}

fn facts(trust: &Trust) -> Facts {
    Facts {
        node_key: Some([0x11; 32]),
        boot_counter: 5,
        boot_path: BootKind::Uefi,
        secure_boot: true,
        manifest: trust.manifest(),
        root_set: trust.root_set(),
        floor: 2,
        boot_server: None,
        cmdline: String::new(),
        inventory: Inventory {
            cpu_model: "Test".into(),
            cpus: 2,
            nics: vec![NicReport {
                mac: MAC,
                driver: "fake".into(),
                pci_id: (1, 2),
                link_up: false,
                address: [0; 4],
            }],
            ..Inventory::default()
        },
        stages: vec![(Stage::Entry, 0), (Stage::Verified, 900)],
        clock_zero_us: 1000,
    }
}

/// The digest of bytes.
pub(crate) fn digest(bytes: &[u8]) -> BlobDigest {
    BlobDigest(weft_format::sha256(bytes))
}

pub(crate) fn blob(bytes: &[u8]) -> BlobRef {
    BlobRef { digest: digest(bytes), size: bytes.len() as u64 }
}

pub(crate) fn spec(kernel: &[u8], initrd: &[u8]) -> VsSpec {
    VsSpec {
        id: VS,
        name: "guest".into(),
        generation: 1,
        instance: 1,
        desired: Desired::Running,
        vcpus: 1,
        memory_mib: 128,
        kernel: blob(kernel),
        initrd: Some(blob(initrd)),
        append: "quiet".into(),
        macs: vec![GUEST_MAC],
        affinity: Vec::new(),
        span: None,
    }
}

impl World {
    /// A node without an appliance.
    pub(crate) fn without_server(seed: u64, faults: Faults) -> Self {
        Self::with_facts(seed, faults, |_| {})
    }

    pub(crate) fn with_facts(seed: u64, faults: Faults, change: impl FnOnce(&mut Facts)) -> Self {
        let wire = Wire::new(seed, faults);
        let trust = Trust::new(0x42);
        let printed = Arc::new(Mutex::new(String::new()));
        let sink = printed.clone();
        let mut facts = facts(&trust);
        change(&mut facts);
        let runtime = Runtime::new(Parts {
            facts,
            limits: Limits { guest_memory_mib: 1024, blob_cache_bytes: 1 << 20 },
            nic: Box::new(NodeNic { wire: wire.clone(), mac: MAC }),
            entropy: Box::new(Dice::new(seed + 1)),
            console: Box::new(move |text| {
                sink.lock().expect("one thread").push_str(core::str::from_utf8(text).expect("text"));
            }),
            now_ns: 0,
        });
        Self { now_ns: 0, wire, trust, runtime, server: None, printed, commands: Vec::new(), counter: 0 }
    }

    /// A node with its appliance.
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut world = Self::without_server(seed, faults);
        world.start_server();
        world
    }

    pub(crate) fn start_server(&mut self) {
        let mut server = Server::new(self.wire.clone(), self.trust.channel, self.now_ns);
        server.delegation = Some(self.trust.delegation(1, NOW_S + 1000, vec![]));
        self.server = Some(server);
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a server")
    }

    /// One round; time moves on when nothing is left to do.
    fn round(&mut self) {
        let before = self.wire.lock().expect("one thread").frames;
        let next_ns = self.runtime.poll(self.now_ns);
        self.commands.extend(self.runtime.take_commands());
        if let Some(server) = &mut self.server {
            server.poll(self.now_ns);
        }
        let moved = self.wire.lock().expect("one thread").frames != before;
        let step = if moved || next_ns <= self.now_ns { 20_000 } else { 1_000_000 };
        self.now_ns += step;
    }

    /// Lets time pass, and counts how often the node wanted to be called again at once.
    pub(crate) fn calls_at_once(&mut self, milliseconds: u64) -> u32 {
        /// Enough of them to be sure that there is no end.
        const MANY: u32 = 100;
        let mut calls = 0;
        for _ in 0..milliseconds {
            self.now_ns += 1_000_000;
            let mut here = 0;
            while self.runtime.poll(self.now_ns) <= self.now_ns && here < MANY {
                here += 1;
            }
            calls += here;
            if let Some(server) = &mut self.server {
                server.poll(self.now_ns);
            }
        }
        calls
    }

    /// Runs until `done`, at most `seconds` of simulated time. Panics with the console otherwise.
    #[track_caller]
    pub(crate) fn until(&mut self, seconds: u64, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now_ns + seconds * 1_000_000_000;
        while !done(self) {
            assert!(
                self.now_ns < end,
                "not within {seconds} s: {what}\nphase {:?}\nconsole:\n{}",
                self.runtime.phase(),
                self.said()
            );
            self.round();
        }
    }

    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now_ns + milliseconds * 1_000_000;
        while self.now_ns < end {
            self.round();
        }
    }

    pub(crate) fn said(&self) -> String {
        self.printed.lock().expect("one thread").clone()
    }

    pub(crate) fn hello(&mut self) -> Option<Hello> {
        self.server().received.iter().rev().find_map(|message| match message {
            ToServer::Hello(hello) => Some(hello.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn until_greeted(&mut self) -> Hello {
        self.until(120, "a greeting", |world| {
            world.server().is_connected()
                && world.hello().is_some()
                && world.runtime.phase() == weft_agent::Phase::Online
        });
        self.hello().expect("just seen")
    }

    pub(crate) fn record(&mut self, hello: &Hello, payload: &Payload) -> Vec<u8> {
        self.counter += 1;
        let envelope = self.trust.envelope(self.runtime.id(), hello.boot_nonce, self.counter);
        self.trust.seal(&envelope, payload)
    }

    pub(crate) fn standing(hello: &Hello, verdict: Verdict) -> Payload {
        Payload::Standing(Standing {
            unix_time_s: NOW_S,
            manifest_digest: hello.boot.manifest_digest,
            delegation_version: hello.boot.delegation_version,
            verdict,
        })
    }

    pub(crate) fn send_record(&mut self, record: Vec<u8>) {
        self.server().send(&ToNode::Record(record));
    }

    pub(crate) fn approve(&mut self, hello: &Hello) {
        let record = self.record(hello, &Self::standing(hello, Verdict::Good));
        self.send_record(record);
    }

    pub(crate) fn configure(&mut self, hello: &Hello, servers: Vec<VsSpec>) {
        let config = NodeConfig { name: "node-1".into(), servers };
        let record = self.record(hello, &Payload::Config(config));
        self.send_record(record);
    }

    pub(crate) fn results(&mut self) -> Vec<RecordResult> {
        let received = &self.server().received;
        received
            .iter()
            .filter_map(|message| match message {
                ToServer::RecordResult(result) => Some(result.clone()),
                _ => None,
            })
            .collect()
    }

    /// The answer to the next record.
    #[track_caller]
    pub(crate) fn answer_to(&mut self, record: Vec<u8>) -> RecordResult {
        let before = self.results().len();
        self.send_record(record);
        self.until(30, "an answer to a record", |world| world.results().len() > before);
        self.results()[before].clone()
    }

    pub(crate) fn state(&mut self) -> Option<(VsState, String)> {
        self.server().received.iter().rev().find_map(|message| match message {
            ToServer::VsStatus(status) if status.vs == VS => Some((status.state, status.reason.clone())),
            _ => None,
        })
    }

    /// From nothing to a running guest with this kernel and ram disk.
    #[track_caller]
    pub(crate) fn until_running(&mut self, seconds: u64, kernel: &[u8], initrd: &[u8]) -> Hello {
        for bytes in [kernel, initrd] {
            self.server().blobs.insert(digest(bytes), bytes.to_vec());
        }
        let hello = self.until_greeted();
        self.approve(&hello);
        self.configure(&hello, vec![spec(kernel, initrd)]);
        self.until(seconds, "a start command", |world| {
            world.commands.iter().any(|command| matches!(command, Command::StartVs { .. }))
        });
        self.runtime.event(self.now_ns, Event::VsStarted { vs: VS, instance: 1 });
        self.until(30, "the server running", |world| {
            world.state().is_some_and(|(state, _)| state == VsState::Running)
        });
        hello
    }
}
