//! What happened on this node of late, for operators that ask it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use weft_wire::agent::{LogLine, NodeEvent};
use weft_wire::codec::clip;
use weft_wire::operator::{MAX_NOTE, MAX_NOTES, Note};

/// See the module. The oldest go first.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    kept: VecDeque<Note>,
    seq: u64,
}

impl Notes {
    fn add(&mut self, note: Note) {
        if self.kept.len() >= MAX_NOTES {
            self.kept.pop_front();
        }
        self.seq = self.seq.saturating_add(1);
        self.kept.push_back(Note { seq: self.seq, ..note });
    }

    /// A line of the log.
    pub(crate) fn line(&mut self, line: &LogLine) {
        let LogLine { uptime_ms, level, text } = line;
        let text = clip(text, MAX_NOTE).into();
        self.add(Note { seq: 0, uptime_ms: *uptime_ms, level: *level, kind: "log".into(), text });
    }

    /// An event.
    pub(crate) fn event(&mut self, event: &NodeEvent) {
        let NodeEvent { uptime_ms, level, kind, text, .. } = event;
        let (kind, text) = (clip(kind, 64).into(), clip(text, MAX_NOTE).into());
        self.add(Note { seq: 0, uptime_ms: *uptime_ms, level: *level, kind, text });
    }

    /// All of them, oldest first.
    pub(crate) fn latest(&self) -> Vec<Note> {
        self.kept.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_wire::agent::Level;

    #[test]
    fn the_last_ones_are_kept_and_numbered_on() {
        let mut notes = Notes::default();
        for at in 0..u64::try_from(MAX_NOTES).unwrap() + 3 {
            let text = alloc::string::String::from_utf8(alloc::vec![b'x'; 2 * MAX_NOTE]).unwrap();
            notes.line(&LogLine { uptime_ms: at, level: Level::Info, text });
        }
        let kept = notes.latest();
        assert_eq!(kept.len(), MAX_NOTES);
        assert_eq!((kept[0].seq, kept[0].uptime_ms, kept[0].text.len()), (4, 3, MAX_NOTE));
        assert!(kept.is_sorted_by_key(|note| note.seq));
    }
}
