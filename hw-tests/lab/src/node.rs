//! A node: one QEMU machine with one NIC on the wire, a logged serial console and a monitor socket.
//!
//! Always TCG with AMD SVM offered (`-cpu max,+svm`): emulated nodes behave the same on every host. The UEFI
//! variable store is a file of the lab and survives power cycles, as real flash does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::emulator;
use crate::process::Process;
use crate::qmp::Qmp;
use crate::serial::Serial;
use crate::state::NodeState;
use crate::wire::{node_path, wire_path};
use crate::{Error, Lifetime};

/// `-smp` of a node. QEMU 7.2 leaves memory barriers out of what it translates where there can be only one processor, although
/// the devices run beside it: a notification of a virtio ring may then be missed for good. So there is room for two.
pub fn processors(count: impl Into<u32>) -> String {
    let count = count.into();
    format!("{count},maxcpus={}", count.max(2))
}

/// Firmware of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF without Secure Boot.
    Uefi,
    /// OVMF with Secure Boot and the variable store to start from, in which the keys are enrolled.
    SecureBoot {
        /// Template; copied at the first power-on.
        variables: PathBuf,
    },
}

/// Network card of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NicModel {
    /// virtio over PCI.
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Realtek 8139.
    Rtl8139,
    /// VMware.
    Vmxnet3,
}

impl NicModel {
    /// QEMU's device name.
    pub fn device(self) -> &'static str {
        match self {
            NicModel::Virtio => "virtio-net-pci",
            NicModel::E1000 => "e1000",
            NicModel::E1000e => "e1000e",
            NicModel::Rtl8139 => "rtl8139",
            NicModel::Vmxnet3 => "vmxnet3",
        }
    }
}

/// Option ROM of the network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rom {
    /// QEMU's default: iPXE for BIOS and UEFI.
    Ipxe,
    /// None: the firmware's own network stack.
    None,
    /// A file.
    File(PathBuf),
}

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Name, also of its port on the wire.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Firmware.
    pub firmware: Firmware,
    /// Network card.
    pub nic: NicModel,
    /// Its option ROM.
    pub rom: Rom,
    /// Processors.
    pub cpus: u16,
    /// Memory.
    pub memory_mib: u32,
    /// QEMU's `-cpu`.
    pub cpu: String,
}

impl NodeSpec {
    /// A small node: UEFI without Secure Boot, virtio, iPXE's ROM, two processors, 1 GiB. `index` makes its
    /// name and hardware address.
    pub fn new(index: u8) -> Self {
        Self {
            name: format!("node-{index}"),
            mac: [0x02, 0x57, 0x45, 0x46, 0x54, index],
            firmware: Firmware::Uefi,
            nic: NicModel::Virtio,
            rom: Rom::Ipxe,
            cpus: 2,
            memory_mib: 1024,
            cpu: "max,+svm".to_owned(),
        }
    }

    /// The hardware address as text.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

const OVMF: &str = "/usr/share/OVMF";

/// A node on the wire.
#[derive(Debug)]
pub struct Node {
    spec: NodeSpec,
    folder: PathBuf,
    sockets: PathBuf,
    lifetime: Lifetime,
    emulator: Option<Process>,
    serial: Serial,
}

impl Node {
    pub(crate) fn new(spec: NodeSpec, folder: &Path, sockets: &Path, life: Lifetime) -> Result<Self, Error> {
        let serial = Serial::new(&folder.join(format!("{}.serial.log", spec.name)));
        let node = Self {
            spec,
            folder: folder.to_path_buf(),
            sockets: sockets.to_path_buf(),
            lifetime: life,
            emulator: None,
            serial,
        };
        node.prepare_variables()?;
        Ok(node)
    }

    fn variables(&self) -> PathBuf {
        self.folder.join(format!("{}.variables.fd", self.spec.name))
    }

    fn prepare_variables(&self) -> Result<(), Error> {
        let template = match &self.spec.firmware {
            Firmware::Bios => return Ok(()),
            Firmware::Uefi => Path::new(OVMF).join("OVMF_VARS_4M.fd"),
            Firmware::SecureBoot { variables } => variables.clone(),
        };
        let to = self.variables();
        std::fs::copy(&template, &to).map(drop).map_err(Error::io(&template))
    }

    /// What it is made of.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// Its serial console.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    fn monitor(&self) -> PathBuf {
        self.sockets.join(format!("{}.m", self.spec.name))
    }

    fn console(&self) -> PathBuf {
        self.sockets.join(format!("{}.c", self.spec.name))
    }

