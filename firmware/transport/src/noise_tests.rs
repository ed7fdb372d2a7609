//! Against snow's own Diffie-Hellman and key schedule as responder.

use super::*;

const NODE: [u8; 32] = [3; 32];
const SERVER: [u8; 32] = [5; 32];
const SEED: [u8; 32] = [9; 32];

struct StockResolver;

struct Fixed;

impl Random for Fixed {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        dest.fill(0x21);
        Ok(())
    }
}

impl CryptoResolver for StockResolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Fixed))
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

fn responder(secret: &[u8; 32], prologue: &[u8]) -> HandshakeState {
    Builder::with_resolver(NOISE_PARAMS.parse().expect("known"), Box::new(StockResolver))
        .local_private_key(secret)
        .and_then(|builder| builder.prologue(prologue))
        .and_then(Builder::build_responder)
        .expect("good keys")
}

fn pair() -> (Channel, TransportState) {
    let (mut channel, first) = Channel::initiate(&NODE, &public_key(&SERVER), SEED).expect("good keys");
    let mut server = responder(&SERVER, NOISE_PROLOGUE);
    let mut buffer = [0; 200];
    assert_eq!(server.read_message(&first[2..], &mut buffer), Ok(0));
    assert_eq!(server.get_remote_static(), Some(&public_key(&NODE)[..]));
    let len = server.write_message(&[], &mut buffer).expect("room");
    assert_eq!(channel.receive(&frame(&buffer[..len])), Ok(vec![Received::Opened]));
    (channel, server.into_transport_mode().expect("finished"))
}

fn seal(server: &mut TransportState, plain: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; plain.len() + TAG];
    let len = server.write_message(plain, &mut sealed).expect("room");
    frame(&sealed[..len])
}

#[test]
fn messages_pass_both_ways() {
    let (mut channel, mut server) = pair();
    assert!(channel.is_open());
    let sealed = channel.seal(b"hello").expect("open");
    let mut plain = [0; 100];
    assert_eq!(server.read_message(&sealed[2..], &mut plain), Ok(5));
    assert_eq!(&plain[..5], b"hello");
    let answer = seal(&mut server, b"welcome");
    assert_eq!(channel.receive(&answer), Ok(vec![Received::Message(b"welcome".to_vec())]));
}

#[test]
fn frames_may_come_in_any_pieces() {
    for piece in [1, 2, 3, 7, 1000] {
        let (mut channel, mut server) = pair();
        let bytes =
            [seal(&mut server, b"one"), seal(&mut server, b""), seal(&mut server, &[7; 300])].concat();
        let mut got = Vec::new();
        for part in bytes.chunks(piece) {
            got.extend(channel.receive(part).expect("good frames"));
        }
        let expected = [b"one".to_vec(), vec![], vec![7; 300]].map(Received::Message);
        assert_eq!(got, expected);
    }
}

#[test]
fn the_largest_message_passes_and_a_larger_one_is_refused() {
    let (mut channel, mut server) = pair();
    let sealed = channel.seal(&vec![1; MAX_MESSAGE]).expect("allowed");
    let mut plain = vec![0; 65535];
    assert_eq!(server.read_message(&sealed[2..], &mut plain), Ok(MAX_MESSAGE));
    assert_eq!(channel.seal(&vec![1; MAX_MESSAGE + 1]), Err(ChannelError::MessageTooLong));
    let long = seal(&mut server, &vec![1; MAX_MESSAGE + 1]);
    assert_eq!(channel.receive(&long), Err(ChannelError::FrameTooLong));
}

#[test]
fn another_servers_key_is_refused() {
    let (mut channel, first) = Channel::initiate(&NODE, &public_key(&SERVER), SEED).expect("good keys");
    // It cannot read the first message, so it makes its answer up.
    let mut buffer = [0; 200];
    assert!(responder(&[6; 32], NOISE_PROLOGUE).read_message(&first[2..], &mut buffer).is_err());
    let mut made_up = [0x42; 48];
    made_up[..32].copy_from_slice(&public_key(&[6; 32]));
    assert_eq!(channel.receive(&frame(&made_up)), Err(ChannelError::Authentication));
    assert_eq!(channel.seal(b"x"), Err(ChannelError::NotOpen));
}

#[test]
fn another_prologue_is_refused() {
    let (_, first) = Channel::initiate(&NODE, &public_key(&SERVER), SEED).expect("good keys");
    let mut buffer = [0; 200];
    assert!(responder(&SERVER, b"weft agent v2").read_message(&first[2..], &mut buffer).is_err());
}

