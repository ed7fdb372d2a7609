//! Looks into a lease journal.
//!
//! `weft-leases list FILE` prints what it holds, `weft-leases append FILE` adds lines `MAC ADDRESS EXPIRES_S` from standard input and
//! says `ok ADDRESS` for each once it is on disk, or `failed ADDRESS: why`. The appliance must not be running.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;

use weft_dhcp::{Lease, LeaseJournal, LeaseState, LeaseStore};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list", file] => list(Path::new(file)),
        ["append", file] => append(Path::new(file)),
        _ => Err("usage: weft-leases list FILE | weft-leases append FILE".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-leases: {error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn list(file: &Path) -> Outcome {
    // Opening makes a journal where there is none, which is not what looking means.
    if !file.is_file() {
        return Err(format!("no journal at {}", file.display()).into());
    }
    let (_journal, recovery) = LeaseJournal::open(file)?;
    for lease in &recovery.leases {
        let state = match lease.state {
            LeaseState::Bound => "bound",
            LeaseState::Released => "released",
            LeaseState::Declined => "declined",
        };
        println!("{} {} {} {state}", lease.hw, lease.address, lease.expires_s);
    }
    if recovery.damaged > 0 {
        return Err(format!("{} damaged records were left out", recovery.damaged).into());
    }
    Ok(())
}

fn append(file: &Path) -> Outcome {
    let (journal, _) = LeaseJournal::open(file)?;
    let (tell, told) = channel();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let (Some(hw), Some(address), Some(expires)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("not a lease: {line}").into());
        };
        let lease = Lease {
            hw: hw.parse()?,
            address: address.parse()?,
            expires_s: expires.parse()?,
            state: LeaseState::Bound,
        };
        let tell = tell.clone();
        journal.submit(lease, Box::new(move |result| drop(tell.send(result))));
        let mut out = std::io::stdout().lock();
        match told.recv()? {
            Ok(()) => writeln!(out, "ok {}", lease.address)?,
            Err(error) => writeln!(out, "failed {}: {error}", lease.address)?,
        }
        out.flush()?;
    }
    Ok(())
}
