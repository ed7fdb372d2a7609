//! The service address and DHCP of three appliances, each in a network namespace of its own behind one switch, with a node's
//! place beside them: who leads has the address, and who was killed has it no longer.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::{One, PATIENCE, data, done, level, listed, state};
use crate::common::{Made, PASSWORD, WEFT, prepared};

const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/several/network.sh");
pub(super) const SERVICE: &str = "10.78.0.100";

/// The switch and its places; gone when dropped.
pub(super) struct Network {
    child: Child,
    folder: TempDir,
    root: bool,
}

impl Network {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root =
            std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let mut command = Command::new("unshare");
        if !root {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--", "sh", NETWORK]).arg(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("unshare (util-linux)");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says something");
        assert_eq!(line, "ready\n");
        Self { child, folder, root }
    }

    /// A command in a place.
    pub(super) fn at(&self, place: u8, program: &str) -> Command {
        let pid =
            std::fs::read_to_string(self.folder.path().join(format!("place-{place}"))).expect("a place");
        let mut command = Command::new("nsenter");
        command.args(["--target", pid.trim(), "--net"]);
        if !self.root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    fn weft(&self, place: u8, words: &[&str], folder: &TempDir) -> Output {
        let mut command = self.at(place, WEFT);
        command.arg("appliance").args(words).arg("--data").arg(data(folder)).output().expect("weft runs")
    }

    pub(super) fn run(&self, place: u8, name: &'static str, folder: TempDir) -> One {
        self.run_by(place, name, folder, &[])
    }

    /// Runs it by another program, which takes it as its last words.
    pub(super) fn run_by(&self, place: u8, name: &'static str, folder: TempDir, by: &[&str]) -> One {
        let own = format!("10.78.0.{place}");
        let api = format!("{own}:8443");
        let service = format!("{SERVICE}/24");
        let mut words = by.iter().copied().chain([WEFT]);
        let mut command = self.at(place, words.next().expect("a program"));
        command.args(words);
        command.args(["appliance", "run", "--interface", "eth0", "--address", &own, "--api-listen", &api]);
        command.args(["--dhcp", "full", "--range", "10.78.0.200-10.78.0.250", "--service-address", &service]);
        command.arg("--data").arg(data(&folder));
        One::run(name, folder, command)
    }

    /// What a shell in a place says.
    pub(super) fn says(&self, place: u8, script: &str) -> String {
        let said = self.at(place, "bash").args(["-c", script]).output().expect("bash runs");
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Places that have the service address.
    pub(super) fn holders(&self) -> Vec<u8> {
        let has =
            |place: &u8| self.says(*place, "ip -4 address show dev eth0").contains(&format!("{SERVICE}/"));
        [1, 2, 3].into_iter().filter(has).collect()
    }

    /// Digest of the image that the node's place gets from the service address.
    fn fetched(&self) -> String {
        // A connection that began while the address was on its way is tried again.
        let script = format!(
            "exec 3<>/dev/tcp/{SERVICE}/80 && printf 'GET /weft.efi HTTP/1.0\\r\\nHost: weft\\r\\n\\r\\n' >&3 && \
             sed '1,/^\\r$/d' <&3 | sha256sum | cut -d' ' -f1"
        );
        let said = self.at(9, "timeout").args(["10", "bash", "-c", &script]).output().expect("bash runs");
        String::from_utf8_lossy(&said.stdout).trim().to_string()
    }

    /// The hardware address that the node's place has for the service address.
    fn neighbour(&self) -> String {
        let said = self.says(9, &format!("ip neigh show {SERVICE}"));
        said.split_once("lladdr ")
            .and_then(|(_, rest)| rest.split(' ').next())
            .unwrap_or_default()
            .to_string()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Three of them, with a vote each, the first one leading; a session, and the image that they have.
pub(super) async fn three(network: &Network) -> (Vec<One>, String, Vec<u8>) {
    let (folder, ..) = prepared();
    let mut north = network.run(1, "north", folder);
    north.until("ready\n").await;
    let first = std::fs::read_to_string(data(&north.folder).join("admin-password")).expect("the password");
    let mut client = north.client("");
    let (_, reply) = client.login("admin", first.trim()).await;
    client.token = reply["token"].as_str().expect("a token").to_string();
    let change = json!({"old": first.trim(), "new": PASSWORD});
    assert_eq!(client.json("POST", "/api/v1/password", &change).await.0, 204);
    let image = Made::default().file();
    assert_eq!(client.send("POST", "/api/v1/images", image.clone()).await.0, 201);
    north.stop();
    let folder = north.into_folder();
    done(&network.weft(1, &["found", "--name", "north", "--address", "10.78.0.1:7070"], &folder));
    let mut north = network.run(1, "north", folder);
    north.until("leads in term").await;
    let mut all = vec![north];
    for (place, name) in [(2u8, "south"), (3, "east")] {
        let file = all[0].folder.path().join(name).display().to_string();
        done(&network.weft(1, &["invite", "--out", &file], &all[0].folder));
        let folder = tempfile::tempdir().expect("a folder");
        let at = format!("10.78.0.{place}:7070");
        let words = ["join", "--name", name, "--address", &at, "--invitation", &file];
        done(&network.weft(place, &words, &folder));
        let mut one = network.run(place, name, folder);
        one.until("ready\n").await;
        all.push(one);
    }
    let token = client.token;
    let voters = |all: &[serde_json::Value]| {
        all.len() == 3 && all.iter().all(|one| one["voter"] == true) && level(all)
    };
    listed(&all[1].client(&token), "three with a vote", voters).await;
    assert_eq!(network.holders(), [1]);
    (all, token, image)
}

/// The place of whichever of the other two leads, once the first one is gone.
pub(super) async fn led(all: &mut [One], token: &str) -> u8 {
    let led = listed(&all[1].client(token), "another that leads", |all| {
        state(all, "north") == "unreachable"
            && (state(all, "south") == "leads" || state(all, "east") == "leads")
    })
    .await;
    let place = if state(&led, "south") == "leads" { 2 } else { 3 };
    all[usize::from(place) - 1].until("leads in term").await;
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_service_address_is_where_the_leader_is_and_a_node_follows_it() {
    let network = Network::new();
    let (mut all, token, image) = three(&network).await;

    // The node's place is known as a node's, and gets the image from the address.
    let digest = crate::common::hex(ring::digest::digest(&ring::digest::SHA256, &image).as_ref());
    assert_eq!(network.fetched(), digest);
    let before = network.neighbour();
    assert!(!before.is_empty());

    // Killed, and not told to go: its kernel would answer for the address for ever.
    all[0].kill();
    let place = led(&mut all, &token).await;
    let end = Instant::now() + PATIENCE;
    while network.holders() != [place] {
        assert!(Instant::now() < end, "the address is at {:?}, and {place} leads", network.holders());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    while network.fetched() != digest || network.neighbour() == before {
        assert!(Instant::now() < end, "the node's place does not find it: {} {before}", network.neighbour());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
