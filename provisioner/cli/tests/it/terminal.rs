//! What needs a terminal: consoles and questions, on a pseudo-terminal of our own.

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

/// A pseudo-terminal: our end and the program's.
fn terminal() -> (File, File) {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let slave =
        File::options().read(true).write(true).open(name.to_str().expect("UTF-8")).expect("the other end");
    (File::from(master), slave)
}

#[test]
fn who_is_asked_before_a_deletion_by_labels_sees_the_names_and_those_are_deleted() {
    let double = Double::start();
    let prod: weft_api::Labels = [("env".into(), "prod".into())].into();
    for name in ["web", "db", "old"] {
        let labels = if name == "old" { weft_api::Labels::new() } else { prod.clone() };
        double.world().vs.push(weft_api::Vs { id: name.repeat(8), labels, ..server(name, "stopped") });
    }
    let shell = Shell::new(&double);
    for (answer, code) in [(b"n\n", 2), (b"y\n", 0)] {
        let (mut screen, slave) = terminal();
        let end = || Stdio::from(slave.try_clone().expect("a copy"));
        let mut child = shell
            .command(&["vs", "delete", "-l", "env=prod"])
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the program runs");
        let mut seen = String::new();
        expect(&mut screen, &mut seen, "Delete 2 virtual servers: web, db? [y/N]");
        assert_eq!(double.world().heard, Vec::<String>::new(), "nothing before the answer");
        screen.write_all(answer).expect("typed");
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{seen:?}");
    }
    let heard = double.world().heard.clone();
    assert!(heard.len() == 1 && heard[0].contains(r#""names":["web","db"],"selector":"""#), "{heard:?}");
}

#[test]
fn keys_go_to_the_guest_until_the_escape_and_the_terminal_is_restored() {
    let double = Double::start();
    double.world().vs = vec![server("web", "running")];
    double.world().history = "earlier words\r\n# ";
    let shell = Shell::new(&double);
    let (mut screen, slave) = terminal();
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
