//! The microkernel behind the Hermit calls: clock, entropy, console, descriptors over the IP stack.

use alloc::boxed::Box;
use alloc::vec::Vec;

use weft_abi::sys::names;
use weft_abi::{Address, Errno, Kernel, Ready, SocketKind};
use weft_platform::Entropy;
use weft_transport::stack::{Endpoint, SocketError, Stack, Tcp, TcpState, Udp};

/// Descriptors 0 to 2 are the console.
const FIRST_FD: usize = 3;
/// Most descriptors.
const MAX_FDS: usize = 32;
/// Receive buffer of a stream that asked for none, bytes.
const DEFAULT_RECEIVE: usize = 32 * 1024;
/// Send buffer of a stream, bytes.
const SEND_BYTES: usize = 32 * 1024;

/// Writes to the node's own console.
pub type Console = Box<dyn FnMut(&[u8]) + Send>;

enum Descriptor {
    Idle { receive_bytes: usize },
    Stream(Tcp),
    Datagram { socket: Udp, peer: Option<Endpoint> },
    Event { value: u64, semaphore: bool },
}

/// See the module.
pub struct NodeKernel {
    stack: Stack,
    now_ns: u64,
    /// Nanoseconds since 1970 at the zero of the monotonic clock.
    epoch_ns: Option<u64>,
    entropy: Box<dyn Entropy + Send>,
    console: Console,
    table: Vec<Option<Descriptor>>,
    moved: bool,
}

fn errno(error: SocketError) -> Errno {
    match error {
        SocketError::TooMany => Errno::TOO_MANY,
        SocketError::WouldBlock => Errno::AGAIN,
        SocketError::NotConnected => Errno::NOT_CONNECTED,
        SocketError::Reset => Errno::RESET,
        SocketError::Address => Errno::ADDRESS,
        SocketError::Length => Errno::LENGTH,
    }
}

const fn endpoint(address: Address) -> Endpoint {
    Endpoint { address: address.ip, port: address.port }
}

const fn address(endpoint: Endpoint) -> Address {
    Address { ip: endpoint.address, port: endpoint.port }
}

impl NodeKernel {
    /// A kernel over an IP stack.
    pub fn new(stack: Stack, now_ns: u64, entropy: Box<dyn Entropy + Send>, console: Console) -> Self {
        Self { stack, now_ns, epoch_ns: None, entropy, console, table: Vec::new(), moved: false }
    }

    /// The IP stack.
    pub fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// Moves the clock and the packets. `true`: there is more to do at once.
    pub fn poll(&mut self, now_ns: u64) -> bool {
        self.now_ns = self.now_ns.max(now_ns);
        self.stack.poll(self.now_ns)
    }

    /// Whether bytes passed a descriptor since the last look.
    pub fn take_moved(&mut self) -> bool {
        core::mem::take(&mut self.moved)
    }

    /// The appliance told the time, seconds since 1970.
    pub fn set_time(&mut self, unix_s: u64) {
        self.epoch_ns = Some(unix_s.saturating_mul(1_000_000_000).saturating_sub(self.now_ns));
    }

    fn open(&mut self, descriptor: Descriptor) -> Result<i32, Errno> {
        let free = self.table.iter().position(Option::is_none);
        let slot = match free {
            Some(slot) => slot,
            None if self.table.len() < MAX_FDS => {
                self.table.push(None);
                self.table.len() - 1
            }
            None => return Err(Errno::TOO_MANY),
        };
        if let Some(entry) = self.table.get_mut(slot) {
            *entry = Some(descriptor);
        }
        i32::try_from(slot + FIRST_FD).map_err(|_| Errno::TOO_MANY)
    }

    fn slot(fd: i32) -> Result<usize, Errno> {
        usize::try_from(fd).ok().and_then(|fd| fd.checked_sub(FIRST_FD)).ok_or(Errno::BAD_FD)
    }

    fn get(&self, fd: i32) -> Result<&Descriptor, Errno> {
        self.table.get(Self::slot(fd)?).and_then(Option::as_ref).ok_or(Errno::BAD_FD)
    }

    fn get_mut(&mut self, fd: i32) -> Result<&mut Descriptor, Errno> {
        self.table.get_mut(Self::slot(fd)?).and_then(Option::as_mut).ok_or(Errno::BAD_FD)
    }
}

impl Kernel for NodeKernel {
    fn monotonic_ns(&self) -> u64 {
        self.now_ns
    }

