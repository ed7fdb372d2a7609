//! Power by Redfish (DMTF DSP0266; schema `ComputerSystem`, DSP8010): service root, collection of systems, one system,
//! its action `#ComputerSystem.Reset`. Each step is one request; addresses in answers are paths on the same controller
//! or nothing.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::error::PowerError;
use crate::http::{Answer, Host};
use crate::secret::Password;
use crate::{Action, Address, Outcome, Power, Trust, clean, needed};

/// The service root. With the slash: some controllers answer without it by a redirection.
const ROOT: &str = "/redfish/v1/";
/// Longest path that is asked for.
const PATH_MAX: usize = 512;
/// Systems of one controller that are looked at.
const SYSTEMS_MAX: usize = 256;
/// Systems that an error names.
const TOLD: usize = 16;

/// A controller that speaks Redfish.
#[derive(Clone, Debug)]
pub struct Redfish {
    host: Host,
    /// Which of its systems, empty where it has one.
    system: String,
}

/// A system as it stands.
struct System {
    power: Power,
    /// Where its reset is asked for.
    target: String,
    /// Kinds of reset that it offers; `None`: it does not say.
    offered: Option<Vec<String>>,
}

impl Redfish {
    /// With the account's password, the certificate that is trusted, and the system's id, empty where there is one.
    pub fn new(
        address: Address,
        account: impl Into<String>,
        password: Password,
        trust: Trust,
        system: impl Into<String>,
    ) -> Self {
        Self { host: Host { address, account: account.into(), password, trust }, system: system.into() }
    }

    pub(crate) async fn status(&self) -> Result<Power, PowerError> {
        Ok(self.look().await?.power)
    }

    pub(crate) async fn act(&self, action: Action) -> Result<Outcome, PowerError> {
        let system = self.look().await?;
        if !needed(action, system.power)? {
            return Ok(Outcome::Already);
        }
        let kind = kind(action, system.offered.as_deref())?;
        let answer = self.host.ask(Method::POST, &system.target, Some(&json!({ "ResetType": kind }))).await?;
        if answer.status.is_success() {
            Ok(Outcome::Asked)
        } else {
            Err(PowerError::Refused(answer.complaint()))
        }
    }

    async fn look(&self) -> Result<System, PowerError> {
        let root = self.get(ROOT).await?;
        let systems = link(root.get("Systems"))?;
        let collection = self.get(&systems).await?;
        let path = self.choose(&collection)?;
        let answer = self.host.ask(Method::GET, &path, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(PowerError::NoSystem {
                wanted: clean(last(&path)),
                known: "it no longer".to_string(),
            });
        }
        let system = good(&answer)?;
        let reset = system.pointer("/Actions/#ComputerSystem.Reset");
        let target = reset.and_then(|reset| reset.get("target"));
        let offered = reset.and_then(|reset| reset.get("ResetType@Redfish.AllowableValues")?.as_array());
        let words = |all: &Vec<Value>| all.iter().filter_map(Value::as_str).take(TOLD).map(clean).collect();
        Ok(System {
            power: match system.get("PowerState").and_then(Value::as_str) {
                Some("On") => Power::On,
                Some("Off") => Power::Off,
                _ => Power::Unknown,
            },
            target: path_of(target)?,
            offered: offered.map(words),
        })
    }

