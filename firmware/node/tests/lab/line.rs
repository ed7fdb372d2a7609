//! An operator's connection to the node, from the appliance's host.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address};
use snow::{Builder, HandshakeState, TransportState};
use weft_wire::agent::NOISE_PARAMS;
use weft_wire::codec::{decode_answer, encode};
use weft_wire::operator::{Answer, Ask, MAX_ASK, OPERATOR_PROLOGUE};

use crate::lab::World;
use crate::lab::server::NODE_ADDRESS;

/// See the module.
pub(crate) struct Line {
    socket: SocketHandle,
    noise: Option<TransportState>,
    shaking: Option<HandshakeState>,
    input: Vec<u8>,
    /// Every byte that went out first.
    pub(crate) first: Vec<u8>,
}

impl Line {
    /// Opens a connection; nothing is sent yet.
    pub(crate) fn open(world: &mut World, port: u16) -> Self {
        let mut socket =
            tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 32768]), tcp::SocketBuffer::new(vec![0; 32768]));
        let server = world.server();
        let remote = IpEndpoint::new(
            IpAddress::Ipv4(Ipv4Address::from_octets(NODE_ADDRESS)),
            weft_wire::ports::OPERATOR,
        );
        socket.connect(server.interface.context(), remote, port).expect("a free port");
        let socket = server.sockets.add(socket);
        Self { socket, noise: None, shaking: None, input: Vec::new(), first: Vec::new() }
    }

    fn tcp<'a>(&self, world: &'a mut World) -> &'a mut tcp::Socket<'static> {
        world.server().sockets.get_mut::<tcp::Socket<'static>>(self.socket)
    }

    pub(crate) fn is_open(&self, world: &mut World) -> bool {
        self.tcp(world).may_send()
    }

    /// The other side has hung up, or never answered.
    pub(crate) fn is_over(&self, world: &mut World) -> bool {
        let socket = self.tcp(world);
        !socket.is_open() || socket.state() == tcp::State::CloseWait
    }

    pub(crate) fn hang_up(&self, world: &mut World) {
        self.tcp(world).abort();
    }

    /// Bytes as they are, in pieces as the socket takes them.
    #[track_caller]
    pub(crate) fn send(&self, world: &mut World, mut bytes: &[u8]) {
        world.until(5, "a connection", |world| self.is_open(world) || self.is_over(world));
        while !bytes.is_empty() && self.is_open(world) {
            let sent = self.tcp(world).send_slice(bytes).expect("open");
            bytes = &bytes[sent..];
            world.run(1);
        }
    }

    fn frame(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
    }

    /// The next frame; `None` if the other side hangs up first.
    #[track_caller]
    pub(crate) fn receive(&mut self, world: &mut World) -> Option<Vec<u8>> {
        let mut frame = None;
        world.until(45, "a frame, or the end", |world| {
            let socket = self.tcp(world);
            if socket.can_recv() {
                let bytes = socket.recv(|data| (data.len(), data.to_vec())).expect("can receive");
                self.input.extend(bytes);
            }
            let size = self.input.first_chunk().map(|size| usize::from(u16::from_be_bytes(*size)));
            if let Some(whole) = size.and_then(|size| self.input.get(2..2 + size)) {
                frame = Some(whole.to_vec());
            }
            frame.is_some() || self.is_over(world)
        });
        self.input.drain(..frame.as_ref().map_or(0, |frame| 2 + frame.len()));
        frame
    }

    /// Says who we are; the refusal, empty where we may come in. `None`: the node hangs up without a word.
    #[track_caller]
    pub(crate) fn knock(
        &mut self,
        world: &mut World,
        secret: &[u8; 32],
        node: &[u8; 32],
        certificate: &[u8],
    ) -> Option<String> {
        let mut shaking = Builder::new(NOISE_PARAMS.parse().expect("known"))
            .prologue(OPERATOR_PROLOGUE)
            .and_then(|builder| builder.local_private_key(secret))
            .and_then(|builder| builder.remote_public_key(node))
            .and_then(Builder::build_initiator)
            .expect("good keys");
        let mut first = [0; 1024];
        let len = shaking.write_message(certificate, &mut first).expect("room");
        self.first = Self::frame(&first[..len]);
        self.send(world, &self.first);
        self.shaking = Some(shaking);
        let second = self.receive(world)?;
        let mut shaking = self.shaking.take().expect("just put");
        let mut payload = [0; 1024];
        let len = shaking.read_message(&second, &mut payload).expect("the node has its key");
        self.noise = Some(shaking.into_transport_mode().expect("finished"));
        Some(String::from_utf8(payload[..len].to_vec()).expect("words"))
    }

    /// A sealed question.
    pub(crate) fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        let noise = self.noise.as_mut().expect("we were let in");
        let mut sealed = vec![0; plain.len() + 16];
        let len = noise.write_message(plain, &mut sealed).expect("room");
        Self::frame(&sealed[..len])
    }

    /// Asks; `None` if the node hangs up instead.
    #[track_caller]
    pub(crate) fn ask(&mut self, world: &mut World, ask: &Ask) -> Option<Answer> {
        let question = self.sealed(&encode(ask, MAX_ASK).expect("short"));
        self.send(world, &question);
        self.answer(world)
    }

    /// The next answer.
    #[track_caller]
    pub(crate) fn answer(&mut self, world: &mut World) -> Option<Answer> {
        let frame = self.receive(world)?;
        let mut plain = vec![0; frame.len()];
        let noise = self.noise.as_mut().expect("we were let in");
        let len = noise.read_message(&frame, &mut plain).expect("sealed by the node");
        Some(decode_answer(&plain[..len]).expect("an answer"))
    }
}
