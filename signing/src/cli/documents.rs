//! `weft delegation` and `weft revocation`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use weft_format::delegation::{Appliance, Delegation, SignedDelegation};
use weft_format::revocation::{Revocations, SignedRevocations};
use weft_format::{KeyId, RootSet};

use super::{HolderArgs, Report, RootsArgs, progress, signature_report, when};
use crate::document::{self, Kind, MAX_DOCUMENT};
use crate::{files, hex};

/// Verbs of `weft delegation`.
#[derive(Debug, Subcommand)]
pub enum DelegationCommand {
    /// Write an unsigned delegation
    #[command(
        after_help = "Example:\n  weft delegation new --roots roots.bin --delegation-version 3 --expires 90d --out delegation.bin \\\n      --appliance name=hall-a,channel=HEX,record=HEX,agent-port=4470,http-port=80,address=10.0.0.1"
    )]
    New(DelegationArgs),
    /// Add one holder's signature
    Sign(SignArgs),
    /// Judge a delegation as a node would, and its expiry at this moment
    Verify(VerifyArgs),
    /// Show a delegation; judges nothing
    Inspect(InspectArgs),
}

/// Verbs of `weft revocation`.
#[derive(Debug, Subcommand)]
pub enum RevocationCommand {
    /// Write an unsigned revocation list
    New(RevocationArgs),
    /// Add one holder's signature
    Sign(SignArgs),
    /// Judge a revocation list as an appliance would
    Verify(VerifyArgs),
    /// Show a revocation list; judges nothing
    Inspect(InspectArgs),
}

/// A new delegation.
#[derive(Debug, Args)]
pub struct DelegationArgs {
    #[command(flatten)]
    roots: RootsArgs,
    /// Version; grows with each delegation, from 1
    #[arg(long = "delegation-version", value_name = "N")]
    version: u64,
    /// First moment of validity: date, time or duration from now
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    not_before: Option<u64>,
    /// End of validity: date, time or duration from now
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    expires: u64,
    /// name=…,channel=HEX,record=HEX[,agent-port=4470][,http-port=80][,address=A.B.C.D]
    #[arg(long = "appliance", value_name = "FIELDS", required = true)]
    appliances: Vec<ApplianceArg>,
    /// Id of a channel or record key that counts no longer
    #[arg(long = "revoke-key", value_name = "KEY-ID", value_parser = parse_key_id)]
    revoked: Vec<KeyId>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A new revocation list.
#[derive(Debug, Args)]
pub struct RevocationArgs {
    #[command(flatten)]
    roots: RootsArgs,
    /// The list that this one follows; its images stay revoked
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Digest of an image to revoke
    #[arg(long = "image", value_name = "DIGEST", value_parser = parse_digest)]
    images: Vec<[u8; 32]>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A signature.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Document
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    roots: RootsArgs,
    #[command(flatten)]
    holder: HolderArgs,
}

/// A judgement.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Document
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    roots: RootsArgs,
    /// Judge expiry at this time (default: now)
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    at: Option<u64>,
}

/// A look.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Document
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// An appliance as the command line writes it.
#[derive(Clone, Debug)]
struct ApplianceArg(Appliance);

impl FromStr for ApplianceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |value: &str| hex::decode::<32>(value).ok_or("a key has 64 hexadecimal digits");
        let port = |value: &str| value.parse::<u16>().map_err(|_| "a port is 1 to 65535");
        let (mut name, mut channel, mut record) = (None, None, None);
        let (mut agent_port, mut http_port, mut address) = (4470, 80, None);
        for field in text.split(',') {
            let (field, value) = field.split_once('=').ok_or("expected FIELD=VALUE")?;
            match field {
                "name" => name = Some(value.to_owned()),
                "channel" => channel = Some(key(value)?),
                "record" => record = Some(key(value)?),
                "agent-port" => agent_port = port(value)?,
                "http-port" => http_port = port(value)?,
                "address" => {
                    let parsed = value.parse::<std::net::Ipv4Addr>();
                    address = Some(parsed.map_err(|_| "an address is A.B.C.D")?.octets());
                }
                other => return Err(format!("no field is called {other}")),
            }
        }
        Ok(Self(Appliance {
            name: name.ok_or("name= is missing")?,
            channel_key: channel.ok_or("channel= is missing")?,
            record_key: record.ok_or("record= is missing")?,
            agent_port,
            http_port,
            address,
        }))
    }
}

fn parse_key_id(text: &str) -> Result<KeyId, String> {
    let id = hex::decode::<8>(text).ok_or("a key id has 16 hexadecimal digits")?;
    Ok(KeyId(id))
}

fn parse_digest(text: &str) -> Result<[u8; 32], String> {
    Ok(hex::decode::<32>(text).ok_or("a digest has 64 hexadecimal digits")?)
}

