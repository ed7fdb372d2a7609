//! Servers of this node that span nodes: frames of the interconnect find theirs, timers run. From any processor;
//! nothing here waits.
//!
//! A server that has ended stays for a while, so that its last words reach the others.

use crate::guest::Guest;
use crate::nic;
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;
use weft_hal::time;
use weft_transport::interconnect::Links;

/// How long a server that has ended still answers.
const LINGER_NS: u64 = 2_000_000_000;

struct Entry {
    guest: Arc<Guest>,
    /// When it is forgotten.
    until_ns: Option<u64>,
}

static SERVERS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Makes a server known, if it spans nodes.
pub(crate) fn add(guest: &Arc<Guest>) {
    if guest.member().is_some() {
        SERVERS.lock().push(Entry { guest: guest.clone(), until_ns: None });
        want_links(true);
    }
}

/// A server has ended.
pub(crate) fn remove(guest: &Arc<Guest>) {
    let until = time::now_ns() + LINGER_NS;
    for entry in SERVERS.lock().iter_mut().filter(|entry| Arc::ptr_eq(&entry.guest, guest)) {
        entry.until_ns = Some(until);
    }
}

/// Frames of the interconnect are kept only while somebody takes them.
fn want_links(wanted: bool) {
    if let Some(port) = nic::wire() {
        port.want_links(wanted);
    }
}

fn servers() -> Vec<Arc<Guest>> {
    SERVERS.lock().iter().map(|entry| entry.guest.clone()).collect()
}

/// Takes frames from the wire and lets the servers do what follows; runs timers that are due. Returns when it
/// wants to be called again.
pub(crate) fn poll() -> u64 {
    let now = time::now_ns();
    let servers = servers();
    let mut wanted = u64::MAX;
    if let Some(port) = nic::wire() {
        let more = port.receive_links(&mut |frame| dispatch(&servers, frame));
        if more {
            wanted = now;
        }
    }
    for guest in &servers {
        if let Some(member) = guest.member() {
            wanted = wanted.min(member.poll(now));
            guest.serve_member();
        }
    }
    forget(now);
    wanted
}

fn dispatch(servers: &[Arc<Guest>], frame: &[u8]) {
    let claimed = Links::claimed_identity(frame);
    let members = servers.iter().filter_map(|guest| guest.member());
    // Two servers may have one tag: the right one's key tells.
    for member in members.filter(|member| Some(member.identity()) == claimed) {
        member.frame(frame);
    }
}

fn forget(now: u64) {
    let gone = |entry: &Entry| entry.until_ns.is_some_and(|until| until <= now);
    let mut servers = SERVERS.lock();
    if servers.iter().any(gone) {
        let kept = core::mem::take(&mut *servers).into_iter().partition(|entry| !gone(entry));
        let (kept, dropped): (Vec<Entry>, Vec<Entry>) = kept;
        *servers = kept;
        want_links(!servers.is_empty());
        drop(servers);
        // Memory is given back without the lock.
        drop(dropped);
    }
}
