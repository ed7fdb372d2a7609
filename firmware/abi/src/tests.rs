//! The calls against a kernel that notes what it is asked, through the wrappers and raw.

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_void;

use hermit_abi::{errno, pollfd, sockaddr, sockaddr_in, socklen_t, timespec};

use crate::kernel::{Address, Errno, Kernel, Ready, SocketKind, enter, nobody_entered};
use crate::{calls, sys};

/// Each of our definitions has the type of the crate's declaration of the same symbol.
#[test]
fn signatures_are_those_of_hermit_abi() {
    macro_rules! same {
        ($($theirs:ident = $ours:ident: $kind:ty;)*) => {
            $({
                let _: $kind = hermit_abi::$theirs;
                let _: $kind = calls::$ours;
                assert_eq!(hermit_abi::$theirs as $kind as usize, calls::$ours as $kind as usize,
                    concat!(stringify!($theirs), " is linked to another symbol"));
            })*
        };
    }
    same! {
        clock_gettime = sys_clock_gettime: unsafe extern "C" fn(i32, *mut timespec) -> i32;
        read_entropy = sys_read_entropy: unsafe extern "C" fn(*mut u8, usize, u32) -> isize;
        write = sys_write: unsafe extern "C" fn(i32, *const u8, usize) -> isize;
        read = sys_read: unsafe extern "C" fn(i32, *mut u8, usize) -> isize;
        socket = sys_socket: unsafe extern "C" fn(i32, i32, i32) -> i32;
        connect = sys_connect: unsafe extern "C" fn(i32, *const sockaddr, socklen_t) -> i32;
        send = sys_send: unsafe extern "C" fn(i32, *const c_void, usize, i32) -> isize;
        sendto = sys_sendto:
            unsafe extern "C" fn(i32, *const c_void, usize, i32, *const sockaddr, socklen_t) -> isize;
        recv = sys_recv: unsafe extern "C" fn(i32, *mut u8, usize, i32) -> isize;
        recvfrom = sys_recvfrom:
            unsafe extern "C" fn(i32, *mut u8, usize, i32, *mut sockaddr, *mut socklen_t) -> isize;
        poll = sys_poll: unsafe extern "C" fn(*mut pollfd, usize, i32) -> i32;
        close = sys_close: unsafe extern "C" fn(i32) -> i32;
        shutdown = sys_shutdown: unsafe extern "C" fn(i32, i32) -> i32;
        getpeername = sys_getpeername: unsafe extern "C" fn(i32, *mut sockaddr, *mut socklen_t) -> i32;
        getsockname = sys_getsockname: unsafe extern "C" fn(i32, *mut sockaddr, *mut socklen_t) -> i32;
        setsockopt = sys_setsockopt:
            unsafe extern "C" fn(i32, i32, i32, *const c_void, socklen_t) -> i32;
        ioctl = sys_ioctl: unsafe extern "C" fn(i32, i32, *mut c_void) -> i32;
        eventfd = sys_eventfd: unsafe extern "C" fn(u64, i16) -> i32;
        futex_wait = sys_futex_wait: unsafe extern "C" fn(*mut u32, u32, *const timespec, u32) -> i32;
        futex_wake = sys_futex_wake: unsafe extern "C" fn(*mut u32, i32) -> i32;
        getaddrbyname = sys_getaddrbyname: unsafe extern "C" fn(*const i8, *mut u8, usize) -> i32;
        errno = sys_errno: unsafe extern "C" fn() -> i32;
        get_errno = sys_get_errno: unsafe extern "C" fn() -> i32;
        yield_now = sys_yield: unsafe extern "C" fn();
    }
}

