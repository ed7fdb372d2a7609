//! The exported calls. Each has the name, the type and the meaning of `hermit-abi`'s declaration.
//!
//! All take raw pointers from above the line, so that each is unsafe to call; the common contract: a
//! pointer is null, or valid for the given length for the time of the call. Null and lengths that cannot be
//! are answered with `-EINVAL`.

use core::ffi::{CStr, c_char, c_int, c_void};

use hermit_abi::{
    AF_INET, CLOCK_MONOTONIC, CLOCK_REALTIME, EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, FIONBIO,
    FUTEX_RELATIVE_TIMEOUT, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, POLLERR, POLLHUP, POLLIN, POLLNVAL,
    POLLOUT, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_RCVBUF, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM,
    SOL_SOCKET, TCP_NODELAY, clockid_t, errno, in_addr, nfds_t, pollfd, sockaddr, sockaddr_in, socklen_t,
    timespec,
};

use crate::kernel::{Address, Errno, SocketKind, with};

/// Longest name that [`sys_getaddrbyname`] reads.
const MAX_NAME: usize = 64;
/// Most descriptors in one [`sys_poll`].
const MAX_POLL: usize = 64;
const NANOS: u64 = 1_000_000_000;

fn status(result: Result<(), Errno>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(Errno(number)) => -number,
    }
}

fn count(result: Result<usize, Errno>) -> isize {
    match result {
        // A count is at most the length of a slice, which fits.
        Ok(bytes) => isize::try_from(bytes).unwrap_or(isize::MAX),
        // Error numbers are below 4096.
        Err(Errno(number)) => -(number as isize),
    }
}

fn descriptor(result: Result<i32, Errno>) -> c_int {
    match result {
        Ok(fd) => fd,
        Err(Errno(number)) => -number,
    }
}

/// # Safety
/// The module's contract.
unsafe fn input<'a>(data: *const u8, len: usize) -> Result<&'a [u8], Errno> {
    if data.is_null() || isize::try_from(len).is_err() {
        return Err(Errno::INVALID);
    }
    // SAFETY: not null, and valid for `len` bytes by the contract; `len` fits an object.
    Ok(unsafe { core::slice::from_raw_parts(data, len) })
}

/// # Safety
/// The module's contract; the bytes are initialised.
unsafe fn output<'a>(data: *mut u8, len: usize) -> Result<&'a mut [u8], Errno> {
    if data.is_null() || isize::try_from(len).is_err() {
        return Err(Errno::INVALID);
    }
    // SAFETY: not null, and valid and unshared for `len` bytes by the contract; `len` fits an object.
    Ok(unsafe { core::slice::from_raw_parts_mut(data, len) })
}

const ADDRESS_LEN: socklen_t = size_of::<sockaddr_in>() as socklen_t;

/// # Safety
/// The module's contract.
unsafe fn read_address(name: *const sockaddr, len: socklen_t) -> Result<Address, Errno> {
    if name.is_null() || len < ADDRESS_LEN {
        return Err(Errno::INVALID);
    }
    // SAFETY: not null and `len` bytes are valid, which are enough; read without asking for alignment.
    let address = unsafe { name.cast::<sockaddr_in>().read_unaligned() };
    if i32::from(address.sin_family) != AF_INET {
        return Err(Errno::UNSUPPORTED);
    }
    Ok(Address { ip: address.sin_addr.s_addr.to_ne_bytes(), port: u16::from_be(address.sin_port) })
}

/// # Safety
/// The module's contract.
unsafe fn write_address(
    name: *mut sockaddr,
    len: *mut socklen_t,
    result: Result<Address, Errno>,
) -> Result<(), Errno> {
    let address = result?;
    if name.is_null() || len.is_null() {
        return Err(Errno::INVALID);
    }
    // SAFETY: not null and valid by the contract.
    if unsafe { len.read_unaligned() } < ADDRESS_LEN {
        return Err(Errno::INVALID);
    }
    let value = sockaddr_in {
        sin_len: ADDRESS_LEN as u8,
        sin_family: AF_INET as u8,
        sin_port: address.port.to_be(),
        sin_addr: in_addr { s_addr: u32::from_ne_bytes(address.ip) },
        sin_zero: [0; 8],
    };
    // SAFETY: `*len` bytes are valid at `name`, which are enough; written without asking for alignment.
    unsafe { name.cast::<sockaddr_in>().write_unaligned(value) };
    // SAFETY: not null and valid by the contract.
    unsafe { len.write_unaligned(ADDRESS_LEN) };
    Ok(())
}

