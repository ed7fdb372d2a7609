//! Where the appliance is and whom to trust: flags and environment first, then a profile, then defaults.
//!
//! The configuration file is `$XDG_CONFIG_HOME/weft/config.toml` (`~/.config/weft/config.toml`):
//!
//! ```toml
//! default = "lab"
//! [profile.lab]
//! url = "https://10.20.0.1:8443"
//! ca = "/etc/weft/lab-ca.pem"        # or "sha256:9b1f…"
//! token-file = "/etc/weft/lab.token"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::error::CliError;

/// Where an appliance on this machine listens.
const DEFAULT_URL: &str = "https://127.0.0.1:8443";
/// A configuration or token file larger than this is not one.
const FILE_MAX_BYTES: u64 = 256 * 1024;

/// The configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) default: String,
    #[serde(default)]
    pub(crate) profile: BTreeMap<String, Profile>,
}

/// One appliance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
}

/// What a command works with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) ca: Option<String>,
    pub(crate) token_file: PathBuf,
}

impl Settings {
    /// From flags, environment and file.
    pub(crate) fn resolve(global: &Global) -> Result<Self, CliError> {
        Self::merge(global, &File::read(&config_path())?, &config_dir())
    }

    fn merge(global: &Global, file: &File, dir: &Path) -> Result<Self, CliError> {
        let name =
            global.profile.clone().or_else(|| (!file.default.is_empty()).then(|| file.default.clone()));
        let profile = match &name {
            None => Profile::default(),
            Some(name) => file.profile.get(name).cloned().ok_or_else(|| {
                let known = file.profile.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                CliError::usage(
                    format!("there is no profile {name} in {}", dir.join("config.toml").display()),
                    if known.is_empty() {
                        "make one: weft login --save NAME".into()
                    } else {
                        format!("known: {known}")
                    },
                )
            })?,
        };
        let token_name = name.as_deref().unwrap_or("default");
        Ok(Self {
            url: global.url.clone().or(profile.url).unwrap_or_else(|| DEFAULT_URL.into()),
            ca: global.ca.clone().or(profile.ca),
            token_file: global
                .token_file
                .clone()
                .or(profile.token_file)
                .unwrap_or_else(|| dir.join(format!("{token_name}.token"))),
        })
    }

    /// The session's token, where there is one.
    pub(crate) fn token(&self) -> Result<Option<String>, CliError> {
        match read_bounded(&self.token_file) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::file(&self.token_file, error)),
        }
    }

    /// Keeps the session's token, readable by its owner alone.
    pub(crate) fn keep_token(&self, token: &str) -> Result<(), CliError> {
        write_private(&self.token_file, token.as_bytes())
    }

    /// Removes the session's token.
    pub(crate) fn drop_token(&self) -> Result<(), CliError> {
        remove(&self.token_file)
    }

    /// Where a first password waits for its change, beside the token.
    pub(crate) fn first_file(&self) -> PathBuf {
        let mut name = self.token_file.file_name().unwrap_or_default().to_owned();
        name.push(".first-password");
        self.token_file.with_file_name(name)
    }

    /// Keeps a first password until it is changed.
    pub(crate) fn keep_first(&self, password: &str) -> Result<(), CliError> {
        write_private(&self.first_file(), password.as_bytes())
    }

    /// Forgets the first password.
    pub(crate) fn drop_first(&self) -> Result<(), CliError> {
        remove(&self.first_file())
    }

    /// Keeps these settings as profile `name`, and makes it the default.
    pub(crate) fn save(&self, name: &str) -> Result<PathBuf, CliError> {
        let path = config_path();
        let mut file = File::read(&path)?;
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let ca = self.ca.as_deref().map(|ca| {
            if ca.starts_with("sha256:") {
                ca.to_owned()
            } else {
                absolute(Path::new(ca)).display().to_string()
            }
        });
        let profile =
            Profile { url: Some(self.url.clone()), ca, token_file: Some(absolute(&self.token_file)) };
        file.profile.insert(name.to_owned(), profile);
        file.default = name.to_owned();
        let text = toml::to_string(&file)
            .map_err(|error| CliError::usage(format!("the profile cannot be written: {error}"), ""))?;
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, CliError> {
        match read_bounded(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                CliError::usage(
                    format!("{} is not a configuration file: {}", path.display(), error.message()),
                    "correct it, or remove it and run weft login --save NAME",
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CliError::file(path, error)),
        }
    }
}

/// Removes a file; one that is not there is removed already.
fn remove(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CliError::file(path, error)),
        _ => Ok(()),
    }
}

/// Reads a small text file.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_MAX_BYTES {
        return Err(std::io::Error::other("larger than 256 KiB"));
    }
    Ok(text)
}

/// Writes a file that only its owner can read; a reader sees the old or the new one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let wrap = |error| CliError::file(path, error);
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(wrap)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        wrap(error)
    })
}

fn config_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("weft")
}

fn config_path() -> PathBuf {
    config_dir().join("config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        toml::from_str("default = 'lab'\n[profile.lab]\nurl = 'https://lab:1'\ntoken-file = '/t'\n[profile.rack]\nurl = 'https://rack:2'\n")
            .expect("TOML")
    }

    #[test]
    fn flags_win_over_the_profile_and_the_profile_over_defaults() {
        let dir = Path::new("/c");
        let none = Global::default();
        assert_eq!(Settings::merge(&none, &File::default(), dir).expect("defaults").url, DEFAULT_URL);
        let lab = Settings::merge(&none, &file(), dir).expect("default profile");
        assert_eq!((lab.url.as_str(), lab.token_file.as_path()), ("https://lab:1", Path::new("/t")));
        let flags = Global { profile: Some("rack".into()), ca: Some("x.pem".into()), ..Global::default() };
        let rack = Settings::merge(&flags, &file(), dir).expect("named profile");
        assert_eq!((rack.url.as_str(), rack.ca.as_deref()), ("https://rack:2", Some("x.pem")));
        assert_eq!(rack.token_file, Path::new("/c/rack.token"));
    }

    #[test]
    fn an_unknown_profile_names_the_known_ones() {
        let flags = Global { profile: Some("moon".into()), ..Global::default() };
        let error = Settings::merge(&flags, &file(), Path::new("/c")).expect_err("no such profile");
        assert_eq!(error.exit_code(), 2);
        assert!(format!("{error:?}").contains("lab, rack"), "{error:?}");
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<File>("[profile.a]\nurll = 'x'\n").is_err());
    }

    #[test]
    fn a_token_file_is_private_and_can_be_replaced() {
        let dir = tempfile::tempdir().expect("folder");
        let settings = Settings { url: String::new(), ca: None, token_file: dir.path().join("deep/t") };
        assert_eq!(settings.token().expect("absent"), None);
        settings.keep_token("one").expect("written");
        settings.keep_token("two\n").expect("replaced");
        assert_eq!(settings.token().expect("read").as_deref(), Some("two"));
        let mode = fs::metadata(&settings.token_file).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        settings.drop_token().expect("removed");
        settings.drop_token().expect("removing twice is no error");
    }
}
