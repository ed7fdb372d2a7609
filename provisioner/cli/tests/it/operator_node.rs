//! A node's door on a port of the loopback: the node's own sessions, with answers that a test prepares; and the
//! appliance that signs for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use ed25519_dalek::{Signer, SigningKey};
use weft_agent::operator::{Gate, OperatorTrust, Session, SessionEvent};
use weft_api::{Operator, OperatorCreate, OperatorNode};
use weft_format::operator::encode_unsigned_certificate;
use weft_format::record::with_signature;
use weft_format::{Appliance, Delegation, key_id};
use weft_types::{ClusterId, NodeId};
use weft_wire::operator::{Answer, Ask, Certificate, NodeView, OPERATOR_VERSION, Role};

pub(crate) const NODE_KEY: [u8; 32] = [0x11; 32];
pub(crate) const NOW_S: u64 = 1_800_000_000;
const CLUSTER: ClusterId = ClusterId([0x42; 16]);

fn record_key() -> SigningKey {
    SigningKey::from_bytes(&[0x17; 32])
}

/// The node's identity.
pub(crate) fn node_id() -> NodeId {
    weft_agent::node_id(&weft_transport::noise::public_key(&NODE_KEY))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    for (slot, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hexadecimal");
    }
    out
}

/// The appliance's answer to `operator issue`. A name `late` gets a certificate that has run out.
pub(crate) async fn issue(Json(wanted): Json<OperatorCreate>) -> (StatusCode, Json<Operator>) {
    let certificate = Certificate {
        version: OPERATOR_VERSION,
        key_id: key_id(&record_key().verifying_key().to_bytes()).0,
        cluster: CLUSTER,
        channel_key: unhex(&wanted.channel_key),
        sign_key: unhex(&wanted.sign_key),
        not_before: NOW_S - 1000,
        expiry: if wanted.name == "late" { NOW_S - 1 } else { NOW_S + 1000 },
        role: if wanted.role == "observe" { Role::Observe } else { Role::Operate },
        name: wanted.name.clone(),
    };
    let unsigned = encode_unsigned_certificate(&certificate).expect("within bounds");
    let signature = record_key().sign(&unsigned).to_bytes();
    let node = OperatorNode {
        name: "node-1".into(),
        state: "ready".into(),
        id: node_id().to_string(),
        key: hex(&weft_transport::noise::public_key(&NODE_KEY)),
        address: "127.0.0.1".into(),
    };
    let issued = Operator {
        name: wanted.name,
        state: "issued".into(),
        role: wanted.role,
        expires: "2027-01-15T08:00:00Z".into(),
        cluster: CLUSTER.to_string(),
        key: key_id(&certificate.channel_key).to_string(),
        certificate: hex(&with_signature(unsigned, &signature)),
        nodes: vec![node],
    };
    (StatusCode::CREATED, Json(issued))
}

/// What the node shows and what it was asked.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) view: NodeView,
    /// Answer to a change; `None`: done.
    pub(crate) refusal: Option<String>,
    pub(crate) asked: Vec<Ask>,
}

pub(crate) struct Node {
    pub(crate) at: SocketAddr,
    pub(crate) door: Arc<Mutex<Door>>,
}

impl Node {
    /// Listens for as long as the test runs.
    pub(crate) fn start(view: NodeView) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let door = Arc::new(Mutex::new(Door { view, ..Door::default() }));
        let held = Arc::clone(&door);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &held);
            }
        });
        Self { at, door }
    }

    pub(crate) fn at(&self) -> String {
        format!("node-1={}", self.at)
    }
}

fn trust() -> OperatorTrust {
    let appliance = Appliance {
        name: "test".into(),
        channel_key: [1; 32],
        record_key: record_key().verifying_key().to_bytes(),
        agent_port: 4470,
        http_port: 80,
        address: None,
    };
    let delegation = Delegation {
        version: 1,
        root_version: 1,
        not_before: 1,
        expiry: NOW_S + 1000,
        appliances: vec![appliance],
        revoked: Vec::new(),
    };
    OperatorTrust::new(delegation, CLUSTER)
}

fn serve(mut stream: TcpStream, door: &Mutex<Door>) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time");
    let trust = trust();
    let mut session = Session::new(&NODE_KEY, [0x33; 32], 0).expect("good keys");
    let mut buffer = [0; 4096];
    while let Ok(len) = stream.read(&mut buffer) {
        let gate = Gate { trust: &trust, unix_s: NOW_S, full: false };
        let Ok(events) = session.receive(0, &buffer[..len], gate) else { return };
        for event in events {
            if let SessionEvent::Ask(ask) = event {
                session.answer(&answer(&mut door.lock().expect("one test"), ask)).expect("open");
            }
        }
        stream.write_all(session.output()).expect("sent");
        session.output().clear();
        if len == 0 || session.ends() {
            return;
        }
    }
}

fn answer(door: &mut Door, ask: Ask) -> Answer {
    door.asked.push(ask.clone());
    match ask {
        Ask::View => Answer::View(Box::new(door.view.clone())),
        Ask::Notes => Answer::Notes(Vec::new()),
        Ask::Want { .. } | Ask::Amend(_) => match door.refusal.clone() {
            Some(reason) => Answer::Refused(reason),
            None => Answer::Done,
        },
    }
}
