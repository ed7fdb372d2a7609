//! One check for each kind of bytes that a node takes from the network. A check returns whether the bytes
//! led to the good end (a message, an open channel, a file, a lease, a frame that passed) and panics where
//! an invariant breaks. Fuzz targets and the corpus test share them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use weft_agent::operator::{Gate, OperatorTrust, Session, SessionEvent};
use weft_format::{Appliance, Delegation};
use weft_platform::{Nic, TxError};
use weft_transport::bridge::{GUEST_QUEUE_FRAMES, MAX_FRAME};
use weft_transport::http::{BlobGet, HttpError, Progress};
use weft_transport::interconnect::{
    Class, Config, Identity, Links, MAX_CONTROL, MAX_PAYLOAD, Payload, Peer, WINDOW,
};
use weft_transport::noise::{Channel, public_key};
use weft_transport::stack::{Endpoint, Stack};
use weft_transport::tftp::TftpGet;
use weft_types::{BlobDigest, ClusterId, VsId};
use weft_wire::agent::MAX_MESSAGE;
use weft_wire::codec::{
    decode_answer, decode_ask, decode_to_node, decode_to_server, encode, encode_to_node, encode_to_server,
};
use weft_wire::operator::MAX_ASK;
use weft_wire::record::BlobRef;
use weft_wire::span::SpanMessage;
use weft_wire::vcpu::VcpuState;

/// SHA-256 of `abc` (FIPS 180-2, appendix B.1).
const ABC: [u8; 32] = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0,
    0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];

/// Secret keys of the noise corpus.
pub(crate) const NODE_KEY: [u8; 32] = [3; 32];
pub(crate) const SERVER_KEY: [u8; 32] = [5; 32];
pub(crate) const SEED: [u8; 32] = [9; 32];

/// Secret keys of the operators' corpus, its cluster and time.
pub(crate) const RECORD_KEY: [u8; 32] = [0x17; 32];
pub(crate) const OPERATOR_CLUSTER: ClusterId = ClusterId([0x42; 16]);
pub(crate) const OPERATOR_S: u64 = 1_800_000_000;

fn operator_trust() -> OperatorTrust {
    let appliance = Appliance {
        name: "test".into(),
        channel_key: [1; 32],
        record_key: ed25519_dalek::SigningKey::from_bytes(&RECORD_KEY).verifying_key().to_bytes(),
        agent_port: 4470,
        http_port: 80,
        address: None,
    };
    let delegation = Delegation {
        version: 1,
        root_version: 1,
        not_before: 1,
        expiry: u64::MAX,
        appliances: vec![appliance],
        revoked: Vec::new(),
    };
    OperatorTrust::new(delegation, OPERATOR_CLUSTER)
}

/// Pieces that each open with their length, u16 big-endian; a torn one is the rest.
fn pieces(mut data: &[u8]) -> Vec<&[u8]> {
    let mut list = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head)).min(rest.len());
        let (piece, after) = rest.split_at(len);
        list.push(piece);
        data = after;
    }
    list
}

/// A message of either direction: what decodes must encode to the same bytes.
pub(crate) fn agent_message(data: &[u8]) -> bool {
    let node = decode_to_node(data);
    if let Ok(message) = &node {
        assert_eq!(encode_to_node(message).as_deref(), Ok(data));
    }
    let server = decode_to_server(data);
    if let Ok(message) = &server {
        assert_eq!(encode_to_server(message).as_deref(), Ok(data));
    }
    node.is_ok() || server.is_ok()
}

/// The responder's bytes: good if the channel is open after them. Their division must not matter.
pub(crate) fn noise(data: &[u8]) -> bool {
    let run = |piece: usize| {
        let (mut channel, _) =
            Channel::initiate(&NODE_KEY, &public_key(&SERVER_KEY), SEED).expect("good keys");
        let mut received = Vec::new();
        for part in data.chunks(piece) {
            match channel.receive(part) {
                Ok(items) => received.extend(items),
                Err(error) => return (received, Some(error), false),
            }
        }
        (received, None, channel.is_open())
    };
    let by_byte = run(1);
    let whole = run(data.len().max(1));
    assert_eq!((by_byte.1, by_byte.2), (whole.1, whole.2));
    whole.2
}

