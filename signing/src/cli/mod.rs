//! The verbs that work without an appliance, for the `weft` program to mount.
//!
//! Each verb takes clap arguments and gives a [`Report`]; the caller prints it in its own form
//! ([`run`] does so with [`Report::render`]). No verb has short options, and none is called `--output`,
//! so that the mounting program is free to use both. Images and documents are changed in place unless
//! `--out` names another file.

mod documents;
mod image;
mod key;
mod licence;
mod root;
mod when;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use weft_format::RootSet;
use weft_format::roots::MAX_ROOT_SET;
use weft_format::signatures::SignatureList;

pub use crate::report::{Form, Report};
pub use documents::{DelegationCommand, RevocationCommand};
pub use image::ImageCommand;
pub use key::KeyCommand;
pub use licence::{LicenceCommand, read_licence};
pub use root::RootCommand;

use crate::passphrase::Source;
use crate::{Holder, files, keyfile};

/// All verbs of this crate, by noun.
#[derive(Debug, Subcommand)]
pub enum SigningCommand {
    /// Manifest and signatures of a boot image
    #[command(subcommand)]
    Image(ImageCommand),
    /// Signing keys of holders
    #[command(subcommand)]
    Key(KeyCommand),
    /// The root set: who may sign, and how many must
    #[command(subcommand)]
    Root(RootCommand),
    /// Which appliances speak to nodes
    #[command(subcommand)]
    Delegation(DelegationCommand),
    /// Images that must not run any more
    #[command(subcommand)]
    Revocation(RevocationCommand),
    /// Identifiers for the pools of an appliance
    #[command(subcommand)]
    Licence(LicenceCommand),
}

impl SigningCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::Image(command) => command.execute(),
            Self::Key(command) => command.execute(),
            Self::Root(command) => command.execute(),
            Self::Delegation(command) => command.execute(),
            Self::Revocation(command) => command.execute(),
            Self::Licence(command) => command.execute(),
        }
    }
}

/// Does what was asked and prints the answer on standard output.
pub fn run(command: SigningCommand, form: Form) -> anyhow::Result<()> {
    use std::io::Write;
    let text = command.execute()?.render(form);
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the answer")
}

/// Where the passphrase comes from; the terminal where nothing is said.
#[derive(Debug, Args)]
pub struct PassphraseArgs {
    /// Take the passphrase from the first line of FILE (mode 0600)
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_env")]
    passphrase_file: Option<PathBuf>,
    /// Take the passphrase from the environment variable NAME
    #[arg(long, value_name = "NAME")]
    passphrase_env: Option<String>,
}

impl PassphraseArgs {
    fn source(&self) -> Source {
        match (&self.passphrase_file, &self.passphrase_env) {
            (Some(path), _) => Source::File(path.clone()),
            (None, Some(name)) => Source::Env(name.clone()),
            (None, None) => Source::Terminal,
        }
    }
}

/// The key that signs.
#[derive(Debug, Args)]
pub struct HolderArgs {
    /// Key file of the one holder who signs now
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl HolderArgs {
    fn open(&self) -> anyhow::Result<Holder> {
        let prompt = format!("Passphrase of {}: ", self.key.display());
        let passphrase = self.passphrase.source().read(&prompt)?;
        keyfile::open(&self.key, &passphrase)
            .with_context(|| format!("cannot open key {}", self.key.display()))
    }
}

/// The root set that signatures are judged by.
#[derive(Debug, Args)]
pub struct RootsArgs {
    /// Root set file
    #[arg(long, value_name = "FILE")]
    roots: PathBuf,
}

impl RootsArgs {
    fn read(&self) -> anyhow::Result<RootSet> {
        let bytes = files::read(&self.roots, MAX_ROOT_SET as u64)?;
        RootSet::parse(&bytes).with_context(|| format!("root set {}", self.roots.display()))
    }
}

/// What every signed document says about its signatures.
fn signature_report(list: &SignatureList<'_>) -> Report {
    let signers: Vec<String> = list.iter().map(|entry| entry.key_id.to_string()).collect();
    Report::new().with("signers", signers)
}

/// How far a document is, judged by a root set.
fn progress(list: &SignatureList<'_>, roots: &RootSet) -> Report {
    let (have, need) = (list.len(), roots.threshold());
    let state = if have < need { "partly-signed" } else { "signed" };
    Report::new().with("state", state).with("signatures", have).with("signatures_needed", need)
}
