//! Power of nodes by their management controllers (`weft-power`).
//!
//! ```text
//! wish ─▶ decide on each node ─▶ transaction: who asked for what ─▶ controllers, all at once ─▶ events, answer
//! ```
//! What is asked is in history before anything is asked, so that no power-off goes without its author, also where the
//! appliance dies in between. What came of it is told by events. Passwords are sealed in the store (`keys`), opened for
//! one request, and in no answer, log, plan or history.

use std::sync::Arc;

use futures_util::future::join_all;
use weft_api::{Bmc, BmcSet, Conflict, MAX_POWER, NodePower, Plan, PowerState};
use weft_power::{Action, Controller, Ipmi, Outcome, Password, PowerError, Redfish, Trust};
use weft_store::{AskedRow, BmcRow, NewEvent, NodeRow};

use crate::core::Core;
use crate::error::Error;
use crate::groups::{Group, NODES};
use crate::nodes::node_event;
use crate::servers::invalid;
use crate::spanning::lies_on;
use crate::transactions::{Change, Draft, Kept, Kind};
use crate::world::World;

/// What sealed passwords are sealed as.
const SEALED_AS: &str = "bmc password";
/// Longest name of an account.
const ACCOUNT_MAX: usize = 64;
/// Longest password, bytes.
const PASSWORD_MAX: usize = 256;
/// Longest id of a system.
const SYSTEM_MAX: usize = 128;

/// A controller that is to be asked.
struct Asked {
    node: String,
    controller: Controller,
}

/// A setting as the library takes it, or why it is none.
fn controller(row: &BmcRow, password: String) -> Result<Controller, Error> {
    let address = row.address.parse().map_err(|error: weft_power::AddressError| {
        invalid(error.to_string(), "for example bmc-1 or 10.0.0.9:443")
    })?;
    let password = Password::new(password);
    match row.kind.as_str() {
        "redfish" => {
            let trust: Trust = row.certificate.parse().map_err(|error: weft_power::TrustError| {
                invalid(
                    error.to_string(),
                    "--certificate takes sha256:HEX, or a PEM file; nothing is trusted unchecked",
                )
            })?;
            Ok(Controller::Redfish(Redfish::new(
                address,
                row.account.clone(),
                password,
                trust,
                row.system.clone(),
            )))
        }
        "ipmi" if !row.certificate.is_empty() || !row.system.is_empty() => {
            Err(invalid("IPMI has no certificates and one system", "leave --certificate and --system out"))
        }
        "ipmi" => Ipmi::new(address, row.account.clone(), password)
            .map(Controller::Ipmi)
            .map_err(|error| invalid(error.to_string(), "choose another on the controller")),
        other => Err(invalid(format!("there is no protocol {other}"), "redfish or ipmi")),
    }
}

fn check_texts(wanted: &BmcSet) -> Result<(), Error> {
    let sound = |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
    if wanted.account.is_empty() || !sound(&wanted.account, ACCOUNT_MAX) || wanted.account.contains(':') {
        return Err(invalid(
            "the account is malformed",
            format!("1 to {ACCOUNT_MAX} bytes, without a colon"),
        ));
    }
    if !sound(&wanted.password, PASSWORD_MAX) {
        return Err(invalid(
            "the password is malformed",
            format!("{PASSWORD_MAX} bytes at most, on one line"),
        ));
    }
    let plain = |c: char| c.is_ascii_graphic() && c != '/';
    if wanted.system.len() > SYSTEM_MAX || !wanted.system.chars().all(plain) {
        return Err(invalid(
            "the system's id is malformed",
            "as in the last part of its path: weft node power status",
        ));
    }
    Ok(())
}

fn action(wanted: &NodePower) -> Result<Action, Error> {
    match (wanted.action.as_str(), wanted.graceful) {
        ("on", false) => Ok(Action::On),
        ("off", false) => Ok(Action::Off),
        ("off", true) => Ok(Action::GracefulOff),
        ("reset", false) => Ok(Action::Reset),
        ("on" | "reset", true) => Err(invalid("only a power off can be graceful", "leave --graceful out")),
        (other, _) => Err(invalid(format!("there is no action {other}"), "on, off or reset")),
    }
}

