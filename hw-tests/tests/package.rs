//! The Debian package: built, looked at, installed into a throw-away root, and run as its unit would run it.
//!
//! The program is the one built for development, so that this takes seconds; `./just deb` packs an optimised one.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use weft_hw_tests::workspace::program;

/// The package and a root that it is installed in.
struct Installed {
    folder: tempfile::TempDir,
    deb: &'static Path,
    root: PathBuf,
}

/// The package, built once for all tests, in cargo's folder for tests.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
        weft_hw_tests::package::build(&program("weft"), &out, &["-Zgzip", "-z1"]).expect("packed")
    })
}

fn text(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// Builds and installs with dpkg itself; the maintainer scripts run against the root.
fn installed() -> Installed {
    let deb = package();
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    for name in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc", "var/log"] {
        std::fs::create_dir_all(root.join(name)).expect("a folder");
    }
    for name in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
        std::fs::write(root.join(name), "").expect("a file");
    }
    dpkg(&root, &["--install", deb.to_str().expect("a path")]);
    Installed { folder, deb, root }
}

fn is_root() -> bool {
    text(Command::new("id").arg("-u")).trim() == "0"
}

/// A program as root, or as what looks like root to it.
fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", program]);
    command
}

/// Runs dpkg on the root. What the package depends on is this machine's.
fn dpkg(root: &Path, words: &[&str]) -> String {
    let mut dpkg = as_root("dpkg");
    dpkg.arg(format!("--root={}", root.display()))
        .args(["--force-depends", "--force-not-root", "--force-script-chrootless"])
        .arg(format!("--log={}", root.join("dpkg.log").display()))
        .args(words)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    text(&mut dpkg)
}

/// The unit's settings: those with several values have several lines.
fn unit(root: &Path) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(root.join("usr/lib/systemd/system/weft.service")).expect("the unit");
    let mut settings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|l| l.split_once('='))
    {
        settings.entry(name.to_string()).or_default().push(value.to_string());
    }
    settings
}

/// `NAME=value` lines of an environment file, quotes taken off (systemd.exec(5)).
fn environment(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).expect("the settings");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_string(), value.trim_matches('"').to_string())).collect()
}

/// The words of a command line of a unit: `${NAME}` is one word, `$NAME` as many as it has.
fn words(line: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let of = |name: &str| environment.get(name).cloned().unwrap_or_default();
    let word = |word: &str| match word.strip_prefix('$') {
        None => vec![word.to_string()],
        Some(name) => match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => vec![of(name)],
            None => of(name).split_whitespace().map(str::to_string).collect(),
        },
    };
    line.split_whitespace().flat_map(word).collect()
}

