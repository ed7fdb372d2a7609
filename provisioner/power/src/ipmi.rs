//! Power by IPMI 2.0 over RMCP+ (`lanplus`), by the program `ipmitool`. The password goes to it on standard input: it is
//! in no argument, no variable and no file.
//!
//! Sources: IPMI specification 2.0, 13 (sessions) and 28.3 (chassis control); ipmitool 1.8.19, `lanplus.c`.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::error::PowerError;
use crate::secret::Password;
use crate::{Action, Address, LIMIT, Outcome, Power, clean, needed};

/// Port of RMCP.
const PORT: u16 = 623;
/// Longest name of an account (specification, 22.28).
const ACCOUNT_MAX: usize = 16;
/// Longest password (specification, 22.30).
const PASSWORD_MAX: usize = 20;
/// Most that the program may say.
const SAID_MAX_BYTES: u64 = 16 * 1024;
/// Variables from which it would take other settings than ours.
const VARIABLES: [&str; 3] = ["IPMI_PASSWORD", "IPMITOOL_PASSWORD", "IPMI_KGKEY"];

/// A controller that speaks IPMI.
#[derive(Clone, Debug)]
pub struct Ipmi {
    program: PathBuf,
    address: Address,
    account: String,
    password: Password,
}

impl Ipmi {
    /// With the account's password.
    ///
    /// # Errors
    /// Account or password is longer than IPMI has room for, or cannot be handed on.
    pub fn new(address: Address, account: impl Into<String>, password: Password) -> Result<Self, PowerError> {
        let account = account.into();
        let sound = |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
        if !sound(&account, ACCOUNT_MAX) || account.starts_with('-') {
            return Err(PowerError::Setting(format!(
                "an account of IPMI has {ACCOUNT_MAX} characters at most"
            )));
        }
        if !sound(password.reveal(), PASSWORD_MAX) {
            return Err(PowerError::Setting(format!("a password of IPMI has {PASSWORD_MAX} bytes at most")));
        }
        Ok(Self { program: PathBuf::from("ipmitool"), address, account, password })
    }

    /// With a program of another place.
    #[must_use]
    pub fn with_program(self, program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..self }
    }

    pub(crate) async fn status(&self) -> Result<Power, PowerError> {
        let said = self.run("status").await?;
        match said.trim() {
            "Chassis Power is on" => Ok(Power::On),
            "Chassis Power is off" => Ok(Power::Off),
            other => Err(PowerError::Answer(clean(other))),
        }
    }

    pub(crate) async fn act(&self, action: Action) -> Result<Outcome, PowerError> {
        if !needed(action, self.status().await?)? {
            return Ok(Outcome::Already);
        }
        let (verb, answer) = match action {
            Action::On => ("on", "Up/On"),
            Action::Off => ("off", "Down/Off"),
            Action::GracefulOff => ("soft", "Soft"),
            Action::Reset => ("reset", "Reset"),
        };
        let said = self.run(verb).await?;
        if said.trim() == format!("Chassis Power Control: {answer}") {
            Ok(Outcome::Asked)
        } else {
            Err(PowerError::Answer(clean(&said)))
        }
    }

    async fn run(&self, verb: &str) -> Result<String, PowerError> {
        let failed = |error: std::io::Error| PowerError::Program {
            program: self.program.display().to_string(),
            why: error.to_string(),
        };
        let mut command = Command::new(&self.program);
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command
            .env("LC_ALL", "C")
            .args(["-I", "lanplus", "-v", "-N", "1", "-R", "2", "-f", "/dev/stdin"])
            .args(["-L", "OPERATOR", "-H", self.address.host(), "-U", &self.account])
            .args(["-p", &self.address.port_or(PORT).to_string()])
            .args(["chassis", "power", verb])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Time is up, or who asked is gone: it goes too.
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            let line = format!("{}\n", self.password.reveal());
            // One that ended before it read says why itself.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr) = tokio::try_join!(bounded(out), bounded(err))?;
            Ok::<_, std::io::Error>(Output { status: child.wait().await?, stdout, stderr })
        };
        let done = tokio::time::timeout(LIMIT, work)
            .await
            .map_err(|_| PowerError::TimedOut(LIMIT.as_secs()))?
            .map_err(failed)?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(trouble(&String::from_utf8_lossy(&done.stderr)))
    }
}

/// What is said up to the bound; what is beyond it is read by nobody, and the program ends of it.
async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    if let Some(stream) = stream {
        stream.take(SAID_MAX_BYTES).read_to_end(&mut said).await?;
    }
    Ok(said)
}

/// What the program complains of.
fn trouble(said: &str) -> PowerError {
    // Said of each run: names of manufacturers are of no interest here.
    let lines: Vec<&str> =
        said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("IANA PEN")).collect();
    let has = |words: &str| lines.iter().any(|line| line.to_ascii_lowercase().contains(words));
    let told = |except: &str| {
        clean(&lines.iter().filter(|line| !line.contains(except)).copied().collect::<Vec<_>>().join("; "))
    };
    if has("unauthorized name") {
        PowerError::Account("it has no such account".to_string())
    } else if has("rakp 2 hmac is invalid") || has("rakp 4 message has invalid integrity") {
        PowerError::Account("the password is wrong".to_string())
    } else if has("insufficient privilege") || has("unauthorized role") || has("requested role") {
        PowerError::Account("it may not do this".to_string())
    } else if has("address lookup for") || has("could not open socket") {
        PowerError::Unreachable("there is no host of this name".to_string())
    } else if has("get auth capabilities error") || has("no response") {
        PowerError::Unreachable("no answer by IPMI".to_string())
    } else if has("set chassis power control to") {
        PowerError::Refused(told("Error: "))
    } else if has("unable to establish") {
        PowerError::Unreachable(format!("no session: {}", told("Loading")))
    } else {
        PowerError::Answer(told("Loading"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_apart() {
        let code = |said: &str| trouble(said).code();
        let session = "Error: Unable to establish IPMI v2 / RMCP+ session\n";
        assert_eq!(
            code(&format!("RAKP 2 message indicates an error : unauthorized name\n{session}")),
            "bmc-account"
        );
        assert_eq!(code(&format!("> RAKP 2 HMAC is invalid\n{session}")), "bmc-account");
        assert_eq!(code(&format!("Get Auth Capabilities error\n{session}")), "bmc-unreachable");
        assert_eq!(code(session), "bmc-unreachable");
        let refused = "Set Chassis Power Control to Reset failed: Command not supported in present state";
        assert_eq!(code(refused), "bmc-refused");
        assert_eq!(code("something else"), "bmc-answer");
    }

    #[test]
    fn what_ipmi_has_no_room_for_is_refused_before_anything_is_run() {
        let address: Address = "bmc".parse().expect("an address");
        let new =
            |account: &str, password: &str| Ipmi::new(address.clone(), account, Password::new(password));
        assert!(new("admin", "secret").is_ok());
        for (account, password) in [
            ("a2345678901234567", "x"),
            ("-H", "x"),
            ("a\nb", "x"),
            ("a", "123456789012345678901"),
            ("a", "x\ny"),
        ] {
            assert!(
                matches!(new(account, password), Err(PowerError::Setting(_))),
                "{account:?} {password:?}"
            );
        }
    }
}
