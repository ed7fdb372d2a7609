//! `vs console` on a terminal: a pseudo-terminal of our own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::double::{Double, server};
use crate::run::Shell;

/// Reads until the text has come, ten seconds at most.
fn expect(screen: &mut File, seen: &mut String, text: &str) {
    let limit = Instant::now() + Duration::from_secs(10);
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        assert!(Instant::now() < limit, "no {text:?} in {seen:?}");
        let count = screen.read(&mut buffer).expect("the terminal is open");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn keys_go_to_the_guest_until_the_escape_and_the_terminal_is_restored() {
    let double = Double::start();
    double.world().vs = vec![server("web", "running")];
    double.world().history = "earlier words\r\n# ";
    let shell = Shell::new(&double);
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let slave =
        File::options().read(true).write(true).open(name.to_str().expect("UTF-8")).expect("the other end");
    let modes = || tcgetattr(&slave).expect("modes").local_modes;
    assert!(modes().contains(LocalModes::ICANON));
    let end = || Stdio::from(slave.try_clone().expect("a copy"));
    let mut child = shell
        .command(&["vs", "console", "web"])
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .expect("the program runs");
    let mut screen = File::from(master);
    let mut seen = String::new();
    expect(&mut screen, &mut seen, "Ctrl-] leaves");
    expect(&mut screen, &mut seen, "earlier words");
    assert!(!modes().contains(LocalModes::ICANON), "raw while attached");
    // Ctrl-C is the guest's, not ours.
    screen.write_all(b"\x03").expect("typed");
    expect(&mut screen, &mut seen, "^C interrupted");
    screen.write_all(b"id\r").expect("typed");
    expect(&mut screen, &mut seen, "ran: id");
    screen.write_all(b"\x1d").expect("typed");
    let code = child.wait().expect("it ends").code();
    assert_eq!(code, Some(0), "{seen:?}");
    assert!(modes().contains(LocalModes::ICANON | LocalModes::ECHO), "restored");
}
