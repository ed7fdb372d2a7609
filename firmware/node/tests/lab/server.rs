//! An appliance on a second IP stack: DHCP, TFTP, HTTP and the agent endpoint, written from the RFCs and
//! `weft_wire::agent` without the node's own code.

use std::collections::HashMap;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint,
    Ipv4Address,
};
use snow::{Builder, HandshakeState, TransportState};
use weft_types::BlobDigest;
use weft_wire::agent::{NOISE_PARAMS, NOISE_PROLOGUE, PROTOCOL, ToNode, ToServer, Welcome};
use weft_wire::codec::{decode_to_server, encode_to_node};

use super::wire::{ServerPort, Shared};

pub(crate) const ADDRESS: [u8; 4] = [10, 77, 0, 1];
pub(crate) const NODE_ADDRESS: [u8; 4] = [10, 77, 0, 12];

pub(crate) struct Server {
    port: ServerPort,
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    /// Nothing of an appliance answers; the host is there.
    pub(crate) off: bool,
    dhcp: SocketHandle,
    tftp: SocketHandle,
    transfer: SocketHandle,
    http: Vec<(SocketHandle, Vec<u8>)>,
    agent: SocketHandle,
    /// As if another member of a partition were on this host.
    member: SocketHandle,
    // What it serves.
    pub(crate) delegation: Option<Vec<u8>>,
    pub(crate) blobs: HashMap<BlobDigest, Vec<u8>>,
    pub(crate) channel_key: [u8; 32],
    pub(crate) welcome: Option<Welcome>,
    /// Hangs up as soon as it has greeted.
    pub(crate) greets_and_leaves: bool,
    /// Cut each HTTP connection after so many bytes of body, while above zero.
    pub(crate) http_cut: usize,
    pub(crate) http_requests: Vec<String>,
    pub(crate) vendor_class: Vec<u8>,
    // TFTP state.
    file: Vec<u8>,
    block: u16,
    peer: Option<IpEndpoint>,
    // Agent state.
    input: Vec<u8>,
    output: Vec<u8>,
    shaking: Option<HandshakeState>,
    open: Option<TransportState>,
    pub(crate) node_key: Vec<u8>,
    pub(crate) received: Vec<ToServer>,
    pub(crate) ping_at_ns: u64,
}

fn tcp_socket() -> tcp::Socket<'static> {
    tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 16384]), tcp::SocketBuffer::new(vec![0; 65535]))
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 32768]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).expect("a free port");
    socket
}

fn instant(now_ns: u64) -> Instant {
    Instant::from_micros(i64::try_from(now_ns / 1000).expect("small"))
}