    /// Switches it on. Nothing happens to a node that is on.
    pub fn power_on(&mut self) -> Result<(), Error> {
        if self.is_on() {
            return Ok(());
        }
        self.serial.skip();
        let mut qemu = emulator::command(self.lifetime);
        qemu.args(self.arguments());
        let log = self.folder.join(format!("{}.qemu.log", self.spec.name));
        self.emulator = Some(Process::start(qemu, Stdio::null(), &log, self.lifetime)?);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.monitor().exists() {
            self.check_emulator()?;
            if Instant::now() > deadline {
                return Err(Error::Missing { what: "QEMU's monitor socket".to_owned(), next: "see its log" });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let spec = &self.spec;
        let mut words: Vec<String> =
            ["-name", &spec.name, "-nodefaults", "-no-user-config", "-display", "none"]
                .iter()
                .map(|word| (*word).to_owned())
                .collect();
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        add("-accel", "tcg,thread=multi".to_owned());
        add("-cpu", spec.cpu.clone());
        add("-smp", processors(spec.cpus));
        add("-m", spec.memory_mib.to_string());
        add("-uuid", format!("77656674-0000-4000-8000-0000000000{:02x}", spec.mac[5]));
        match &spec.firmware {
            Firmware::Bios => add("-machine", "q35,graphics=off".to_owned()),
            Firmware::Uefi => {
                add("-machine", "q35".to_owned());
                add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"));
            }
            Firmware::SecureBoot { .. } => {
                add("-machine", "q35,smm=on".to_owned());
                add("-global", "driver=cfi.pflash01,property=secure,value=on".to_owned());
                let code = format!("{OVMF}/OVMF_CODE_4M.secboot.fd");
                add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
            }
        }
        if spec.firmware != Firmware::Bios {
            add("-drive", format!("if=pflash,unit=1,format=raw,file={}", self.variables().display()));
            add("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n".to_owned());
        }
        // The firmware's random numbers, without which OVMF's network stack draws from the clock.
        add("-device", "virtio-rng-pci".to_owned());
        add("-vga", "std".to_owned());
        let (local, remote) = (node_path(&self.sockets, &spec.name), wire_path(&self.sockets, &spec.name));
        add(
            "-netdev",
            format!(
                "dgram,id=wire,local.type=unix,local.path={},remote.type=unix,remote.path={}",
                local.display(),
                remote.display()
            ),
        );
        let rom = match &spec.rom {
            Rom::Ipxe => String::new(),
            Rom::None => ",romfile=".to_owned(),
            Rom::File(path) => format!(",romfile={}", path.display()),
        };
        let (device, mac) = (spec.nic.device(), spec.mac_text());
        add("-device", format!("{device},netdev=wire,mac={mac},bootindex=1{rom}"));
        let (console, log) = (self.console(), self.serial.path().to_path_buf());
        add(
            "-chardev",
            format!(
                "socket,id=console,path={},server=on,wait=off,logfile={},logappend=on",
                console.display(),
                log.display()
            ),
        );
        add("-serial", "chardev:console".to_owned());
        add("-qmp", format!("unix:{},server=on,wait=off", self.monitor().display()));
        words
    }

    /// Whether the emulator runs.
    pub fn is_on(&mut self) -> bool {
        self.emulator.as_mut().is_some_and(|emulator| emulator.ended().is_none())
    }

    fn check_emulator(&mut self) -> Result<(), Error> {
        let Some(emulator) = self.emulator.as_mut() else { return Ok(()) };
        match emulator.ended() {
            None => Ok(()),
            Some(status) => Err(Error::NodeEnded {
                node: self.spec.name.clone(),
                status,
                log: emulator.log().to_path_buf(),
            }),
        }
    }

    /// Pulls the plug.
    pub fn power_off(&mut self) {
        if let Some(mut emulator) = self.emulator.take() {
            emulator.kill();
        }
        // Stale sockets would look like a running node.
        let _absent = std::fs::remove_file(self.monitor());
        let _absent = std::fs::remove_file(self.console());
        let _absent = std::fs::remove_file(node_path(&self.sockets, &self.spec.name));
    }

    /// Presses the reset button.
    pub fn reset(&self) -> Result<(), Error> {
        Qmp::connect(&self.monitor())?.execute("system_reset", json!({})).map(drop)
    }

    /// Saves the screen as `NAME-WHAT.png` and returns the file.
    pub fn screenshot(&self, what: &str) -> Result<PathBuf, Error> {
        let file = self.folder.join(format!("{}-{what}.png", self.spec.name));
        let arguments = json!({ "filename": file, "format": "png" });
        Qmp::connect(&self.monitor())?.execute("screendump", arguments)?;
        Ok(file)
    }

    /// Types at the serial console.
    pub fn type_text(&self, text: &str) -> Result<(), Error> {
        use std::io::Write;
        let path = self.console();
        let mut stream = std::os::unix::net::UnixStream::connect(&path).map_err(Error::io(&path))?;
        stream.write_all(text.as_bytes()).map_err(Error::io(&path))
    }

    /// Waits for a line on the serial console that contains `pattern`, after those returned before.
    pub fn wait_for(&mut self, pattern: &str, timeout: Duration) -> Result<String, Error> {
        let Self { serial, emulator, .. } = self;
        let on = || emulator.as_mut().is_some_and(|emulator| emulator.ended().is_none());
        if let Some(line) = serial.wait_for(pattern, timeout, on) {
            return Ok(line);
        }
        self.check_emulator()?;
        Err(Error::Silent {
            node: self.spec.name.clone(),
            pattern: pattern.to_owned(),
            waited: timeout,
            last: self.serial.last_lines(12),
        })
    }

    /// What [`crate::state::LabState`] keeps of a node that is on.
    pub fn state(&self) -> Option<NodeState> {
        let emulator = self.emulator.as_ref()?;
        Some(NodeState {
            name: self.spec.name.clone(),
            process: emulator.id().clone(),
            serial: self.serial.path().to_path_buf(),
            monitor: self.monitor(),
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Detached {
            return;
        }
        if std::thread::panicking() && self.is_on() {
            // A picture of the end helps; its absence harms nothing.
            let _no_picture = self.screenshot("failed");
        }
        self.power_off();
    }
}
