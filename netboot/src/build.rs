//! Compiling the programs that run without an operating system.
//!
//! One switch: where the active rustup toolchain has the bare-metal target installed, it is used as it
//! is; elsewhere Debian's `cargo-web`, `rustc-web` and `rust-web-src` build `core` and `alloc` from
//! source. A build does not depend on the folder it runs in: paths are remapped, and nothing reads
//! the clock.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// A target without an operating system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// `x86_64-unknown-none`: the monitor and the BIOS entry.
    None,
    /// `x86_64-unknown-uefi`: the stub.
    Uefi,
}

impl Target {
    /// Its name.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::None => "x86_64-unknown-none",
            Self::Uefi => "x86_64-unknown-uefi",
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Uefi => ".efi",
        }
    }

    const fn debian_linker(self) -> &'static str {
        match self {
            Self::None => "ld.lld",
            Self::Uefi => "lld-link",
        }
    }
}

/// Why a program was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool could not be started.
    #[error("cannot run {tool}: {source}")]
    Run {
        /// Which.
        tool: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither toolchain is there.
    #[error(
        "no toolchain for {0}: install Debian's rustc-web, cargo-web, rust-web-src and lld, \
         or `rustup target add {0}`"
    )]
    NoToolchain(&'static str),
    /// Cargo failed; its own words went to standard error.
    #[error("building {package} for {target} failed: {status}")]
    Failed {
        /// What was built.
        package: String,
        /// For which target.
        target: &'static str,
        /// Cargo's status.
        status: ExitStatus,
    },
}

/// Back ends without SIMD: the soft-float targets have none, and Debian's compiler crashes on it.
const SOFT: [&str; 6] = [
    "curve25519_dalek_backend=\"serial\"",
    "poly1305_force_soft",
    "chacha20_force_soft",
    "aes_force_soft",
    "polyval_force_soft",
    "sha2_backend=\"soft\"",
];

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Which compiler builds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Toolchain {
    /// The active rustup toolchain, target installed.
    Rustup { cargo: PathBuf, sysroot: PathBuf },
    /// Debian's, which builds `core` and `alloc` too.
    Debian { sysroot: PathBuf },
}

fn output(tool: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(args).env_remove("RUSTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn toolchain(target: Target) -> Result<Toolchain, BuildError> {
    let sysroot = output(Path::new("rustc"), &["--print", "sysroot"]).map(PathBuf::from);
    if let Some(sysroot) = sysroot
        && sysroot.join("lib/rustlib").join(target.triple()).join("lib").is_dir()
    {
        return Ok(Toolchain::Rustup { cargo: "cargo".into(), sysroot });
    }
    let rustc = Path::new(DEBIAN_RUSTC);
    let sysroot = output(rustc, &["--print", "sysroot"]).map(PathBuf::from);
    let source = |root: &PathBuf| root.join("lib/rustlib/src/rust/library/core").is_dir();
    match sysroot.filter(source).filter(|_| Path::new(DEBIAN_CARGO).exists()) {
        Some(sysroot) => Ok(Toolchain::Debian { sysroot }),
        None => Err(BuildError::NoToolchain(target.triple())),
    }
}

/// The workspace that this program was built from.
pub fn workspace() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().unwrap_or(folder).to_owned()
}

/// Where cargo puts its work: `CARGO_TARGET_DIR`, else `target` in the workspace.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// Folder of the workspace's `Cargo.toml`.
    pub workspace: &'a Path,
    /// Folder that goes by `/weft` in the programs, wherever it is; holds the workspace.
    pub root: &'a Path,
    /// Where cargo puts its work; the bare-metal programs get the folder `bare` in it.
    pub target_dir: &'a Path,
    /// Cargo profile; `node` for what ships.
    pub profile: &'a str,
}

fn cargo_home() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_else(|| "/".into())
}

fn flags(job: &Job<'_>, target: Target, toolchain: &Toolchain) -> OsString {
    let mut flags: Vec<OsString> = Vec::new();
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    let (Toolchain::Rustup { sysroot, .. } | Toolchain::Debian { sysroot }) = toolchain;
    remap(&cargo_home(), "/cargo");
    remap(job.root, "/weft");
    remap(&sysroot.join("lib/rustlib/src/rust"), "/rust");
    for cfg in SOFT {
        flags.push("--cfg".into());
        flags.push(cfg.into());
    }
    if target == Target::None {
        flags.push("-Crelocation-model=static".into());
    }
    if matches!(toolchain, Toolchain::Debian { .. }) {
        flags.push(format!("-Clinker={}", target.debian_linker()).into());
    }
    flags.join(&OsString::from("\u{1f}"))
}

/// Builds the binary of `package`, which has the package's name, and returns its path.
pub fn bare_metal(job: &Job<'_>, package: &str, target: Target) -> Result<PathBuf, BuildError> {
    let toolchain = toolchain(target)?;
    let target_dir = job.target_dir.join("bare");
    let mut command = match &toolchain {
        Toolchain::Rustup { cargo, .. } => Command::new(cargo),
        Toolchain::Debian { .. } => {
            let mut command = Command::new(DEBIAN_CARGO);
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            command
        }
    };
    // Cargo tells its children about itself; the inner cargo must not inherit that.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    command.current_dir(job.workspace);
    command.args(["build", "--package", package, "--target", target.triple()]);
    command.args(["--profile", job.profile]);
    if matches!(toolchain, Toolchain::Debian { .. }) {
        command.args(["-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem"]);
    }
    command.arg("--target-dir").arg(&target_dir);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(job, target, &toolchain));
    let tool = || PathBuf::from(command.get_program());
    let program = tool();
    let status = command.status().map_err(|source| BuildError::Run { tool: program, source })?;
    if !status.success() {
        let target = target.triple();
        return Err(BuildError::Failed { package: package.to_owned(), target, status });
    }
    let folder = if job.profile == "dev" { "debug" } else { job.profile };
    let file = format!("{package}{}", target.suffix());
    Ok(target_dir.join(target.triple()).join(folder).join(file))
}
