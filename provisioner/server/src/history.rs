//! Logs of nodes and screens of guests on disk, so that they outlive the appliance's process.
//!
//! ```text
//!  heard ─▶ memory (what is shown) ─▶ bounded line ─▶ one thread ─▶ history/node-ID.log, history/vs-ID.screen
//!  start ─▶ files ─▶ memory
//! ```
//! One file for each approved node and each virtual server, appended to and written anew from its own end when it is too
//! long: [`MAX_FILE`] bounds each. They are a memory, not a record: nothing waits for them, nothing is synced, and where
//! the disk is full or slow they have gaps. A process that is killed loses what stood in line, milliseconds of it; a power
//! cut loses what the kernel had not written.
//!
//! A log is JSON, a line each. A screen is a sequence of pieces: length, checksum, kind, instance, offset, bytes.
//! Whatever does not read as such is skipped, or cut where its length cannot be known.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use weft_api::LogEntry;

use crate::console::Consoles;
use crate::world::LOG_LINES;

/// A file longer than this is written anew.
const MAX_FILE: u64 = 1024 * 1024;
/// Notes in line; more are dropped.
const LINE: usize = 1024;
/// Notes written in one go.
const AT_ONCE: usize = 256;
/// Longest piece of a screen that is read back.
const MAX_PIECE: usize = 2 * crate::console::HISTORY;
/// Bytes before a piece's own: length and checksum.
const PREFIX: usize = 8;
/// Bytes of kind, instance and offset.
const POSITION: usize = 17;
/// Kinds of pieces: output at its offset; all that is shown, and the offset after it; the node numbers anew.
const OUTPUT: u8 = 0;
const SCREEN: u8 = 1;
const RENUMBERED: u8 = 2;
/// How long a clean end waits for the line.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is to be kept.
enum Note {
    Line { node: String, entry: LogEntry },
    Piece { vs: String, piece: Vec<u8> },
    Forget(String),
    Flush(SyncSender<()>),
}

/// Keeps notes; see the module.
pub(crate) struct History {
    line: SyncSender<Note>,
    dropped: AtomicU64,
}

fn log_name(node: &str) -> String {
    format!("node-{node}.log")
}

fn screen_name(vs: &str) -> String {
    format!("vs-{vs}.screen")
}

impl History {
    /// Makes the folder and starts the thread.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let folder = folder(data);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (line, notes) = sync_channel(LINE);
        let files = Files { folder, lengths: HashMap::new(), troubled: false };
        // It ends once the line's last sender is gone.
        std::thread::Builder::new().name("history".into()).spawn(move || files.run(&notes))?;
        Ok(Self { line, dropped: AtomicU64::new(0) })
    }

    fn put(&self, note: Note) {
        if self.line.try_send(note).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A line of a node's log.
    pub(crate) fn line(&self, node: &str, entry: &LogEntry) {
        self.put(Note::Line { node: node.to_string(), entry: entry.clone() });
    }

    /// Output of a guest that was shown.
    pub(crate) fn output(&self, vs: &str, instance: u64, offset: u64, bytes: &[u8]) {
        self.put(Note::Piece { vs: vs.to_string(), piece: piece(OUTPUT, instance, offset, bytes) });
    }

    /// The node of a guest numbers its output anew.
    pub(crate) fn renumbered(&self, vs: &str) {
        self.put(Note::Piece { vs: vs.to_string(), piece: piece(RENUMBERED, 0, 0, &[]) });
    }

    /// The node is gone.
    pub(crate) fn forget_node(&self, node: &str) {
        self.put(Note::Forget(log_name(node)));
    }

    /// The virtual server is gone.
    pub(crate) fn forget_vs(&self, vs: &str) {
        self.put(Note::Forget(screen_name(vs)));
    }

    /// Notes that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits, for a while, until what stands in line is written.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.line.send(Note::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FAREWELL);
        }
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("history")
}

/// The thread's side.
struct Files {
    folder: PathBuf,
    /// Of files that were written to.
    lengths: HashMap<String, u64>,
    /// The last write failed, and was told of.
    troubled: bool,
}

impl Files {
    fn run(mut self, notes: &Receiver<Note>) {
        while let Ok(first) = notes.recv() {
            let mut waiting: HashMap<String, Vec<u8>> = HashMap::new();
            let rest = std::iter::from_fn(|| notes.try_recv().ok());
            for note in std::iter::once(first).chain(rest).take(AT_ONCE) {
                match note {
                    Note::Line { node, entry } => {
                        let text = serde_json::to_string(&entry).unwrap_or_default();
                        waiting.entry(log_name(&node)).or_default().extend(format!("{text}\n").into_bytes());
                    }
                    Note::Piece { vs, piece } => {
                        waiting.entry(screen_name(&vs)).or_default().extend(piece);
                    }
                    Note::Forget(name) => {
                        waiting.remove(&name);
                        self.lengths.remove(&name);
                        let _ = fs::remove_file(self.folder.join(name));
                    }
                    Note::Flush(done) => {
                        self.write(&mut waiting);
                        let _ = done.try_send(());
                    }
                }
            }
            self.write(&mut waiting);
        }
    }