/// What somebody sends to a node's door, in pieces: good if it leads to a question that an operator may ask.
pub(crate) fn operator(data: &[u8]) -> bool {
    let trust = operator_trust();
    let mut session = Session::new(&SERVER_KEY, SEED, 0).expect("good keys");
    let mut asked = Vec::new();
    for piece in pieces(data) {
        let gate = Gate { trust: &trust, unix_s: OPERATOR_S, full: false };
        match session.receive(0, piece, gate) {
            Ok(events) => asked.extend(events),
            Err(_) => break,
        }
        assert!(session.output().len() < 1024, "a stranger is answered little");
    }
    if !asked.is_empty() {
        let refused = asked.iter().any(|event| matches!(event, SessionEvent::Refused(_)));
        assert!(session.is_proved() || refused);
        assert!(session.operator().is_some() || refused);
    }
    asked.iter().any(|event| matches!(event, SessionEvent::Ask(_)))
}

/// A question or an answer: what decodes must encode to the same bytes.
pub(crate) fn operator_message(data: &[u8]) -> bool {
    let ask = decode_ask(data);
    if let Ok(ask) = &ask {
        assert_eq!(encode(ask, MAX_ASK).as_deref(), Ok(data));
    }
    let answer = decode_answer(data);
    if let Ok(answer) = &answer {
        assert_eq!(encode(answer, MAX_MESSAGE).as_deref(), Ok(data));
    }
    ask.is_ok() || answer.is_ok()
}

/// A message between the members of a spanning server, or a virtual processor on its way: what decodes must encode to the
/// same bytes.
pub(crate) fn span_message(data: &[u8]) -> bool {
    let message = SpanMessage::decode(data);
    if let Ok(message) = &message {
        assert_eq!(message.encode().as_deref(), Ok(data));
    }
    let state = VcpuState::decode(data);
    if let Ok(state) = &state {
        assert_eq!(state.encode(), data);
    }
    message.is_ok() || state.is_ok()
}

/// An HTTP answer for the blob `abc`. Its division must not matter for success.
pub(crate) fn http(data: &[u8]) -> bool {
    let run = |piece: usize| -> Result<Option<Vec<u8>>, HttpError> {
        let mut get = BlobGet::new(BlobRef { digest: BlobDigest(ABC), size: 3 })?;
        get.request([10, 0, 0, 1]);
        for part in data.chunks(piece) {
            if get.on_bytes(part)? == Progress::Complete {
                return Ok(Some(get.take()));
            }
        }
        Ok(None)
    };
    let whole = run(data.len().max(1));
    if let Ok(Some(bytes)) = &whole {
        assert_eq!(bytes, b"abc");
        assert_eq!(run(1).as_ref(), Ok(&Some(bytes.clone())));
    }
    matches!(whole, Ok(Some(_)))
}

/// Datagrams from the server; an empty one lets five seconds pass.
pub(crate) fn tftp(data: &[u8]) -> bool {
    const MAX: usize = 4000;
    let server = Endpoint { address: [10, 0, 0, 1], port: 69 };
    let transfer = Endpoint { port: 4000, ..server };
    let (mut get, _) = TftpGet::start(server, "file", MAX, 0);
    let mut now = 0;
    for datagram in pieces(data) {
        let step = if datagram.is_empty() {
            now += 5_000_000_000;
            get.on_time(now)
        } else {
            get.on_datagram(transfer, datagram, now)
        };
        if let Some((to, _)) = &step.send {
            assert_eq!(to.address, server.address);
        }
        match step.outcome {
            Some(Ok(file)) => {
                assert!(file.len() <= MAX);
                return true;
            }
            Some(Err(_)) => return false,
            None => {}
        }
    }
    false
}

#[derive(Default)]
struct Line {
    arriving: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Port(Arc<Mutex<Line>>);

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

impl Port {
    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.0.lock().expect("one thread")
    }
}

impl Nic for Port {
    fn mac(&self) -> [u8; 6] {
        MAC
    }
    fn mtu(&self) -> usize {
        1500
    }
    fn link_up(&mut self) -> bool {
        true
    }
    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        let mut line = self.line();
        if line.sent.len() >= 16 {
            return Err(TxError::Full);
        }
        line.sent.push_back(frame.to_vec());
        Ok(())
    }
    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        let frame = self.line().arriving.pop_front()?;
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some(frame.len())
    }
    fn acknowledge_interrupt(&mut self) {}
}

/// A broadcast datagram from 10.0.0.1 port 67 to port 68, its UDP checksum left out (RFC 768).
fn wrap(payload: &[u8]) -> Option<Vec<u8>> {
    let udp_len = u16::try_from(payload.len() + 8).ok()?;
    let ip_len = udp_len.checked_add(20).filter(|len| *len <= 1500)?;
    let mut ip = vec![0x45, 0];
    ip.extend(ip_len.to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 255, 255, 255, 255]);
    let (words, _) = ip.as_chunks::<2>();
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).ok()?;
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 8, 0]);
    frame.extend(ip);
    frame.extend([0, 67, 0, 68]);
    frame.extend(udp_len.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    Some(frame)
}

