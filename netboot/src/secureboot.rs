//! Secure Boot with our own keys: making them, and putting them into a variable store of OVMF.
//!
//! Real machines take the same certificates through their set-up screens (`docs/boot.md`). For emulated
//! ones `virt-fw-vars` from PyPI's `virt-firmware` writes the store; it lives in a Python environment in
//! the build folder and is never installed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::tool::{ToolError, run};

/// Version of `virt-firmware` that is known to work.
const VIRT_FIRMWARE: &str = "virt-firmware==26.10";
/// Owner GUID of our entries in PK, KEK and db.
const OWNER: &str = "5f3c1b0e-7d52-4a86-9c1d-3ae2f04b86d7";

/// Why keys were not made or enrolled.
#[derive(Debug, thiserror::Error)]
pub enum SecureBootError {
    /// A program.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A private key and its self-signed certificate, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key's file, readable by its owner only.
    pub key: PathBuf,
    /// The certificate's file.
    pub certificate: PathBuf,
}

/// The three of a machine owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Platform key.
    pub pk: KeyPair,
    /// Key exchange key.
    pub kek: KeyPair,
    /// The one that signs images.
    pub db: KeyPair,
}

impl Keys {
    /// Where [`make_keys`] puts them.
    pub fn in_folder(folder: &Path) -> Self {
        let pair = |name: &str| KeyPair {
            key: folder.join(format!("{name}.key")),
            certificate: folder.join(format!("{name}.pem")),
        };
        Self { pk: pair("pk"), kek: pair("kek"), db: pair("db") }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SecureBootError + '_ {
    move |source| SecureBootError::Io { path: path.to_owned(), source }
}

/// Makes the keys that are missing in `folder` (RSA 2048, ten years) and returns all.
pub fn make_keys(folder: &Path) -> Result<Keys, SecureBootError> {
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io_error(folder))?;
    let keys = Keys::in_folder(folder);
    for (pair, name) in [(&keys.pk, "platform"), (&keys.kek, "exchange"), (&keys.db, "image signing")] {
        if pair.key.exists() && pair.certificate.exists() {
            continue;
        }
        let subject = format!("/CN=Weft {name} key");
        let fixed = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-sha256", "-subj"];
        let mut args: Vec<&std::ffi::OsStr> = fixed.iter().map(AsRef::as_ref).collect();
        args.extend([subject.as_ref(), "-keyout".as_ref(), pair.key.as_os_str()]);
        args.extend(["-out".as_ref(), pair.certificate.as_os_str()]);
        run("openssl", "openssl", args)?;
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).map_err(io_error(&pair.key))?;
    }
    Ok(keys)
}

/// `virt-fw-vars`, in a Python environment below `tools` that is made on first use.
fn virt_fw_vars(tools: &Path) -> Result<PathBuf, SecureBootError> {
    let environment = tools.join("virt-firmware");
    let program = environment.join("bin/virt-fw-vars");
    if !program.exists() {
        fs::create_dir_all(tools).map_err(io_error(tools))?;
        run("python3", "python3", ["-m".as_ref(), "venv".as_ref(), environment.as_os_str()])?;
        run(environment.join("bin/pip"), "python3-venv", ["install", "--quiet", VIRT_FIRMWARE])?;
    }
    Ok(program)
}

/// Writes to `out` a copy of the variable store `template` with `keys` enrolled and Secure Boot on.
/// `tools` is a folder for the enrolling program.
pub fn enroll(template: &Path, keys: &Keys, out: &Path, tools: &Path) -> Result<(), SecureBootError> {
    let program = virt_fw_vars(tools)?;
    let mut args: Vec<&std::ffi::OsStr> = vec!["--input".as_ref(), template.as_os_str()];
    for (option, pair) in [("--set-pk", &keys.pk), ("--add-kek", &keys.kek), ("--add-db", &keys.db)] {
        args.extend([option.as_ref(), OWNER.as_ref(), pair.certificate.as_os_str()]);
    }
    args.extend(["--sb".as_ref(), "--output".as_ref(), out.as_os_str()]);
    run(program, "virt-firmware", args)?;
    Ok(())
}

/// Writes to `out` a copy of the variable store `store` whose next boot fetches `uri` by HTTP boot.
pub fn set_boot_uri(store: &Path, uri: &str, out: &Path, tools: &Path) -> Result<(), SecureBootError> {
    let program = virt_fw_vars(tools)?;
    let args: [&std::ffi::OsStr; 6] = [
        "--input".as_ref(),
        store.as_os_str(),
        "--set-boot-uri".as_ref(),
        uri.as_ref(),
        "--output".as_ref(),
        out.as_os_str(),
    ];
    run(program, "virt-firmware", args)?;
    Ok(())
}
