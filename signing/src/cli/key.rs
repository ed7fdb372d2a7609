//! `weft key`: a holder's own key.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use weft_format::key_id;

use super::{PassphraseArgs, Report};
use crate::keyfile::{self, PublicKey};
use crate::{Holder, hex};

/// Verbs of `weft key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a signing key, encrypted under a passphrase
    ///
    /// Writes FILE (secret, mode 0600) and FILE with the ending .pub (to hand to the maker of the root set).
    #[command(after_help = "Example:\n  weft key new --name alice --out alice.key")]
    New {
        /// Whose key it is: 1 to 63 printable characters without spaces
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Key file to write; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Rounds of PBKDF2 that a guess at the passphrase costs
        #[arg(long, value_name = "N", default_value_t = keyfile::ROUNDS,
              value_parser = clap::value_parser!(u32).range(i64::from(keyfile::LEAST_ROUNDS)..=i64::from(keyfile::MOST_ROUNDS)))]
        rounds: u32,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Show name and id of a public key file
    Show {
        /// File with the ending .pub
        #[arg(value_name = "FILE")]
        public: PathBuf,
    },
    /// Encrypt a key file under another passphrase
    ChangePassphrase {
        /// Key file
        #[arg(value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Take the new passphrase from the first line of FILE (mode 0600)
        #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase_env")]
        new_passphrase_file: Option<PathBuf>,
        /// Take the new passphrase from the environment variable NAME
        #[arg(long, value_name = "NAME")]
        new_passphrase_env: Option<String>,
    },
}

impl KeyCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::New { name, out, rounds, passphrase } => new(&name, &out, rounds, &passphrase),
            Self::Show { public } => Ok(describe(&keyfile::read_public(&public)?)),
            Self::ChangePassphrase { key, passphrase, new_passphrase_file, new_passphrase_env } => {
                let old = passphrase.source().read("Old passphrase: ")?;
                let new = PassphraseArgs {
                    passphrase_file: new_passphrase_file,
                    passphrase_env: new_passphrase_env,
                };
                let new = new.source().read_new()?;
                keyfile::change_passphrase(&key, &old, &new)
                    .with_context(|| format!("cannot change {}", key.display()))?;
                Ok(Report::new().with("file", key.display().to_string()))
            }
        }
    }
}

fn new(name: &str, out: &Path, rounds: u32, passphrase: &PassphraseArgs) -> anyhow::Result<Report> {
    let holder = Holder::generate(name)?;
    anyhow::ensure!(!out.exists(), "{} exists already", out.display());
    let passphrase = passphrase.source().read_new()?;
    keyfile::create_with_rounds(out, &holder, &passphrase, rounds)?;
    let public = PublicKey { name: holder.name().to_owned(), key: *holder.public_key() };
    let beside = out.with_extension("pub");
    keyfile::write_public(&beside, &public)?;
    Ok(describe(&public)
        .with("key_file", out.display().to_string())
        .with("public_key_file", beside.display().to_string()))
}

fn describe(public: &PublicKey) -> Report {
    Report::new()
        .with("name", public.name.as_str())
        .with("key_id", key_id(&public.key).to_string())
        .with("public_key", hex::encode(&public.key))
}