#[test]
fn the_package_has_what_it_should_and_nothing_that_others_own() {
    let Installed { deb, root, folder: _folder } = installed();
    let control = text(Command::new("dpkg-deb").arg("--field").arg(deb));
    for line in ["Package: weft", "Section: admin", "Depends: libc6 (>= "] {
        assert!(control.contains(line), "no {line} in {control}");
    }
    let listed = text(Command::new("dpkg-deb").arg("--contents").arg(deb));
    for line in listed.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[1], "root/root", "{line}");
        assert!(!fields[0].contains('s') && !fields[0][7..9].contains('w'), "{line}");
    }
    let manual = text(
        Command::new("man")
            .args(["--local-file", "--warnings"])
            .arg(root.join("usr/share/man/man1/weft.1.gz")),
    );
    assert!(manual.contains("weft appliance run"), "{manual}");
    let completion = std::fs::read_to_string(root.join("usr/share/bash-completion/completions/weft"));
    assert!(completion.expect("completions").contains("complete"));
    // dpkg knows what it installed, whole; the settings are the operator's.
    assert_eq!(dpkg(&root, &["--verify", "weft"]), "");
    let shown = dpkg(&root, &["--status", "weft"]);
    assert!(shown.contains("install ok installed") && shown.contains("/etc/default/weft"), "{shown}");
    let kept = root.join("etc/default/weft");
    std::fs::write(&kept, "WEFT_INTERFACE=eth7\n").expect("written");
    std::fs::create_dir_all(root.join("var/lib/weft/keys")).expect("a folder");
    dpkg(&root, &["--force-confold", "--install", deb.to_str().expect("a path")]);
    assert_eq!(std::fs::read_to_string(&kept).expect("settings"), "WEFT_INTERFACE=eth7\n");
    dpkg(&root, &["--remove", "weft"]);
    assert!(!root.join("usr/bin/weft").exists() && kept.exists());
    dpkg(&root, &["--purge", "weft"]);
    assert!(!kept.exists() && root.join("var/lib/weft/keys").exists(), "keys stay");
    // Debian's own judge, where it is there.
    if Command::new("lintian").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let judged = text(Command::new("lintian").args(["--fail-on", "error", "--allow-root"]).arg(deb));
        assert!(!judged.lines().any(|line| line.starts_with("E:")), "{judged}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_holds_it_tight() {
    let Installed { root, folder: _folder, .. } = installed();
    // Programs and manuals are looked for in the root too.
    let path = root.join("usr/lib/systemd/system/weft.service");
    for name in [
        "sysinit.target",
        "basic.target",
        "multi-user.target",
        "network-online.target",
        "network.target",
        "shutdown.target",
    ] {
        let from = Path::new("/usr/lib/systemd/system").join(name);
        std::fs::copy(&from, path.with_file_name(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let told = judged(&root);
    assert!(told.contains("Service has no network configuration privileges"), "{told}");
    // What an operator adds who wants a service address: that one capability more, and as tight otherwise.
    let added = root.join("etc/systemd/system/weft.service.d/service-address.conf");
    std::fs::create_dir_all(added.parent().expect("a folder")).expect("a folder");
    std::fs::copy(root.join("usr/share/weft/service-address.conf"), &added).expect("it is in the package");
    let told = judged(&root);
    assert!(told.contains("Service has network configuration privileges"), "{told}");
}

/// What systemd says of the unit in this root, which is good.
fn judged(root: &Path) -> String {
    let done = Command::new("systemd-analyze")
        .args(["verify", "--recursive-errors=no", "--man=no"])
        .arg(format!("--root={}", root.display()))
        .arg("weft.service")
        .output()
        .expect("systemd-analyze");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !told.contains("weft"), "{told}");
    // Exposure by systemd's own scale: 0 is none, 10 is all. It stands at 1.7, with a service address at 1.9.
    let done = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(format!("--root={}", root.display()))
        .arg("weft.service")
        .output()
        .expect("systemd-analyze");
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    told
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a line as the unit does: its user, its two capabilities, no new ones, in a network of its own.
fn as_the_unit(root: &Path, words: &[String], data: &Path, notify: &Path) -> Command {
    let settings = unit(root);
    let capabilities = settings["AmbientCapabilities"][0].to_lowercase();
    assert_eq!(settings["CapabilityBoundingSet"], settings["AmbientCapabilities"]);
    let capabilities: Vec<String> =
        capabilities.split_whitespace().map(|name| name.replacen("cap_", "+", 1)).collect();
    let capabilities = capabilities.join(",");
    let users = std::fs::read_to_string(root.join("etc/passwd")).expect("users");
    let user = users.lines().find(|line| line.starts_with(&format!("{}:", settings["User"][0])));
    let fields: Vec<&str> = user.expect("the unit's user").split(':').collect();
    assert_eq!(fields[5], "/var/lib/weft");
    let is_root = is_root();
    let mut command = Command::new("unshare");
    // Where this is not root, the user cannot be taken, and only the rest is tried.
    command.args(if is_root { &["--net"][..] } else { &["--user", "--map-root-user", "--net"] });
    command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh", "setpriv"]);
    if is_root {
        command
            .arg(format!("--reuid={}", fields[2]))
            .arg(format!("--regid={}", fields[3]))
            .arg("--clear-groups");
    }
    command
        .arg("--no-new-privs")
        .arg(format!("--bounding-set=-all,{capabilities}"))
        .arg(format!("--inh-caps=-all,{capabilities}"))
        .arg(format!("--ambient-caps=-all,{capabilities}"))
        .arg(root.join(words[0].trim_start_matches('/')))
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("WEFT_DATA", data)
        .env("NOTIFY_SOCKET", notify)
        .stdin(Stdio::null());
    command
}

/// The data folder, as a boot makes it, and the way there, whatever the umask is.
fn state_folder(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let root = folder.join("root");
    for path in [folder.to_path_buf(), root.clone(), root.join("var"), root.join("var/lib")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let data = root.join("var/lib/weft");
    if is_root() {
        let root = format!("--root={}", root.display());
        text(Command::new("systemd-tmpfiles").args([&root, "--create", "weft.conf"]));
        assert_eq!(std::fs::metadata(&data).expect("a folder").permissions().mode() & 0o777, 0o700);
    } else {
        std::fs::create_dir(&data).expect("a folder");
    }
    data
}

#[test]
fn the_program_starts_as_the_unit_starts_it_serves_low_ports_and_ends_when_told() {
    let Installed { folder, root, .. } = installed();
    let data = state_folder(folder.path());
    let line = &unit(&root)["ExecStart"][0];
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).expect("a mode");
    }
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let settings = root.join("etc/default/weft");

    // As it was installed nobody has said which interface: it refuses in words.
    let bare = words(line, &environment(&settings));
    assert_eq!(bare, ["/usr/bin/weft", "appliance", "run", "--interface", "", "--dhcp", "proxy"]);
    let refused = as_the_unit(&root, &bare, &data, &socket).output().expect("it ran");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("interface"), "{told}");

    std::fs::write(&settings, "# of this test\nWEFT_INTERFACE=lo\nWEFT_OPTIONS=\"--dhcp proxy\"\n")
        .expect("written");
    let log = folder.path().join("log");
    let out = std::fs::File::create(&log).expect("a log");
    let mut command = as_the_unit(&root, &words(line, &environment(&settings)), &data, &socket);
    command.stdout(out.try_clone().expect("a log")).stderr(out).process_group(0);
    let mut running = Running(command.spawn().expect("it starts"));
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let mut word = [0; 64];
    let length = manager.recv(&mut word).unwrap_or_else(|error| panic!("never ready: {error}\n{}", said()));
    assert_eq!(&word[..length], b"READY=1", "{}", said());
    let text_of_run = said();
    assert!(text_of_run.contains("TFTP 127.0.0.1:69, HTTP 127.0.0.1:80"), "{text_of_run}");
    assert!(text_of_run.contains("one-time password in"), "{text_of_run}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).expect("its status");
    let of = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        value.split_whitespace().next().expect("a value").to_string()
    };
    // CAP_NET_BIND_SERVICE is 10, CAP_NET_RAW is 13 (linux/capability.h).
    assert_eq!(u64::from_str_radix(&of("CapEff:"), 16), Ok(1 << 10 | 1 << 13));
    assert_eq!((of("CapBnd:"), of("NoNewPrivs:")), (of("CapEff:"), "1".into()));
    // SIGTERM: it says that it ends, and ends well.
    text(Command::new("kill").arg(running.0.id().to_string()));
    let length = manager.recv(&mut word).expect("a word");
    assert_eq!(&word[..length], b"STOPPING=1");
    let until = Instant::now() + Duration::from_secs(45);
    let status = loop {
        if let Some(status) = running.0.try_wait().expect("a status") {
            break status;
        }
        assert!(Instant::now() < until, "it does not end\n{}", said());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(status.success(), "{status}\n{}", said());
}