/// BOOTP payloads, one after another, each in a good datagram and with the transaction that the client
/// waits for: good if they make a lease.
pub(crate) fn dhcp(data: &[u8]) -> bool {
    let port = Port::default();
    let mut stack = Stack::new(Box::new(port.clone()), 0, 7);
    let mut now = 0;
    let mut transaction = [0; 4];
    for payload in pieces(data).into_iter().take(16) {
        now += 3_000_000_000;
        stack.poll(now);
        if let Some(sent) = port.line().sent.drain(..).next_back() {
            transaction.copy_from_slice(sent.get(46..50).unwrap_or(&[0; 4]));
        }
        let mut payload = payload.to_vec();
        if let Some(room) = payload.get_mut(4..8) {
            room.copy_from_slice(&transaction);
        }
        if let Some(frame) = wrap(&payload) {
            port.line().arriving.push_back(frame);
        }
        // A frame, its answers, and what they set off.
        for _ in 0..8 {
            stack.poll(now);
        }
    }
    if let Some(lease) = stack.lease() {
        assert!(lease.prefix <= 32);
        assert_ne!(lease.address, [0; 4]);
    }
    stack.lease().is_some()
}

/// Frames of the wire and of two guests (by the first byte), through the bridge and the IP stack behind
/// it: good if a guest's frame passed.
pub(crate) fn bridge(data: &[u8]) -> bool {
    let port = Port::default();
    let mut stack = Stack::new(Box::new(port.clone()), 0, 7);
    let guests = [VsId([1; 16]), VsId([2; 16])];
    for (vs, low) in guests.into_iter().zip(1..) {
        stack.bridge().add_port(vs, 0, [2, 0, 0, 0, 0, low]).expect("free");
    }
    let mut passed = false;
    for (now, piece) in (0..).zip(pieces(data)) {
        let Some((kind, frame)) = piece.split_first() else { continue };
        match guests.get(usize::from(kind % 3)) {
            Some(vs) => {
                let taken = stack.bridge().guest_tx(*vs, 0, frame).is_ok();
                assert!(!taken || frame.get(6..12) == Some(&[2, 0, 0, 0, 0, kind % 3 + 1]));
                passed |= taken;
            }
            None => port.line().arriving.push_back(frame.to_vec()),
        }
        stack.poll(now * 1_000_000);
        if kind & 0x80 != 0 {
            port.line().sent.clear();
        }
    }
    for vs in guests {
        let mut waiting = 0;
        while let Some(len) = stack.bridge().guest_rx(vs, 0, &mut [0; MAX_FRAME]) {
            assert!(len <= MAX_FRAME);
            waiting += 1;
        }
        assert!(waiting <= GUEST_QUEUE_FRAMES);
    }
    passed
}

/// Frames from the wire to a member: sealed with the right key first where the lowest bit of the piece's first byte
/// is set, so that nonsense of an authentic peer is reached too. Good if a message was delivered.
pub(crate) fn interconnect(data: &[u8]) -> bool {
    let config = |own, key| Config {
        identity: Identity { vs: 1, epoch: 1 },
        key: [key; 32],
        own: Peer(own),
        frame: 1440,
        credit: [4, 4, 8],
        release_by_hand: true,
    };
    let mut member = Links::new(config(1, 7), &[Peer(0), Peer(1)], 0);
    let mut delivered = 0;
    let mut now = 0;
    for piece in pieces(data) {
        let Some((kind, frame)) = piece.split_first() else { continue };
        let mut frame = frame.to_vec();
        if kind & 1 == 1 {
            config(0, 7).seal(Peer(1), &mut frame);
        }
        now += u64::from(*kind) * 100_000;
        member.poll(now);
        member.on_frame(now, &frame, &mut |from, class, control, payload| {
            assert_eq!(from, Peer(0));
            assert!(control.len() <= MAX_CONTROL && payload.len() <= MAX_PAYLOAD);
            delivered += u64::from(class != Class::Response);
        });
        let _refused = member.send(now, Peer(0), Class::Response, &[*kind], Payload::Bytes(piece));
        let mut frames = 0;
        member.poll_transmit(now, &mut |_, head, _| {
            frames += 1;
            assert!(head.len() <= 1440 && frames < 100);
            kind & 2 == 0
        });
        let stats = member.stats(Peer(0)).expect("a member");
        assert!(stats.early_frames <= WINDOW && stats.waiting_frames <= 8 * 4);
        assert!(delivered <= 8, "above the credit, and nothing was released");
    }
    delivered > 0
}
