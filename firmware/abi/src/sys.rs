//! Safe wrappers over the calls, for what runs above the line. Nothing here blocks.

use alloc::ffi::CString;

use hermit_abi::{
    AF_INET, CLOCK_MONOTONIC, EFD_NONBLOCK, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SHUT_WR, SO_RCVBUF,
    SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, STDOUT_FILENO, in_addr, pollfd, sockaddr,
    sockaddr_in, socklen_t, timespec,
};

use crate::kernel::{Address, Errno, Ready};

/// Names that the microkernel resolves.
pub mod names {
    /// The node's own address.
    pub const SELF: &str = "self";
    /// The DHCP server that gave it.
    pub const DHCP_SERVER: &str = "dhcp-server";
    /// `siaddr` of the DHCP answer.
    pub const NEXT_SERVER: &str = "next-server";
}

const ADDRESS_LEN: socklen_t = size_of::<sockaddr_in>() as socklen_t;

fn status(code: i32) -> Result<(), Errno> {
    if code < 0 { Err(Errno(code.saturating_neg())) } else { Ok(()) }
}

fn count(code: isize) -> Result<usize, Errno> {
    usize::try_from(code).map_err(|_| Errno(i32::try_from(code.saturating_neg()).unwrap_or(i32::MAX)))
}

fn raw(address: Address) -> sockaddr_in {
    sockaddr_in {
        sin_len: ADDRESS_LEN as u8,
        sin_family: AF_INET as u8,
        sin_port: address.port.to_be(),
        sin_addr: in_addr { s_addr: u32::from_ne_bytes(address.ip) },
        sin_zero: [0; 8],
    }
}

fn cooked(address: sockaddr_in) -> Address {
    Address { ip: address.sin_addr.s_addr.to_ne_bytes(), port: u16::from_be(address.sin_port) }
}

/// Nanoseconds since start; 0 where no kernel is there.
pub fn monotonic_ns() -> u64 {
    let mut now = timespec::default();
    // SAFETY: `now` is valid for the call.
    if unsafe { hermit_abi::clock_gettime(CLOCK_MONOTONIC, &raw mut now) } != 0 {
        return 0;
    }
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Fills with randomness.
pub fn entropy(out: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length are those of `out`.
    count(unsafe { hermit_abi::read_entropy(out.as_mut_ptr(), out.len(), 0) }).map(|_| ())
}

/// Writes to the node's own console.
pub fn print(text: &str) {
    // SAFETY: pointer and length are those of `text`. A console that is gone is no reason to stop.
    let _ = unsafe { hermit_abi::write(STDOUT_FILENO, text.as_ptr(), text.len()) };
}

/// The address behind one of [`names`].
pub fn resolve(name: &str) -> Result<[u8; 4], Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVALID)?;
    let mut address = [0; 4];
    // SAFETY: the name is terminated, the address is valid for its length.
    status(unsafe { hermit_abi::getaddrbyname(name.as_ptr(), address.as_mut_ptr(), address.len()) })?;
    Ok(address)
}

/// A descriptor that is closed when dropped.
#[derive(Debug, PartialEq, Eq)]
struct Fd(i32);

impl Fd {
    fn new(code: i32) -> Result<Self, Errno> {
        status(code)?;
        Ok(Self(code))
    }

    fn ready(&self) -> Result<Ready, Errno> {
        let mut entry = pollfd { fd: self.0, events: POLLIN | POLLOUT, revents: 0 };
        // SAFETY: one valid entry.
        status(unsafe { hermit_abi::poll(&raw mut entry, 1, 0) })?;
        if entry.revents & POLLNVAL != 0 {
            return Err(Errno::BAD_FD);
        }
        Ok(Ready {
            readable: entry.revents & POLLIN != 0,
            writable: entry.revents & POLLOUT != 0,
            closed: entry.revents & POLLHUP != 0,
        })
    }

    fn send(&self, data: &[u8]) -> Result<usize, Errno> {
        // SAFETY: pointer and length are those of `data`.
        count(unsafe { hermit_abi::send(self.0, data.as_ptr().cast(), data.len(), 0) })
    }

    fn receive(&self, out: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: pointer and length are those of `out`.
        count(unsafe { hermit_abi::recv(self.0, out.as_mut_ptr(), out.len(), 0) })
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: no pointer is involved. The descriptor is gone either way.
        let _ = unsafe { hermit_abi::close(self.0) };
    }
}

/// A TCP connection.
#[derive(Debug, PartialEq, Eq)]
pub struct TcpStream(Fd);

