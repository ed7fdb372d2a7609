//! `weft-netboot build`: the boot files of this machine's lab in one step.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use weft_format::manifest::{BuildId, Manifest};
use weft_format::sha256;
use weft_netboot::build::{Job, Target, bare_metal};
use weft_netboot::{assemble, lab::LabRoot};

#[derive(Parser)]
#[command(about = "Builds and assembles Weft's boot files")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and sign it with a lab root that is made on first use.
    Build {
        /// Folder for `weft.bios`, `manifest`, `root-set`, `dvmm.elf`.
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
    },
}

fn workspace() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().unwrap_or(folder).to_owned()
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

fn lab_root(out: &Path) -> Result<LabRoot, Box<dyn Error>> {
    let file = out.join("lab-root.key");
    if !file.exists() {
        fs::write(&file, LabRoot::generate()?)?;
    }
    Ok(LabRoot::from_pkcs8(&fs::read(&file)?)?)
}

fn build(out: &Path, monitor: &str, home: &Path, profile: &str, generation: u64) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let (workspace, target_dir) = (workspace(), target_dir());
    let job = Job { workspace: &workspace, target_dir: &target_dir, profile };
    let dvmm = fs::read(bare_metal(&Job { workspace: home, ..job.clone() }, monitor, Target::None)?)?;
    let entry = fs::read(bare_metal(&job, "weft-bios", Target::None)?)?;
    let root = lab_root(out)?;
    let roots = root.root_set()?;
    let stub = fs::read(bare_metal(&job, "weft-stub", Target::Uefi)?)?;
    let unsigned = assemble::uefi(&stub, &dvmm, &roots)?;
    let bios = assemble::bios(&entry, &dvmm, &roots)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let manifest = root.sign(&Manifest {
        image_size: weft_format::pe::image_size(&unsigned)?,
        image_digest: weft_format::pe::image_digest(&unsigned)?,
        payload_digest: sha256(&dvmm),
        build_id: BuildId::new("lab")?,
        generation,
        least_generation: 1,
        not_before: now - 3600,
        expiry: now + 30 * 86400,
        root_version: 1,
    })?;
    let image = assemble::set_manifest(&unsigned, &manifest)?;
    let files = [
        ("dvmm.elf", &dvmm),
        ("root-set", &roots),
        ("weft.bios", &bios),
        ("manifest", &manifest),
        ("weft.efi", &image),
    ];
    for (name, bytes) in files {
        fs::write(out.join(name), bytes)?;
        println!("{}: {} bytes", out.join(name).display(), bytes.len());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Build { out, monitor, monitor_workspace, profile, generation } => {
            let home = monitor_workspace.unwrap_or_else(workspace);
            build(&out, &monitor, &home, &profile, generation)
        }
    }
}
