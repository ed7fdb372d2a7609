//! Other people's controllers for tests: `sushy-emulator` (PyPI) speaks Redfish, `ipmi_sim` (Debian's openipmi) IPMI 2.0.
//!
//! They are unpacked below `target/peers`, never installed. A peer that cannot be had fails the test that wants it.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weft_images::{kept, packages};

/// What is asked of PyPI.
const SUSHY: [&str; 2] = ["sushy-tools==2.2.0", "bcrypt==5.0.0"];
/// What is asked of Debian, with libraries that a plain machine may lack.
const IPMI: [&str; 6] = ["openipmi", "libopenipmi0", "libpopt0", "ipmitool", "libfreeipmi17", "libreadline8"];
/// Time for a peer to answer.
const START: Duration = Duration::from_secs(30);

/// The account that peers know.
pub const ACCOUNT: &str = "weft";
/// Its password; `ipmi_sim` takes 16 characters at most.
pub const PASSWORD: &str = "a-secret-of-hers";
/// Systems of [`Sushy`].
pub const SYSTEMS: [&str; 2] =
    ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"];

/// Ends with what holds it.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn until(what: &str, log: &Path, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + START;
    while !ready() {
        let said = || fs::read_to_string(log).unwrap_or_default();
        assert!(Instant::now() < end, "{what} does not answer: {}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A `sushy-emulator` over HTTPS with two systems of its fake driver, both off.
pub struct Sushy {
    _process: Ends,
    folder: TempDir,
    /// `HOST:PORT`.
    pub address: String,
    /// Its certificate.
    pub pem: String,
    /// SHA-256 of it, in hexadecimal.
    pub fingerprint: String,
}

impl Sushy {
    /// Starts one.
    ///
    /// # Panics
    /// It cannot be had from PyPI, or does not start.
    pub fn start() -> Self {
        let venv = kept::python("sushy-2.2.0", &SUSHY).expect("sushy-tools of PyPI");
        let python = venv.join("bin/python");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["bmc.test".to_string()]).expect("a certificate");
        let pem = made.cert.pem();
        fs::write(at("cert.pem"), &pem).expect("written");
        fs::write(at("key.pem"), made.signing_key.serialize_pem()).expect("written");
        let hash = "import bcrypt,sys;print(bcrypt.hashpw(sys.argv[1].encode(),bcrypt.gensalt(4)).decode())";
        let hash = run(Command::new(&python).args(["-c", hash, PASSWORD]));
        fs::write(at("auth"), format!("{ACCOUNT}:{hash}")).expect("written");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let quoted = |name: &str| format!("{:?}", at(name).display().to_string());
        let systems = SYSTEMS.iter().zip(["blade-1", "blade-2"]).map(|(uuid, name)| {
            format!("{{'uuid': '{uuid}', 'name': '{name}', 'power_state': 'Off', 'nics': []}}")
        });
        let settings = format!(
            "SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\n\
             SUSHY_EMULATOR_LISTEN_PORT = {port}\nSUSHY_EMULATOR_SSL_CERT = {}\nSUSHY_EMULATOR_SSL_KEY = {}\n\
             SUSHY_EMULATOR_AUTH_FILE = {}\nSUSHY_EMULATOR_STATE_DIR = {}\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{}]\n",
            quoted("cert.pem"),
            quoted("key.pem"),
            quoted("auth"),
            quoted(""),
            systems.collect::<Vec<_>>().join(", "),
        );
        fs::write(at("conf.py"), settings).expect("written");
        let log = fs::File::create(at("log")).expect("a log");
        let process = Command::new(&python)
            .args(["-m", "sushy_tools.emulator.main", "--config"])
            .arg(at("conf.py"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("sushy-emulator starts");
        let address = format!("127.0.0.1:{port}");
        let process = Ends(process);
        until("sushy-emulator", &at("log"), || TcpStream::connect(&address).is_ok());
        let fingerprint = weft_tls::hex(&weft_tls::fingerprint(made.cert.der()));
        Self { _process: process, address, pem, fingerprint, folder }
    }

    /// Requests that it answered, a line for each.
    pub fn heard(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// An `ipmi_sim` with one machine, off.
pub struct IpmiSim {
    _process: Ends,
    folder: TempDir,
    /// `HOST:PORT`.
    pub address: String,
}

/// What the simulator asks the machine for, and what the machine is told: the state is a file.
const CHASSIS: &str = r#"folder=$(dirname "$0")
echo "$@" >>"$folder/heard"
shift; verb=$1; shift
while [ $# -gt 0 ]; do
    case "$verb $1" in
    "get power") echo "power:$(cat "$folder/power")" ;;
    get*) echo "$1:0" ;;
    "set power") echo "$2" >"$folder/power"; shift ;;
    "set shutdown") echo 0 >"$folder/power"; shift ;;
    set*) shift ;;
    esac
    shift
done
"#;

impl IpmiSim {
    /// Starts one.
    ///
    /// # Panics
    /// It cannot be had from Debian, or does not start.
    pub fn start() -> Self {
        let root = kept::kept("ipmi", |new| {
            for package in IPMI {
                let file = packages::download(package, &kept::folder().join("packages"))?;
                packages::unpack_into(&file, new)?;
            }
            Ok(())
        })
        .expect("packages of Debian");
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("bin")).expect("a folder");
        let script = |name: &str, text: String| {
            fs::write(at(name), format!("#!/bin/sh\n{text}")).expect("written");
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).expect("a mode");
        };
        script("chassis", CHASSIS.to_string());
        let program = root.join("usr/bin/ipmitool");
        script(
            "bin/ipmitool",
            format!("LD_LIBRARY_PATH={} exec {} \"$@\"\n", libraries.display(), program.display()),
        );
        fs::write(at("power"), "0\n").expect("written");
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let auths = "none md2 md5 straight";
        let levels =
            ["callback", "user", "operator", "admin"].map(|level| format!("allowed_auths_{level} {auths}\n"));
        let settings = format!(
            "name \"sim\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\n{}\
             guid a123456789abcdefa123456789abcdef\nendlan\nchassis_control \"{} 0x20\"\n\
             user 1 true \"\" \"\" user 10 {auths}\nuser 2 true \"{ACCOUNT}\" \"{PASSWORD}\" operator 10 {auths}\n",
            levels.concat(),
            at("chassis").display(),
        );
        fs::write(at("lan.conf"), settings).expect("written");
        let controller = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n";
        fs::write(at("emu"), controller).expect("written");
        let log = fs::File::create(at("log")).expect("a log");
        let process = Command::new(root.join("usr/bin/ipmi_sim"))
            .env("LD_LIBRARY_PATH", &libraries)
            .arg("-c")
            .arg(at("lan.conf"))
            .arg("-f")
            .arg(at("emu"))
            .arg("-s")
            .arg(at("state"))
            .arg("-n")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("ipmi_sim starts");
        let process = Ends(process);
        // It listens when nobody else can.
        until("ipmi_sim", &at("log"), || UdpSocket::bind(("127.0.0.1", port)).is_err());
        Self { _process: process, folder, address: format!("127.0.0.1:{port}") }
    }

    /// Where `ipmitool` is, for a path of programs.
    pub fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// Whether the machine has power.
    pub fn is_on(&self) -> bool {
        fs::read_to_string(self.folder.path().join("power")).is_ok_and(|text| text.trim() == "1")
    }

    /// Gives the machine power, or takes it, as somebody at it would.
    pub fn set(&self, on: bool) {
        fs::write(self.folder.path().join("power"), if on { "1\n" } else { "0\n" }).expect("written");
    }

    /// What the machine was asked and told, a line for each.
    pub fn heard(&self) -> String {
        fs::read_to_string(self.folder.path().join("heard")).unwrap_or_default()
    }
}