impl Server {
    pub(crate) fn new(wire: Shared, channel_key: [u8; 32], now_ns: u64) -> Self {
        let mut port = ServerPort(wire);
        let mac = EthernetAddress([0x02, 0, 0, 0, 0, 1]);
        let mut config = Config::new(HardwareAddress::Ethernet(mac));
        config.random_seed = now_ns + 99;
        let mut interface = Interface::new(config, &mut port, instant(now_ns));
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(IpAddress::Ipv4(Ipv4Address::from_octets(ADDRESS)), 24))
                .expect("room");
        });
        let mut sockets = SocketSet::new(vec![]);
        let dhcp = sockets.add(udp_socket(67));
        let tftp = sockets.add(udp_socket(69));
        let transfer = sockets.add(udp_socket(3000));
        let http = (0..3).map(|_| (sockets.add(tcp_socket()), Vec::new())).collect();
        let agent = sockets.add(tcp_socket());
        let member = sockets.add(udp_socket(weft_wire::ports::PEER));
        Self {
            port,
            interface,
            sockets,
            off: false,
            dhcp,
            tftp,
            transfer,
            http,
            agent,
            member,
            delegation: None,
            blobs: HashMap::new(),
            channel_key,
            welcome: Some(Welcome { protocol: PROTOCOL, quarantined: false, reason: String::new() }),
            greets_and_leaves: false,
            http_cut: 0,
            http_requests: Vec::new(),
            vendor_class: Vec::new(),
            file: Vec::new(),
            block: 0,
            peer: None,
            input: Vec::new(),
            output: Vec::new(),
            shaking: None,
            open: None,
            node_key: Vec::new(),
            received: Vec::new(),
            ping_at_ns: 0,
        }
    }

    pub(crate) fn poll(&mut self, now_ns: u64) {
        let now = instant(now_ns);
        self.interface.poll(now, &mut self.port, &mut self.sockets);
        self.serve_dhcp();
        if self.off {
            self.hang_up();
        } else {
            self.serve_tftp();
            self.serve_http();
            self.serve_agent(now_ns);
        }
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }

    /// Sends a datagram as a member of a partition.
    pub(crate) fn send_datagram(&mut self, datagram: &[u8]) {
        let to =
            IpEndpoint::new(IpAddress::Ipv4(Ipv4Address::from_octets(NODE_ADDRESS)), weft_wire::ports::PEER);
        self.sockets.get_mut::<udp::Socket<'_>>(self.member).send_slice(datagram, to).expect("room");
    }

    /// Datagrams to that member.
    pub(crate) fn datagrams(&mut self) -> Vec<Vec<u8>> {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.member);
        core::iter::from_fn(|| socket.recv().ok().map(|(bytes, _)| bytes.to_vec())).collect()
    }

    fn serve_dhcp(&mut self) {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.dhcp);
        let Ok((data, _)) = socket.recv() else { return };
        let data = data.to_vec();
        let Ok(packet) = DhcpPacket::new_checked(data.as_slice()) else { return };
        let Ok(request) = DhcpRepr::parse(&packet) else { return };
        if let Some(class) = packet.options().find(|option| option.kind == 60) {
            self.vendor_class = class.data.to_vec();
        }
        let message_type = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return,
        };
        let own = Ipv4Address::from_octets(ADDRESS);
        let reply = DhcpRepr {
            message_type,
            transaction_id: request.transaction_id,
            secs: 0,
            client_hardware_address: request.client_hardware_address,
            client_ip: Ipv4Address::UNSPECIFIED,
            your_ip: Ipv4Address::from_octets(NODE_ADDRESS),
            server_ip: own,
            router: Some(own),
            subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: true,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(own),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: Some(3600),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).expect("room");
        let to = IpEndpoint::new(IpAddress::Ipv4(Ipv4Address::BROADCAST), 68);
        socket.send_slice(&bytes, to).expect("room");
    }

    fn send_block(&mut self) {
        let Some(peer) = self.peer else { return };
        let packet = if self.block == 0 {
            let size = self.file.len();
            [&[0, 6][..], b"blksize\x001432\0tsize\0", size.to_string().as_bytes(), b"\0"].concat()
        } else {
            let from = (usize::from(self.block) - 1) * 1432;
            let to = (from + 1432).min(self.file.len());
            [&[0, 3][..], &self.block.to_be_bytes(), self.file.get(from..to).unwrap_or(&[])].concat()
        };
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.transfer);
        socket.send_slice(&packet, peer).unwrap_or(());
    }

    fn serve_tftp(&mut self) {
        while let Ok((data, meta)) = self.sockets.get_mut::<udp::Socket<'_>>(self.tftp).recv() {
            let name = data.get(2..).unwrap_or(&[]).split(|byte| *byte == 0).next().unwrap_or(&[]);
            if data.first_chunk() != Some(&[0, 1]) {
                continue;
            }
            self.peer = Some(meta.endpoint);
            match (&self.delegation, name) {
                (Some(file), b"delegation.bin") => {
                    self.file.clone_from(file);
                    self.block = 0;
                    self.send_block();
                }
                _ => {
                    let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.transfer);
                    socket.send_slice(b"\0\x05\0\x01no such file\0", meta.endpoint).unwrap_or(());
                }
            }
        }
        while let Ok((data, meta)) = self.sockets.get_mut::<udp::Socket<'_>>(self.transfer).recv() {
            if self.peer == Some(meta.endpoint) && data == [[0, 4], self.block.to_be_bytes()].concat() {
                let sent = usize::from(self.block) * 1432;
                if self.block == 0 || sent <= self.file.len() {
                    self.block += 1;
                    self.send_block();
                }
            }
        }
    }

    fn serve_http(&mut self) {
        for (handle, output) in &mut self.http {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(*handle);
            if !socket.is_open() {
                output.clear();
                socket.listen(80).expect("closed before");
            }
            if socket.can_recv() {
                let request = socket.recv(|data| (data.len(), String::from_utf8_lossy(data).into_owned()));
                let request = request.expect("can receive");
                *output = answer(&request, &self.blobs, &mut self.http_cut);
                self.http_requests.push(request);
                if output.is_empty() {
                    socket.abort();
                }
            }
            if !output.is_empty() && socket.can_send() {
                let sent = socket.send_slice(output).expect("can send");
                output.drain(..sent);
                if output.is_empty() {
                    socket.close();
                }
            }
            if socket.state() == tcp::State::CloseWait {
                socket.close();
            }
        }
    }

    fn serve_agent(&mut self, now_ns: u64) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.agent);
        if !socket.is_open() {
            socket.listen(4470).expect("closed before");
            self.input.clear();
            self.output.clear();
            self.open = None;
            let builder = Builder::new(NOISE_PARAMS.parse().expect("known"));
            let responder = builder
                .local_private_key(&self.channel_key)
                .and_then(|builder| builder.prologue(NOISE_PROLOGUE))
                .and_then(Builder::build_responder);
            self.shaking = Some(responder.expect("good keys"));
        }
        if socket.can_recv() {
            let bytes = socket.recv(|data| (data.len(), data.to_vec())).expect("can receive");
            self.input.extend(bytes);
        }
        while let Some(frame) = next_frame(&mut self.input) {
            if !self.on_frame(&frame) {
                self.sockets.get_mut::<tcp::Socket<'_>>(self.agent).abort();
                return;
            }
        }
        if self.open.is_some() && now_ns >= self.ping_at_ns {
            self.ping_at_ns = now_ns + 1_000_000_000;
            self.send(&ToNode::Ping);
        }
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.agent);
        if socket.can_send() {
            let sent = socket.send_slice(&self.output).expect("can send");
            self.output.drain(..sent);
            if self.greets_and_leaves
                && self.open.is_some()
                && self.output.is_empty()
                && !self.received.is_empty()
            {
                socket.close();
            }
        }
        if socket.state() == tcp::State::CloseWait {
            socket.abort();
        }
    }

    fn on_frame(&mut self, frame: &[u8]) -> bool {
        let mut plain = vec![0; 65535];
        if let Some(mut shaking) = self.shaking.take() {
            if shaking.read_message(frame, &mut plain).is_err() {
                return false;
            }
            let len = shaking.write_message(&[], &mut plain).expect("room");
            self.output.extend(u16::try_from(len).expect("short").to_be_bytes());
            self.output.extend(&plain[..len]);
            self.node_key = shaking.get_remote_static().expect("IK").to_vec();
            self.open = Some(shaking.into_transport_mode().expect("finished"));
            return true;
        }
        let Some(open) = &mut self.open else { return false };
        let Ok(len) = open.read_message(frame, &mut plain) else { return false };
        let message = decode_to_server(&plain[..len]).expect("the node speaks the protocol");
        let hello = matches!(message, ToServer::Hello(_));
        self.received.push(message);
        if let (true, Some(welcome)) = (hello, self.welcome.clone()) {
            self.send(&ToNode::Welcome(welcome));
        }
        true
    }

    pub(crate) fn hang_up(&mut self) {
        self.sockets.get_mut::<tcp::Socket<'_>>(self.agent).abort();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn send(&mut self, message: &ToNode) {
        let plain = encode_to_node(message).expect("short");
        self.send_raw(&plain);
    }

    pub(crate) fn send_raw(&mut self, plain: &[u8]) {
        let Some(open) = &mut self.open else { return };
        let mut sealed = vec![0; plain.len() + 16];
        let len = open.write_message(plain, &mut sealed).expect("room");
        self.output.extend(u16::try_from(len).expect("short").to_be_bytes());
        self.output.extend(&sealed[..len]);
    }

    /// Bytes straight onto the connection, past the cipher.
    pub(crate) fn send_unsealed(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }
}

fn next_frame(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let len = usize::from(u16::from_be_bytes(*input.first_chunk()?));
    let frame = input.get(2..2 + len)?.to_vec();
    input.drain(..2 + len);
    Some(frame)
}

fn answer(request: &str, blobs: &HashMap<BlobDigest, Vec<u8>>, cut: &mut usize) -> Vec<u8> {
    let path = request.split(' ').nth(1).expect("a request line");
    let found = blobs.iter().find(|(digest, _)| path == format!("/blob/{digest}"));
    let Some((_, blob)) = found else {
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    };
    let range = request.split("Range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
    let from: usize = range.map_or(0, |from| from.parse().expect("a number"));
    let body = &blob[from..];
    let head = if range.is_some() {
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
            blob.len() - 1,
            blob.len()
        )
    } else {
        "HTTP/1.1 200 OK\r\n".to_owned()
    };
    let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut sent = [head.as_bytes(), body].concat();
    if *cut > 0 && body.len() > *cut {
        sent.truncate(head.len() + *cut);
        *cut = 0;
    }
    sent
}
