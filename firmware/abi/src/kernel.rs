//! The microkernel as the calls see it, and how it is lent to them.

use core::fmt;
use core::ptr::NonNull;

use hermit_abi::errno;
use spin::Mutex;

/// An error number of `hermit_abi::errno`, positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Try again: nothing to read, no room to write.
    pub const AGAIN: Self = Self(errno::EAGAIN);
    /// No such descriptor.
    pub const BAD_FD: Self = Self(errno::EBADF);
    /// An argument makes no sense.
    pub const INVALID: Self = Self(errno::EINVAL);
    /// Not that kind of descriptor, or not offered.
    pub const UNSUPPORTED: Self = Self(errno::EOPNOTSUPP);
    /// Too many descriptors.
    pub const TOO_MANY: Self = Self(errno::EMFILE);
    /// The connection is not open.
    pub const NOT_CONNECTED: Self = Self(errno::ENOTCONN);
    /// The peer reset the connection.
    pub const RESET: Self = Self(errno::ECONNRESET);
    /// The address cannot be used.
    pub const ADDRESS: Self = Self(errno::EADDRNOTAVAIL);
    /// The datagram is too long.
    pub const LENGTH: Self = Self(errno::EMSGSIZE);
    /// The connection is being made.
    pub const IN_PROGRESS: Self = Self(errno::EINPROGRESS);
    /// No entry of that name.
    pub const NO_ENTRY: Self = Self(errno::ENOENT);
    /// The call is not offered.
    pub const NO_CALL: Self = Self(errno::ENOSYS);
    /// The kernel is at work.
    pub const BUSY: Self = Self(errno::EBUSY);
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            errno::EAGAIN => "try again",
            errno::EBADF => "no such descriptor",
            errno::EINVAL => "invalid argument",
            errno::EOPNOTSUPP => "not supported",
            errno::EMFILE => "too many descriptors",
            errno::ENOTCONN => "not connected",
            errno::ECONNRESET => "connection reset or timed out",
            errno::EADDRNOTAVAIL => "address cannot be used",
            errno::EMSGSIZE => "message too long",
            errno::EINPROGRESS => "connection in progress",
            errno::ENOENT => "no such name",
            errno::ENOSYS => "call not offered",
            errno::EBUSY => "kernel at work",
            number => return write!(f, "error {number}"),
        })
    }
}

impl core::error::Error for Errno {}

/// An IPv4 address and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// Address.
    pub ip: [u8; 4],
    /// Port, host byte order.
    pub port: u16,
}

/// Kinds of sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketKind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    /// A read returns at once.
    pub readable: bool,
    /// A write takes at least a byte.
    pub writable: bool,
    /// The connection is over.
    pub closed: bool,
}

/// What the microkernel does for the calls. Descriptors are small non-negative numbers; 0 to 2 are the
/// node's console. Nothing blocks.
pub trait Kernel: Send {
    /// Nanoseconds since start.
    fn monotonic_ns(&self) -> u64;
    /// Nanoseconds since 1970, where the node was told the time.
    fn realtime_ns(&self) -> Option<u64>;
    /// Fills with cryptographic randomness.
    fn entropy(&mut self, out: &mut [u8]);
    /// Writes to the node's own console.
    fn console(&mut self, text: &[u8]);
    /// Opens a socket.
    fn socket(&mut self, kind: SocketKind) -> Result<i32, Errno>;
    /// Asks for a receive buffer of so many bytes; counts for the next connect.
    fn set_receive_buffer(&mut self, fd: i32, bytes: usize) -> Result<(), Errno>;
    /// Begins to connect (`IN_PROGRESS`), or names a datagram socket's peer.
    fn connect(&mut self, fd: i32, peer: Address) -> Result<(), Errno>;
    /// Sends to the connected peer.
    fn send(&mut self, fd: i32, data: &[u8]) -> Result<usize, Errno>;
    /// Sends a datagram.
    fn send_to(&mut self, fd: i32, data: &[u8], to: Address) -> Result<usize, Errno>;
    /// Receives; 0 at the end of a stream.
    fn receive(&mut self, fd: i32, out: &mut [u8]) -> Result<usize, Errno>;
    /// Receives a datagram with its sender.
    fn receive_from(&mut self, fd: i32, out: &mut [u8]) -> Result<(usize, Address), Errno>;
    /// Readiness now.
    fn ready(&self, fd: i32) -> Result<Ready, Errno>;
    /// The connected peer.
    fn peer_name(&self, fd: i32) -> Result<Address, Errno>;
    /// This side.
    fn socket_name(&self, fd: i32) -> Result<Address, Errno>;
    /// Ends this side's stream.
    fn shutdown(&mut self, fd: i32) -> Result<(), Errno>;
    /// Closes a descriptor.
    fn close(&mut self, fd: i32) -> Result<(), Errno>;
    /// An event counter.
    fn event(&mut self, initial: u64, semaphore: bool) -> Result<i32, Errno>;
    /// The address behind a well-known name (see [`crate::sys::names`]).
    fn resolve(&self, name: &str) -> Result<[u8; 4], Errno>;
}

/// The kernel that is lent at present.
#[derive(Clone, Copy)]
struct Lent(NonNull<dyn Kernel>);

// SAFETY: `Kernel: Send`, and the pointer is dereferenced under the lock of `SLOT` only.
unsafe impl Send for Lent {}

/// Held while somebody is in [`enter`].
static ENTERED: Mutex<()> = Mutex::new(());
/// The kernel, while somebody is in [`enter`].
static SLOT: Mutex<Option<Lent>> = Mutex::new(None);

/// Takes the kernel back when [`enter`] ends, also by a panic.
struct Return;

impl Drop for Return {
    fn drop(&mut self) {
        *SLOT.lock() = None;
    }
}

/// Runs `above` with `kernel` behind the calls. One thread at a time; others wait. Must not be nested.
pub fn enter<R>(kernel: &mut (dyn Kernel + '_), above: impl FnOnce() -> R) -> R {
    let _entered = ENTERED.lock();
    // SAFETY: only the lifetime changes. The pointer leaves `SLOT` (by `Return`) before this function
    // ends, on each path, and `kernel` is borrowed mutably until then.
    let kernel: &mut (dyn Kernel + 'static) =
        unsafe { core::mem::transmute::<&mut (dyn Kernel + '_), &mut (dyn Kernel + 'static)>(kernel) };
    *SLOT.lock() = Some(Lent(NonNull::from(kernel)));
    let _return = Return;
    above()
}

/// Keeps every kernel out while the guard lives.
#[cfg(test)]
pub(crate) fn nobody_entered() -> spin::MutexGuard<'static, ()> {
    ENTERED.lock()
}

/// Runs `call` on the lent kernel. `NO_CALL` where none is lent, `BUSY` from within a call.
pub(crate) fn with<R>(call: impl FnOnce(&mut dyn Kernel) -> Result<R, Errno>) -> Result<R, Errno> {
    let slot = SLOT.try_lock().ok_or(Errno::BUSY)?;
    let Lent(mut kernel) = (*slot).ok_or(Errno::NO_CALL)?;
    // SAFETY: `enter` borrows the kernel mutably as long as the pointer is in `SLOT`, and touches it only
    // through here; the lock that is held makes this the only reference.
    call(unsafe { kernel.as_mut() })
}