    fn realtime_ns(&self) -> Option<u64> {
        self.epoch_ns.map(|epoch| epoch.saturating_add(self.now_ns))
    }

    fn entropy(&mut self, out: &mut [u8]) {
        self.entropy.fill(out);
    }

    fn console(&mut self, text: &[u8]) {
        (self.console)(text);
    }

    fn socket(&mut self, kind: SocketKind) -> Result<i32, Errno> {
        match kind {
            SocketKind::Stream => self.open(Descriptor::Idle { receive_bytes: DEFAULT_RECEIVE }),
            SocketKind::Datagram => {
                let socket = self.stack.udp_open().map_err(errno)?;
                let opened = self.open(Descriptor::Datagram { socket, peer: None });
                if opened.is_err() {
                    self.stack.udp_close(socket);
                }
                opened
            }
        }
    }

    fn set_receive_buffer(&mut self, fd: i32, bytes: usize) -> Result<(), Errno> {
        match self.get_mut(fd)? {
            Descriptor::Idle { receive_bytes } => {
                *receive_bytes = bytes;
                Ok(())
            }
            Descriptor::Stream(_) | Descriptor::Datagram { .. } | Descriptor::Event { .. } => {
                Err(Errno::INVALID)
            }
        }
    }

    fn connect(&mut self, fd: i32, peer: Address) -> Result<(), Errno> {
        match self.get_mut(fd)? {
            Descriptor::Idle { receive_bytes } => {
                let receive_bytes = *receive_bytes;
                let tcp = self.stack.tcp_connect(endpoint(peer), receive_bytes, SEND_BYTES).map_err(errno)?;
                *self.get_mut(fd)? = Descriptor::Stream(tcp);
                self.moved = true;
                Err(Errno::IN_PROGRESS)
            }
            Descriptor::Datagram { peer: known, .. } => {
                *known = Some(endpoint(peer));
                Ok(())
            }
            Descriptor::Stream(_) | Descriptor::Event { .. } => Err(Errno::INVALID),
        }
    }

    fn send(&mut self, fd: i32, data: &[u8]) -> Result<usize, Errno> {
        let sent = match self.get_mut(fd)? {
            Descriptor::Idle { .. } => Err(Errno::NOT_CONNECTED),
            Descriptor::Stream(tcp) => {
                let tcp = *tcp;
                self.stack.tcp_send(tcp, data).map_err(errno)
            }
            Descriptor::Datagram { socket, peer } => {
                let (socket, peer) = (*socket, peer.ok_or(Errno::NOT_CONNECTED)?);
                self.stack.udp_send(socket, peer, data).map(|()| data.len()).map_err(errno)
            }
            Descriptor::Event { value, .. } => {
                let added = u64::from_ne_bytes(data.try_into().map_err(|_| Errno::INVALID)?);
                // eventfd keeps the highest number for itself.
                let sum = value.checked_add(added).filter(|sum| *sum < u64::MAX).ok_or(Errno::AGAIN)?;
                *value = sum;
                Ok(data.len())
            }
        }?;
        self.moved = true;
        Ok(sent)
    }

    fn send_to(&mut self, fd: i32, data: &[u8], to: Address) -> Result<usize, Errno> {
        match self.get(fd)? {
            Descriptor::Datagram { socket, .. } => {
                let socket = *socket;
                self.stack.udp_send(socket, endpoint(to), data).map_err(errno)?;
                self.moved = true;
                Ok(data.len())
            }
            Descriptor::Idle { .. } | Descriptor::Stream(_) | Descriptor::Event { .. } => {
                Err(Errno::UNSUPPORTED)
            }
        }
    }

    fn receive(&mut self, fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
        let received = match self.get_mut(fd)? {
            Descriptor::Idle { .. } => Err(Errno::NOT_CONNECTED),
            Descriptor::Stream(tcp) => {
                let tcp = *tcp;
                self.stack.tcp_receive(tcp, out).map_err(errno)
            }
            Descriptor::Datagram { .. } => return self.receive_from(fd, out).map(|(len, _)| len),
            Descriptor::Event { value, semaphore } => {
                let room = out.get_mut(..8).ok_or(Errno::INVALID)?;
                if *value == 0 {
                    return Err(Errno::AGAIN);
                }
                let taken = if *semaphore { 1 } else { *value };
                *value -= taken;
                room.copy_from_slice(&taken.to_ne_bytes());
                Ok(8)
            }
        }?;
        self.moved = true;
        Ok(received)
    }

