//! A wire between two nodes that harms frames, or is cut: the lab's switch between two sockets.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use weft_lab::switch::{Faults, MAX_FRAME, Stats, Switch};

/// How often frames that were held back are looked at.
const TICK: Duration = Duration::from_millis(1);

/// The wire. Its threads end with it.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    switch: Mutex<Switch>,
    began: Instant,
    ended: AtomicBool,
}

/// Where the node's end of the wire is, and where its emulator sends to.
pub(super) fn ends(folder: &Path, number: usize, harmed: bool) -> (String, String) {
    let node = |end: usize| folder.join(format!("wire-{end}")).display().to_string();
    let to =
        if harmed { folder.join(format!("hub-{number}")).display().to_string() } else { node(1 - number) };
    (node(number), to)
}

impl Wire {
    /// A wire between the nodes' ends in `folder`, with the same faults at both.
    pub(super) fn start(folder: &Path, faults: Faults, seed: u64) -> anyhow::Result<Self> {
        let mut switch = Switch::new(seed);
        for port in 0..2 {
            switch.add_port(port);
            switch.set_faults(port, faults);
        }
        let shared = Arc::new(Shared {
            switch: Mutex::new(switch),
            began: Instant::now(),
            ended: AtomicBool::new(false),
        });
        let mut sockets = Vec::new();
        for port in 0..2 {
            let socket =
                UnixDatagram::bind(folder.join(format!("hub-{port}"))).context("an end of the wire")?;
            socket.set_read_timeout(Some(Duration::from_millis(100))).context("a timeout")?;
            sockets.push(socket);
        }
        let to: Arc<[_]> = (0..2).map(|end| folder.join(format!("wire-{end}"))).collect();
        let out = Arc::new(UnixDatagram::unbound().context("a socket")?);
        out.set_nonblocking(true).context("a socket that does not wait")?;
        for (port, socket) in (0..).zip(sockets) {
            let (shared, to, out) = (shared.clone(), to.clone(), out.clone());
            std::thread::spawn(move || {
                let mut frame = [0; MAX_FRAME];
                while !shared.ended.load(Ordering::Relaxed) {
                    if let Ok(length) = socket.recv(&mut frame) {
                        let mut switch = shared.switch.lock().unwrap_or_else(PoisonError::into_inner);
                        switch.input(shared.began.elapsed(), port, frame.get(..length).unwrap_or(&[]));
                        shared.deliver(&mut switch, &out, &to);
                    }
                }
            });
        }
        let held = shared.clone();
        std::thread::spawn(move || {
            while !held.ended.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                let mut switch = held.switch.lock().unwrap_or_else(PoisonError::into_inner);
                held.deliver(&mut switch, &out, &to);
            }
        });
        Ok(Self { shared })
    }

    /// Nothing passes any more.
    pub fn cut(&self) {
        self.shared.switch.lock().unwrap_or_else(PoisonError::into_inner).set_group(0, 1);
    }

    /// What passed and what was harmed.
    pub fn stats(&self) -> Stats {
        self.shared.switch.lock().unwrap_or_else(PoisonError::into_inner).stats()
    }
}

impl Shared {
    fn deliver(&self, switch: &mut Switch, out: &UnixDatagram, to: &[std::path::PathBuf]) {
        while let Some((port, frame)) = switch.output(self.began.elapsed()) {
            // A full or absent receiver loses the frame, as a wire does.
            let _ = to.get(usize::from(port)).map(|end| out.send_to(&frame, end));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}
