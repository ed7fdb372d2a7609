//! Guest consoles: the last output of each virtual server, and those who watch.
//!
//! A node numbers the bytes of an instance from 0. What arrives twice is dropped, what never arrived is
//! shown as a gap. History is bounded: it is a screen, not a log. What is kept of it on disk is `history`'s.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

/// Bytes kept for each server.
pub(crate) const HISTORY: usize = 256 * 1024;
/// Shown where a node started anew.
const AGAIN: &str = "\r\n[the node started again]\r\n";
/// Pieces that a slow watcher may lag behind before it is told of a gap.
const FAN: usize = 256;

#[derive(Debug)]
struct Screen {
    instance: u64,
    /// Position after the last byte.
    end: u64,
    history: VecDeque<u8>,
    fan: broadcast::Sender<Bytes>,
}

impl Screen {
    fn new() -> Self {
        Self { instance: 0, end: 0, history: VecDeque::new(), fan: broadcast::channel(FAN).0 }
    }

    fn show(&mut self, bytes: &[u8]) {
        let keep = bytes.len().min(HISTORY);
        let bytes_kept = bytes.get(bytes.len().saturating_sub(keep)..).unwrap_or_default();
        let excess = self.history.len().saturating_add(keep).saturating_sub(HISTORY);
        self.history.drain(..excess.min(self.history.len()));
        self.history.extend(bytes_kept);
        // Nobody watching is no error.
        let _ = self.fan.send(Bytes::copy_from_slice(bytes));
    }
}

/// All consoles.
#[derive(Debug, Default)]
pub(crate) struct Consoles {
    screens: Mutex<HashMap<String, Screen>>,
}

impl Consoles {
    /// Output from a node. Whether any of it was new.
    pub(crate) fn output(&self, vs: &str, instance: u64, offset: u64, bytes: &[u8]) -> bool {
        let mut screens = self.screens.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = screens.entry(vs.to_string()).or_insert_with(Screen::new);
        if instance < screen.instance {
            return false;
        }
        if instance > screen.instance {
            screen.instance = instance;
            screen.end = 0;
            screen.history.clear();
        }
        let Some(end) = offset.checked_add(bytes.len() as u64) else {
            return false;
        };
        if end <= screen.end {
            return false;
        }
        if offset > screen.end {
            let lost = offset.saturating_sub(screen.end);
            screen.show(format!("\r\n[{lost} bytes of output were lost]\r\n").as_bytes());
        }
        let known = usize::try_from(screen.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        screen.end = end;
        screen.show(bytes.get(known..).unwrap_or_default());
        true
    }

    /// The node started anew: it numbers output from 0 again, also of an instance that is known.
    pub(crate) fn renumber(&self, vs: &str) {
        let mut screens = self.screens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(screen) = screens.get_mut(vs).filter(|screen| screen.end > 0) {
            screen.end = 0;
            screen.show(AGAIN.as_bytes());
        }
    }

    /// Instance, offset after the last byte, and all that is shown.
    pub(crate) fn position(&self, vs: &str) -> (u64, u64, Vec<u8>) {
        let screens = self.screens.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |screen: &Screen| (screen.instance, screen.end, screen.history.iter().copied().collect());
        screens.get(vs).map(shown).unwrap_or_default()
    }

    /// The reverse of [`Consoles::position`], before anybody watches.
    pub(crate) fn restore(&self, vs: &str, instance: u64, end: u64, bytes: &[u8]) {
        let mut screen = Screen { instance, end, ..Screen::new() };
        screen.show(bytes);
        self.screens.lock().unwrap_or_else(PoisonError::into_inner).insert(vs.to_string(), screen);
    }

    /// What was shown, and what will be; nothing between is lost or doubled.
    pub(crate) fn watch(&self, vs: &str) -> (Bytes, broadcast::Receiver<Bytes>) {
        let mut screens = self.screens.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = screens.entry(vs.to_string()).or_insert_with(Screen::new);
        let (front, back) = screen.history.as_slices();
        (Bytes::from([front, back].concat()), screen.fan.subscribe())
    }

    /// The server is gone.
    pub(crate) fn forget(&self, vs: &str) {
        self.screens.lock().unwrap_or_else(PoisonError::into_inner).remove(vs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(consoles: &Consoles) -> String {
        String::from_utf8(consoles.watch("v").0.to_vec()).expect("text")
    }

    #[test]
    fn bytes_sent_again_after_a_reconnect_are_shown_once() {
        let consoles = Consoles::default();
        consoles.output("v", 1, 0, b"hello ");
        consoles.output("v", 1, 0, b"hello ");
        consoles.output("v", 1, 3, b"lo world");
        assert_eq!(shown(&consoles), "hello world");
    }

    #[test]
    fn a_gap_shows_and_a_new_instance_starts_a_new_screen() {
        let consoles = Consoles::default();
        consoles.output("v", 1, 4, b"x");
        assert_eq!(shown(&consoles), "\r\n[4 bytes of output were lost]\r\nx");
        consoles.output("v", 2, 0, b"new");
        consoles.output("v", 1, 5, b"late");
        assert_eq!(shown(&consoles), "new");
    }

    #[test]
    fn output_after_the_nodes_restart_is_shown_though_it_is_numbered_anew() {
        let consoles = Consoles::default();
        consoles.output("v", 1, 0, b"before");
        consoles.renumber("v");
        assert!(consoles.output("v", 1, 0, b"after"));
        assert!(!consoles.output("v", 1, 0, b"after"));
        assert_eq!(shown(&consoles), format!("before{AGAIN}after"));
    }

    #[test]
    fn history_is_bounded_and_offsets_cannot_overflow() {
        let consoles = Consoles::default();
        let piece = vec![b'a'; 4096];
        for n in 0..100u64 {
            consoles.output("v", 1, n * 4096, &piece);
        }
        assert_eq!(consoles.watch("v").0.len(), HISTORY);
        consoles.output("v", 1, u64::MAX, b"xx");
        assert_eq!(consoles.watch("v").0.len(), HISTORY);
    }

    #[test]
    fn a_watcher_sees_history_first_and_then_each_byte_once() {
        let consoles = Consoles::default();
        consoles.output("v", 1, 0, b"one");
        let (history, mut live) = consoles.watch("v");
        consoles.output("v", 1, 3, b"two");
        assert_eq!(&history[..], b"one");
        assert_eq!(&live.try_recv().expect("live")[..], b"two");
    }
}
