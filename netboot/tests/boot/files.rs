//! Boot files for the tests: built once, signed by a root of two of three that lives in memory.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use weft_format::RootSet;
use weft_netboot::authenticode::{self, AuthenticodeError};
use weft_netboot::build::{self, Job};
use weft_netboot::image::{BootFiles, Monitor, boot_files};
use weft_netboot::secureboot::{self, Keys};
use weft_signing::image::{Release, place_manifest, sign};
use weft_signing::{Holder, document};

/// All that the tests share.
pub(crate) struct Shared {
    pub(crate) built: BootFiles,
    pub(crate) holders: Vec<Holder>,
    pub(crate) roots: RootSet,
}

/// Builds on first use.
pub(crate) fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let holders: Vec<Holder> =
            ["anna", "ben", "cleo"].iter().map(|name| Holder::generate(name).expect("a key")).collect();
        let keys: Vec<[u8; 32]> = holders.iter().map(|holder| *holder.public_key()).collect();
        let roots = RootSet::new(1, 2, &keys, true).expect("a root set");
        let monitor = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/monitor");
        let (workspace, target_dir) = (build::workspace(), build::target_dir());
        let job = Job { workspace: &workspace, root: &workspace, target_dir: &target_dir, profile: "node" };
        let monitor = Monitor { workspace: &monitor, package: "boot-monitor" };
        let built = boot_files(&job, monitor, &document::root_set(&roots)).expect("boot files");
        Shared { built, holders, roots }
    })
}

/// An image of some generation, signed by the first `signers` holders.
pub(crate) fn image(generation: u64, least_generation: u64, signers: usize) -> Vec<u8> {
    let shared = shared();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let release = Release {
        build_id: format!("test-{generation}"),
        generation,
        least_generation,
        not_before: now - 60,
        expiry: now + 3600,
    };
    let mut file = shared.built.efi.clone();
    place_manifest(&mut file, &release, &shared.roots).expect("a manifest");
    for holder in shared.holders.iter().take(signers) {
        sign(&mut file, holder, &shared.roots).expect("a signature");
    }
    file
}

/// Secure Boot keys of the machine's owner, or of a stranger, and a store with them enrolled.
pub(crate) struct Owner {
    pub(crate) keys: Keys,
    pub(crate) store: PathBuf,
}

/// Makes an owner once a run.
pub(crate) fn owner(folder: &Path) -> Owner {
    let keys = secureboot::make_keys(&folder.join("keys")).expect("Secure Boot keys");
    let store = folder.join("enrolled.fd");
    let template = super::machine::require(super::machine::VARIABLES, "ovmf");
    let tools = build::target_dir().join("tools");
    secureboot::enroll(&template, &keys, &store, &tools).expect("enrolled keys");
    Owner { keys, store }
}

/// `image` with Authenticode by `owner`.
pub(crate) fn authenticode(owner: &Owner, image: &[u8]) -> Vec<u8> {
    try_authenticode(owner, image, &shared().roots).expect("Authenticode")
}

/// `image` with Authenticode by `owner`, if `roots` accept it.
pub(crate) fn try_authenticode(
    owner: &Owner,
    image: &[u8],
    roots: &RootSet,
) -> Result<Vec<u8>, AuthenticodeError> {
    authenticode::sign(image, roots, &owner.keys.db.key, &owner.keys.db.certificate)
}

/// A folder for one test.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("weft-boot-").tempdir_in(env::temp_dir()).expect("a temporary folder")
}

/// Puts `bytes` where the machine's TFTP server finds them.
pub(crate) fn offer(folder: &Path, bytes: &[u8]) -> PathBuf {
    let offered = folder.join("tftp");
    fs::create_dir_all(&offered).expect("a folder");
    fs::write(offered.join("weft.efi"), bytes).expect("an image");
    offered
}

/// `bytes` with one bit changed in the middle of the section `name`.
pub(crate) fn flip(bytes: &[u8], name: &str) -> Vec<u8> {
    let range = weft_format::pe::find_section(bytes, name).and_then(|section| section.content_range());
    let range = range.expect("the section");
    let mut changed = bytes.to_vec();
    changed[range.start + range.len() / 2] ^= 1;
    changed
}

/// Serves `body` for any path over HTTP on a port of the loopback, as long as the test program runs.
pub(crate) fn serve(body: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is not this server's concern.
            let _ = answer(stream, &body);
        }
    });
    port
}

fn answer(mut stream: TcpStream, body: &[u8]) -> io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if request.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while request.read_line(&mut line)? > 2 {
            line.clear();
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/efi\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        if first.starts_with("GET ") {
            stream.write_all(body)?;
        }
    }
}