    fn write(&mut self, waiting: &mut HashMap<String, Vec<u8>>) {
        for (name, bytes) in waiting.drain() {
            let outcome = self.append(&name, &bytes);
            if let Err(error) = &outcome
                && !self.troubled
            {
                tracing::warn!(file = name, %error, "logs and screens are not kept on disk");
            }
            self.troubled = outcome.is_err();
        }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let length = match self.lengths.get(name) {
            Some(length) => *length,
            None => file.metadata()?.len(),
        };
        if let Err(error) = file.write_all(bytes) {
            // A piece that is half there would hide all that follow.
            let _ = file.set_len(length);
            return Err(error);
        }
        let length = length.saturating_add(bytes.len() as u64);
        self.lengths.insert(name.to_string(), length);
        if length > MAX_FILE {
            drop(file);
            self.shorten(name, &path)?;
        }
        Ok(())
    }

    /// Writes a file anew from what is still shown of it.
    fn shorten(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let kept = if name.ends_with(".log") {
            let lines = read_log(path)?;
            let mut text = String::new();
            for entry in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
                text.push_str(&serde_json::to_string(entry).unwrap_or_default());
                text.push('\n');
            }
            text.into_bytes()
        } else {
            let screen = Consoles::default();
            read_screen(path, "", &screen)?;
            let (instance, end, bytes) = screen.position("");
            piece(SCREEN, instance, end, &bytes)
        };
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&kept)?;
        fs::rename(&new, path)?;
        self.lengths.insert(name.to_string(), kept.len() as u64);
        Ok(())
    }
}

