//! A running appliance, a client of its interface, and signed things.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use weft_format::delegation::{Appliance as Delegated, Delegation};
use weft_format::{RootSet, pe};
use weft_server::keys::Keys;
use weft_server::simnode::SimNode;
use weft_signing::image::{self, Release};
use weft_signing::{Holder, document};

pub(crate) const WEFT: &str = env!("CARGO_BIN_EXE_weft");
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn holder(number: u8) -> Holder {
    Holder::from_seed(&format!("holder-{number}"), [number; 32].into()).expect("a key")
}

/// Two of three holders.
pub(crate) fn roots(lab: bool) -> RootSet {
    let keys: Vec<[u8; 32]> = [1, 2, 3].iter().map(|number| *holder(*number).public_key()).collect();
    RootSet::new(1, 2, &keys, lab).expect("a root set")
}

/// A document that two of them signed.
pub(crate) fn signed(blank: Vec<u8>) -> Vec<u8> {
    signed_by(blank, &[1, 2], &roots(false))
}

/// A document that these signed, of this root set.
pub(crate) fn signed_by(blank: Vec<u8>, holders: &[u8], roots: &RootSet) -> Vec<u8> {
    let sign = |bytes: Vec<u8>, number: &u8| document::sign(&bytes, &holder(*number), roots);
    holders.iter().fold(blank, |bytes, number| sign(bytes, number).expect("signed"))
}

/// A PE32+ file with these sections, as small as the format allows.
fn pe_file(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const OPTIONAL: usize = 64 + 24;
    let mut file = vec![0; OPTIONAL + 240];
    file[..2].copy_from_slice(b"MZ");
    file[60] = 64;
    file[64..68].copy_from_slice(b"PE\0\0");
    file[68..70].copy_from_slice(&0x8664u16.to_le_bytes());
    file[70] = u8::try_from(sections.len()).expect("few");
    file[84..86].copy_from_slice(&240u16.to_le_bytes());
    file[OPTIONAL..OPTIONAL + 2].copy_from_slice(&0x20bu16.to_le_bytes());
    file[OPTIONAL + 108] = 16;
    let mut at = (file.len() + 40 * sections.len()).next_multiple_of(512);
    for (number, (name, content)) in sections.iter().enumerate() {
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let size = content.len().next_multiple_of(512);
        for (place, value) in [(8, content.len()), (12, 0x1000 + number * 0x10_0000), (16, size), (20, at)] {
            header[place..place + 4].copy_from_slice(&u32::try_from(value).expect("small").to_le_bytes());
        }
        file.extend_from_slice(&header);
        at += size;
    }
    for (_, content) in sections {
        file.resize(file.len().next_multiple_of(512), 0);
        file.extend_from_slice(content);
    }
    file.resize(file.len().next_multiple_of(512), 0);
    file
}

/// What an image says of itself in these tests.
pub(crate) struct Made {
    pub(crate) generation: u64,
    pub(crate) least: u64,
    pub(crate) expiry: u64,
    pub(crate) holders: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            generation: 7,
            least: 5,
            expiry: unix_s() + 3600,
            holders: vec![1, 2],
            payload: b"a monitor ".repeat(2000),
        }
    }
}

impl Made {
    pub(crate) fn file(&self) -> Vec<u8> {
        let roots = roots(false);
        let mut file = pe_file(&[
            (".text", b"stub"),
            (pe::ROOTS_SECTION, &document::root_set(&roots)),
            (pe::MANIFEST_SECTION, &[0; 4096]),
            (pe::PAYLOAD_SECTION, &self.payload),
        ]);
        let release = Release {
            build_id: format!("test-{}", self.generation),
            generation: self.generation,
            least_generation: self.least,
            not_before: 1,
            expiry: self.expiry,
        };
        image::place_manifest(&mut file, &release, &roots).expect("placed");
        for number in &self.holders {
            image::sign(&mut file, &holder(*number), &roots).expect("signed");
        }
        file
    }
}

/// SHA-256 of an image's manifest section, and its image digest.
pub(crate) fn digests(file: &[u8]) -> ([u8; 32], [u8; 32]) {
    let section = pe::section_data(file, pe::MANIFEST_SECTION).expect("a manifest");
    (weft_format::sha256(section), pe::image_digest(file).expect("a digest"))
}

