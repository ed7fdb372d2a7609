//! A real relay between a real client and this project's DHCP server: Debian's `dhcrelay` and busybox's `udhcpc`, unpacked and
//! not installed, in network namespaces of their own.
//!
//! The relay is told to add option 82 and to drop answers that do not bring it back, so a lease proves the echo.

use std::process::Command;

use weft_storm::bench::unpack;

const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/relay/network.sh");

#[test]
fn clients_behind_a_real_relay_get_leases_and_their_boot_file() {
    let relay = unpack("dhcrelay", &["isc-dhcp-relay"]).expect("the relay's package");
    let client = unpack("busybox", &["busybox-static"]).expect("the client's package");
    let out = tempfile::tempdir().expect("a folder");
    let settings = r#"{"address":"10.77.0.1","prefix":12,"device":null,"size_bytes":1000,"tftp_port":69,"http_port":80,
        "dhcp_ports":{"server":67,"relay":67,"client":68,"pxe":4011}}"#;
    let mut run = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        run.args(["--user", "--map-root-user"]);
    }
    run.args(["--net", "--", "sh", NETWORK])
        .env("SERVER", env!("CARGO_BIN_EXE_weft-storm"))
        .env("SETTINGS", settings)
        .env("JOURNAL", out.path().join("leases.journal"))
        .env("DHCRELAY", relay.join("usr/sbin/dhcrelay"))
        .env("BUSYBOX", client.join("bin/busybox"))
        .env("OUT", out.path());
    let done = run.output().expect("unshare (util-linux)");
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap_or_default();
    let said = format!(
        "{}\n{}\n{}\n{}",
        String::from_utf8_lossy(&done.stderr),
        read("server.log"),
        read("relay.log"),
        read("client.log")
    );
    assert!(done.status.success(), "{said}");

    let leases = read("leases");
    let field = |line: &str, name: &str| -> String {
        let found = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    let [first, again, pxe] = leases.lines().collect::<Vec<_>>()[..] else {
        panic!("three leases: {leases}{said}")
    };
    for line in [first, again, pxe] {
        assert_eq!(field(line, "server"), "10.77.0.1", "{leases}");
    }
    assert_eq!(field(first, "ip"), field(again, "ip"), "a client keeps its address");
    assert_ne!(field(first, "ip"), field(pxe, "ip"));
    assert_eq!(field(pxe, "boot"), "weft.efi");
    let relayed = read("relay.log");
    assert!(relayed.contains("relay agent option") && relayed.contains("Forwarded BOOTREPLY"), "{relayed}");
    let journal = std::fs::metadata(out.path().join("leases.journal")).expect("the journal");
    assert!(journal.len() > 0, "leases are on disk");
}
