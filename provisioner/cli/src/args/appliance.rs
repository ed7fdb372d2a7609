//! Arguments of `appliance`, as far as it is done over the interface.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `appliance`.
#[derive(Debug, Subcommand)]
pub(crate) enum Appliance {
    /// Write one file of everything that a new appliance needs, from one that runs; or check such a file
    #[command(
        after_help = "The file has the appliance's keys: whoever has it has the appliance. It is readable by its owner alone; --seal puts it
under a passphrase too. Node logs and console histories are not in it.

Examples:
  weft appliance backup weft.backup --data /var/lib/weft
  weft --url https://10.20.0.1:8443 appliance backup weft.backup --seal
  weft appliance backup weft.backup --passphrase-file FILE --without-files
  weft appliance backup --verify weft.backup"
    )]
    Backup(Backup),
    /// Show the appliances that hold one store, who leads, and how far each is
    List,
    /// Remove an appliance for good; it need not answer
    #[command(
        after_help = "Stop it first where it still runs. The store goes on with the others, as long as more than half of them answer; the
machine joins again with an empty data folder and a new invitation.

Example:
  weft appliance remove south"
    )]
    Remove(ApplianceRemove),
}

/// `appliance remove`.
#[derive(Debug, Args)]
pub(crate) struct ApplianceRemove {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `appliance backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// File to write; it must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Ask the appliance of this data folder, as the owner of its machine; without it, over the interface as one's own account
    #[arg(long, value_name = "DIR", conflicts_with = "verify")]
    pub(crate) data: Option<PathBuf>,
    /// Leave out the files of images and guests: after a restore they are published and uploaded again
    #[arg(long, conflicts_with = "verify")]
    pub(crate) without_files: bool,
    /// Seal it by a passphrase that is asked for on the terminal
    #[arg(long, conflicts_with = "verify")]
    pub(crate) seal: bool,
    /// Seal it, or open a sealed one, by the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Check a backup: every digest, and whether this program knows its versions
    #[arg(long)]
    pub(crate) verify: bool,
}
