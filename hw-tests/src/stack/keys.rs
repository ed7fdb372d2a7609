//! This machine's own lab keys: root holders, root set, Secure Boot keys. Made once, kept in `target/lab-keys`,
//! never committed; the root set says that it is a lab's, and an appliance on a real network refuses it.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use weft_format::RootSet;
use weft_netboot::secureboot::{self, Keys};
use weft_signing::passphrase::Source;
use weft_signing::{Holder, document, keyfile};

use crate::workspace::{root, target};

/// Root holders; two of the three sign.
const HOLDERS: &[&str] = &["alice", "bruno", "clara"];
/// Signatures needed.
const THRESHOLD: usize = 2;

/// The lab's keys on disk.
#[derive(Debug)]
pub struct LabKeys {
    folder: PathBuf,
    roots: RootSet,
    secure_boot: Keys,
}

impl LabKeys {
    /// Makes what is missing and opens the rest.
    pub fn open() -> anyhow::Result<Self> {
        let folder = root().join("target/lab-keys");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("{}", folder.display()))?;
        let file = folder.join("roots.bin");
        if !file.exists() {
            let mut keys = Vec::new();
            for name in HOLDERS {
                keys.push(make_holder(&folder, name)?);
            }
            let roots = RootSet::new(1, THRESHOLD, &keys, true)?;
            write(&file, &document::root_set(&roots))?;
        }
        let bytes = std::fs::read(&file).with_context(|| format!("{}", file.display()))?;
        let roots = RootSet::parse(&bytes).with_context(|| format!("{}", file.display()))?;
        let secure_boot = secureboot::make_keys(&folder.join("secure-boot"))?;
        Ok(Self { folder, roots, secure_boot })
    }

    /// The root set.
    pub fn roots(&self) -> &RootSet {
        &self.roots
    }

    /// The root set's file.
    pub fn roots_file(&self) -> PathBuf {
        self.folder.join("roots.bin")
    }

    /// Secure Boot keys.
    pub fn secure_boot(&self) -> &Keys {
        &self.secure_boot
    }

    /// As many holders as must sign, each opened with its own passphrase.
    pub fn signers(&self) -> anyhow::Result<Vec<Holder>> {
        HOLDERS.iter().take(THRESHOLD).map(|name| open_holder(&self.folder, name)).collect()
    }

    /// OVMF's variable store with our Secure Boot keys enrolled.
    pub fn variable_store(&self) -> anyhow::Result<PathBuf> {
        let store = self.folder.join("secure-boot/variables.fd");
        if !store.exists() {
            let template = Path::new("/usr/share/OVMF/OVMF_VARS_4M.fd");
            secureboot::enroll(template, &self.secure_boot, &store, &target().join("tools"))?;
        }
        Ok(store)
    }
}

fn passphrase_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.passphrase"))
}

fn make_holder(folder: &Path, name: &str) -> anyhow::Result<[u8; 32]> {
    let holder = Holder::generate(name)?;
    let passphrase = passphrase_file(folder, name);
    write(&passphrase, format!("{}\n", random_words()?).as_bytes())?;
    let key = folder.join(format!("{name}.key"));
    if key.exists() {
        std::fs::remove_file(&key).with_context(|| format!("{}", key.display()))?;
    }
    keyfile::create(&key, &holder, &Source::File(passphrase).read_new()?)?;
    Ok(*holder.public_key())
}

fn open_holder(folder: &Path, name: &str) -> anyhow::Result<Holder> {
    let passphrase = Source::File(passphrase_file(folder, name)).read("")?;
    Ok(keyfile::open(&folder.join(format!("{name}.key")), &passphrase)?)
}

/// 192 random bits, printable.
pub fn random_words() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only its owner reads.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{}", path.display()))?;
    file.write_all(bytes).with_context(|| format!("{}", path.display()))
}
