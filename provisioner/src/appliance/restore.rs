//! `weft appliance restore`.

use std::path::PathBuf;

use clap::Args;
use weft_backup::BackupError;
use weft_server::{RestoreError, chain, restore};
use weft_signing::passphrase::Source;

use super::{DataArguments, Failure};

#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataArguments,
    /// First line of this file is the passphrase of a sealed backup; asked for on a terminal when absent
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &RestoreArguments) -> Result<(), Failure> {
    let RestoreArguments { file, data, passphrase_file } = arguments;
    let source = passphrase_file.clone().map_or(Source::Terminal, Source::File);
    // Both times the file is read; asked for once.
    let asked = std::cell::OnceCell::new();
    let ask = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        if let Some(known) = asked.get() {
            return Ok(weft_signing::passphrase::Passphrase::clone(known));
        }
        let passphrase = source.read("Passphrase of the backup: ")?;
        Ok(asked.get_or_init(|| passphrase).clone())
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::of(&error, ""))?;
    let restored = runtime.block_on(restore(file, &data.data, &ask));
    let manifest = restored.map_err(|error| Failure::new(chain(&error), next(&error)))?;
    println!("{}", data.data.display());
    eprintln!(
        "restored the backup of {}: cluster {}, transaction {}",
        manifest.made, manifest.cluster, manifest.transaction
    );
    if manifest.left_out > 0 {
        eprintln!(
            "{} files of images and guests are not in it: publish and upload them again",
            manifest.left_out
        );
    }
    eprintln!("next: stop the appliance that it was made of for good, then: weft appliance run --data DIR …");
    Ok(())
}

fn next(error: &RestoreError) -> String {
    match error {
        RestoreError::NotEmpty(_) => {
            "nothing was written; name an empty folder, or move this one away".into()
        }
        RestoreError::Owner { owner, .. } => {
            format!(
                "nothing was written; run it as the folder's own user: sudo -u '#{owner}' weft appliance restore …"
            )
        }
        RestoreError::Backup(BackupError::Passphrase { .. }) => {
            "nothing was written; give --passphrase-file FILE, mode 600".into()
        }
        RestoreError::Backup(_) => {
            "nothing was written; check the file: weft appliance backup --verify FILE".into()
        }
        RestoreError::File { .. } | RestoreError::Store(_) | RestoreError::Keys(_) => {
            "the folder is as empty as it was".into()
        }
    }
}
