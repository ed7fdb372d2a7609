//! The appliance inside the lab, driven only through its own program: start, session, publication, approval.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use weft_format::delegation::{Appliance as Delegate, Delegation};
use weft_images::guest::Guest;
use weft_lab::{Host, Lab, lab};
use weft_signing::document;

use super::image::{SignedImage, now_s};
use super::keys::{LabKeys, write};
use crate::workspace::{output, program};

/// Time for the appliance to answer after its start.
const START: Duration = Duration::from_secs(60);
/// Name of the lab's appliance in its delegation.
const NAME: &str = "lab";
/// Addresses for nodes and guests.
const RANGE: &str = "10.77.0.50-10.77.0.250";
/// Validity of the lab's delegation.
const DELEGATION_S: u64 = 30 * 86_400;

/// How the command line reaches the lab's appliance; kept in the lab's folder for `./just weft`.
#[derive(Clone, Debug)]
pub struct Access {
    /// Address outside the namespace.
    pub url: String,
    /// Its certificate, as PEM.
    pub certificate: PathBuf,
    token: PathBuf,
    /// File of the administrator's one-time password, which nobody has used.
    pub password: PathBuf,
}

impl Access {
    /// Where things are for a lab in `folder`.
    pub fn of(folder: &Path, api: SocketAddr) -> Self {
        Self { token: folder.join("token"), ..Self::with_data(&data(folder), api) }
    }

    fn with_data(data: &Path, api: SocketAddr) -> Self {
        Self {
            url: format!("https://{api}"),
            certificate: data.join("tls/cert.pem"),
            token: data.join("token"),
            password: one_time_password(data),
        }
    }

    /// The appliance's data folder.
    pub fn data(&self) -> &Path {
        self.password.parent().unwrap_or(Path::new("/"))
    }

    /// The command line, pointed at the lab.
    pub fn weft(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("weft"));
        self.point(command.args(arguments), &self.url);
        command
    }

    /// Points a command line at another appliance that holds the same.
    pub fn point(&self, command: &mut Command, url: &str) {
        command.env("WEFT_URL", url).env("WEFT_CA", &self.certificate).env("WEFT_TOKEN_FILE", &self.token);
    }

    /// Runs a verb and reads its JSON.
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = output(self.weft(arguments).args(["--output", "json"]))?;
        serde_json::from_str(&text).with_context(|| format!("weft {} printed no JSON", arguments.join(" ")))
    }
}

/// The appliance's data folder.
pub fn data(folder: &Path) -> PathBuf {
    folder.join("appliance")
}

/// What differs between appliances.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who gives addresses.
    pub dhcp: Dhcp,
    /// A disk of its own for the data folder, so many MiB large; it is gone when the appliance ends.
    pub disk_mib: Option<u32>,
    /// The address, with prefix length, of whichever of several appliances leads.
    pub service: Option<&'static str>,
}