#[test]
fn a_changed_bit_kills_the_channel() {
    for bit in (0..8 * 21).step_by(11) {
        let (mut channel, mut server) = pair();
        let mut sealed = seal(&mut server, b"hello");
        sealed[2 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(channel.receive(&sealed), Err(ChannelError::Authentication), "bit {bit}");
        assert_eq!(channel.receive(&seal(&mut server, b"again")), Err(ChannelError::NotOpen));
    }
}

#[test]
fn a_replayed_frame_is_refused() {
    let (mut channel, mut server) = pair();
    let sealed = seal(&mut server, b"once");
    assert!(channel.receive(&sealed).is_ok());
    assert_eq!(channel.receive(&sealed), Err(ChannelError::Authentication));
}

#[test]
fn a_long_frame_is_refused_before_it_is_stored() {
    let (mut channel, _) = Channel::initiate(&NODE, &public_key(&SERVER), SEED).expect("good keys");
    assert_eq!(channel.receive(&[0, 200]), Err(ChannelError::FrameTooLong));
}

#[test]
fn nothing_is_sealed_before_the_handshake() {
    let (mut channel, _) = Channel::initiate(&NODE, &public_key(&SERVER), SEED).expect("good keys");
    assert_eq!(channel.seal(b"x"), Err(ChannelError::NotOpen));
}

#[test]
fn the_seed_serves_once() {
    let mut random = OneSeed(Some(SEED));
    let mut out = [0; 32];
    assert!(random.try_fill_bytes(&mut out).is_ok());
    assert!(random.try_fill_bytes(&mut out).is_err());
}

#[test]
fn a_key_of_small_order_is_refused() {
    assert_eq!(Channel::initiate(&NODE, &[0; 32], SEED).err(), Some(ChannelError::Keys));
}

#[test]
fn public_keys_agree_with_rfc_7748() {
    let secret = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf,
        0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
    ];
    assert_eq!(public_key(&secret)[..4], [0x85, 0x20, 0xf0, 0x09]);
}

fn operator() -> (HandshakeState, Vec<u8>) {
    let node = public_key(&NODE);
    let mut shaking = Builder::with_resolver(NOISE_PARAMS.parse().expect("known"), Box::new(StockResolver))
        .local_private_key(&SERVER)
        .and_then(|builder| builder.remote_public_key(&node))
        .and_then(|builder| builder.prologue(OPERATOR_PROLOGUE))
        .and_then(Builder::build_initiator)
        .expect("good keys");
    let mut first = [0; 600];
    let len = shaking.write_message(b"certificate", &mut first).expect("room");
    (shaking, frame(&first[..len]))
}

#[test]
fn a_responder_tells_who_asks_and_opens_when_it_accepts() {
    let (mut shaking, first) = operator();
    let mut node = Channel::respond(&NODE, SEED).expect("good keys");
    assert_eq!(node.seal(b"early"), Err(ChannelError::NotOpen));
    let asked = Received::Asked { key: public_key(&SERVER), payload: b"certificate".to_vec() };
    assert_eq!(node.receive(&first), Ok(vec![asked]));
    let second = node.accept(b"come in").expect("asked");
    let mut payload = [0; 600];
    let len = shaking.read_message(&second[2..], &mut payload).expect("the node's key");
    assert_eq!(&payload[..len], b"come in");
    let mut open = shaking.into_transport_mode().expect("finished");
    assert_eq!(node.receive(&seal(&mut open, b"why")), Ok(vec![Received::Message(b"why".to_vec())]));
    assert!(node.accept(b"again").is_err(), "once");
}

#[test]
fn a_responder_takes_nothing_before_it_has_answered_and_nothing_long() {
    let (_, first) = operator();
    let mut node = Channel::respond(&NODE, SEED).expect("good keys");
    assert_eq!(node.receive(&[&first[..], &[0, 1, 7]].concat()), Err(ChannelError::NotOpen));
    let mut node = Channel::respond(&NODE, SEED).expect("good keys");
    assert!(node.receive(&first).is_ok());
    assert_eq!(node.receive(&[0]), Err(ChannelError::NotOpen));
    for head in [[0x02, 0], [0xff, 0xff]] {
        let mut node = Channel::respond(&NODE, SEED).expect("good keys");
        assert_eq!(node.receive(&head), Err(ChannelError::FrameTooLong));
    }
    // The agent channel's handshake is none of an operator's.
    let (_, first) = Channel::initiate(&SERVER, &public_key(&NODE), SEED).expect("good keys");
    let mut node = Channel::respond(&NODE, SEED).expect("good keys");
    assert_eq!(node.receive(&first), Err(ChannelError::Authentication));
}
