//! The lease journal: what was acknowledged is there afterwards, whatever happened in between.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use proptest::prelude::*;
use weft_dhcp::journal::{Decoded, RECORD, decode, encode};
use weft_dhcp::{HwAddr, Lease, LeaseJournal, LeaseState, LeaseStore, StoreError};

const TOOL: &str = env!("CARGO_BIN_EXE_weft-leases");

fn lease(n: u32) -> Lease {
    let [_, a, b, c] = n.to_be_bytes();
    Lease {
        address: Ipv4Addr::new(10, a, b, c),
        hw: HwAddr::ethernet([2, 0, 0, a, b, c]),
        expires_s: 1_800_000_000 + u64::from(n),
        state: LeaseState::Bound,
    }
}

fn line(lease: &Lease) -> String {
    format!("{} {} {}\n", lease.hw, lease.address, lease.expires_s)
}

/// Writes leases and waits for all.
fn write(journal: &LeaseJournal, leases: impl IntoIterator<Item = Lease>) -> Vec<Result<(), StoreError>> {
    let (tell, told) = channel();
    for lease in leases {
        let tell = tell.clone();
        journal.submit(lease, Box::new(move |result| tell.send(result).expect("told")));
    }
    drop(tell);
    told.into_iter().collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("folder")
}

#[test]
fn leases_are_there_again_and_the_last_counts() {
    let folder = folder();
    let path = folder.path().join("leases.journal");
    {
        let (journal, recovery) = LeaseJournal::open(&path).expect("new");
        assert!(recovery.leases.is_empty());
        assert!(write(&journal, (0..5000).map(lease)).iter().all(Result::is_ok));
        let newer = Lease { expires_s: 7, state: LeaseState::Released, ..lease(3) };
        assert!(write(&journal, [newer]).iter().all(Result::is_ok));
    }
    let (_journal, recovery) = LeaseJournal::open(&path).expect("again");
    assert_eq!((recovery.leases.len(), recovery.damaged, recovery.torn), (5000, 0, 0));
    assert_eq!(recovery.leases[3].expires_s, 7);
    assert_eq!(recovery.leases[3].state, LeaseState::Released);
    assert_eq!(recovery.leases[4], lease(4));
}

#[test]
fn one_process_at_a_time() {
    let folder = folder();
    let path = folder.path().join("leases.journal");
    let (journal, _) = LeaseJournal::open(&path).expect("first");
    assert!(matches!(LeaseJournal::open(&path), Err(StoreError::Locked)));
    drop(journal);
    assert!(LeaseJournal::open(&path).is_ok());
}

#[test]
fn another_file_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("leases.journal");
    let text = "precious notes that are no journal, and longer than a header is";
    std::fs::write(&path, text).expect("write");
    assert!(matches!(LeaseJournal::open(&path), Err(StoreError::Format)));
    assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
}

#[test]
fn renewals_do_not_grow_the_file_for_ever() {
    let folder = folder();
    let path = folder.path().join("leases.journal");
    let (journal, _) = LeaseJournal::open(&path).expect("new");
    for round in 0..120u64 {
        let renewed = (0..4000).map(|n| Lease { expires_s: round, ..lease(n) });
        assert!(write(&journal, renewed).iter().all(Result::is_ok));
    }
    drop(journal);
    let len = std::fs::metadata(&path).expect("file").len();
    assert!(len < 14 << 20, "480,000 records were written, {len} bytes are left");
    let (_journal, recovery) = LeaseJournal::open(&path).expect("again");
    assert_eq!(recovery.leases.len(), 4000);
    assert!(recovery.leases.iter().all(|lease| lease.expires_s == 119));
}

#[test]
fn a_torn_end_loses_only_what_was_not_acknowledged() {
    // No zero at a record's end: a cut there would change nothing once zeros follow.
    let full = |n| Lease { expires_s: u64::MAX, ..lease(n) };
    let folder = folder();
    let path = folder.path().join("leases.journal");
    let (journal, _) = LeaseJournal::open(&path).expect("new");
    assert!(write(&journal, (0..20).map(full)).iter().all(Result::is_ok));
    drop(journal);
    let whole = std::fs::read(&path).expect("read");
    let end = RECORD * 21;
    // Each place within a record is cut once, in different records.
    for cut in (RECORD..end).step_by(RECORD / 2 + 1) {
        // The file ends here, or zeros follow: both happen.
        for padded in [false, true] {
            let mut bytes = whole[..cut].to_vec();
            if padded {
                bytes.resize(end + 4096, 0);
            }
            std::fs::write(&path, &bytes).expect("write");
            let (journal, recovery) = LeaseJournal::open(&path).expect("torn");
            assert_eq!(recovery.leases.len(), cut / RECORD - 1, "cut at {cut}");
            assert_eq!(recovery.damaged, 0);
            drop(journal);
        }
    }
    // And it can be written again.
    let (journal, _) = LeaseJournal::open(&path).expect("again");
    assert!(write(&journal, [lease(99)]).iter().all(Result::is_ok));
    drop(journal);
    let (_journal, recovery) = LeaseJournal::open(&path).expect("again");
    assert!(recovery.leases.contains(&lease(99)));
}

#[test]
fn damage_in_the_middle_is_told_and_the_rest_kept() {
    let folder = folder();
    let path = folder.path().join("leases.journal");
    let (journal, _) = LeaseJournal::open(&path).expect("new");
    assert!(write(&journal, (0..100).map(lease)).iter().all(Result::is_ok));
    drop(journal);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[RECORD * 51 + 9] ^= 1;
    std::fs::write(&path, &bytes).expect("write");
    let (journal, recovery) = LeaseJournal::open(&path).expect("damaged");
    assert_eq!((recovery.leases.len(), recovery.damaged), (99, 1));
    assert!(!recovery.leases.contains(&lease(50)));
    drop(journal);
    let (_journal, recovery) = LeaseJournal::open(&path).expect("made whole");
    assert_eq!((recovery.leases.len(), recovery.damaged), (99, 0));
}

