//! Against `ipmi_sim`, with Debian's `ipmitool`.

use std::time::Instant;

use weft_power::peers::{ACCOUNT, IpmiSim, PASSWORD};
use weft_power::{Controller, Ipmi, LIMIT, Outcome, Password, Power, PowerError};

fn at(sim: &IpmiSim, address: &str, account: &str, password: &str) -> Controller {
    let address = address.parse().expect("an address");
    let ipmi = Ipmi::new(address, account, Password::new(password)).expect("a setting");
    Controller::Ipmi(ipmi.with_program(sim.bin().join("ipmitool")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_powered_on_reset_and_powered_off() {
    let sim = IpmiSim::start();
    let machine = at(&sim, &sim.address, ACCOUNT, PASSWORD);
    assert_eq!(machine.status().await, Ok(Power::Off));
    assert_eq!(machine.reset().await, Err(PowerError::IsOff));
    assert_eq!(machine.on().await, Ok(Outcome::Asked));
    assert!(sim.is_on(), "{}", sim.heard());
    assert_eq!(machine.on().await, Ok(Outcome::Already));
    assert_eq!(machine.reset().await, Ok(Outcome::Asked));
    assert!(sim.heard().contains("set reset 1"), "{}", sim.heard());
    assert_eq!(machine.graceful_off().await, Ok(Outcome::Asked));
    assert!(sim.heard().contains("set shutdown 1") && !sim.is_on(), "{}", sim.heard());
    sim.set(true);
    assert_eq!(machine.off().await, Ok(Outcome::Asked));
    assert!(sim.heard().contains("set power 0") && !sim.is_on(), "{}", sim.heard());
    assert_eq!(machine.status().await, Ok(Power::Off));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_account_a_wrong_password_and_nobody_are_told_apart() {
    let sim = IpmiSim::start();
    for (account, password) in [("nobody", PASSWORD), (ACCOUNT, "wrong")] {
        let refused = at(&sim, &sim.address, account, password).on().await.expect_err("refused");
        assert_eq!(refused.code(), "bmc-account", "{account}: {refused}");
        assert!(!refused.to_string().contains(PASSWORD));
    }
    assert!(!sim.is_on(), "{}", sim.heard());
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let before = Instant::now();
    let nobody = at(&sim, &address, ACCOUNT, PASSWORD).status().await.expect_err("silence");
    assert!(matches!(nobody.code(), "bmc-unreachable" | "bmc-timed-out"), "{nobody}");
    assert!(before.elapsed() < LIMIT * 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_talks_too_much_or_never_ends_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let with = |text: &str| {
        let program = folder.path().join(format!("p{}", text.len()));
        std::fs::write(&program, text).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let ipmi = Ipmi::new("127.0.0.1".parse().expect("an address"), "a", Password::new("hunter2"));
        Controller::Ipmi(ipmi.expect("a setting").with_program(program))
    };
    let ipmi =
        Ipmi::new("127.0.0.1".parse().expect("an address"), "a", Password::new("p")).expect("a setting");
    let missing = Controller::Ipmi(ipmi.with_program("/nonexistent")).status().await.expect_err("missing");
    assert_eq!(missing.code(), "bmc-program");
    let endless = with("#!/bin/sh\nyes\n").status().await.expect_err("too much");
    assert_eq!(endless.code(), "bmc-answer", "{endless}");
    assert!(endless.to_string().len() < 500, "{endless}");
    // The password is in no argument and no variable, and comes on standard input.
    let told = with(
        "#!/bin/sh\nread password\necho \"$(tr '\\0' ' ' </proc/$$/cmdline) $(env) [$password]\" >$0.told\necho 'Chassis Power is on'\n",
    );
    assert_eq!(told.status().await, Ok(Power::On));
    let mut all =
        std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let file = all.find(|path| path.to_string_lossy().ends_with(".told")).expect("it told");
    let text = std::fs::read_to_string(file).expect("text");
    assert_eq!(text.matches("hunter2").count(), 1, "{text}");
    assert!(text.contains("[hunter2]"), "{text}");
}
