//! `weft licence issue` and `weft licence inspect`: identifiers for the pools of an appliance.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use weft_format::licence::{Grant, Licence, LicenceKind, MAX_LICENCE, SignedLicence};

use super::{HolderArgs, Report, RootsArgs, signature_report, when};
use crate::{SigningError, document, files, hex};

/// Verbs of `weft licence` that need no appliance.
#[derive(Debug, Subcommand)]
pub enum LicenceCommand {
    /// Write a licence and sign it with a holder's key
    #[command(after_help = "Examples:
  weft licence issue --roots roots.bin --key ann.key --for hall-b --kind mac --count 4096 --expires 365d --out hall-b.licence
  weft licence issue --roots roots.bin --key ann.key --for hall-b --kind mac --range 02:aa:00:00:00:00-02:aa:00:00:0f:ff \\
      --expires 2027-12-31 --out hall-b.licence

With --count the appliance chooses a range that no pool has. An appliance takes what any holder of its root set signed.")]
    Issue(IssueArgs),
    /// Show a licence file; judges nothing
    #[command(after_help = "Example:\n  weft licence inspect hall-b.licence")]
    Inspect {
        /// Licence
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Kinds of identifiers.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    /// MAC addresses
    Mac,
    /// World Wide Node Names
    Wwnn,
}

/// A new licence.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("grant").required(true).args(["range", "count"]))]
pub struct IssueArgs {
    #[command(flatten)]
    roots: RootsArgs,
    #[command(flatten)]
    holder: HolderArgs,
    /// Who it is for: 1 to 63 printable characters without spaces
    #[arg(long = "for", value_name = "NAME")]
    name: String,
    /// What is licensed
    #[arg(long, value_enum, default_value = "mac")]
    kind: KindArg,
    /// These identifiers
    #[arg(long, value_name = "FIRST-LAST")]
    range: Option<String>,
    /// So many, of the appliance's choice
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    count: Option<u64>,
    /// First moment of validity: date, time or duration from now
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    not_before: Option<u64>,
    /// End of validity: date, time or duration from now
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    expires: u64,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl LicenceCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::Issue(args) => args.execute(),
            Self::Inspect { file } => {
                let bytes = files::read(&file, MAX_LICENCE as u64)?;
                describe(&bytes).with_context(|| file.display().to_string())
            }
        }
    }
}

impl IssueArgs {
    fn execute(self) -> anyhow::Result<Report> {
        let roots = self.roots.read()?;
        let kind = match self.kind {
            KindArg::Mac => LicenceKind::Mac,
            KindArg::Wwnn => LicenceKind::Wwnn,
        };
        let grant = match (&self.range, self.count) {
            (Some(range), _) => parse_range(kind, range)?,
            (None, count) => Grant::Count(count.context("give --range or --count")?),
        };
        let licence = Licence {
            id: draw_id()?,
            name: self.name,
            kind,
            grant,
            root_version: roots.version(),
            not_before: self.not_before.unwrap_or_else(when::now_s),
            expiry: self.expires,
        };
        anyhow::ensure!(licence.expiry > licence.not_before, "it would expire before it is valid");
        let bytes = document::licence(&licence, &self.holder.open()?, &roots)?;
        files::write(&self.out, &bytes)?;
        describe(&bytes)
    }
}

fn draw_id() -> Result<[u8; 16], SigningError> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| SigningError::Random)?;
    Ok(id)
}

const fn digits(kind: LicenceKind) -> usize {
    match kind {
        LicenceKind::Mac => 6,
        LicenceKind::Wwnn => 8,
    }
}

fn parse(kind: LicenceKind, text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    let good = parts.len() == digits(kind) && parts.iter().all(|part| part.len() == 2);
    good.then(|| u64::from_str_radix(&parts.concat(), 16).ok())?
}

fn parse_range(kind: LicenceKind, text: &str) -> anyhow::Result<Grant> {
    let ends = text.split_once('-').and_then(|(first, last)| parse(kind, first).zip(parse(kind, last)));
    let (first, last) =
        ends.with_context(|| format!("{text} is no range: FIRST-LAST, {} octets with colons", digits(kind)))?;
    Ok(Grant::Range { first, last })
}

fn show(kind: LicenceKind, n: u64) -> String {
    let bytes = n.to_be_bytes();
    let octets: Vec<String> =
        bytes.iter().skip(8 - digits(kind)).map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

fn describe(bytes: &[u8]) -> anyhow::Result<Report> {
    let SignedLicence { licence, signatures, .. } = SignedLicence::parse(bytes)?;
    let kind = match licence.kind {
        LicenceKind::Mac => "mac",
        LicenceKind::Wwnn => "wwnn",
    };
    let report = Report::new()
        .with("id", hex::encode(&licence.id))
        .with("name", licence.name)
        .with("kind", kind)
        .with("root_version", licence.root_version);
    let report = match licence.grant {
        Grant::Range { first, last } => {
            report.with("range", format!("{}-{}", show(licence.kind, first), show(licence.kind, last)))
        }
        Grant::Count(count) => report.with("count", count),
    };
    Ok(report
        .with("not_before", when::show(licence.not_before))
        .with("expires", when::show(licence.expiry))
        .and(signature_report(&signatures)))
}

/// Reads a licence file to hand it to an appliance; refuses what is none. Judges no signature.
pub fn read_licence(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read(path, MAX_LICENCE as u64)?;
    SignedLicence::parse(&bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_shown_with_the_octets_of_their_kind() {
        let range = parse_range(LicenceKind::Mac, "02:aa:00:00:00:00-02:aa:00:00:0f:ff").expect("a range");
        assert_eq!(range, Grant::Range { first: 0x02aa_0000_0000, last: 0x02aa_0000_0fff });
        assert_eq!(show(LicenceKind::Mac, 0x02aa_0000_0fff), "02:aa:00:00:0f:ff");
        assert_eq!(show(LicenceKind::Wwnn, 0x3057_0000_0000_0001), "30:57:00:00:00:00:00:01");
        for bad in
            ["", "02:aa:00:00:00:00", "02:aa:00:00:00-02:aa:00:00:01", "2:aa:00:00:00:00-02:aa:00:00:00:01"]
        {
            assert!(parse_range(LicenceKind::Mac, bad).is_err(), "{bad}");
        }
    }
}
