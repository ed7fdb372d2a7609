//! A UDP socket that takes many datagrams in a system call and sends a window in one (UDP segmentation offload), where the
//! kernel can.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams taken at once.
const BATCH: usize = 16;
/// Longest datagram looked at; requests are at most 512 bytes and anything longer is refused by length alone.
const DATAGRAM: usize = 1024;
/// Longest segmented send: what fits an IPv4 datagram.
pub(crate) const MAX_SEND: usize = 65_000;
/// Longest wait for room to send. A datagram that finds none is lost, as on any wire, and repeated by its timer.
const ROOM: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// The socket.
pub(crate) struct Udp {
    io: Socket,
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

    /// Whether the last receive filled it: there may be more.
    pub(crate) fn full(&self) -> bool {
        self.filled == BATCH
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
    /// A bound socket.
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
        Ok(Self { io: socket, state, bound: !address.ip().is_unspecified() })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Most segments in one send.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments().max(1)
    }

    /// Takes what is there; `false` when nothing is.
    pub(crate) fn recv(&self, batch: &mut Batch) -> io::Result<bool> {
        batch.filled = 0;
        let mut buffers = batch.bytes.chunks_mut(DATAGRAM);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        match self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut batch.meta) {
            Ok(count) => {
                batch.filled = count;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends `contents`, cut into datagrams of `segment` bytes where that is given, from address `source`.
    pub(crate) fn send(
        &self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        segment: Option<usize>,
    ) -> io::Result<()> {
        let source = source.filter(|_| !self.bound);
        let plain = segment.is_none() && source.is_none();
        let transmit = Transmit { destination, ecn: None, contents, segment_size: segment, src_ip: source };
        let attempt = || match plain {
            // The plain call is the cheaper one, which lock-step transfers feel.
            true => self.io.send_to(contents, &destination.into()).map(|_| ()),
            false => self.state.try_send(UdpSockRef::from(&self.io), &transmit),
        };
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(&self.io, PollFlags::OUT)], Some(&ROOM));
                attempt()
            }
            other => other,
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}
