//! Addresses that DHCP gave, after the leader's end: who has one keeps it, and nobody else gets it. The clients are busybox's.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::service::{Network, SERVICE, led, three};

/// Says what it was given, and takes it where it is to stay. Appends to the file that $LEASES names.
const TOLD: &str = "#!/bin/sh
case \"$1\" in bound|renew) ;; *) exit 0 ;; esac
[ -z \"$STAYS\" ] || ip address replace \"$ip/24\" dev \"$interface\"
echo \"$1 $ip $serverid\" >> \"$LEASES\"
";

/// A place of clients, one after another or one that stays.
struct Clients<'a> {
    network: &'a Network,
    place: u8,
    folder: tempfile::TempDir,
}

impl<'a> Clients<'a> {
    fn new(network: &'a Network, place: u8) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder.path().join("told.sh");
        std::fs::write(&told, TOLD).expect("a script");
        std::fs::set_permissions(&told, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        Self { network, place, folder }
    }

    fn leases(&self) -> PathBuf {
        self.folder.path().join("leases")
    }

    fn client(&self, words: &[&str], stays: &str) -> Command {
        let mut command = self.network.at(self.place, "busybox");
        command.args(["udhcpc", "-f", "-t", "30", "-T", "1", "-i", "eth0", "-s"]);
        command.arg(self.folder.path().join("told.sh")).args(words);
        command.env("LEASES", self.leases()).env("STAYS", stays);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What was said, one line each: `bound` or `renew`, address, server.
    fn said(&self) -> Vec<String> {
        let said = std::fs::read_to_string(self.leases()).unwrap_or_default();
        said.lines().map(str::to_string).collect()
    }

    /// The address that a client with this number in its MAC is given; it forgets it and is gone.
    fn asks(&self, number: u8) -> String {
        self.network.says(self.place, &format!("ip link set eth0 address 02:00:00:00:01:{number:02x}"));
        let before = self.said().len();
        let done = self.client(&["-q", "-n"], "").status().expect("busybox runs");
        let said = self.said();
        let line = said.get(before..).unwrap_or_default().last();
        let line = line.unwrap_or_else(|| panic!("client {number} got nothing: {done}"));
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words[2]), ("bound", SERVICE), "{line}");
        words[1].to_string()
    }
}

/// A client that stays; it ends with its test.
struct Stays(Child);

impl Drop for Stays {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_has_an_address_keeps_it_after_the_leaders_end_and_nobody_else_gets_it() {
    let network = Network::new();
    let (mut all, token, _) = three(&network).await;
    let (staying, asking) = (Clients::new(&network, 9), Clients::new(&network, 8));
    let client = Stays(staying.client(&[], "yes").spawn().expect("busybox runs"));
    let end = Instant::now() + PATIENCE;
    while staying.said().is_empty() {
        assert!(Instant::now() < end, "the client that stays got nothing:\n{}", all[0].log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let bound = staying.said().remove(0);
    let kept = bound.strip_prefix("bound ").and_then(|rest| rest.split(' ').next()).expect("an address");
    let before: Vec<String> = (1..=5).map(|number| asking.asks(number)).collect();
    let mut given: BTreeSet<String> = before.iter().cloned().collect();
    given.insert(kept.to_string());
    assert_eq!(given.len(), 6, "{kept} {before:?}");

    all[0].kill();
    let place = led(&mut all, &token).await;
    let end = Instant::now() + PATIENCE;
    while network.holders() != [place] {
        assert!(Instant::now() < end, "the address is at {:?}, and {place} leads", network.holders());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Clients that nobody knows come first: to one that had forgotten, all addresses would be free.
    let new: BTreeSet<String> = (6..=10).map(|number| asking.asks(number)).collect();
    assert!(new.len() == 5 && new.is_disjoint(&given), "{new:?} {given:?}");
    // It asks the server that gave the address, by its address, for more time.
    let pid = client.0.id().to_string();
    assert!(Command::new("kill").args(["-USR1", &pid]).status().expect("kill runs").success());
    let renewed = format!("renew {kept} {SERVICE}");
    let end = Instant::now() + PATIENCE;
    while staying.said().get(1) != Some(&renewed) {
        assert!(Instant::now() < end, "not renewed: {:?}", staying.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let again: Vec<String> = (1..=5).map(|number| asking.asks(number)).collect();
    assert_eq!(again, before);
}