fn piece(kind: u8, instance: u64, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(PREFIX + POSITION + bytes.len());
    body.extend(u32::try_from(POSITION.saturating_add(bytes.len())).unwrap_or(u32::MAX).to_le_bytes());
    body.extend([0; 4]);
    body.push(kind);
    body.extend(instance.to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend(bytes);
    let sum = crc32fast::hash(body.get(PREFIX..).unwrap_or_default());
    if let Some(slot) = body.get_mut(4..PREFIX) {
        slot.copy_from_slice(&sum.to_le_bytes());
    }
    body
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A file that somebody else made long is read no further.
    File::open(path)?.take(4 * MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_log(path: &Path) -> io::Result<Vec<LogEntry>> {
    let bytes = whole(path)?;
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn read_screen(path: &Path, vs: &str, consoles: &Consoles) -> io::Result<()> {
    let bytes = whole(path)?;
    let mut rest = bytes.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Some((sum, after)) = after.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if !(POSITION..=POSITION + MAX_PIECE).contains(&length) {
            break;
        }
        let Some((body, after)) = after.split_at_checked(length) else { break };
        rest = after;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            continue;
        }
        let Some((kind, body)) = body.split_first() else { continue };
        let Some((instance, body)) = body.split_first_chunk::<8>() else { continue };
        let Some((offset, output)) = body.split_first_chunk::<8>() else { continue };
        let (instance, offset) = (u64::from_le_bytes(*instance), u64::from_le_bytes(*offset));
        match *kind {
            OUTPUT => _ = consoles.output(vs, instance, offset, output),
            SCREEN => consoles.restore(vs, instance, offset, output),
            RENUMBERED => consoles.renumber(vs),
            // Of a later version.
            3.. => {}
        }
    }
    Ok(())
}

/// The kept log of a node, at most [`LOG_LINES`]; empty where there is none.
pub(crate) fn log_of(data: &Path, node: &str) -> Vec<LogEntry> {
    let mut lines = read_log(&folder(data).join(log_name(node))).unwrap_or_default();
    lines.drain(..lines.len().saturating_sub(LOG_LINES));
    // Those of before had no number.
    if lines.iter().any(|line| line.seq == 0) {
        lines.iter_mut().zip(1..).for_each(|(line, seq)| line.seq = seq);
    }
    lines
}

/// Shows again what a guest had printed, if that was kept.
pub(crate) fn replay(data: &Path, vs: &str, consoles: &Consoles) {
    let path = folder(data).join(screen_name(vs));
    let _ = read_screen(&path, vs, consoles);
}

/// Files that were kept, by name; `None`: nobody knows which.
pub(crate) struct Kept(Option<HashSet<String>>);

impl Kept {
    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Whether there may be a log of this node.
    pub(crate) fn log(&self, node: &str) -> bool {
        self.has(&log_name(node))
    }

    /// Whether there may be a screen of this guest.
    pub(crate) fn screen(&self, vs: &str) -> bool {
        self.has(&screen_name(vs))
    }
}

/// Removes files of nodes and servers that are not there any more; those that stay. Most have none.
pub(crate) fn tidy(data: &Path, nodes: &[String], servers: &[String]) -> Kept {
    let known: HashSet<String> =
        nodes.iter().map(|id| log_name(id)).chain(servers.iter().map(|id| screen_name(id))).collect();
    let Ok(entries) = fs::read_dir(folder(data)) else { return Kept(None) };
    let (mut kept, mut all_seen) = (HashSet::new(), true);
    for entry in entries {
        let Ok(entry) = entry else {
            all_seen = false;
            continue;
        };
        match entry.file_name().into_string() {
            Ok(name) if known.contains(&name) => _ = kept.insert(name),
            Ok(_) | Err(_) => _ = fs::remove_file(entry.path()),
        }
    }
    Kept(all_seen.then_some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: usize) -> LogEntry {
        LogEntry {
            seq: n as u64 + 1,
            at: "now".into(),
            uptime_ms: n as u64,
            level: "info".into(),
            text: format!("line {n}"),
        }
    }

    fn shown(data: &Path) -> String {
        let consoles = Consoles::default();
        replay(data, "v", &consoles);
        String::from_utf8_lossy(&consoles.watch("v").0).into_owned()
    }

    #[test]
    fn logs_and_screens_are_read_back() {
        let data = tempfile::tempdir().expect("folder");
        let history = History::open(data.path()).expect("open");
        for n in 0..3 {
            history.line("n", &entry(n));
        }
        history.output("v", 1, 0, b"hello ");
        history.output("v", 1, 6, b"world");
        history.flush();
        assert_eq!(log_of(data.path(), "n"), [entry(0), entry(1), entry(2)]);
        assert_eq!(shown(data.path()), "hello world");
    }

    #[test]
    fn files_stay_bounded_and_keep_the_end() {
        let data = tempfile::tempdir().expect("folder");
        let history = History::open(data.path()).expect("open");
        let bytes = vec![b'x'; 8192];
        let mut end = 0;
        for n in 0..2000 {
            history.line("n", &LogEntry { text: "y".repeat(2000), ..entry(n) });
            history.output("v", 1, end, &bytes);
            end += 8192;
            if n % 100 == 0 {
                history.flush();
            }
        }
        history.output("v", 1, end, b"the end");
        history.flush();
        for name in ["node-n.log", "vs-v.screen"] {
            let length = fs::metadata(folder(data.path()).join(name)).expect("file").len();
            assert!(length <= 3 * MAX_FILE, "{name}: {length}");
        }
        assert_eq!(history.dropped(), 0);
        let lines = log_of(data.path(), "n");
        assert_eq!((lines.len(), lines.last().map(|line| line.uptime_ms)), (LOG_LINES, Some(1999)));
        assert!(shown(data.path()).ends_with("xthe end"));
        // Numbering goes on where it was.
        let consoles = Consoles::default();
        replay(data.path(), "v", &consoles);
        consoles.output("v", 1, end, b"the end");
        assert!(!String::from_utf8_lossy(&consoles.watch("v").0).contains("endthe"));
    }

    #[test]
    fn a_file_cut_or_harmed_anywhere_never_stops_the_start() {
        let data = tempfile::tempdir().expect("folder");
        let history = History::open(data.path()).expect("open");
        for n in 0..4u64 {
            history.output("v", 1, n * 4, b"abcd");
            history.line("n", &entry(n as usize));
        }
        history.flush();
        for (name, whole_len) in [("vs-v.screen", 16), ("node-n.log", 4)] {
            let path = folder(data.path()).join(name);
            let sound = fs::read(&path).expect("file");
            let seen = || match name {
                "vs-v.screen" => shown(data.path()).replace("\r\n", "").len(),
                _ => log_of(data.path(), "n").len(),
            };
            for cut in 0..sound.len() {
                fs::write(&path, &sound[..cut]).expect("write");
                assert!(seen() <= whole_len);
                let mut harmed = sound.clone();
                harmed[cut] ^= 0x55;
                fs::write(&path, &harmed).expect("write");
                seen();
            }
            fs::write(&path, &sound).expect("write");
            assert_eq!(seen(), whole_len);
        }
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let data = tempfile::tempdir().expect("folder");
        let history = History::open(data.path()).expect("open");
        for vs in ["v", "w"] {
            history.output(vs, 1, 0, b"secret");
        }
        history.line("n", &entry(0));
        history.forget_vs("v");
        history.flush();
        assert!(!folder(data.path()).join("vs-v.screen").exists());
        let nodes = ["n", "m"].map(str::to_string);
        let kept = tidy(data.path(), &nodes, &["x".to_string()]);
        assert!(!folder(data.path()).join("vs-w.screen").exists());
        assert_eq!(
            [kept.log("n"), kept.log("m"), kept.screen("w"), kept.screen("x")],
            [true, false, false, false]
        );
        assert_eq!(log_of(data.path(), "n").len(), 1);
    }
}
