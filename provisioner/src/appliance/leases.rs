//! Leases of several appliances: in the store that they hold together, so that whoever leads knows what was given.
//!
//! ```text
//! DHCP thread ─▶ bounded line ─▶ all that wait, in one write of the store ─▶ a majority has them ─▶ acknowledged
//! ```
//! A leader without a majority cannot write, so it gives no address; neither can one that leads no more.

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use weft_dhcp::{Done, HwAddr, Lease, LeaseJournal, LeaseState, LeaseStore, Recovery, StoreError};
use weft_server::core::Core;
use weft_store::LeaseRow;

/// Leases in line; more are refused.
const LINE: usize = 4096;
/// Leases in one write.
const AT_ONCE: usize = 256;

/// Hands leases to the store.
pub(crate) struct SharedLeases(mpsc::Sender<(Lease, Done)>);

fn word(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Bound => "bound",
        LeaseState::Released => "released",
        LeaseState::Declined => "declined",
    }
}

fn row(lease: &Lease) -> LeaseRow {
    LeaseRow {
        address: u32::from(lease.address),
        hw: format!("{}-{}", lease.hw.htype(), super::hex(lease.hw.bytes())),
        expires: lease.expires_s,
        state: word(lease.state).to_string(),
    }
}

/// A hardware address: its type, and its bytes in hexadecimal.
fn hw(text: &str) -> Option<HwAddr> {
    let (htype, digits) = text.split_once('-')?;
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    HwAddr::new(htype.parse().ok()?, &pairs.map(byte).collect::<Option<Vec<u8>>>()?)
}

/// A row that this program did not write is none.
fn lease(row: &LeaseRow) -> Option<Lease> {
    let states = [LeaseState::Bound, LeaseState::Released, LeaseState::Declined];
    let state = states.into_iter().find(|state| word(*state) == row.state)?;
    Some(Lease { address: Ipv4Addr::from(row.address), hw: hw(&row.hw)?, expires_s: row.expires, state })
}

impl SharedLeases {
    /// What was given so far, and where new ones go, while `core` leads. `data`: where the journal of leases is that this appliance
    /// wrote while it was the only one.
    pub(crate) async fn open(core: &Arc<Core>, data: &Path) -> Result<(Self, Recovery), weft_server::Error> {
        take_over(core, &data.join("leases")).await?;
        let rows = core.leases().await?;
        let leases: Vec<Lease> = rows.iter().filter_map(lease).collect();
        let recovery = Recovery { damaged: rows.len().saturating_sub(leases.len()), leases, torn: 0 };
        let (line, waiting) = mpsc::channel(LINE);
        tokio::spawn(write(Arc::clone(core), waiting));
        Ok((Self(line), recovery))
    }
}

/// Leases of the time when there was one appliance. The journal is renamed once the store has them.
async fn take_over(core: &Core, journal: &Path) -> Result<(), weft_server::Error> {
    if !journal.exists() {
        return Ok(());
    }
    let (open, was) = LeaseJournal::open(journal).map_err(io::Error::other)?;
    drop(open);
    let known: HashSet<u32> = core.leases().await?.iter().map(|row| row.address).collect();
    let rows: Vec<LeaseRow> =
        was.leases.iter().map(row).filter(|row| !known.contains(&row.address)).collect();
    for some in rows.chunks(AT_ONCE) {
        core.put_leases(some).await?;
    }
    Ok(std::fs::rename(journal, journal.with_extension("before-several"))?)
}

impl LeaseStore for SharedLeases {
    fn submit(&self, lease: Lease, done: Done) {
        if let Err(error) = self.0.try_send((lease, done)) {
            let why = match &error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            };
            let (_, done) = error.into_inner();
            done(Err(why));
        }
    }
}

/// Ends with the sender.
async fn write(core: Arc<Core>, mut waiting: mpsc::Receiver<(Lease, Done)>) {
    let mut some = Vec::with_capacity(AT_ONCE);
    while waiting.recv_many(&mut some, AT_ONCE).await > 0 {
        let rows: Vec<LeaseRow> = some.iter().map(|(lease, _)| row(lease)).collect();
        let written = core.put_leases(&rows).await.map_err(|error| StoreError::Io {
            action: "write to the appliances' store",
            source: Arc::new(io::Error::other(error)),
        });
        for (_, done) in some.drain(..) {
            done(written.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_comes_back_as_it_went() {
        for state in [LeaseState::Bound, LeaseState::Released, LeaseState::Declined] {
            for hw in [HwAddr::ethernet([2, 0, 0, 0, 0, 1]), HwAddr::new(32, &[7; 16]).expect("InfiniBand")] {
                let given = Lease { address: Ipv4Addr::new(10, 0, 0, 200), hw, expires_s: 7, state };
                assert_eq!(lease(&row(&given)), Some(given));
            }
        }
        assert_eq!(lease(&LeaseRow { address: 1, hw: "x".into(), expires: 1, state: "bound".into() }), None);
    }
}