/// A controller's trouble as the interface says it: what it refused is the caller's affair, what it did not do is not.
fn trouble(node: &str, error: &PowerError) -> Error {
    let status = match error {
        PowerError::Refused(_)
        | PowerError::IsOff
        | PowerError::Unsupported { .. }
        | PowerError::NoSystem { .. }
        | PowerError::SeveralSystems(_)
        | PowerError::Account(_)
        | PowerError::Certificate { .. }
        | PowerError::Setting(_) => 409,
        PowerError::TimedOut(_) => 504,
        PowerError::Unreachable(_)
        | PowerError::Tls(_)
        | PowerError::Redirected
        | PowerError::Answer(_)
        | PowerError::Program { .. } => 502,
    };
    Error::refused(status, error.code(), format!("{node}: {error}"), error.next(node))
}

fn none_set(node: &str) -> Error {
    Error::refused(
        404,
        "bmc-not-set",
        format!("{node} has no management controller set"),
        format!("set it: weft node bmc set {node} --kind redfish --address HOST --account NAME"),
    )
}

/// What a machine's power does, in words, with what runs on it.
fn effects(world: &World, row: &NodeRow, bmc: &BmcRow, action: Action) -> Vec<String> {
    let name = &row.name;
    let what = match action {
        Action::On => format!("{name} is powered on"),
        Action::Off => format!("{name} is powered off at once"),
        Action::GracefulOff => {
            format!("{name} is asked to power off, and does so in its own time or not at all")
        }
        Action::Reset => format!("{name} is reset at once"),
    };
    let mut effects = vec![format!("{what}, by {} at {}", bmc.kind, bmc.address)];
    if action != Action::On {
        let here = world.servers.values().filter(|vs| vs.row.running && lies_on(&vs.row, &row.id));
        let mut names: Vec<&str> = here.map(|vs| vs.row.name.as_str()).collect();
        names.sort_unstable();
        if !names.is_empty() {
            effects.push(format!("what runs on {name} ends: {}", names.join(", ")));
        }
    }
    effects
}

impl Core {
    /// An approved node: what waits for approval is not kept.
    fn powered_node(&self, name: &str) -> Result<NodeRow, Error> {
        let row = self.find_node(name)?.row;
        if row.approved {
            return Ok(row);
        }
        Err(Error::refused(
            409,
            "node-not-approved",
            format!("{} waits for approval, and what waits is not kept", row.name),
            format!("approve it first: weft node approve {}", row.name),
        ))
    }

    fn bmc_of(&self, node: &NodeRow) -> Result<BmcRow, Error> {
        self.world().bmcs.get(&node.id).cloned().ok_or_else(|| none_set(&node.name))
    }

    /// A node's management controller.
    pub(crate) fn bmc(&self, name: &str) -> Result<Bmc, Error> {
        let node = self.find_node(name)?.row;
        let row = self.bmc_of(&node)?;
        Ok(Bmc {
            name: node.name,
            state: "set".to_string(),
            kind: row.kind,
            address: row.address,
            account: row.account,
            certificate: row.certificate,
            system: row.system,
        })
    }

