//! A store with many rows, as a busy appliance left it, and the same database for SQLite alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use weft_format::delegation::Delegation;
use weft_store::{Batch, NodeRow, Store, VsRow};

use crate::support::common::{Appliance, hex, prepared};

/// Nodes.
pub(crate) const NODES: u32 = 1000;
/// Servers, ten on each node.
pub(crate) const SERVERS: u32 = 10_000;
/// Servers written in one transaction.
const AT_ONCE: u32 = 1000;

/// Digits for an object's id: what kind it is, and its number.
fn id(kind: u8, number: u32) -> String {
    let mut bytes = [kind; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    hex(&bytes)
}

/// A data folder.
pub(crate) struct Filled {
    pub(crate) folder: TempDir,
    key: [u8; 32],
    delegation: Delegation,
}

/// A server of the store: the first half of each node's is of team `a`.
pub(crate) fn server(number: u32) -> VsRow {
    let team = if number % 10 < 5 { "a" } else { "b" };
    let labels = [("team", team.to_string()), ("tier", format!("t{}", number % 3))];
    VsRow {
        id: id(8, number),
        name: format!("vs-{number}"),
        node: id(9, number / 10 + 1),
        vcpus: 1,
        memory_mib: 64,
        kernel: hex(&[5; 32]),
        kernel_size: 8 << 20,
        initrd: hex(&[6; 32]),
        initrd_size: 4 << 20,
        append: "console=hvc0 quiet".to_string(),
        macs: vec![format!("02:57:00:00:{:02x}:{:02x}", number >> 8, number & 0xff)],
        wwnn: format!("30:57:00:00:00:00:{:02x}:{:02x}", number >> 8, number & 0xff),
        generation: 1,
        labels: labels.into_iter().map(|(key, value)| (key.to_string(), value)).collect::<BTreeMap<_, _>>(),
        ..VsRow::default()
    }
}

impl Filled {
    pub(crate) async fn make() -> Self {
        let (folder, key, delegation) = prepared();
        let store = Store::open(&folder.path().join("data/store")).await.expect("a store");
        let mut batch = Batch::new("2026-01-01T00:00:00Z", "bench", "fill");
        for number in 1..=NODES {
            let row = NodeRow {
                id: id(9, number),
                key: hex(&[7; 32]),
                name: format!("node-{number}"),
                approved: true,
                ..NodeRow::default()
            };
            batch = batch.put_node(None, &row);
        }
        store.commit(batch).await.expect("nodes");
        for first in (0..SERVERS).step_by(AT_ONCE as usize) {
            let mut batch = Batch::new("2026-01-01T00:00:00Z", "bench", "fill");
            for number in first..first + AT_ONCE {
                let row = server(number);
                batch = batch
                    .put_vs(None, &row)
                    .draw("mac", 0x0257_0000_0000 + u64::from(number), &row.id)
                    .draw("wwnn", 0x3057_0000_0000_0000 + u64::from(number), &row.id);
            }
            store.commit(batch).await.expect("servers");
        }
        store.close().await.expect("closed");
        Self { folder, key, delegation }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The program, ready.
    pub(crate) fn appliance(&self) -> Appliance {
        Appliance::start(&self.folder, self.key, &self.delegation)
    }

    /// The database of the store.
    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("store/db/state_machine/db/weft.db")
    }

    /// A copy of what the database has now, for SQLite alone to write to: each transaction is synced before it is done,
    /// once, as the appliance's log is.
    pub(crate) fn plain(&self, name: &str) -> Connection {
        let path = self.folder.path().join(name);
        let from = read_only(&self.database());
        from.execute("VACUUM INTO ?1", [path.display().to_string()]).expect("a copy");
        let plain = Connection::open(&path).expect("a database");
        plain.busy_timeout(Duration::from_secs(60)).expect("a limit");
        plain.pragma_update(None, "journal_mode", "WAL").expect("a log");
        plain.pragma_update(None, "synchronous", "FULL").expect("synced");
        plain
    }
}

/// Opens a database to read.
pub(crate) fn read_only(path: &Path) -> Connection {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(path, flags).expect("the database")
}
