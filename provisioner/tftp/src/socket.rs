//! A UDP socket that takes many datagrams in a system call and sends a window in one (UDP segmentation offload), where the
//! kernel can.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams taken at once.
const BATCH: usize = 16;
/// Longest datagram looked at; requests are at most 512 bytes and anything longer is refused by length alone.
const DATAGRAM: usize = 1024;
/// Longest segmented send: what fits an IPv4 datagram.
pub(crate) const MAX_SEND: usize = 65_000;

/// The socket.
pub(crate) struct Udp {
    io: UdpSocket,
    state: UdpSocketState,
    /// Bound to one address: what is sent needs no source named.
    bound: bool,
}

/// Where a received datagram came from and went to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    pub(crate) peer: SocketAddr,
    /// The address it was sent to, if the kernel says.
    pub(crate) local: Option<IpAddr>,
}

/// Room for one batch.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    meta: Vec<RecvMeta>,
    filled: usize,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BATCH * DATAGRAM], meta: vec![RecvMeta::default(); BATCH], filled: 0 }
    }

    /// The datagrams of the last receive.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (From, &[u8])> {
        self.bytes.chunks(DATAGRAM).zip(&self.meta).take(self.filled).flat_map(|(buffer, meta)| {
            let from = From { peer: meta.addr, local: meta.dst_ip };
            let bytes = buffer.get(..meta.len.min(DATAGRAM)).unwrap_or_default();
            bytes.chunks(meta.stride.max(1)).map(move |datagram| (from, datagram))
        })
    }
}

impl Udp {
    /// A bound socket. Must be called inside a runtime.
    pub(crate) fn bind(address: SocketAddr, device: Option<&str>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(device) = device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        // Beyond the system's limit only with privilege, which port 69 needs anyway; best effort otherwise.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 2 << 20).is_err() {
            let _ = socket.set_recv_buffer_size(2 << 20);
        }
        let _ = socket.set_send_buffer_size(1 << 20);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { io: UdpSocket::from_std(socket.into())?, state, bound: !address.ip().is_unspecified() })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Most segments in one send.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments().max(1)
    }

    /// Waits until there may be something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Takes what is there; `false` when nothing is.
    pub(crate) fn try_recv(&self, batch: &mut Batch) -> io::Result<bool> {
        batch.filled = 0;
        let mut slices: Vec<IoSliceMut<'_>> = batch.bytes.chunks_mut(DATAGRAM).map(IoSliceMut::new).collect();
        let received = self.io.try_io(Interest::READABLE, || {
            self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut batch.meta)
        });
        match received {
            Ok(count) => {
                batch.filled = count;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends `contents`, cut into datagrams of `segment` bytes where that is given, from address `source`.
    pub(crate) async fn send(
        &self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        segment: Option<usize>,
    ) -> io::Result<()> {
        let source = source.filter(|_| !self.bound);
        if segment.is_none() && source.is_none() {
            // The plain call is the cheaper one, which lock-step transfers feel.
            return match self.io.try_send_to(contents, destination) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.io.send_to(contents, destination).await.map(|_| ())
                }
                other => other.map(|_| ()),
            };
        }
        let transmit = Transmit { destination, ecn: None, contents, segment_size: segment, src_ip: source };
        loop {
            let sent = self
                .io
                .try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.io), &transmit));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.io.writable().await?,
                other => return other,
            }
        }
    }
}