impl TcpStream {
    /// Begins to connect; [`TcpStream::ready`] tells `writable` once it is open and `closed` if it failed.
    pub fn connect(peer: Address, receive_bytes: usize) -> Result<Self, Errno> {
        // SAFETY: no pointer is involved.
        let fd = Fd::new(unsafe { hermit_abi::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) })?;
        let bytes = i32::try_from(receive_bytes).map_err(|_| Errno::INVALID)?;
        // SAFETY: the option's value is valid for its length.
        status(unsafe {
            hermit_abi::setsockopt(
                fd.0,
                SOL_SOCKET,
                SO_RCVBUF,
                (&raw const bytes).cast(),
                size_of::<i32>() as socklen_t,
            )
        })?;
        let name = raw(peer);
        // SAFETY: the address is valid for its length.
        let code = unsafe { hermit_abi::connect(fd.0, (&raw const name).cast::<sockaddr>(), ADDRESS_LEN) };
        match status(code) {
            Ok(()) | Err(Errno::IN_PROGRESS) => Ok(Self(fd)),
            Err(error) => Err(error),
        }
    }

    /// Readiness now.
    pub fn ready(&self) -> Result<Ready, Errno> {
        self.0.ready()
    }

    /// Sends what there is room for.
    pub fn send(&self, data: &[u8]) -> Result<usize, Errno> {
        self.0.send(data)
    }

    /// Receives what is there; 0 at the end of the stream.
    pub fn receive(&self, out: &mut [u8]) -> Result<usize, Errno> {
        self.0.receive(out)
    }

    /// The peer.
    pub fn peer(&self) -> Result<Address, Errno> {
        let mut name = raw(Address { ip: [0; 4], port: 0 });
        let mut len = ADDRESS_LEN;
        // SAFETY: name and length are valid.
        status(unsafe {
            hermit_abi::getpeername(self.0.0, (&raw mut name).cast::<sockaddr>(), &raw mut len)
        })?;
        Ok(cooked(name))
    }

    /// Ends this side's stream.
    pub fn shutdown(&self) -> Result<(), Errno> {
        // SAFETY: no pointer is involved.
        status(unsafe { hermit_abi::shutdown(self.0.0, SHUT_WR) })
    }
}

/// A UDP socket.
#[derive(Debug, PartialEq, Eq)]
pub struct UdpSocket(Fd);

impl UdpSocket {
    /// A socket on a fresh port.
    pub fn open() -> Result<Self, Errno> {
        // SAFETY: no pointer is involved.
        Fd::new(unsafe { hermit_abi::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0) }).map(Self)
    }

    /// Sends a datagram.
    pub fn send_to(&self, data: &[u8], to: Address) -> Result<usize, Errno> {
        let name = raw(to);
        // SAFETY: data and address are valid for their lengths.
        count(unsafe {
            hermit_abi::sendto(
                self.0.0,
                data.as_ptr().cast(),
                data.len(),
                0,
                (&raw const name).cast::<sockaddr>(),
                ADDRESS_LEN,
            )
        })
    }

    /// Receives a datagram with its sender.
    pub fn receive_from(&self, out: &mut [u8]) -> Result<(usize, Address), Errno> {
        let mut name = raw(Address { ip: [0; 4], port: 0 });
        let mut len = ADDRESS_LEN;
        // SAFETY: buffer, name and length are valid.
        let bytes = count(unsafe {
            hermit_abi::recvfrom(
                self.0.0,
                out.as_mut_ptr(),
                out.len(),
                0,
                (&raw mut name).cast::<sockaddr>(),
                &raw mut len,
            )
        })?;
        Ok((bytes, cooked(name)))
    }
}

/// An event counter.
#[derive(Debug, PartialEq, Eq)]
pub struct EventFd(Fd);

impl EventFd {
    /// A counter at zero.
    pub fn new() -> Result<Self, Errno> {
        // SAFETY: no pointer is involved.
        Fd::new(unsafe { hermit_abi::eventfd(0, EFD_NONBLOCK) }).map(Self)
    }

    /// Adds to the counter.
    pub fn add(&self, value: u64) -> Result<(), Errno> {
        let bytes = value.to_ne_bytes();
        // SAFETY: pointer and length are those of `bytes`.
        count(unsafe { hermit_abi::write(self.0.0, bytes.as_ptr(), bytes.len()) }).map(|_| ())
    }

    /// Takes the counter, leaving zero; `AGAIN` at zero.
    pub fn take(&self) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        // SAFETY: pointer and length are those of `bytes`.
        count(unsafe { hermit_abi::read(self.0.0, bytes.as_mut_ptr(), bytes.len()) })?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