impl DelegationCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::New(args) => args.execute(),
            Self::Sign(args) => args.execute(Kind::Delegation),
            Self::Verify(args) => {
                let report = args.execute(Kind::Delegation)?;
                let bytes = read(&args.file, Kind::Delegation)?;
                let delegation = SignedDelegation::parse(&bytes)?.delegation;
                delegation.valid_at(args.at.unwrap_or_else(when::now_s))?;
                Ok(report)
            }
            Self::Inspect(args) => describe(&read(&args.file, Kind::Delegation)?, None),
        }
    }
}

impl RevocationCommand {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<Report> {
        match self {
            Self::New(args) => args.execute(),
            Self::Sign(args) => args.execute(Kind::Revocations),
            Self::Verify(args) => args.execute(Kind::Revocations),
            Self::Inspect(args) => describe(&read(&args.file, Kind::Revocations)?, None),
        }
    }
}

impl DelegationArgs {
    fn execute(self) -> anyhow::Result<Report> {
        let mut delegation = Delegation {
            version: self.version,
            root_version: self.roots.read()?.version(),
            not_before: self.not_before.unwrap_or_else(when::now_s),
            expiry: self.expires,
            appliances: self.appliances.into_iter().map(|arg| arg.0).collect(),
            revoked: self.revoked,
        };
        delegation.appliances.sort_by(|a, b| a.name.cmp(&b.name));
        delegation.revoked.sort_unstable();
        delegation.revoked.dedup();
        let bytes = document::delegation(&delegation)?;
        files::write(&self.out, &bytes)?;
        describe(&bytes, None)
    }
}

impl RevocationArgs {
    fn execute(self) -> anyhow::Result<Report> {
        let roots = self.roots.read()?;
        let (mut version, mut images) = (1, self.images);
        if let Some(from) = &self.from {
            let bytes = read(from, Kind::Revocations)?;
            let old = SignedRevocations::parse(&bytes)?.revocations;
            version = old.version.checked_add(1).context("version too large")?;
            images.extend(old.images);
        }
        images.sort_unstable();
        images.dedup();
        let bytes = document::revocations(&Revocations { version, root_version: roots.version(), images })?;
        files::write(&self.out, &bytes)?;
        describe(&bytes, None)
    }
}

impl SignArgs {
    fn execute(&self, kind: Kind) -> anyhow::Result<Report> {
        let bytes = read(&self.file, kind)?;
        let roots = self.roots.read()?;
        let signed = document::sign(&bytes, &self.holder.open()?, &roots)
            .with_context(|| format!("{} is not signed", self.file.display()))?;
        files::write(&self.file, &signed)?;
        describe(&signed, Some(&roots))
    }
}

impl VerifyArgs {
    fn execute(&self, kind: Kind) -> anyhow::Result<Report> {
        let bytes = read(&self.file, kind)?;
        let roots = self.roots.read()?;
        document::verify(&bytes, &roots).with_context(|| self.file.display().to_string())?;
        describe(&bytes, Some(&roots))
    }
}

fn read(path: &Path, kind: Kind) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read(path, MAX_DOCUMENT)?;
    let word = match kind {
        Kind::Delegation => "delegation",
        Kind::Revocations => "revocation list",
        Kind::Rotation => "root set rotation",
    };
    anyhow::ensure!(Kind::of(&bytes) == Some(kind), "{} is no {word}", path.display());
    Ok(bytes)
}

fn describe(bytes: &[u8], roots: Option<&RootSet>) -> anyhow::Result<Report> {
    let (fields, signatures) = if Kind::of(bytes) == Some(Kind::Delegation) {
        let signed = SignedDelegation::parse(bytes)?;
        (delegation_fields(&signed.delegation), signed.signatures)
    } else {
        let signed = SignedRevocations::parse(bytes)?;
        let list = &signed.revocations;
        let images: Vec<String> = list.images.iter().map(|image| hex::encode(image)).collect();
        let fields = Report::new()
            .with("version", list.version)
            .with("root_version", list.root_version)
            .with("revoked_images", images);
        (fields, signed.signatures)
    };
    let head = roots.map_or_else(Report::new, |roots| progress(&signatures, roots));
    Ok(head.and(fields).and(signature_report(&signatures)))
}

fn delegation_fields(delegation: &Delegation) -> Report {
    let appliances: Vec<_> = delegation
        .appliances
        .iter()
        .map(|appliance| {
            json!({
                "name": appliance.name,
                "channel_key": hex::encode(&appliance.channel_key),
                "record_key": hex::encode(&appliance.record_key),
                "agent_port": appliance.agent_port,
                "http_port": appliance.http_port,
                "address": appliance.address.map(|address| std::net::Ipv4Addr::from(address).to_string()),
            })
        })
        .collect();
    let revoked: Vec<String> = delegation.revoked.iter().map(KeyId::to_string).collect();
    Report::new()
        .with("version", delegation.version)
        .with("root_version", delegation.root_version)
        .with("not_before", when::show(delegation.not_before))
        .with("expires", when::show(delegation.expiry))
        .with("appliances", appliances)
        .with("revoked_keys", revoked)
}
