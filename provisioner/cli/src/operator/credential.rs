//! The credential file: the operator's two secret keys, its certificate, and the nodes that it is for.
//!
//! The keys are drawn here and never leave this machine; the appliance sees and signs their public halves.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hyper::Method;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use weft_api::{Operator, OperatorCreate, OperatorNode};
use weft_types::{ClusterId, NodeId};
use weft_wire::ports;

use crate::args::OperatorIssue;
use crate::client::{Client, Payload};
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

/// See the module. Written as JSON, readable by its owner alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    /// Who.
    pub(super) name: String,
    role: String,
    expires: String,
    cluster: String,
    /// Id of the channel key, by which a delegation revokes it.
    key: String,
    certificate: String,
    channel_secret: String,
    sign_secret: String,
    nodes: Vec<OperatorNode>,
}

/// A node to dial.
pub(super) struct Target {
    pub(super) name: String,
    /// Identity, hexadecimal.
    pub(super) id: String,
    pub(super) key: [u8; 32],
    pub(super) address: SocketAddrV4,
}

fn malformed(what: &str) -> CliError {
    CliError::usage(
        format!("the credential's {what} is malformed"),
        "have another one issued: weft operator issue NAME --out FILE",
    )
}

/// `A.B.C.D` or `A.B.C.D:PORT`.
fn address(text: &str) -> Option<SocketAddrV4> {
    let plain = || text.parse::<Ipv4Addr>().ok().map(|ip| SocketAddrV4::new(ip, ports::OPERATOR));
    text.parse().ok().or_else(plain)
}

/// Bytes from hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

fn array<const N: usize>(text: &str, what: &str) -> Result<[u8; N], CliError> {
    bytes(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed(what))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Credential {
    /// Reads a credential file that nobody else can read.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let fail = |source| CliError::file(path, source);
        let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(CliError::usage(
                format!("{} can be read by others", path.display()),
                format!("it holds secret keys: chmod 600 {}", path.display()),
            ));
        }
        let text = settings::read_bounded(path).map_err(fail)?;
        serde_json::from_str(&text).map_err(|_| malformed("file"))
    }

    pub(super) fn channel_secret(&self) -> Result<[u8; 32], CliError> {
        array(&self.channel_secret, "channel key")
    }

    pub(super) fn certificate(&self) -> Result<Vec<u8>, CliError> {
        bytes(&self.certificate).ok_or_else(|| malformed("certificate"))
    }

    pub(super) fn cluster(&self) -> Result<ClusterId, CliError> {
        array(&self.cluster, "cluster").map(ClusterId)
    }

    /// Signs as this operator.
    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64], CliError> {
        let seed: [u8; 32] = array(&self.sign_secret, "signing key")?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| malformed("signing key"))?;
        pair.sign(message).as_ref().try_into().map_err(|_| malformed("signing key"))
    }

    /// Nodes whose address is known, in the order of the file.
    pub(super) fn targets(&self) -> Vec<Target> {
        self.nodes.iter().filter_map(|node| target(node, None).ok()).collect()
    }

    /// The nodes of the file.
    pub(super) fn nodes(&self) -> &[OperatorNode] {
        &self.nodes
    }

    /// A node by name, identity or its first digits; by its address; or by both, `NAME=ADDRESS[:PORT]`, where the
    /// address is another one by now.
    pub(super) fn target(&self, at: &str) -> Result<Target, CliError> {
        let (name, moved) = match at.split_once('=') {
            Some((name, text)) => match address(text) {
                Some(address) => (name, Some(address)),
                None => {
                    return Err(CliError::usage(format!("{text} is no address"), "A.B.C.D or A.B.C.D:PORT"));
                }
            },
            None => (at, None),
        };
        let by_address = address(name);
        let known = |node: &&OperatorNode| match by_address {
            Some(address) => node.address == address.ip().to_string(),
            None => node.name == name || (name.len() >= 4 && node.id.starts_with(name)),
        };
        let mut found = self.nodes.iter().filter(known);
        match (found.next(), found.next()) {
            (Some(node), None) => target(node, moved.or(by_address)),
            (Some(_), Some(_)) => {
                Err(CliError::usage(format!("more than one node is {name}"), "give its name"))
            }
            (None, _) => Err(CliError::usage(
                format!("the credential has no node {name}"),
                "see node list; a node that has another address by now: --at NAME=ADDRESS",
            )),
        }
    }

    /// A node by its identity.
    pub(super) fn by_id(&self, id: NodeId) -> Result<Target, CliError> {
        let found = self.nodes.iter().find(|node| node.id == id.to_string());
        let found = found.ok_or_else(|| {
            CliError::usage(
                format!("the credential does not have node {id}, which loads the server"),
                "have another one issued once the appliance is there: weft operator issue",
            )
        })?;
        target(found, None)
    }

    /// Name of a node, its identity where it has none.
    pub(super) fn name_of(&self, id: NodeId) -> String {
        let found = self.nodes.iter().find(|node| node.id == id.to_string());
        found.map_or_else(|| id.to_string(), |node| node.name.clone())
    }
}

fn target(node: &OperatorNode, at: Option<SocketAddrV4>) -> Result<Target, CliError> {
    let address = at.or_else(|| address(&node.address)).ok_or_else(|| {
        CliError::usage(
            format!("the address of {} is not known", node.name),
            format!("give it: --at {}=ADDRESS", node.name),
        )
    })?;
    Ok(Target {
        name: node.name.clone(),
        id: node.id.clone(),
        key: array(&node.key, "key of a node")?,
        address,
    })
}

fn draw() -> Result<[u8; 32], CliError> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CliError::usage("this machine gives no randomness", "try again"))?;
    Ok(bytes)
}

/// Draws keys, has the appliance sign them, and writes the file.
pub(crate) async fn issue(client: &Client, output: Output, args: &OperatorIssue) -> Result<(), CliError> {
    if args.out.exists() && !args.force {
        return Err(CliError::usage(
            format!("{} is there already", args.out.display()),
            "name another file, or replace it: --force",
        ));
    }
    let (channel, sign) = (draw()?, draw()?);
    let public = super::channel::public_key(&channel).ok_or_else(|| malformed("channel key"))?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&sign).map_err(|_| malformed("signing key"))?;
    let body = OperatorCreate {
        name: args.name.clone(),
        role: args.role.to_string(),
        days: args.days,
        channel_key: hex(&public),
        sign_key: hex(pair.public_key().as_ref()),
    };
    let body = serde_json::to_value(body).map_err(|error| CliError::usage(error.to_string(), ""))?;
    let issued: Operator = client.answer(Method::POST, "/api/v1/operators", Payload::Json(body)).await?;
    let credential = Credential {
        name: issued.name,
        role: issued.role,
        expires: issued.expires.clone(),
        cluster: issued.cluster,
        key: issued.key.clone(),
        certificate: issued.certificate,
        channel_secret: hex(&channel),
        sign_secret: hex(&sign),
        nodes: issued.nodes,
    };
    let text =
        serde_json::to_string_pretty(&credential).map_err(|error| CliError::usage(error.to_string(), ""))?;
    settings::write_private(&args.out, format!("{text}\n").as_bytes())?;
    output.note(&format!(
        "{} holds a credential for {} nodes until {}; its key is {}",
        args.out.display(),
        credential.nodes.len(),
        issued.expires,
        issued.key
    ));
    Ok(())
}