    /// Sets a node's management controller.
    pub(crate) async fn set_bmc(
        &self,
        actor: &str,
        name: &str,
        wanted: &BmcSet,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let node = self.powered_node(name)?;
        check_texts(wanted)?;
        let before = self.world().bmcs.get(&node.id).cloned();
        let mut row = BmcRow {
            node: node.id.clone(),
            name: node.name.clone(),
            kind: wanted.kind.clone(),
            address: wanted.address.clone(),
            account: wanted.account.clone(),
            password: String::new(),
            certificate: wanted.certificate.trim().to_string(),
            system: wanted.system.clone(),
            generation: before.as_ref().map_or(1, |row| row.generation.saturating_add(1)),
        };
        row.password = if wanted.password.is_empty() {
            // A password goes to the controller that it was set for, and to no other.
            let same = |old: &&BmcRow| {
                (&old.kind, &old.address, &old.certificate) == (&row.kind, &row.address, &row.certificate)
            };
            let kept = before.as_ref().filter(same).map(|old| old.password.clone());
            kept.ok_or_else(|| invalid("the password is missing", "give it: --password-file FILE"))?
        } else {
            self.keys.seal(SEALED_AS, &wanted.password)
        };
        controller(&row, self.opened(&node, &row)?)?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..node_event("node.bmc-set", "info", &node.name, format!("{} at {}", row.kind, row.address))
        };
        let change = Kept::Bmc { node: Box::new(node), before, after: Some(row) };
        self.carry_out(actor, Draft::new(Kind::NodeBmcSet, vec![Change::Kept(change)], told), dry).await
    }

    /// Clears a node's management controller.
    pub(crate) async fn clear_bmc(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let node = self.find_node(name)?.row;
        let before = self.bmc_of(&node)?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..node_event(
                "node.bmc-cleared",
                "info",
                &node.name,
                "its management controller is no longer known",
            )
        };
        let change = Kept::Bmc { node: Box::new(node), before: Some(before), after: None };
        self.carry_out(actor, Draft::new(Kind::NodeBmcClear, vec![Change::Kept(change)], told), dry).await
    }

    fn opened(&self, node: &NodeRow, row: &BmcRow) -> Result<String, Error> {
        self.keys.unseal(SEALED_AS, &row.password).ok_or_else(|| {
            Error::refused(
                409,
                "bmc-setting",
                format!(
                    "the password for the controller of {} cannot be opened: the appliance has another key",
                    node.name
                ),
                format!("set it again: weft node bmc set {}", node.name),
            )
        })
    }

    fn controller_of(&self, node: &NodeRow) -> Result<(BmcRow, Asked), Error> {
        let row = self.bmc_of(node)?;
        let controller = controller(&row, self.opened(node, &row)?)?;
        Ok((row, Asked { node: node.name.clone(), controller }))
    }

    /// How a node's power stands, as its controller says.
    pub(crate) async fn power_state(&self, name: &str) -> Result<PowerState, Error> {
        let node = self.powered_node(name)?;
        let (row, asked) = self.controller_of(&node)?;
        let state = asked.controller.status().await.map_err(|error| trouble(&node.name, &error))?;
        Ok(PowerState { name: node.name, state: state.word().to_string(), kind: row.kind })
    }

    /// Changes the power of nodes. All are asked, or none where one has no controller; what one controller does not do
    /// is told, and the others do it all the same.
    pub(crate) async fn node_power(
        self: &Arc<Self>,
        actor: &str,
        wanted: &NodePower,
        dry: bool,
    ) -> Result<Plan, Error> {
        let action = action(wanted)?;
        let (mut plan, asked) = {
            let _change = self.change.lock().await;
            let (names, mut gate) = self.chosen_nodes("power", &wanted.select)?;
            if names.len() > MAX_POWER {
                return Err(Error::refused(
                    422,
                    "too-many",
                    format!("{} nodes are chosen at once", names.len()),
                    format!("at most {MAX_POWER}: choose them by labels, one part after the other"),
                ));
            }
            let mut group = Group::new(&NODES, Kind::NodePower);
            let mut asked = Vec::new();
            for name in &names {
                let decided = match self.find_node(name) {
                    Ok(node) if !group.seen.insert(node.row.id.clone()) => continue,
                    Ok(node) => self.pass_node(gate.as_mut(), &node).and_then(|()| {
                        let (change, told, one) = self.decide_power(actor, name, action)?;
                        asked.push(one);
                        Ok(Some((change, told)))
                    }),
                    Err(error) => Err(error),
                };
                group.add(name, decided)?;
            }
            (self.change_group(actor, group, dry).await?, asked)
        };
        if dry || plan.state != "done" {
            return Ok(plan);
        }
        let done = join_all(asked.into_iter().map(|asked| async move {
            let outcome = asked.controller.act(action).await;
            (asked.node, outcome)
        }))
        .await;
        let alone = done.len() == 1;
        plan.effects.clear();
        for (node, outcome) in done {
            let (name, state, text) = match &outcome {
                Ok(Outcome::Asked) => {
                    ("node.power-asked", "info", format!("its controller took the {}", action.words()))
                }
                Ok(Outcome::Already) => {
                    ("node.power-asked", "info", format!("no {} was needed", action.words()))
                }
                Err(error) => ("node.power-failed", "error", format!("{}: {error}", action.words())),
            };
            self.emit(NewEvent { actor: actor.to_string(), ..node_event(name, state, &node, text.clone()) });
            match outcome {
                Ok(_) => plan.effects.push(format!("{node}: {text}")),
                Err(error) if alone => return Err(trouble(&node, &error)),
                Err(error) => plan.conflicts.push(Conflict {
                    kind: "node".to_string(),
                    name: node.clone(),
                    text: format!("{node}: {error}; {}", error.next(&node)),
                    ..Conflict::default()
                }),
            }
        }
        if !plan.conflicts.is_empty() {
            plan.state = "failed".to_string();
        }
        Ok(plan)
    }

    fn decide_power(
        &self,
        actor: &str,
        name: &str,
        action: Action,
    ) -> Result<(Change, NewEvent, Asked), Error> {
        let node = self.powered_node(name)?;
        let (row, asked) = self.controller_of(&node)?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..node_event("node.power", "info", &node.name, format!("{} by {}", action.words(), row.kind))
        };
        let effects = effects(&self.world(), &node, &row, action);
        let said = AskedRow {
            node: node.id.clone(),
            name: node.name.clone(),
            by: row.kind,
            asked: action.words().to_string(),
        };
        Ok((Change::Kept(Kept::Power { node: Box::new(node), asked: said, effects }), told, asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, certificate: &str, system: &str) -> BmcRow {
        BmcRow {
            kind: kind.into(),
            address: "bmc-1".into(),
            account: "admin".into(),
            certificate: certificate.into(),
            system: system.into(),
            ..BmcRow::default()
        }
    }

    fn title(row: &BmcRow, password: &str) -> String {
        controller(row, password.to_string()).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn redfish_without_a_certificate_is_refused_and_ipmi_has_none() {
        let pin = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(title(&row("redfish", &pin, "1"), "secret"), "");
        assert_eq!(title(&row("ipmi", "", ""), "secret"), "");
        for (wrong, password) in [
            (row("redfish", "", ""), "secret"),
            (row("redfish", "sha256:ab", ""), "secret"),
            (row("ipmi", &pin, ""), "secret"),
            (row("ipmi", "", "1"), "secret"),
            (row("ipmi", "", ""), "longer than IPMI has room for"),
            (row("snmp", "", ""), "secret"),
            (BmcRow { address: "-H".into(), ..row("ipmi", "", "") }, "secret"),
        ] {
            let said = title(&wrong, password);
            assert!(!said.is_empty() && !said.contains(password), "{wrong:?}: {said}");
        }
    }

    #[test]
    fn only_a_power_off_is_graceful() {
        let wanted =
            |action: &str, graceful| NodePower { action: action.into(), graceful, ..NodePower::default() };
        assert!(matches!(action(&wanted("off", true)), Ok(Action::GracefulOff)));
        assert!(matches!(action(&wanted("off", false)), Ok(Action::Off)));
        for wrong in [wanted("on", true), wanted("reset", true), wanted("cycle", false)] {
            assert!(action(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_forged_account_or_system_is_refused() {
        let wanted = BmcSet { account: "admin".into(), ..BmcSet::default() };
        assert!(check_texts(&wanted).is_ok());
        for wrong in [
            BmcSet { account: "a:b".into(), ..wanted.clone() },
            BmcSet { account: String::new(), ..wanted.clone() },
            BmcSet { account: "a\n".into(), ..wanted.clone() },
            BmcSet { password: "a\nb".into(), ..wanted.clone() },
            BmcSet { password: "a".repeat(PASSWORD_MAX + 1), ..wanted.clone() },
            BmcSet { system: "../1".into(), ..wanted.clone() },
            BmcSet { system: "a b".into(), ..wanted.clone() },
        ] {
            assert!(check_texts(&wrong).is_err(), "{wrong:?}");
        }
    }
}