/// The time by `CLOCK_MONOTONIC` or `CLOCK_REALTIME`.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_clock_gettime(clockid: clockid_t, tp: *mut timespec) -> c_int {
    let now = with(|kernel| match clockid {
        CLOCK_MONOTONIC => Ok(kernel.monotonic_ns()),
        CLOCK_REALTIME => kernel.realtime_ns().ok_or(Errno::UNSUPPORTED),
        _ => Err(Errno::INVALID),
    });
    status(now.and_then(|now| {
        if tp.is_null() {
            return Err(Errno::INVALID);
        }
        let value = timespec {
            tv_sec: i64::try_from(now / NANOS).unwrap_or(i64::MAX),
            tv_nsec: i32::try_from(now % NANOS).unwrap_or(0),
        };
        // SAFETY: not null and valid by the contract.
        unsafe { tp.write_unaligned(value) };
        Ok(())
    }))
}

/// Fills `buf` with randomness. No flags are known.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_read_entropy(buf: *mut u8, len: usize, flags: u32) -> isize {
    if flags != 0 {
        return count(Err(Errno::INVALID));
    }
    // SAFETY: the caller's contract.
    let out = unsafe { output(buf, len) };
    count(out.and_then(|out| {
        with(|kernel| {
            kernel.entropy(out);
            Ok(len)
        })
    }))
}

/// Writes to a descriptor: the console, a socket, an event counter.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_write(fd: i32, buf: *const u8, len: usize) -> isize {
    // SAFETY: the caller's contract.
    let data = unsafe { input(buf, len) };
    count(data.and_then(|data| {
        with(|kernel| match fd {
            0 => Err(Errno::BAD_FD),
            1 | 2 => {
                kernel.console(data);
                Ok(data.len())
            }
            _ => kernel.send(fd, data),
        })
    }))
}

/// Reads from a descriptor. The console has no input here.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_read(fd: i32, buf: *mut u8, len: usize) -> isize {
    // SAFETY: the caller's contract.
    let out = unsafe { output(buf, len) };
    count(out.and_then(|out| with(|kernel| kernel.receive(fd, out))))
}

/// Opens an IPv4 socket. It does not block, whatever the flags say.
#[unsafe(no_mangle)]
pub extern "C" fn sys_socket(domain: i32, type_: i32, protocol: i32) -> c_int {
    let kind = match (domain, type_ & !(SOCK_NONBLOCK | SOCK_CLOEXEC), protocol) {
        (AF_INET, SOCK_STREAM, IPPROTO_IP | IPPROTO_TCP) => SocketKind::Stream,
        (AF_INET, SOCK_DGRAM, IPPROTO_IP | IPPROTO_UDP) => SocketKind::Datagram,
        _ => return descriptor(Err(Errno::UNSUPPORTED)),
    };
    descriptor(with(|kernel| kernel.socket(kind)))
}

/// Connects. A stream answers `-EINPROGRESS`; `poll` tells when it is writable or over.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_connect(s: i32, name: *const sockaddr, namelen: socklen_t) -> c_int {
    // SAFETY: the caller's contract.
    let peer = unsafe { read_address(name, namelen) };
    status(peer.and_then(|peer| with(|kernel| kernel.connect(s, peer))))
}

/// Sends to the connected peer. No flags are known.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_send(s: i32, mem: *const c_void, len: usize, flags: i32) -> isize {
    // SAFETY: the caller's contract.
    let data = unsafe { input(mem.cast(), len) };
    if flags != 0 {
        return count(Err(Errno::INVALID));
    }
    count(data.and_then(|data| with(|kernel| kernel.send(s, data))))
}

