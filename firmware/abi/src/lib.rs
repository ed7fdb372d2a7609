//! The Hermit system-call seam between the microkernel and what runs above it.
//!
//! ```text
//!   agent, device back ends                 safe Rust
//!        │  [`sys`]: safe wrappers           over the declarations of the `hermit-abi` crate
//!   ═════╪═══ sys_* symbols ═════════════    the line
//!        │  [`calls`]: exported functions    check every pointer and length
//!        ▼  [`Kernel`]                       implemented by the microkernel, entered with [`enter`]
//! ```
//! The wrappers call the symbols that `hermit-abi` declares; the linker joins them with those that
//! [`calls`] defines. A program written for Hermit's calls would find the same line. The calls that the
//! node needs are there: clock, entropy, console, sockets, poll, eventfd, futex, errno. Files, threads and
//! memory mapping are not: nothing above the line uses them.
//!
//! Source: hermit-abi 0.5. Where this microkernel differs: **no call blocks.** Sockets are non-blocking
//! from the start, `poll` looks once whatever its timeout, and a futex wait that would sleep returns as if
//! woken (callers of futexes must expect that), because one executor per processor polls its tasks.
//!
//! Soundness: [`enter`] lends a kernel to the calls for the length of a closure. The outer lock lets one
//! thread enter at a time; the inner lock is held during each call, so that even a call from a foreign
//! thread finds the kernel whole or absent. A kernel that calls its own calls gets `EBUSY`.
#![no_std]
extern crate alloc;

pub mod calls;
mod kernel;
pub mod sys;

pub use hermit_abi::errno;
pub use kernel::{Address, Errno, Kernel, Ready, SocketKind, enter};

#[cfg(test)]
mod tests;