    fn receive_from(&mut self, fd: i32, out: &mut [u8]) -> Result<(usize, Address), Errno> {
        match self.get(fd)? {
            Descriptor::Datagram { socket, .. } => {
                let socket = *socket;
                let (len, from) = self.stack.udp_receive(socket, out).map_err(errno)?;
                self.moved = true;
                Ok((len, address(from)))
            }
            Descriptor::Stream(_) => {
                let peer = self.peer_name(fd)?;
                Ok((self.receive(fd, out)?, peer))
            }
            Descriptor::Idle { .. } | Descriptor::Event { .. } => Err(Errno::UNSUPPORTED),
        }
    }

    fn ready(&self, fd: i32) -> Result<Ready, Errno> {
        if (0..3).contains(&fd) {
            return Ok(Ready { readable: false, writable: fd != 0, closed: false });
        }
        Ok(match self.get(fd)? {
            Descriptor::Idle { .. } => Ready::default(),
            Descriptor::Stream(tcp) => {
                let (readable, writable) = self.stack.tcp_ready(*tcp);
                let closed = self.stack.tcp_state(*tcp) == TcpState::Closed;
                Ready { readable, writable, closed }
            }
            Descriptor::Datagram { socket, .. } => {
                let (readable, writable) = self.stack.udp_ready(*socket);
                Ready { readable, writable, closed: false }
            }
            Descriptor::Event { value, .. } => Ready { readable: *value > 0, writable: true, closed: false },
        })
    }

    fn peer_name(&self, fd: i32) -> Result<Address, Errno> {
        match self.get(fd)? {
            Descriptor::Stream(tcp) => self.stack.tcp_peer(*tcp).map(address).ok_or(Errno::NOT_CONNECTED),
            Descriptor::Datagram { peer, .. } => peer.map(address).ok_or(Errno::NOT_CONNECTED),
            Descriptor::Idle { .. } => Err(Errno::NOT_CONNECTED),
            Descriptor::Event { .. } => Err(Errno::UNSUPPORTED),
        }
    }

    fn socket_name(&self, fd: i32) -> Result<Address, Errno> {
        let own = self.stack.lease().map_or([0; 4], |lease| lease.address);
        match self.get(fd)? {
            Descriptor::Stream(tcp) => {
                Ok(self.stack.tcp_local(*tcp).map_or(Address { ip: own, port: 0 }, address))
            }
            Descriptor::Datagram { socket, .. } => {
                Ok(Address { ip: own, port: self.stack.udp_port(*socket) })
            }
            Descriptor::Idle { .. } => Ok(Address { ip: own, port: 0 }),
            Descriptor::Event { .. } => Err(Errno::UNSUPPORTED),
        }
    }

    fn shutdown(&mut self, fd: i32) -> Result<(), Errno> {
        match self.get(fd)? {
            Descriptor::Stream(tcp) => {
                let tcp = *tcp;
                self.stack.tcp_shutdown(tcp);
                self.moved = true;
                Ok(())
            }
            Descriptor::Idle { .. } => Err(Errno::NOT_CONNECTED),
            Descriptor::Datagram { .. } | Descriptor::Event { .. } => Err(Errno::UNSUPPORTED),
        }
    }

    fn close(&mut self, fd: i32) -> Result<(), Errno> {
        let slot = Self::slot(fd)?;
        let taken = self.table.get_mut(slot).and_then(Option::take).ok_or(Errno::BAD_FD)?;
        match taken {
            Descriptor::Stream(tcp) => self.stack.tcp_close(tcp, self.now_ns),
            Descriptor::Datagram { socket, .. } => self.stack.udp_close(socket),
            Descriptor::Idle { .. } | Descriptor::Event { .. } => {}
        }
        Ok(())
    }

    fn event(&mut self, initial: u64, semaphore: bool) -> Result<i32, Errno> {
        self.open(Descriptor::Event { value: initial, semaphore })
    }

    fn resolve(&self, name: &str) -> Result<[u8; 4], Errno> {
        let lease = self.stack.lease().ok_or(Errno::AGAIN)?;
        match name {
            names::SELF => Ok(lease.address),
            names::DHCP_SERVER => Ok(lease.server),
            names::NEXT_SERVER => lease.next_server.ok_or(Errno::NO_ENTRY),
            _ => Err(Errno::NO_ENTRY),
        }
    }
}
