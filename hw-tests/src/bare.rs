//! A node with one guest and no appliance: the emulator puts the guest into memory, the node's command line says where.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use weft_lab::Lifetime;
use weft_lab::emulator;
use weft_lab::process::Process;

use crate::members::has_ended;
use crate::stack::image;

/// Where the guest's kernel and ram disk are put.
pub(crate) const KERNEL_AT: u64 = 0x1800_0000;
pub(crate) const INITRD_AT: u64 = 0x1c00_0000;

/// What runs.
#[derive(Clone, Debug)]
pub struct Bare<'a> {
    /// Options for the monitor, such as `shadow=all`.
    pub options: &'a str,
    /// bzImage.
    pub kernel: &'a Path,
    /// Initial ram disk.
    pub initrd: Option<&'a Path>,
    /// Guest memory.
    pub memory_mib: u32,
    /// Guest processors.
    pub vcpus: u8,
    /// Words for the guest's command line.
    pub append: &'a [&'a str],
}

impl Bare<'_> {
    /// Runs the guest until it ends, and returns what the node's console said.
    pub fn run(&self, folder: &Path, patience: Duration) -> anyhow::Result<String> {
        let image = image::build()?;
        let manifest = image.bios.with_file_name("manifest");
        let console = folder.join("console");
        // Of a run before.
        let _ = std::fs::remove_file(&console);
        let mut qemu = emulator::command(Lifetime::Test);
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"]);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max,+svm", "-smp", "2"]);
        qemu.arg("-m").arg((self.memory_mib * 2 + 1024).to_string());
        qemu.arg("-kernel").arg(&image.bios).arg("-initrd").arg(&manifest);
        let kernel = place(&mut qemu, Some(self.kernel), KERNEL_AT)?;
        let initrd = place(&mut qemu, self.initrd, INITRD_AT)?;
        let append = self.append.join("+");
        let Self { options, memory_mib, vcpus, .. } = self;
        qemu.arg("-append").arg(format!(
            "server=10.0.2.2 {options} guest={kernel},{initrd},{memory_mib},{vcpus} append={append}"
        ));
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        let mut machine = Process::start(qemu, Stdio::null(), &folder.join("qemu.log"), Lifetime::Test)?;
        let end = Instant::now() + patience;
        let said = loop {
            let said = String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).into_owned();
            if has_ended(&said) || machine.ended().is_some() {
                break said;
            }
            if Instant::now() > end {
                machine.kill();
                bail!("the guest has not ended:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        machine.kill();
        Ok(said)
    }
}

/// `ADDRESS,BYTES` of a file that the emulator puts into memory.
pub(crate) fn place(
    qemu: &mut std::process::Command,
    file: Option<&Path>,
    at: u64,
) -> anyhow::Result<String> {
    let Some(file) = file else { return Ok("0,0".to_owned()) };
    let size = std::fs::metadata(file).with_context(|| format!("{}", file.display()))?.len();
    let file: PathBuf = file.canonicalize()?;
    qemu.arg("-device").arg(format!("loader,file={},addr={at:#x},force-raw=on", file.display()));
    Ok(format!("{at:x},{size:x}"))
}