/// Sends a datagram. No flags are known.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_sendto(
    s: i32,
    mem: *const c_void,
    len: usize,
    flags: i32,
    to: *const sockaddr,
    tolen: socklen_t,
) -> isize {
    if flags != 0 {
        return count(Err(Errno::INVALID));
    }
    // SAFETY: the caller's contract.
    let (data, to) = unsafe { (input(mem.cast(), len), read_address(to, tolen)) };
    count(data.and_then(|data| to.and_then(|to| with(|kernel| kernel.send_to(s, data, to)))))
}

/// Receives from a socket; 0 at the end of a stream. No flags are known.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_recv(socket: i32, buf: *mut u8, len: usize, flags: i32) -> isize {
    if flags != 0 {
        return count(Err(Errno::INVALID));
    }
    // SAFETY: the caller's contract.
    let out = unsafe { output(buf, len) };
    count(out.and_then(|out| with(|kernel| kernel.receive(socket, out))))
}

/// Receives a datagram with its sender, which may be left out. No flags are known.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_recvfrom(
    socket: i32,
    buf: *mut u8,
    len: usize,
    flags: i32,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> isize {
    if flags != 0 {
        return count(Err(Errno::INVALID));
    }
    // SAFETY: the caller's contract.
    let out = unsafe { output(buf, len) };
    count(out.and_then(|out| {
        let (bytes, from) = with(|kernel| kernel.receive_from(socket, out))?;
        if !addr.is_null() {
            // SAFETY: the caller's contract.
            unsafe { write_address(addr, addrlen, Ok(from)) }?;
        }
        Ok(bytes)
    }))
}

/// Looks once at each descriptor; the timeout is taken as 0.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_poll(fds: *mut pollfd, nfds: nfds_t, _timeout: i32) -> c_int {
    if nfds == 0 {
        return 0;
    }
    if fds.is_null() || nfds > MAX_POLL || !fds.is_aligned() {
        return status(Err(Errno::INVALID));
    }
    // SAFETY: not null, aligned, and `nfds` entries are valid and unshared by the contract.
    let entries = unsafe { core::slice::from_raw_parts_mut(fds, nfds) };
    let ready = with(|kernel| {
        let mut found = 0;
        for entry in entries {
            entry.revents = if entry.fd < 0 {
                0
            } else {
                match kernel.ready(entry.fd) {
                    Ok(ready) => {
                        let mut events = 0;
                        if ready.readable {
                            events |= entry.events & POLLIN;
                        }
                        if ready.writable {
                            events |= entry.events & POLLOUT;
                        }
                        if ready.closed {
                            events |= POLLHUP;
                        }
                        events
                    }
                    Err(Errno::BAD_FD) => POLLNVAL,
                    Err(_) => POLLERR,
                }
            };
            found += i32::from(entry.revents != 0);
        }
        Ok(found)
    });
    descriptor(ready)
}

/// Closes a descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn sys_close(fd: i32) -> c_int {
    status(with(|kernel| kernel.close(fd)))
}

/// Ends one's own stream. Ending the peer's alone is not offered.
#[unsafe(no_mangle)]
pub extern "C" fn sys_shutdown(sockfd: i32, how: i32) -> c_int {
    status(match how {
        SHUT_WR | SHUT_RDWR => with(|kernel| kernel.shutdown(sockfd)),
        SHUT_RD => Err(Errno::UNSUPPORTED),
        _ => Err(Errno::INVALID),
    })
}

/// The connected peer.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_getpeername(s: i32, name: *mut sockaddr, namelen: *mut socklen_t) -> c_int {
    let peer = with(|kernel| kernel.peer_name(s));
    // SAFETY: the caller's contract.
    status(unsafe { write_address(name, namelen, peer) })
}

/// This side of a socket: the node's address once it has one.
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_getsockname(s: i32, name: *mut sockaddr, namelen: *mut socklen_t) -> c_int {
    let own = with(|kernel| kernel.socket_name(s));
    // SAFETY: the caller's contract.
    status(unsafe { write_address(name, namelen, own) })
}