/// A running appliance.
pub(crate) struct Appliance {
    pub(crate) child: Child,
    pub(crate) data: PathBuf,
    pub(crate) agent: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) tftp: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) fingerprint: String,
    pub(crate) channel_key: [u8; 32],
    pub(crate) delegation: Delegation,
}

/// A data folder with keys, root set and delegation.
pub(crate) fn prepared() -> (TempDir, [u8; 32], Delegation) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let keys = Keys::open(&data).expect("keys");
    let delegation = Delegation {
        version: 1,
        root_version: 1,
        not_before: 1,
        expiry: unix_s() + 3600,
        appliances: vec![Delegated {
            name: "test".into(),
            channel_key: keys.channel_public(),
            record_key: keys.record_public(),
            agent_port: 4470,
            http_port: 80,
            address: None,
        }],
        revoked: Vec::new(),
    };
    let signed = signed(document::delegation(&delegation).expect("encoded"));
    let (roots_file, delegation_file) =
        (folder.path().join("roots.bin"), folder.path().join("delegation.bin"));
    std::fs::write(&roots_file, document::root_set(&roots(false))).expect("written");
    std::fs::write(&delegation_file, signed).expect("written");
    let done = Command::new(WEFT)
        .args(["appliance", "init", "--data"])
        .arg(&data)
        .arg("--roots")
        .arg(roots_file)
        .arg("--delegation")
        .arg(delegation_file)
        .output()
        .expect("weft runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains(&hex(&keys.channel_public())));
    (folder, keys.channel_public(), delegation)
}

pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(WEFT);
    command
        .args(["appliance", "run", "--interface", "lo", "--dhcp", "off", "--api-listen", "127.0.0.1:0"])
        .args(["--tftp-port", "0", "--http-port", "0", "--agent-port", "0", "--data"])
        .arg(data);
    command
}

fn address(line: &str, after: &str) -> Option<SocketAddr> {
    let rest = line.split_once(after)?.1;
    let word = rest.split([',', ' ', '\n']).find(|word| !word.is_empty())?;
    word.trim_start_matches("https://").parse().ok()
}

impl Appliance {
    /// Starts on a prepared folder, and waits until it is ready.
    pub(crate) fn start(folder: &TempDir, channel_key: [u8; 32], delegation: &Delegation) -> Self {
        Self::start_with(folder, channel_key, delegation, &[])
    }

