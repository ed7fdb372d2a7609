//! Power of machines by their management controllers.
//!
//! ```text
//! Controller ─┬─ Redfish: HTTPS, DMTF DSP0266; certificate pinned
//!             └─ IPMI 2.0: RMCP+ (lanplus) by the program `ipmitool`
//! ```
//! A controller is somebody else's computer: what it answers is bounded in time and size, judged, and never followed
//! elsewhere. Passwords are shown by nothing here. Nothing is tried twice on its own: who asked decides.

mod address;
mod error;
mod http;
mod ipmi;
#[cfg(feature = "peers")]
pub mod peers;
mod redfish;
mod secret;
mod tls;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use error::PowerError;
pub use ipmi::Ipmi;
pub use redfish::Redfish;
pub use secret::Password;
pub use tls::{MAX_PEM_BYTES, Trust, TrustError};

/// Time for one question or wish, with all that it takes to be answered.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What a machine is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Power on.
    On,
    /// Power off at once, as by the cord.
    Off,
    /// Its system is asked to power off, as by a short press of the button.
    GracefulOff,
    /// Reset at once.
    Reset,
}

impl Action {
    /// As events and errors say it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::On => "power on",
            Self::Off => "power off",
            Self::GracefulOff => "graceful power off",
            Self::Reset => "reset",
        }
    }
}

/// How a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It has power.
    On,
    /// It has none but for its controller.
    Off,
    /// It is on its way from one to the other, or the controller does not know.
    Unknown,
}

impl Power {
    /// As the interface says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The controller took it. The machine follows in its own time.
    Asked,
    /// The machine was so already, and nothing was asked.
    Already,
}

/// A way to a machine's power.
#[derive(Clone, Debug)]
pub enum Controller {
    /// By Redfish.
    Redfish(Redfish),
    /// By IPMI.
    Ipmi(Ipmi),
}

impl Controller {
    /// How the machine stands.
    ///
    /// # Errors
    /// The controller does not answer, in time or at all, does not let us in, or says what cannot be understood.
    pub async fn status(&self) -> Result<Power, PowerError> {
        within(LIMIT, async {
            match self {
                Self::Redfish(redfish) => redfish.status().await,
                Self::Ipmi(ipmi) => ipmi.status().await,
            }
        })
        .await
    }

    /// Powers on.
    ///
    /// # Errors
    /// As for [`Controller::act`].
    pub async fn on(&self) -> Result<Outcome, PowerError> {
        self.act(Action::On).await
    }

    /// Powers off at once.
    ///
    /// # Errors
    /// As for [`Controller::act`].
    pub async fn off(&self) -> Result<Outcome, PowerError> {
        self.act(Action::Off).await
    }

    /// Asks the machine's system to power off.
    ///
    /// # Errors
    /// As for [`Controller::act`].
    pub async fn graceful_off(&self) -> Result<Outcome, PowerError> {
        self.act(Action::GracefulOff).await
    }

    /// Resets at once.
    ///
    /// # Errors
    /// As for [`Controller::act`].
    pub async fn reset(&self) -> Result<Outcome, PowerError> {
        self.act(Action::Reset).await
    }

    /// Does one of these. Looks first: what is so already is not asked for, and what is off is not reset.
    ///
    /// # Errors
    /// As for [`Controller::status`]; the controller refuses; the machine is off and is to be reset.
    pub async fn act(&self, action: Action) -> Result<Outcome, PowerError> {
        within(LIMIT, async {
            match self {
                Self::Redfish(redfish) => redfish.act(action).await,
                Self::Ipmi(ipmi) => ipmi.act(action).await,
            }
        })
        .await
    }
}

/// Whether there is anything to ask for, of a machine that stands so.
fn needed(action: Action, now: Power) -> Result<bool, PowerError> {
    match (action, now) {
        (Action::On, Power::On) | (Action::Off | Action::GracefulOff, Power::Off) => Ok(false),
        (Action::Reset, Power::Off) => Err(PowerError::IsOff),
        (Action::On, Power::Off | Power::Unknown)
        | (Action::Off | Action::GracefulOff | Action::Reset, Power::On | Power::Unknown) => Ok(true),
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, PowerError>>,
) -> Result<T, PowerError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(PowerError::TimedOut(limit.as_secs())))
}

/// Text of a controller as a person may see it: one line, no control characters, not long.
fn clean(text: &str) -> String {
    const LONGEST: usize = 200;
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = spaced.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if spaced.chars().count() > LONGEST { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_so_already_is_not_asked_for_and_what_is_off_is_not_reset() {
        assert_eq!(needed(Action::On, Power::On), Ok(false));
        assert_eq!(needed(Action::On, Power::Off), Ok(true));
        assert_eq!(needed(Action::Off, Power::Off), Ok(false));
        assert_eq!(needed(Action::GracefulOff, Power::Off), Ok(false));
        assert_eq!(needed(Action::GracefulOff, Power::On), Ok(true));
        assert_eq!(needed(Action::Reset, Power::Off), Err(PowerError::IsOff));
        for action in [Action::On, Action::Off, Action::GracefulOff, Action::Reset] {
            assert_eq!(needed(action, Power::Unknown), Ok(true), "{action:?}");
        }
    }

    #[test]
    fn a_controllers_text_is_one_short_line() {
        assert_eq!(clean(" a\r\n\u{1b}[31mb\0 "), "a [31mb");
        assert_eq!(clean(&"x".repeat(1000)).chars().count(), 201);
    }
}