/// Options: `SO_RCVBUF` before connecting, `TCP_NODELAY` (always on).
///
/// # Safety
/// The module's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_setsockopt(
    s: i32,
    level: i32,
    optname: i32,
    optval: *const c_void,
    optlen: socklen_t,
) -> c_int {
    let int = size_of::<c_int>() as socklen_t;
    if optval.is_null() || optlen < int {
        return status(Err(Errno::INVALID));
    }
    // SAFETY: not null and `optlen` bytes are valid by the contract, enough for an int.
    let value = unsafe { optval.cast::<c_int>().read_unaligned() };
    status(match (level, optname) {
        (SOL_SOCKET, SO_RCVBUF) => usize::try_from(value)
            .map_err(|_| Errno::INVALID)
            .and_then(|bytes| with(|kernel| kernel.set_receive_buffer(s, bytes))),
        (IPPROTO_TCP, TCP_NODELAY) => with(|kernel| kernel.ready(s).map(|_| ())),
        _ => Err(Errno::UNSUPPORTED),
    })
}

/// `FIONBIO`, which is always on.
///
/// # Safety
/// The module's contract; `argp` is not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_ioctl(s: i32, cmd: i32, _argp: *mut c_void) -> c_int {
    status(if cmd == FIONBIO { with(|kernel| kernel.ready(s).map(|_| ())) } else { Err(Errno::UNSUPPORTED) })
}

/// An event counter. It does not block, whatever the flags say.
#[unsafe(no_mangle)]
pub extern "C" fn sys_eventfd(initval: u64, flags: i16) -> c_int {
    if flags & !(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC) != 0 {
        return status(Err(Errno::INVALID));
    }
    descriptor(with(|kernel| kernel.event(initval, flags & EFD_SEMAPHORE != 0)))
}

/// Compares and, where it would sleep, returns as if woken: callers look at the value again.
///
/// # Safety
/// The module's contract; `address` is aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_futex_wait(
    address: *mut u32,
    expected: u32,
    timeout: *const timespec,
    flags: u32,
) -> c_int {
    if address.is_null() || !address.is_aligned() || flags & !FUTEX_RELATIVE_TIMEOUT != 0 {
        return -errno::EINVAL;
    }
    if !timeout.is_null() {
        // SAFETY: not null and valid by the contract.
        let limit = unsafe { timeout.read_unaligned() };
        if limit.tv_sec < 0 || limit.tv_nsec < 0 {
            return -errno::EINVAL;
        }
    }
    // SAFETY: not null, aligned and valid by the contract; atomics may share it with other processors.
    let value = unsafe { core::sync::atomic::AtomicU32::from_ptr(address) };
    if value.load(core::sync::atomic::Ordering::SeqCst) != expected { -errno::EAGAIN } else { 0 }
}

/// Wakes nobody, since nobody sleeps.
#[unsafe(no_mangle)]
pub extern "C" fn sys_futex_wake(address: *mut u32, count: i32) -> c_int {
    if address.is_null() || count < 0 { -errno::EINVAL } else { 0 }
}

/// The address behind a well-known name ([`crate::sys::names`]).
///
/// # Safety
/// The module's contract; `name` ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sys_getaddrbyname(name: *const c_char, inaddr: *mut u8, len: usize) -> c_int {
    if name.is_null() || len != size_of::<in_addr>() {
        return status(Err(Errno::INVALID));
    }
    // SAFETY: not null and terminated by the contract.
    let name = unsafe { CStr::from_ptr(name) };
    let name = match name.to_str() {
        Ok(name) if name.len() <= MAX_NAME => name,
        Ok(_) | Err(_) => return status(Err(Errno::INVALID)),
    };
    // SAFETY: the caller's contract.
    let out = unsafe { output(inaddr, len) };
    status(out.and_then(|out| {
        let address = with(|kernel| kernel.resolve(name))?;
        out.copy_from_slice(&address);
        Ok(())
    }))
}

/// No call keeps its error in a variable here: each returns it.
#[unsafe(no_mangle)]
pub extern "C" fn sys_errno() -> c_int {
    0
}

/// As [`sys_errno`].
#[unsafe(no_mangle)]
pub extern "C" fn sys_get_errno() -> c_int {
    0
}

/// Ends a turn. The executor takes over when the task returns, so that there is nothing to do.
#[unsafe(no_mangle)]
pub extern "C" fn sys_yield() {}