    /// The same, with these variables.
    pub(crate) fn start_with(
        folder: &TempDir,
        channel_key: [u8; 32],
        delegation: &Delegation,
        variables: &[(&str, &str)],
    ) -> Self {
        let data = folder.path().join("data");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.path().join("appliance.log"))
            .expect("a log");
        let mut command = command(&data);
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the appliance starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut text = String::new();
        for line in out.lines().map_while(Result::ok) {
            text.push_str(&line);
            text.push('\n');
            if line == "ready" {
                break;
            }
        }
        let log = || std::fs::read_to_string(folder.path().join("appliance.log")).unwrap_or_default();
        let find =
            |after: &str| address(&text, after).unwrap_or_else(|| panic!("no {after} in:\n{text}{}", log()));
        Self {
            data,
            agent: find("agents "),
            http: find("HTTP "),
            tftp: find("TFTP "),
            api: find("page: "),
            fingerprint: text
                .split_once("certificate: ")
                .and_then(|(_, rest)| rest.split(' ').next())
                .expect("a fingerprint")
                .to_string(),
            child,
            channel_key,
            delegation: delegation.clone(),
        }
    }

    /// A new appliance.
    pub(crate) fn fresh() -> (TempDir, Self) {
        let (folder, key, delegation) = prepared();
        let appliance = Self::start(&folder, key, &delegation);
        (folder, appliance)
    }

    /// A new appliance, its password changed, an image published, and a client that is logged in.
    pub(crate) async fn with_image() -> (TempDir, Self, Client, Vec<u8>) {
        let (folder, appliance) = Self::fresh();
        let client = appliance.first_login().await;
        let file = Made::default().file();
        let (status, image) = client.send("POST", "/api/v1/images", file.clone()).await;
        assert_eq!(status, 201, "{image}");
        (folder, appliance, client, file)
    }

    /// `kill -9`, then a new start on the same folder.
    pub(crate) fn crash_and_restart(self, folder: &TempDir) -> Self {
        let (key, delegation) = (self.channel_key, self.delegation.clone());
        drop(self);
        Self::start(folder, key, &delegation)
    }

    pub(crate) fn client(&self) -> Client {
        Client { socket: self.data.join("api.sock"), token: String::new() }
    }

    /// Uses the one-time password and sets another.
    pub(crate) async fn first_login(&self) -> Client {
        let first = std::fs::read_to_string(self.data.join("admin-password")).expect("the password file");
        let mut client = self.client();
        let (status, reply) = client.login("admin", first.trim()).await;
        assert_eq!(status, 200, "{reply}");
        client.token = reply["token"].as_str().expect("a token").to_string();
        let (status, reply) =
            client.json("POST", "/api/v1/password", &json!({"old": first.trim(), "new": PASSWORD})).await;
        assert_eq!(status, 204, "{reply}");
        client
    }

    pub(crate) async fn login(&self) -> Client {
        let mut client = self.client();
        let (status, reply) = client.login("admin", PASSWORD).await;
        assert_eq!(status, 200, "{reply}");
        client.token = reply["token"].as_str().expect("a token").to_string();
        client
    }

    pub(crate) async fn connect(&self, node: &SimNode) -> weft_server::simnode::SimSession {
        self.connect_after(node, (0, 0)).await
    }

    pub(crate) async fn connect_after(
        &self,
        node: &SimNode,
        last: (u64, u64),
    ) -> weft_server::simnode::SimSession {
        node.connect(self.agent, &self.channel_key, &self.delegation, last).await.expect("a session")
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        // SIGKILL: what a test wants kept must be on disk.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client over the Unix socket.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) socket: PathBuf,
    pub(crate) token: String,
}

impl Client {
    pub(crate) async fn request(&self, request: hyper::Request<Full<Bytes>>) -> hyper::Response<Bytes> {
        let stream = UnixStream::connect(&self.socket).await.expect("the socket");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        hyper::Response::from_parts(head, body)
    }

    pub(crate) fn build(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        let builder = hyper::Request::builder().method(method).uri(path).header("host", "weft");
        if self.token.is_empty() {
            builder
        } else {
            builder.header("authorization", format!("Bearer {}", self.token))
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
        let request = self.build(method, path).body(Full::from(body)).expect("a request");
        let answer = self.request(request).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .build(method, path)
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .expect("a request");
        let answer = self.request(request).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, value) = self.send("GET", path, Vec::new()).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> (u16, Value) {
        self.json("POST", "/api/v1/login", &json!({"user": user, "password": password})).await
    }

    pub(crate) async fn approve(&self, node: &SimNode) {
        let (status, reply) = self
            .json(
                "POST",
                &format!("/api/v1/nodes/{}/approve", node.id()),
                &json!({"fingerprint": node.fingerprint()}),
            )
            .await;
        assert_eq!(status, 204, "{reply}");
    }

    /// The node as listed.
    pub(crate) async fn node(&self, node: &SimNode) -> Value {
        self.get(&format!("/api/v1/nodes/{}", node.id())).await
    }

    /// Waits until a path's answer satisfies a condition.
    pub(crate) async fn until(&self, path: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let value = self.get(path).await;
            if good(&value) {
                return value;
            }
            assert!(Instant::now() < end, "never {what}: {value}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for an event of this name.
    pub(crate) async fn event(&self, name: &str) -> Value {
        let all = self
            .until("/api/v1/events?after=0&limit=1000", name, |events| {
                events.as_array().is_some_and(|all| all.iter().any(|event| event["name"] == name))
            })
            .await;
        all.as_array().expect("a list").iter().rfind(|event| event["name"] == name).expect("found").clone()
    }
}

pub(crate) fn sim(number: u8, file: &[u8]) -> SimNode {
    let (manifest, image) = digests(file);
    SimNode::new([2, 0, 0, 0, 0, number], manifest, image)
}
