//! `weft-netboot`: boot files for this machine's own lab, Secure Boot stores, and the proof that a
//! build does not depend on its folder.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use weft_format::RootSet;
use weft_netboot::build::{self, Job};
use weft_netboot::image::{Monitor, boot_files};
use weft_netboot::{authenticode, reproduce, secureboot};
use weft_signing::image::{Release, place_manifest, section, sign};
use weft_signing::{Holder, document};

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "Builds and assembles Weft's boot files")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, sign it with this machine's lab root and its own db key (made on first use).
    Build(Build),
    /// Write a copy of a variable store with this machine's Secure Boot keys enrolled.
    Enroll {
        /// Store to start from.
        #[arg(long, default_value = "/usr/share/OVMF/OVMF_VARS_4M.fd")]
        template: PathBuf,
        /// Folder of the keys.
        #[arg(long, default_value = "target/image/secureboot")]
        keys: PathBuf,
        /// Store to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Build the boot files that pin a given root set, unsigned: holders sign them afterwards (`weft image`).
    Unsigned {
        /// Root set.
        #[arg(long)]
        roots: PathBuf,
        /// Folder for `weft.efi` and `weft.bios`.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make Secure Boot keys (PK, KEK, db) for a site; keep them as safe as a holder's key.
    Keys {
        /// Folder, made on first use.
        #[arg(long)]
        out: PathBuf,
    },
    /// Sign an image for Secure Boot, last of all: refused unless enough holders signed its manifest.
    Authenticode {
        /// Image, changed in place.
        image: PathBuf,
        /// Root set that judges it.
        #[arg(long)]
        roots: PathBuf,
        /// Private db key, PEM.
        #[arg(long)]
        key: PathBuf,
        /// Its certificate, PEM.
        #[arg(long)]
        certificate: PathBuf,
    },
    /// Build twice in different folders and compare the image digests.
    Reproduce,
}

#[derive(clap::Args)]
struct Build {
    /// Folder for `weft.efi`, `weft.bios`, `manifest`, `root-set` and `dvmm.elf`.
    #[arg(long, default_value = "target/image")]
    out: PathBuf,
    /// Package that is the monitor.
    #[arg(long, default_value = "weft-dvmm")]
    monitor: String,
    /// Workspace of the monitor, when it is not this one.
    #[arg(long)]
    monitor_workspace: Option<PathBuf>,
    /// Cargo profile.
    #[arg(long, default_value = "node")]
    profile: String,
    /// Generation that the manifest names.
    #[arg(long, default_value_t = 1)]
    generation: u64,
}

/// The lab root's only holder. Its seed stays in the output folder, readable by its owner.
fn lab_holder(out: &Path) -> Result<Holder, Box<dyn Error>> {
    let file = out.join("lab-root.seed");
    let mut seed = [0; 32];
    if file.exists() {
        seed = fs::read(&file)?.try_into().map_err(|_| "lab-root.seed is not 32 bytes")?;
    } else {
        fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
        fs::write(&file, [])?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        fs::write(&file, seed)?;
    }
    Ok(Holder::from_seed("lab", seed.into())?)
}

fn release(generation: u64) -> Result<Release, Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Release {
        build_id: "lab".to_owned(),
        generation,
        least_generation: 1,
        not_before: now.saturating_sub(3600),
        expiry: now.saturating_add(30 * 86400),
    })
}

fn build_all(options: &Build) -> Outcome {
    let out = &options.out;
    fs::create_dir_all(out)?;
    let (workspace, target_dir) = (build::workspace(), build::target_dir());
    let profile = &options.profile;
    let job = Job { workspace: &workspace, root: &workspace, target_dir: &target_dir, profile };
    let home = options.monitor_workspace.as_deref().unwrap_or(&workspace);
    let holder = lab_holder(out)?;
    let roots = RootSet::new(1, 1, &[*holder.public_key()], true)?;
    let root_bytes = document::root_set(&roots);
    let files = boot_files(&job, Monitor { workspace: home, package: &options.monitor }, &root_bytes)?;
    let mut efi = files.efi.clone();
    place_manifest(&mut efi, &release(options.generation)?, &roots)?;
    sign(&mut efi, &holder, &roots)?;
    let keys = secureboot::make_keys(&out.join("secureboot"))?;
    let signed = authenticode::sign(&efi, &roots, &keys.db.key, &keys.db.certificate)?;
    let manifest = section(&signed)?;
    let outputs = [
        ("dvmm.elf", files.dvmm.as_slice()),
        ("root-set", &root_bytes),
        ("weft.bios", &files.bios),
        ("manifest", manifest),
        ("weft.efi", &signed),
    ];
    for (name, bytes) in outputs {
        fs::write(out.join(name), bytes)?;
        println!("{}: {} bytes", out.join(name).display(), bytes.len());
    }
    println!("image digest {}", reproduce::hex(&files.digest()?));
    Ok(())
}

fn build_unsigned(roots: &Path, out: &Path) -> Outcome {
    let roots = fs::read(roots)?;
    RootSet::parse(&roots)?;
    fs::create_dir_all(out)?;
    let (workspace, target_dir) = (build::workspace(), build::target_dir());
    let job = Job { workspace: &workspace, root: &workspace, target_dir: &target_dir, profile: "node" };
    let files = boot_files(&job, Monitor { workspace: &workspace, package: "weft-dvmm" }, &roots)?;
    fs::write(out.join("weft.efi"), &files.efi)?;
    fs::write(out.join("weft.bios"), &files.bios)?;
    println!("image digest {}", reproduce::hex(&files.digest()?));
    Ok(())
}

fn main() -> Outcome {
    match Arguments::parse().command {
        Command::Build(options) => build_all(&options),
        Command::Enroll { template, keys, out } => {
            let keys = secureboot::make_keys(&keys)?;
            Ok(secureboot::enroll(&template, &keys, &out, &build::target_dir().join("tools"))?)
        }
        Command::Unsigned { roots, out } => build_unsigned(&roots, &out),
        Command::Keys { out } => {
            let keys = secureboot::make_keys(&out)?;
            println!("enrol {} as db", keys.db.certificate.display());
            Ok(())
        }
        Command::Authenticode { image, roots, key, certificate } => {
            let roots = RootSet::parse(&fs::read(roots)?)?;
            let signed = authenticode::sign(&fs::read(&image)?, &roots, &key, &certificate)?;
            Ok(fs::write(&image, signed)?)
        }
        Command::Reproduce => {
            let verdict = reproduce::reproduce(&build::workspace(), &build::target_dir())?;
            println!("{verdict}");
            if verdict.same() { Ok(()) } else { Err("builds differ".into()) }
        }
    }
}