struct Tool {
    child: Child,
}

impl Tool {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tool starts");
        Self { child }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    for round in 0..8u64 {
        let folder = folder();
        let path = folder.path().join("leases.journal");
        let mut tool = Tool::start(Command::new(TOOL).arg("append").arg(&path));
        let mut input = tool.child.stdin.take().expect("stdin");
        let mut output = BufReader::new(tool.child.stdout.take().expect("stdout"));
        let feeder = std::thread::spawn(move || {
            for n in 0..1_000_000 {
                if input.write_all(line(&lease(n)).as_bytes()).is_err() {
                    return;
                }
            }
        });
        // It is at work once the first lease is on disk.
        let mut first = String::new();
        output.read_line(&mut first).expect("the first answer");
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20 + round * 37));
            // SIGKILL: no destructor runs.
            tool.child.kill().expect("kill");
            tool.child.wait().expect("wait");
        });
        let acknowledged: Vec<String> = std::iter::once(Ok(first.trim().to_owned()))
            .chain(output.lines())
            .map_while(Result::ok)
            .collect();
        killer.join().expect("killer");
        feeder.join().expect("feeder");
        let (_journal, recovery) = LeaseJournal::open(&path).expect("after the kill");
        let kept: HashMap<Ipv4Addr, Lease> = recovery.leases.iter().map(|l| (l.address, *l)).collect();
        let mut count = 0;
        for text in &acknowledged {
            // The last line may be cut.
            let Some(address) = text.strip_prefix("ok ").and_then(|a| a.parse::<Ipv4Addr>().ok()) else {
                continue;
            };
            count += 1;
            if count < acknowledged.len() {
                assert!(kept.contains_key(&address), "{address} was acknowledged and is lost");
            }
        }
        assert!(count > 0, "nothing was written before the kill");
        assert_eq!(recovery.damaged, 0);
    }
}

/// Runs the tool on a file system of 256 KiB that exists in a mount namespace of its own.
fn on_a_tiny_disk(mount: &Path) -> Command {
    // Mounting needs root, or a user namespace in which one is root.
    let root =
        std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).expect("uid") == 0;
    let mut command = Command::new("unshare");
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "mount -t tmpfs -o size=256k none \"$1\" && head -c 200000 /dev/zero > \"$1/filler\" && exec \"$2\" append \"$1/leases.journal\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(mount).arg(TOOL);
    command
}

#[test]
fn a_full_disk_acknowledges_nothing_and_recovers() {
    let folder = folder();
    let mount: PathBuf = folder.path().join("mnt");
    std::fs::create_dir(&mount).expect("mount point");
    let mut tool = Tool::start(&mut on_a_tiny_disk(&mount));
    let mut input = tool.child.stdin.take().expect("stdin");
    let mut output = BufReader::new(tool.child.stdout.take().expect("stdout"));
    let mut ask = |n: u32| {
        input
            .write_all(line(&lease(n)).as_bytes())
            .expect("the tool runs (are mount namespaces allowed here?)");
        let mut answer = String::new();
        output.read_line(&mut answer).expect("answer");
        assert!(!answer.is_empty(), "the tool runs (are mount namespaces allowed here?)");
        answer
    };
    let mut acknowledged = Vec::new();
    let full = loop {
        let n = acknowledged.len() as u32;
        let answer = ask(n);
        if answer.starts_with("ok ") {
            acknowledged.push(lease(n));
        } else {
            break answer;
        }
        assert!(n < 100_000, "the disk never fills");
    };
    assert!(full.contains("file system full"), "{full}");
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    // It stays so, and clearly.
    assert!(ask(500_000).contains("file system full"));
    // An operator makes room: the next lease is kept again, by the same process.
    let inside = PathBuf::from(format!("/proc/{}/root", tool.child.id()))
        .join(mount.strip_prefix("/").expect("absolute"));
    std::fs::remove_file(inside.join("filler")).expect("remove the filler");
    assert!(ask(500_001).starts_with("ok "));
    let copy = folder.path().join("copy.journal");
    std::fs::copy(inside.join("leases.journal"), &copy).expect("copy");
    let (_journal, recovery) = LeaseJournal::open(&copy).expect("copy opens");
    assert_eq!(recovery.damaged, 0);
    for lease in &acknowledged {
        assert!(recovery.leases.contains(lease), "{} was acknowledged and is lost", lease.address);
    }
    assert!(recovery.leases.contains(&lease(500_001)));
    assert!(!recovery.leases.contains(&lease(500_000)), "it was refused");
}

proptest! {
    #[test]
    fn records_survive_and_damage_is_seen(address: u32, mac: [u8; 6], expires_s: u64, state in 0u8..3, bit in 0usize..RECORD * 8) {
        let state = [LeaseState::Bound, LeaseState::Released, LeaseState::Declined][usize::from(state)];
        let lease = Lease { address: Ipv4Addr::from_bits(address), hw: HwAddr::ethernet(mac), expires_s, state };
        let mut record = encode(&lease);
        prop_assert_eq!(decode(&record), Decoded::Lease(lease));
        record[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(decode(&record), Decoded::Bad);
    }

    #[test]
    fn any_record_is_read_without_harm(bytes: [u8; 32], rest: [u8; 8]) {
        let mut record = [0; RECORD];
        record[..32].copy_from_slice(&bytes);
        record[32..].copy_from_slice(&rest);
        let _ = decode(&record);
    }
}
