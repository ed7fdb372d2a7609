//! Waiting for sockets, and being woken by other threads: level-triggered epoll(7) and an eventfd(2).
//!
//! Level-triggered, since a lock-step transfer then costs three system calls a block: wait, receive, send. What was not
//! read shows up again at the next wait.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

/// The waker's token.
const WAKE: u64 = u64::MAX;
/// Sockets told of in one wait.
const EVENTS: usize = 32;

/// What one thread waits for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
}

/// Wakes the thread that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the present wait, or the next one. A full counter wakes as well, so failure is none.
    pub(crate) fn wake(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self { epoll, wake })
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Tells of `socket` by `token`, which is less than `u64::MAX`, whenever there is something to receive.
    pub(crate) fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
    }

    /// Tokens of what is ready, within `limit`. Empty after the time, a wake-up or a signal.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        // A wait that is too long for the kernel's type is as good as one without end.
        let limit = Timespec::try_from(limit).ok();
        let (events, _) = match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let token = event.data.u64();
            if token == WAKE {
                let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
            } else {
                ready.push(token);
            }
        }
        Ok(())
    }
}
