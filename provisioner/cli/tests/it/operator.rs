//! Without the appliance: credentials, and the verbs that a node answers.

use std::os::unix::fs::PermissionsExt;

use weft_format::operator::verify_amendment;
use weft_types::{BlobDigest, ConfigNumber, NodeId, PartitionId, VsId};
use weft_wire::agent::VsState;
use weft_wire::operator::{Ask, Change, NodeView, PartitionView, ServerView};

use crate::double::Double;
use crate::operator_node::{Node, node_id};
use crate::run::{Outcome, Shell};

const WEB: VsId = VsId([1; 16]);
const BIG: VsId = VsId([2; 16]);
const OLD: VsId = VsId([3; 16]);

fn server(id: VsId, name: &str, spans: bool, wanted: bool) -> ServerView {
    ServerView {
        id,
        name: name.into(),
        wanted,
        state: Some(if wanted { VsState::Running } else { VsState::Stopped }),
        reason: String::new(),
        generation: 4,
        instance: 2,
        ended: false,
        spans,
        loader: node_id(),
        missing: Vec::new(),
    }
}

/// A node with a server of its own and two that span, in a partition whose first configuration was amended once.
fn view() -> NodeView {
    let base = ConfigNumber::of_appliance(1, 7).expect("a number");
    let record = base.amended(1, 5).expect("room");
    NodeView {
        node: node_id(),
        uptime_ms: 61_000,
        guest_memory_mib: 512,
        partition: Some(PartitionView {
            id: PartitionId([5; 16]),
            name: "p1".into(),
            members: vec![node_id(), NodeId([9; 16])],
            view: vec![node_id(), NodeId([9; 16])],
            majority: true,
            epoch: (1 << 32) + 3,
            record: (record.epoch, record.counter),
            changes: vec![Change { vs: OLD, generation: 4, instance: 2, running: true }],
        }),
        servers: vec![
            server(WEB, "web", false, false),
            server(BIG, "big", true, false),
            server(OLD, "old", true, true),
        ],
        ..NodeView::default()
    }
}

/// A shell with a credential, and a node that takes it.
struct Bench {
    shell: Shell,
    double: Double,
    node: Node,
    file: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let double = Double::start();
        let shell = Shell::new(&double);
        let file = shell.home.path().join("me.json").to_str().expect("UTF-8").to_owned();
        let issued = shell.run(&["operator", "issue", name, "--out", &file, "--days", "7"]);
        assert_eq!(issued.code, 0, "{}", issued.err);
        Self { shell, double, node: Node::start(view()), file }
    }

    fn run(&self, words: &[&str]) -> Outcome {
        let at = self.node.at();
        self.shell.run(&[&["--credential", &self.file, "--at", &at], words].concat())
    }

    fn asked(&self) -> Vec<Ask> {
        self.node.door.lock().expect("one test").asked.clone()
    }
}

#[test]
fn a_credential_is_private_and_its_secrets_stay_here() {
    let bench = Bench::new("ann");
    let mode = std::fs::metadata(&bench.file).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&bench.file).expect("read");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let heard = bench.double.world().heard.join("\n");
    assert!(heard.contains("POST /api/v1/operators") && heard.contains("\"days\":7"), "{heard}");
    for secret in ["channel_secret", "sign_secret"] {
        let secret = file[secret].as_str().expect("a key");
        assert!(secret.len() == 64 && !heard.contains(secret), "{heard}");
    }
    let again = bench.shell.run(&["operator", "issue", "ann", "--out", &bench.file]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("is there already") && again.err.contains("--force"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(&bench.file).expect("read"), text, "it is as it was");
}

