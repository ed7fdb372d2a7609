//! Why a machine's power could not be seen or changed.

use crate::Action;

/// Said to a person; none of it holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// Nobody answers there.
    #[error("the management controller does not answer: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the management controller took longer than {0} s")]
    TimedOut(u64),
    /// It has another certificate than the one that is trusted.
    #[error("the management controller shows another certificate than the trusted one: sha256:{found}")]
    Certificate {
        /// SHA-256 of the one it shows, in hexadecimal.
        found: String,
    },
    /// TLS failed for another reason.
    #[error("no secure connection to the management controller: {0}")]
    Tls(String),
    /// It does not know the account, or the password is wrong, or the account may not do this.
    #[error("the management controller refuses the account: {0}")]
    Account(String),
    /// It has no such system.
    #[error("the management controller has no system {wanted}; it has {known}")]
    NoSystem {
        /// Which was asked for.
        wanted: String,
        /// Those that it has.
        known: String,
    },
    /// It has several systems, and none was named.
    #[error("the management controller has several systems, and none is chosen; it has {0}")]
    SeveralSystems(String),
    /// It cannot do this.
    #[error("the management controller has no {}; it has {offered}", .action.words())]
    Unsupported {
        /// What was asked for.
        action: Action,
        /// What it offers.
        offered: String,
    },
    /// It does not want to.
    #[error("the management controller refuses: {0}")]
    Refused(String),
    /// A machine that is off cannot be reset.
    #[error("the machine is off")]
    IsOff,
    /// It sends us elsewhere.
    #[error("the management controller answers with a redirection, which is not followed")]
    Redirected,
    /// Its answer is not what the protocol promises.
    #[error("the management controller's answer cannot be understood: {0}")]
    Answer(String),
    /// A setting that this protocol cannot have.
    #[error("{0}")]
    Setting(String),
    /// The program for IPMI cannot be run.
    #[error("cannot run {program}: {why}")]
    Program {
        /// Which.
        program: String,
        /// Why.
        why: String,
    },
}

impl PowerError {
    /// Stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "bmc-unreachable",
            Self::TimedOut(_) => "bmc-timed-out",
            Self::Certificate { .. } | Self::Tls(_) => "bmc-certificate",
            Self::Account(_) => "bmc-account",
            Self::NoSystem { .. } | Self::SeveralSystems(_) => "bmc-system",
            Self::Unsupported { .. } => "bmc-unsupported",
            Self::Refused(_) => "bmc-refused",
            Self::IsOff => "machine-off",
            Self::Redirected | Self::Answer(_) => "bmc-answer",
            Self::Setting(_) => "bmc-setting",
            Self::Program { .. } => "bmc-program",
        }
    }

    /// What to do; `node` is its name for commands.
    pub fn next(&self, node: &str) -> String {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => {
                format!("check its address and its network: weft node bmc show {node}")
            }
            Self::Certificate { .. } => format!(
                "compare with the controller's own page; where it is right: weft node bmc set {node} with --certificate"
            ),
            Self::Tls(_) => {
                "check that the controller speaks TLS 1.2 or newer on this port, and what --certificate has"
                    .to_string()
            }
            Self::Account(_) => {
                format!(
                    "set the right account and password: weft node bmc set {node}; it needs the role of an operator there"
                )
            }
            Self::NoSystem { .. } | Self::SeveralSystems(_) => {
                format!("choose one of them: weft node bmc set {node} with --system")
            }
            Self::Unsupported { .. } => "use another verb, or do it at the machine".to_string(),
            Self::Refused(_) => "look at the controller's own page and log".to_string(),
            Self::IsOff => format!("power it on: weft node power on {node}"),
            Self::Redirected | Self::Answer(_) => {
                "check that the address is that of the controller itself, and its firmware".to_string()
            }
            Self::Setting(_) => format!("set another one: weft node bmc set {node}"),
            Self::Program { .. } => "install it on the appliance: apt-get install ipmitool".to_string(),
        }
    }
}