/// Who gives addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dhcp {
    /// The appliance.
    #[default]
    Full,
    /// The appliance, these: `FIRST-LAST`.
    Range(&'static str),
    /// The DHCP server at this address, which the appliance is told of.
    Beside(&'static str),
}

impl Options {
    fn arguments(&self) -> Vec<&str> {
        let mut arguments = match &self.dhcp {
            Dhcp::Full => vec!["--dhcp", "full", "--range", RANGE],
            Dhcp::Range(range) => vec!["--dhcp", "full", "--range", range],
            Dhcp::Beside(server) => vec!["--dhcp", "proxy", "--allow-dhcp", server],
        };
        arguments.extend(self.service.iter().flat_map(|address| ["--service-address", address]));
        arguments
    }
}

/// Draws the appliance's keys, has its delegation signed, starts it inside the lab and waits until it answers.
pub fn start(lab: &mut Lab, keys: &LabKeys, guest: &Guest) -> anyhow::Result<Access> {
    start_with(lab, keys, guest, &Options::default())
}

/// [`start`], with options.
pub fn start_with(lab: &mut Lab, keys: &LabKeys, guest: &Guest, options: &Options) -> anyhow::Result<Access> {
    let folder = lab.folder().to_path_buf();
    let data = data(&folder);
    let api = lab.api().context("the lab has a way to the API")?;
    init(&folder, &data, keys)?;
    run(lab, guest, options)?;
    let data = if options.disk_mib.is_some() { seen_from_outside(lab, &data)? } else { data };
    let access = Access { token: folder.join("token"), ..Access::with_data(&data, api) };
    await_answer(lab, || one_time_password(&data).exists())?;
    open_session(&access, &data)?;
    Ok(access)
}

/// Starts the appliance again that ended, on the same data, and waits until it answers. The session still holds.
pub fn start_again(lab: &mut Lab, guest: &Guest, options: &Options) -> anyhow::Result<()> {
    run(lab, guest, options)?;
    await_answer(lab, || true)
}

/// Starts a second appliance, with keys and a delegation of its own, on a further host; it has no image. Returns
/// its log.
pub fn start_second(
    lab: &Lab,
    host: &mut Host,
    keys: &LabKeys,
    options: &Options,
) -> anyhow::Result<PathBuf> {
    let folder = lab.folder().join("second");
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let data = data(&folder);
    init(&folder, &data, keys)?;
    let mut command = host.command(&program("weft").to_string_lossy());
    run_words(&mut command, &data, None, options);
    Ok(host.run("appliance", command)?)
}

/// Starts an appliance on a further host, on the data that it has; its log is returned.
pub fn start_on(host: &mut Host, data: &Path, guest: &Guest, options: &Options) -> anyhow::Result<PathBuf> {
    let mut command = host.command(&program("weft").to_string_lossy());
    run_words(&mut command, data, Some(guest), options);
    Ok(host.run("appliance", command)?)
}

/// The appliance's keys, and their delegation.
fn init(folder: &Path, data: &Path, keys: &LabKeys) -> anyhow::Result<()> {
    let init = |arguments: &[&Path]| {
        let mut init = Command::new(program("weft"));
        init.args(["appliance", "init", "--lab", "--name", NAME, "--data"]).arg(data).args(arguments);
        output(&mut init)
    };
    let delegation = delegate(folder, &init(&[])?, keys)?;
    init(&[Path::new("--roots"), &keys.roots_file(), Path::new("--delegation"), &delegation]).map(drop)
}

/// Puts a disk of `$1` MiB over the data folder `$0`, seen by this process alone, and becomes what follows.
const OWN_DISK: &str = "set -e; data=$0; size=$1; shift; mv \"$data\" \"$data.seed\"; mkdir \"$data\"; \
    mount -t tmpfs -o size=\"$size\"m,mode=700 tmpfs \"$data\"; cp -a \"$data.seed/.\" \"$data\"; exec \"$@\"";

/// The data folder on a disk that only the appliance has mounted.
fn seen_from_outside(lab: &mut Lab, data: &Path) -> anyhow::Result<PathBuf> {
    let pid = lab.program("appliance").context("the appliance")?.id().pid;
    Ok(PathBuf::from(format!("/proc/{pid}/root{}", data.display())))
}

fn run(lab: &mut Lab, guest: &Guest, options: &Options) -> anyhow::Result<()> {
    let weft = program("weft").to_string_lossy().into_owned();
    let mut command = match options.disk_mib {
        None => lab.command_inside(&weft),
        Some(size) => {
            let mut command = lab.command_inside("unshare");
            command.args(["--mount", "--", "sh", "-c", OWN_DISK]).arg(data(lab.folder()));
            command.arg(size.to_string()).arg(weft);
            command
        }
    };
    run_words(&mut command, &data(lab.folder()), Some(guest), options);
    Ok(lab.start_inside("appliance", command)?)
}

/// The words that run an appliance.
fn run_words(command: &mut Command, data: &Path, guest: Option<&Guest>, options: &Options) {
    command.args(["appliance", "run", "--lab", "--interface", lab::TAP]).args(options.arguments());
    command.arg("--data").arg(data);
    if let Some(guest) = guest {
        command.arg("--guest-kernel").arg(&guest.kernel).arg("--guest-initrd").arg(&guest.initrd);
    }
}

/// Has a delegation for the keys of `request` signed: a line `--appliance name=…,channel=HEX,record=HEX,…`.
fn delegate(folder: &Path, request: &str, keys: &LabKeys) -> anyhow::Result<PathBuf> {
    let field = |name: &str| -> anyhow::Result<&str> {
        let fields = request.split([' ', ',', '\n']).filter_map(|field| field.split_once('='));
        let mut values = fields.filter(|(key, _)| *key == name).map(|(_, value)| value);
        values.next().with_context(|| format!("weft appliance init names no {name}: {request}"))
    };
    let key = |name: &str| unhex(field(name)?).with_context(|| format!("{name} is no key"));
    let delegation = Delegation {
        version: now_s(),
        root_version: keys.roots().version(),
        not_before: now_s().saturating_sub(3600),
        expiry: now_s().saturating_add(DELEGATION_S),
        appliances: vec![Delegate {
            name: NAME.to_owned(),
            channel_key: key("channel")?,
            record_key: key("record")?,
            agent_port: field("agent-port")?.parse()?,
            http_port: field("http-port")?.parse()?,
            address: None,
        }],
        revoked: Vec::new(),
    };
    let mut bytes = document::delegation(&delegation)?;
    for holder in keys.signers()? {
        bytes = document::sign(&bytes, &holder, keys.roots())?;
    }
    let file = folder.join("delegation.bin");
    write(&file, &bytes)?;
    Ok(file)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

fn one_time_password(data: &Path) -> PathBuf {
    data.join("admin-password")
}

/// `prepared` says that a first start is through (its password file is there); the API is asked next.
fn await_answer(lab: &mut Lab, prepared: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    let log = lab.folder().join("appliance.log");
    loop {
        let ended = lab.program("appliance").and_then(weft_lab::process::Process::ended);
        if let Some(status) = ended {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the appliance ended ({status}):\n{}", words.trim());
        }
        if prepared() && listens(lab) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the appliance does not answer after {} s; see {}", START.as_secs(), log.display());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a TLS server says something. The forwarder takes a connection also while nobody listens inside, and closes
/// it sooner or later; that it is still open means nothing.
fn listens(lab: &Lab) -> bool {
    use std::io::{Read, Write};
    let Some(api) = lab.api() else { return false };
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&api, Duration::from_secs(1)) else {
        return false;
    };
    let mut answer = [0; 1];
    let answered = stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .and_then(|()| stream.write_all(b"no handshake\r\n\r\n"))
        .and_then(|()| stream.read_exact(&mut answer));
    // An alert: this was no handshake.
    answered.is_ok() && answer == [21]
}

/// A session for the command line, as the owner of the machine gets it; no password is spent.
fn open_session(access: &Access, data: &Path) -> anyhow::Result<()> {
    let mut token = Command::new(program("weft"));
    token.args(["appliance", "token", "--data"]).arg(data).arg("--out").arg(&access.token);
    output(&mut token).map(drop)
}

/// Hands the signed image over and lets nodes boot it.
pub fn publish(access: &Access, image: &SignedImage) -> anyhow::Result<()> {
    let mut publish = access.weft(&["image", "publish", "--activate"]);
    publish.arg(&image.file).arg("--bios").arg(&image.bios);
    output(&mut publish).map(drop)
}