#[test]
fn a_node_shows_itself_and_its_servers() {
    let bench = Bench::new("ann");
    let list = bench.run(&["vs", "list", "-o", "json"]);
    assert_eq!(list.code, 0, "{}", list.err);
    let servers: serde_json::Value = serde_json::from_str(&list.out).expect("JSON");
    assert_eq!((&servers[0]["name"], &servers[0]["state"]), (&"web".into(), &"stopped".into()));
    assert_eq!((&servers[2]["name"], &servers[2]["node"]), (&"old".into(), &"node-1".into()));
    let at = bench.node.at();
    let shown = bench.shell.run(&["--credential", &bench.file, "node", "show", &at]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    for words in ["agreed", "away", "1.7+1", "p1"] {
        assert!(shown.out.contains(words), "{words}: {}", shown.out);
    }
    let nodes = bench.run(&["node", "list"]);
    assert!(nodes.out.contains("node-1") && nodes.out.contains("127.0.0.1"), "{}", nodes.out);
    assert_eq!(bench.run(&["event", "list"]).code, 0);
}

#[test]
fn a_server_of_one_node_is_asked_of_that_node() {
    let bench = Bench::new("ann");
    let done = bench.run(&["vs", "start", "web"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(bench.asked().contains(&Ask::Want { vs: WEB, running: true }));
    let reason = "file 0101 of web is not held by this node".to_string();
    bench.node.door.lock().expect("one test").refusal = Some(reason.clone());
    let refused = bench.run(&["vs", "start", "web"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains(&reason), "{}", refused.err);
    assert_eq!(bench.run(&["vs", "start", "nobody"]).code, 3);
}

#[test]
fn what_spans_nodes_becomes_one_signed_amendment_of_all_that_differs() {
    let bench = Bench::new("ann");
    let done = bench.run(&["configure", "--start", "big", "--stop", "old"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("the members have agreed"), "{}", done.err);
    let asked = bench.asked();
    let signed = asked.iter().find_map(|ask| match ask {
        Ask::Amend(signed) => Some(signed.clone()),
        _ => None,
    });
    let heard = bench.double.world().heard.join("\n");
    let body = heard.split_once("/api/v1/operators ").expect("issued").1;
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let key = body["sign_key"].as_str().expect("a key");
    let key: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("hexadecimal")).collect();
    let key: [u8; 32] = key.try_into().expect("32 bytes");
    let amendment = verify_amendment(&signed.expect("asked"), &key, &weft_format::DalekVerifier);
    let amendment = amendment.expect("signed by the credential's key");
    let base = ConfigNumber::of_appliance(1, 7).expect("a number");
    assert_eq!((amendment.base, amendment.number), ((base.epoch, base.counter), 2));
    let change = |vs, instance, running| Change { vs, generation: 5, instance, running };
    assert_eq!(amendment.changes, [change(BIG, 3, true), change(OLD, 2, false)]);
    // A refusal comes with the members' reason.
    bench.node.door.lock().expect("one test").refusal = Some("no majority: 1 of 3 members answer".into());
    let refused = bench.run(&["vs", "stop", "old"]);
    assert_eq!(refused.code, 4);
    assert!(refused.err.contains("no majority: 1 of 3 members answer"), "{}", refused.err);
}

#[test]
fn a_start_without_its_files_is_not_even_asked() {
    let bench = Bench::new("ann");
    bench.node.door.lock().expect("one test").view.servers[1].missing = vec![BlobDigest([0xab; 32])];
    let refused = bench.run(&["vs", "start", "big"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains(&"ab".repeat(32)) && refused.err.contains("next:"), "{}", refused.err);
    assert!(bench.asked().iter().all(|ask| matches!(ask, Ask::View)), "{:?}", bench.asked());
    // What runs already needs nothing.
    bench.node.door.lock().expect("one test").view.servers[2].missing = vec![BlobDigest([0xab; 32])];
    assert_eq!(bench.run(&["vs", "start", "old"]).code, 0);
}

#[test]
fn refusals_have_their_exit_codes() {
    let bench = Bench::new("late");
    let late = bench.run(&["vs", "list"]);
    assert_eq!(late.code, 5, "{}", late.err);
    assert!(late.err.contains("this credential is expired"), "{}", late.err);
    // Somebody else's node, and nobody.
    let text = std::fs::read_to_string(&bench.file).expect("read");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let key = file["nodes"][0]["key"].as_str().expect("a key");
    let other = bench.shell.file("other.json", text.replace(key, &"22".repeat(32)).as_bytes());
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&other, mode).expect("mode");
    let at = bench.node.at();
    let open = bench.shell.run(&["--credential", &other, "--at", &at, "vs", "list"]);
    assert_eq!(open.code, 2, "{}", open.err);
    assert!(open.err.contains("can be read by others") && open.err.contains("chmod 600"), "{}", open.err);
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let wrong = bench.shell.run(&["--credential", &other, "--at", &at, "vs", "list"]);
    assert_eq!(wrong.code, 5, "{}", wrong.err);
    assert!(wrong.err.contains("does not know this credential"), "{}", wrong.err);
    let nobody = bench.shell.run(&["--credential", &bench.file, "--at", "node-1=127.0.0.1:1", "vs", "list"]);
    assert_eq!(nobody.code, 6, "{}", nobody.err);
    let dry = ["vs", "start", "web", "--dry-run"];
    for words in
        [&["vs", "console", "web"][..], &["node", "approve", "node-1"], &["configure", "node-1"], &dry]
    {
        assert_eq!(bench.run(words).code, 2, "{words:?}");
    }
    let alone = bench.shell.run(&["--at", "node-1", "vs", "list"]);
    assert_eq!(alone.code, 2);
    assert!(alone.err.contains("--at needs --credential"), "{}", alone.err);
    let plain = bench.shell.run(&["configure", "node-1", "--start", "web"]);
    assert_eq!(plain.code, 2);
}
