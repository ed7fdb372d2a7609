//! Against `sushy-emulator`.

use std::time::{Duration, Instant};

use weft_power::peers::{ACCOUNT, PASSWORD, SYSTEMS, Sushy};
use weft_power::{Controller, Outcome, Password, Power, PowerError, Redfish};

fn at(sushy: &Sushy, password: &str, trust: &str, system: &str) -> Controller {
    Controller::Redfish(Redfish::new(
        sushy.address.parse().expect("an address"),
        ACCOUNT,
        Password::new(password),
        trust.parse().expect("trust"),
        system,
    ))
}

/// Its machines follow in their own time, ten seconds or so.
async fn becomes(controller: &Controller, power: Power) {
    let end = Instant::now() + Duration::from_secs(30);
    while controller.status().await.expect("a state") != power {
        assert!(Instant::now() < end, "it never became {power:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_powered_on_reset_and_powered_off_and_another_is_not() {
    let sushy = Sushy::start();
    let pin = format!("sha256:{}", sushy.fingerprint);
    let [first, second] = SYSTEMS.map(|system| at(&sushy, PASSWORD, &pin, system));
    assert_eq!(first.status().await, Ok(Power::Off));
    assert_eq!(first.reset().await, Err(PowerError::IsOff));
    assert_eq!(first.off().await, Ok(Outcome::Already));
    assert_eq!(first.on().await, Ok(Outcome::Asked));
    becomes(&first, Power::On).await;
    assert_eq!(first.on().await, Ok(Outcome::Already));
    assert_eq!(first.reset().await, Ok(Outcome::Asked));
    becomes(&first, Power::On).await;
    assert_eq!(first.graceful_off().await, Ok(Outcome::Asked));
    becomes(&first, Power::Off).await;
    assert_eq!(second.status().await, Ok(Power::Off));
    let posts = sushy.heard().lines().filter(|line| line.contains("POST ")).count();
    assert_eq!(posts, 3, "{}", sushy.heard());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_certificate_or_system_is_told_in_clear_words() {
    let sushy = Sushy::start();
    let pin = format!("sha256:{}", sushy.fingerprint);
    let wrong = at(&sushy, "wrong", &pin, SYSTEMS[0]).status().await.expect_err("refused");
    assert_eq!(wrong.code(), "bmc-account", "{wrong}");
    let other = at(&sushy, PASSWORD, &format!("sha256:{}", "00".repeat(32)), SYSTEMS[0]);
    assert_eq!(other.status().await, Err(PowerError::Certificate { found: sushy.fingerprint.clone() }));
    let unnamed = at(&sushy, PASSWORD, &pin, "").on().await;
    assert_eq!(unnamed, Err(PowerError::SeveralSystems(SYSTEMS.join(", "))));
    let missing = at(&sushy, PASSWORD, &pin, "3").status().await;
    assert_eq!(missing, Err(PowerError::NoSystem { wanted: "3".into(), known: SYSTEMS.join(", ") }));
    // The certificate itself, in a file, is as good as its fingerprint; another one's file is not.
    assert_eq!(at(&sushy, PASSWORD, &sushy.pem, SYSTEMS[1]).status().await, Ok(Power::Off));
    let stranger =
        rcgen::generate_simple_self_signed(["bmc.test".to_string()]).expect("a certificate").cert.pem();
    let refused = at(&sushy, PASSWORD, &stranger, SYSTEMS[1]).status().await.expect_err("refused");
    assert_eq!(refused.code(), "bmc-certificate", "{refused}");
    // Whoever has another certificate hears no password: it is no request at all.
    assert!(!sushy.heard().contains("POST "), "{}", sushy.heard());
}