    /// The path of the system that is meant.
    fn choose(&self, collection: &Value) -> Result<String, PowerError> {
        let none = || PowerError::Answer("a collection of systems without members".to_string());
        let members = collection.get("Members").and_then(Value::as_array).ok_or_else(none)?;
        let paths: Vec<String> =
            members.iter().take(SYSTEMS_MAX).map(|member| link(Some(member))).collect::<Result<_, _>>()?;
        let known = || {
            let names: Vec<String> = paths.iter().take(TOLD).map(|path| clean(last(path))).collect();
            if names.is_empty() { "none".to_string() } else { names.join(", ") }
        };
        match (self.system.as_str(), paths.as_slice()) {
            ("", [only]) => Ok(only.clone()),
            ("", []) => Err(PowerError::NoSystem { wanted: "at all".to_string(), known: known() }),
            ("", _) => Err(PowerError::SeveralSystems(known())),
            (wanted, paths) => paths
                .iter()
                .find(|path| last(path) == wanted)
                .cloned()
                .ok_or_else(|| PowerError::NoSystem { wanted: wanted.to_string(), known: known() }),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, PowerError> {
        good(&self.host.ask(Method::GET, path, None).await?)
    }
}

fn good(answer: &Answer) -> Result<Value, PowerError> {
    if answer.status.is_success() { answer.json() } else { Err(PowerError::Answer(answer.complaint())) }
}

/// The kind of reset (`ResetType`) that does it.
fn kind(action: Action, offered: Option<&[String]>) -> Result<&'static str, PowerError> {
    let ways: &[&'static str] = match action {
        Action::On => &["On", "ForceOn"],
        Action::Off => &["ForceOff"],
        Action::GracefulOff => &["GracefulShutdown"],
        Action::Reset => &["ForceRestart"],
    };
    let found = match offered {
        Some(offered) => ways.iter().find(|way| offered.iter().any(|one| one == *way)),
        None => ways.first(),
    };
    found.copied().ok_or_else(|| PowerError::Unsupported {
        action,
        offered: match offered {
            Some([]) | None => "nothing".to_string(),
            Some(offered) => offered.join(", "),
        },
    })
}

/// The path that a link (`{"@odata.id": …}`) leads to.
fn link(value: Option<&Value>) -> Result<String, PowerError> {
    path_of(value.and_then(|value| value.get("@odata.id")))
}

/// A path on the same controller: it cannot lead to another host, nor out of a line of HTTP.
fn path_of(value: Option<&Value>) -> Result<String, PowerError> {
    let path = value.and_then(Value::as_str).unwrap_or_default();
    let sound = path.len() <= PATH_MAX
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok(path.to_string()) } else { Err(PowerError::Answer(format!("no path: {}", clean(path)))) }
}

/// The last part of a path: the id of what it leads to (DSP0266, 6.3).
fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redfish(system: &str) -> Redfish {
        let address = "bmc".parse().expect("an address");
        Redfish::new(address, "a", Password::new("p"), Trust::Fingerprint([0; 32]), system)
    }

    fn members(paths: &[&str]) -> Value {
        json!({ "Members": paths.iter().map(|path| json!({"@odata.id": path})).collect::<Vec<_>>() })
    }

    #[test]
    fn the_only_system_or_the_named_one_is_chosen_and_others_are_told() {
        let one = members(&["/redfish/v1/Systems/1"]);
        let two = members(&["/redfish/v1/Systems/1", "/redfish/v1/Systems/2/"]);
        assert_eq!(redfish("").choose(&one).expect("one"), "/redfish/v1/Systems/1");
        assert_eq!(redfish("2").choose(&two).expect("one"), "/redfish/v1/Systems/2/");
        assert_eq!(redfish("").choose(&two), Err(PowerError::SeveralSystems("1, 2".to_string())));
        let none = PowerError::NoSystem { wanted: "3".to_string(), known: "1, 2".to_string() };
        assert_eq!(redfish("3").choose(&two), Err(none));
        assert!(matches!(redfish("").choose(&members(&[])), Err(PowerError::NoSystem { .. })));
        assert!(matches!(redfish("").choose(&json!({})), Err(PowerError::Answer(_))));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_none() {
        for wrong in ["", "x", "//other/redfish", "https://other/", "/a b", "/a\r\nHost: b", "/ü"] {
            assert!(matches!(path_of(Some(&json!(wrong))), Err(PowerError::Answer(_))), "{wrong:?}");
        }
        assert!(path_of(Some(&json!("/".repeat(PATH_MAX + 1)))).is_err());
        assert!(path_of(Some(&json!(7))).is_err());
        assert_eq!(path_of(Some(&json!("/a/b"))).expect("a path"), "/a/b");
    }

    #[test]
    fn only_what_is_offered_is_asked_for() {
        let offered = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(kind(Action::Reset, None), Ok("ForceRestart"));
        assert_eq!(kind(Action::On, Some(&offered(&["ForceOn"]))), Ok("ForceOn"));
        let refused =
            kind(Action::GracefulOff, Some(&offered(&["On", "ForceOff"]))).expect_err("not offered");
        assert_eq!(
            refused.to_string(),
            "the management controller has no graceful power off; it has On, ForceOff"
        );
        assert!(kind(Action::Off, Some(&[])).is_err());
    }
}
