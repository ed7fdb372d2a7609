//! The whole workflow by the command line's verbs, with files and passphrases.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::blank_image_pinning;
use clap::Parser;
use weft_signing::cli::{Report, SigningCommand};

#[derive(Debug, Parser)]
struct Program {
    #[command(subcommand)]
    command: SigningCommand,
}

/// A folder with a passphrase file; verbs run with names of files in it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("folder") };
        desk.secret("pass", "correct horse\n");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write");
        mode(&self.path(name), 0o600);
    }

    /// Words that open with `@` are files of the folder.
    fn run(&self, line: &str) -> Result<Report, String> {
        let words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        });
        let program = Program::try_parse_from(std::iter::once("weft".to_owned()).chain(words))
            .map_err(|error| error.to_string())?;
        program.command.execute().map_err(|error| format!("{error:#}"))
    }

    fn ok(&self, line: &str) -> Report {
        self.run(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn refused(&self, line: &str, why: &str) {
        let error = self.run(line).expect_err(line);
        assert!(error.contains(why), "{line}: {error}");
    }

    fn keys(&self, names: &[&str]) {
        for name in names {
            self.ok(&format!(
                "key new --rounds 100000 --name {name} --out @{name}.key --passphrase-file @pass"
            ));
        }
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn an_image_goes_from_build_to_verified_by_separate_holders() {
    let desk = Desk::new();
    desk.keys(&["alice", "bob", "carol"]);
    desk.ok("root new --threshold 2 --holder @alice.pub --holder @bob.pub --holder @carol.pub --out @roots");
    let roots = fs::read(desk.path("roots")).expect("read");
    fs::write(desk.path("weft.efi"), blank_image_pinning(&roots, b"payload")).expect("write");
    desk.refused("image verify @weft.efi --roots @roots", "unsigned");
    let release =
        "--build-id b1 --generation 3 --least-generation 2 --not-before 2020-01-01 --expires 2030-01-01";
    desk.ok(&format!("image build-manifest @weft.efi --roots @roots {release}"));
    desk.refused("image verify @weft.efi --roots @roots", "unsigned");
    let first = desk.ok("image sign @weft.efi --roots @roots --key @alice.key --passphrase-file @pass");
    assert_eq!(first.get("state").and_then(|value| value.as_str()), Some("partly-signed"));
    desk.refused("image verify @weft.efi --roots @roots", "signed by 1");
    desk.refused(
        "image sign @weft.efi --roots @roots --key @alice.key --passphrase-file @pass",
        "signed this already",
    );
    let second = desk.ok("image sign @weft.efi --roots @roots --key @carol.key --passphrase-file @pass");
    assert_eq!(second.get("state").and_then(|value| value.as_str()), Some("signed"));
    desk.ok("image verify @weft.efi --roots @roots --at 2025-06-01");
    desk.refused("image verify @weft.efi --roots @roots --at 2030-01-01", "expired");
    desk.refused("image verify @weft.efi --roots @roots --at 2019-12-31", "not valid before");
    desk.refused("image verify @weft.efi --roots @roots --at 2025-06-01 --floor 4", "older than the floor");
    let seen = desk.ok("image inspect @weft.efi");
    assert_eq!(seen.get("state").and_then(|value| value.as_str()), Some("intact"));
    desk.ok("image extract-manifest @weft.efi --out @manifest");
    assert_eq!(fs::read(desk.path("manifest")).expect("read").len(), 4096);
}

#[test]
fn a_key_is_private_encrypted_and_never_overwritten() {
    let desk = Desk::new();
    desk.keys(&["alice"]);
    let key = desk.path("alice.key");
    assert_eq!(fs::metadata(&key).expect("metadata").permissions().mode() & 0o777, 0o600);
    desk.refused("key new --name alice --out @alice.key --passphrase-file @pass", "exists already");
    desk.ok("root new --lab --threshold 1 --holder @alice.pub --out @roots");
    let rotate = "root rotate --roots @roots --threshold 1 --holder @alice.pub --out @rotation";
    desk.ok(rotate);
    let sign = "root sign @rotation --roots @roots --key @alice.key --passphrase-file";
    desk.secret("wrong", "wrong horse\n");
    desk.refused(&format!("{sign} @wrong"), "wrong passphrase");
    mode(&desk.path("pass"), 0o644);
    desk.refused(&format!("{sign} @pass"), "lets others read it");
    mode(&desk.path("pass"), 0o600);
    mode(&key, 0o640);
    desk.refused(&format!("{sign} @pass"), "lets others read it");
    mode(&key, 0o600);
    desk.ok(&format!("{sign} @pass"));
}

#[test]
fn a_passphrase_is_no_argument_and_not_too_short() {
    let desk = Desk::new();
    desk.refused("key new --name alice --out @alice.key --passphrase sesame", "unexpected argument");
    desk.secret("short", "7 bytes\n");
    desk.refused("key new --name alice --out @alice.key --passphrase-file @short", "shorter than 8");
    assert!(!desk.path("alice.key").exists());
}

#[test]
fn a_passphrase_can_be_changed() {
    let desk = Desk::new();
    desk.keys(&["alice"]);
    desk.secret("new", "battery staple\n");
    let change = "key change-passphrase @alice.key --passphrase-file @pass --new-passphrase-file @new";
    desk.ok(change);
    desk.refused(change, "wrong passphrase");
    let mode = fs::metadata(desk.path("alice.key")).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_root_set_is_handed_over_by_its_old_and_new_holders() {
    let desk = Desk::new();
    desk.keys(&["alice", "bob"]);
    desk.ok("root new --threshold 1 --holder @alice.pub --out @roots1");
    desk.ok("root rotate --roots @roots1 --threshold 1 --holder @bob.pub --out @rotation");
    let accept = "root accept @rotation --roots @roots1 --out @roots2";
    desk.refused(accept, "unsigned");
    desk.ok("root sign @rotation --roots @roots1 --key @alice.key --passphrase-file @pass");
    desk.refused(accept, "signed by 0, and the root set asks for 1");
    desk.ok("root sign @rotation --roots @roots1 --key @bob.key --passphrase-file @pass");
    let new = desk.ok(accept);
    assert_eq!(new.get("version").and_then(|value| value.as_u64()), Some(2));
    desk.refused("root accept @rotation --roots @roots2 --out @roots3", "another root set");
}

#[test]
fn a_lab_root_set_says_so() {
    let desk = Desk::new();
    desk.keys(&["alice"]);
    desk.ok("root new --lab --threshold 1 --holder @alice.pub --out @roots");
    let shown = desk.ok("root show --roots @roots");
    assert_eq!(shown.get("lab").and_then(|value| value.as_bool()), Some(true));
}

#[test]
fn a_delegation_is_made_signed_and_judged() {
    let desk = Desk::new();
    desk.keys(&["alice", "bob"]);
    desk.ok("root new --threshold 2 --holder @alice.pub --holder @bob.pub --out @roots");
    let channel = "11".repeat(32);
    let record = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let new = |fields: &str| {
        format!(
            "delegation new --roots @roots --delegation-version 1 --expires 90d --out @delegation --appliance {fields}"
        )
    };
    desk.ok(&new(&format!("name=hall-a,channel={channel},record={record},address=10.0.0.1")));
    for name in ["alice", "bob"] {
        desk.refused("delegation verify @delegation --roots @roots", "delegation refused");
        desk.ok(&format!(
            "delegation sign @delegation --roots @roots --key @{name}.key --passphrase-file @pass"
        ));
    }
    let good = desk.ok("delegation verify @delegation --roots @roots");
    assert_eq!(good.get("appliances").and_then(|list| list[0]["http_port"].as_u64()), Some(80));
    desk.refused("delegation verify @delegation --roots @roots --at 100d", "expired");
    desk.refused("revocation verify @delegation --roots @roots", "is no revocation list");
    for bad in ["name=a", "nonsense", "name=a,channel=00,record=00", "name=a,colour=red"] {
        assert!(desk.run(&new(bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_revocation_list_keeps_what_was_revoked_before() {
    let desk = Desk::new();
    desk.keys(&["alice"]);
    desk.ok("root new --threshold 1 --holder @alice.pub --out @roots");
    let (one, two) = ("11".repeat(32), "22".repeat(32));
    desk.ok(&format!("revocation new --roots @roots --image {two} --out @list1"));
    desk.ok(&format!("revocation new --roots @roots --from @list1 --image {one} --out @list2"));
    desk.ok("revocation sign @list2 --roots @roots --key @alice.key --passphrase-file @pass");
    let list = desk.ok("revocation verify @list2 --roots @roots");
    assert_eq!(list.get("version").and_then(|value| value.as_u64()), Some(2));
    assert_eq!(list.get("revoked_images"), Some(&serde_json::json!([one, two])));
}

#[test]
fn files_of_other_kinds_are_named_as_such() {
    let desk = Desk::new();
    desk.keys(&["alice"]);
    desk.ok("root new --threshold 1 --holder @alice.pub --out @roots");
    desk.refused("key show @pass", "no key file of ours");
    desk.refused("root show --roots @pass", "root set");
    desk.refused("image inspect @roots", "no PE signature");
    desk.refused("root accept @roots --roots @roots --out @x", "no root set rotation");
    desk.refused("image inspect @absent", "cannot open");
}