#[derive(Default)]
struct Noting {
    now_ns: u64,
    printed: Vec<u8>,
    calls: Vec<(&'static str, i32)>,
    sent: Vec<(Vec<u8>, Option<Address>)>,
    incoming: Vec<u8>,
    ready: Ready,
    counter: u64,
    reenter: bool,
}

const PEER: Address = Address { ip: [10, 0, 0, 7], port: 4470 };

impl Kernel for Noting {
    fn monotonic_ns(&self) -> u64 {
        self.now_ns
    }
    fn realtime_ns(&self) -> Option<u64> {
        None
    }
    fn entropy(&mut self, out: &mut [u8]) {
        out.fill(0xe7);
    }
    fn console(&mut self, text: &[u8]) {
        if self.reenter {
            assert_eq!(calls::sys_close(3), -errno::EBUSY);
        }
        self.printed.extend_from_slice(text);
    }
    fn socket(&mut self, kind: SocketKind) -> Result<i32, Errno> {
        let fd = if kind == SocketKind::Stream { 3 } else { 4 };
        self.calls.push(("socket", fd));
        Ok(fd)
    }
    fn set_receive_buffer(&mut self, fd: i32, bytes: usize) -> Result<(), Errno> {
        assert_eq!(bytes, 4096);
        self.calls.push(("buffer", fd));
        Ok(())
    }
    fn connect(&mut self, fd: i32, peer: Address) -> Result<(), Errno> {
        assert_eq!(peer, PEER);
        self.calls.push(("connect", fd));
        Err(Errno::IN_PROGRESS)
    }
    fn send(&mut self, fd: i32, data: &[u8]) -> Result<usize, Errno> {
        if fd == 5 {
            self.counter += u64::from_ne_bytes(data.try_into().map_err(|_| Errno::INVALID)?);
        } else {
            self.sent.push((data.to_vec(), None));
        }
        Ok(data.len())
    }
    fn send_to(&mut self, _fd: i32, data: &[u8], to: Address) -> Result<usize, Errno> {
        self.sent.push((data.to_vec(), Some(to)));
        Ok(data.len())
    }
    fn receive(&mut self, fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
        if fd == 5 {
            let value = core::mem::take(&mut self.counter);
            if value == 0 {
                return Err(Errno::AGAIN);
            }
            out.copy_from_slice(&value.to_ne_bytes());
            return Ok(8);
        }
        let len = self.incoming.len().min(out.len());
        if len == 0 {
            return Err(Errno::AGAIN);
        }
        out[..len].copy_from_slice(&self.incoming[..len]);
        self.incoming.drain(..len);
        Ok(len)
    }
    fn receive_from(&mut self, fd: i32, out: &mut [u8]) -> Result<(usize, Address), Errno> {
        self.receive(fd, out).map(|len| (len, PEER))
    }
    fn ready(&self, fd: i32) -> Result<Ready, Errno> {
        if fd > 5 { Err(Errno::BAD_FD) } else { Ok(self.ready) }
    }
    fn peer_name(&self, _fd: i32) -> Result<Address, Errno> {
        Ok(PEER)
    }
    fn socket_name(&self, _fd: i32) -> Result<Address, Errno> {
        Err(Errno::BAD_FD)
    }
    fn shutdown(&mut self, fd: i32) -> Result<(), Errno> {
        self.calls.push(("shutdown", fd));
        Ok(())
    }
    fn close(&mut self, fd: i32) -> Result<(), Errno> {
        self.calls.push(("close", fd));
        Ok(())
    }
    fn event(&mut self, initial: u64, _semaphore: bool) -> Result<i32, Errno> {
        self.counter = initial;
        Ok(5)
    }
    fn resolve(&self, name: &str) -> Result<[u8; 4], Errno> {
        if name == sys::names::SELF { Ok([10, 0, 0, 12]) } else { Err(Errno::NO_ENTRY) }
    }
}

#[test]
fn without_a_kernel_every_call_is_refused() {
    let _alone = nobody_entered();
    assert_eq!(calls::sys_close(3), -errno::ENOSYS);
    assert_eq!(sys::entropy(&mut [0; 4]), Err(Errno::NO_CALL));
    assert_eq!(sys::monotonic_ns(), 0);
}

#[test]
fn wrappers_reach_the_kernel() {
    let mut kernel = Noting { now_ns: 3_000_000_007, incoming: b"abc".to_vec(), ..Noting::default() };
    enter(&mut kernel, || {
        assert_eq!(sys::monotonic_ns(), 3_000_000_007);
        let mut random = [0; 5];
        assert_eq!(sys::entropy(&mut random), Ok(()));
        assert_eq!(random, [0xe7; 5]);
        sys::print("weft: hello\n");
        assert_eq!(sys::resolve(sys::names::SELF), Ok([10, 0, 0, 12]));
        assert_eq!(sys::resolve(sys::names::NEXT_SERVER), Err(Errno::NO_ENTRY));
        assert_eq!(sys::resolve("a\0b"), Err(Errno::INVALID));
        let stream = sys::TcpStream::connect(PEER, 4096).expect("in progress");
        assert_eq!(stream.send(b"ping"), Ok(4));
        let mut buffer = [0; 2];
        assert_eq!((stream.receive(&mut buffer), buffer), (Ok(2), *b"ab"));
        assert_eq!((stream.receive(&mut buffer), buffer[0]), (Ok(1), b'c'));
        assert_eq!(stream.receive(&mut buffer), Err(Errno::AGAIN));
        assert_eq!(stream.peer(), Ok(PEER));
        assert_eq!(stream.shutdown(), Ok(()));
    });
    assert_eq!(kernel.printed, b"weft: hello\n");
    assert_eq!(kernel.sent, [(b"ping".to_vec(), None)]);
    let expected = [("socket", 3), ("buffer", 3), ("connect", 3), ("shutdown", 3), ("close", 3)];
    assert_eq!(kernel.calls, expected);
}

#[test]
fn datagrams_carry_their_addresses() {
    let mut kernel = Noting { incoming: b"data".to_vec(), ..Noting::default() };
    enter(&mut kernel, || {
        let socket = sys::UdpSocket::open().expect("a socket");
        assert_eq!(socket.send_to(b"ask", PEER), Ok(3));
        let mut buffer = [0; 10];
        assert_eq!(socket.receive_from(&mut buffer), Ok((4, PEER)));
        assert_eq!(&buffer[..4], b"data");
    });
    assert_eq!(kernel.sent, [(b"ask".to_vec(), Some(PEER))]);
}

#[test]
fn an_event_counter_adds_up_and_empties() {
    enter(&mut Noting::default(), || {
        let event = sys::EventFd::new().expect("a counter");
        assert_eq!(event.take(), Err(Errno::AGAIN));
        assert_eq!((event.add(2), event.add(3)), (Ok(()), Ok(())));
        assert_eq!((event.take(), event.take()), (Ok(5), Err(Errno::AGAIN)));
    });
}

#[test]
fn readiness_is_reported_as_asked_for() {
    let ready = Ready { readable: true, writable: true, closed: true };
    enter(&mut Noting { ready, ..Noting::default() }, || {
        let mut entries = [
            pollfd { fd: 3, events: hermit_abi::POLLIN, revents: 0 },
            pollfd { fd: -1, events: hermit_abi::POLLIN, revents: 7 },
            pollfd { fd: 9, events: hermit_abi::POLLOUT, revents: 0 },
        ];
        // SAFETY: three valid entries.
        assert_eq!(unsafe { calls::sys_poll(entries.as_mut_ptr(), 3, -1) }, 2);
        let seen = entries.map(|entry| entry.revents);
        assert_eq!(seen, [hermit_abi::POLLIN | hermit_abi::POLLHUP, 0, hermit_abi::POLLNVAL]);
    });
}

#[test]
fn pointers_that_cannot_be_are_refused() {
    use core::ptr::{null, null_mut};
    enter(&mut Noting::default(), || {
        let invalid = -errno::EINVAL;
        let name = sockaddr_in::default();
        let mut byte = 0_u8;
        // SAFETY: null pointers and lengths are what is tested; the rest is valid.
        unsafe {
            assert_eq!(calls::sys_clock_gettime(hermit_abi::CLOCK_MONOTONIC, null_mut()), invalid);
            assert_eq!(calls::sys_read_entropy(null_mut(), 4, 0), invalid as isize);
            assert_eq!(calls::sys_read_entropy(&raw mut byte, 1, 1), invalid as isize);
            assert_eq!(calls::sys_read_entropy(&raw mut byte, usize::MAX, 0), invalid as isize);
            assert_eq!(calls::sys_write(1, null(), 4), invalid as isize);
            assert_eq!(calls::sys_connect(3, null(), 16), invalid);
            assert_eq!(calls::sys_connect(3, (&raw const name).cast(), 4), invalid);
            assert_eq!(calls::sys_poll(null_mut(), 1, 0), invalid);
            assert_eq!(calls::sys_poll(8 as *mut pollfd, 1_000_000, 0), invalid);
            assert_eq!(calls::sys_getpeername(3, null_mut(), null_mut()), invalid);
            assert_eq!(calls::sys_getaddrbyname(null(), &raw mut byte, 4), invalid);
            assert_eq!(calls::sys_setsockopt(3, 0, 0, null(), 4), invalid);
            assert_eq!(calls::sys_futex_wait(null_mut(), 0, null(), 0), invalid);
            assert_eq!(calls::sys_futex_wake(null_mut(), 1), invalid);
        }
    });
}

#[test]
fn what_is_not_offered_says_so() {
    enter(&mut Noting::default(), || {
        let unsupported = -errno::EOPNOTSUPP;
        assert_eq!(calls::sys_socket(hermit_abi::AF_INET6, hermit_abi::SOCK_STREAM, 0), unsupported);
        assert_eq!(calls::sys_socket(hermit_abi::AF_INET, 9, 0), unsupported);
        assert_eq!(calls::sys_shutdown(3, hermit_abi::SHUT_RD), unsupported);
        assert_eq!(calls::sys_shutdown(3, 17), -errno::EINVAL);
        assert_eq!(calls::sys_eventfd(0, 0x100), -errno::EINVAL);
        let mut now = timespec::default();
        // SAFETY: a valid place.
        let real = unsafe { calls::sys_clock_gettime(hermit_abi::CLOCK_REALTIME, &raw mut now) };
        assert_eq!(real, unsupported);
    });
}

#[test]
fn a_futex_never_sleeps() {
    let mut word = 5_u32;
    // SAFETY: a valid, aligned word.
    unsafe {
        assert_eq!(calls::sys_futex_wait(&raw mut word, 4, core::ptr::null(), 0), -errno::EAGAIN);
        assert_eq!(calls::sys_futex_wait(&raw mut word, 5, core::ptr::null(), 0), 0);
        let negative = timespec { tv_sec: -1, tv_nsec: 0 };
        assert_eq!(calls::sys_futex_wait(&raw mut word, 5, &raw const negative, 1), -errno::EINVAL);
        assert_eq!(calls::sys_futex_wait(&raw mut word, 5, core::ptr::null(), 2), -errno::EINVAL);
        assert_eq!(calls::sys_futex_wake(&raw mut word, 1), 0);
    }
}

#[test]
fn a_kernel_that_calls_itself_is_told_that_it_is_busy() {
    let mut kernel = Noting { reenter: true, ..Noting::default() };
    enter(&mut kernel, || sys::print("x"));
    assert_eq!(kernel.printed, b"x");
}

#[test]
fn the_kernel_is_taken_back_after_a_panic() {
    extern crate std;
    let result = std::panic::catch_unwind(|| {
        enter(&mut Noting::default(), || panic!("above the line"));
    });
    assert!(result.is_err());
    let mut kernel = Noting { now_ns: 1, ..Noting::default() };
    enter(&mut kernel, || assert_eq!(sys::monotonic_ns(), 1));
}

#[test]
fn threads_take_turns() {
    extern crate std;
    let threads: Vec<_> = (1..5_u64)
        .map(|number| {
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let mut kernel = Noting { now_ns: number, ..Noting::default() };
                    let seen = enter(&mut kernel, || vec![sys::monotonic_ns(), sys::monotonic_ns()]);
                    assert_eq!(seen, [number, number]);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}
