//! A connection to a node: Noise IK as initiator, with the certificate in the first message.

use std::time::Duration;

use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::{Builder, TransportState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weft_api::Problem;
use weft_wire::agent::{MAX_MESSAGE, NOISE_PARAMS};
use weft_wire::codec::{decode_answer, encode};
use weft_wire::operator::{Answer, Ask, MAX_ASK, MAX_CERTIFICATE, NodeView, OPERATOR_PROLOGUE};

use super::credential::{Credential, Target};
use crate::error::CliError;

/// Longest wait for a connection, and for the node's side of the handshake.
const GREETING: Duration = Duration::from_secs(6);
/// Longest wait for an answer: members may have to agree first.
const PATIENCE: Duration = Duration::from_secs(40);
const TAG: usize = 16;
const FIRST: usize = 32 + 32 + TAG + MAX_CERTIFICATE + TAG;
/// Longest second message: a key, a refusal in words, a tag.
const SECOND: usize = 32 + 512 + TAG;

/// An open channel.
pub(super) struct Channel {
    stream: TcpStream,
    noise: TransportState,
    node: String,
}

/// A public key from a private one, by the library that runs the channel.
pub(super) fn public_key(private: &[u8; 32]) -> Option<[u8; 32]> {
    let mut dh = DefaultResolver.resolve_dh(&snow::params::DHChoice::Curve25519)?;
    dh.set(private);
    dh.pubkey().try_into().ok()
}

/// A node that does not answer.
pub(super) fn unreachable(target: &Target, why: impl Into<String>) -> CliError {
    CliError::NodeUnreachable {
        node: format!("{} at {}", target.name, target.address),
        why: why.into(),
        next: "name another node: --at NODE; any one reaches its partition".into(),
    }
}

fn refused(node: &str, code: &str, status: u16, reason: &str, next: &str) -> CliError {
    CliError::Refused(Problem {
        code: code.into(),
        status,
        title: format!("{node}: {reason}"),
        next: next.into(),
        ..Problem::default()
    })
}

impl Channel {
    /// Dials a node and proves who we are.
    pub(super) async fn dial(credential: &Credential, target: &Target) -> Result<Self, CliError> {
        let (secret, certificate) = (credential.channel_secret()?, credential.certificate()?);
        let broken = |error: snow::Error| CliError::usage(format!("the credential's keys: {error}"), "");
        let params = NOISE_PARAMS.parse().map_err(broken)?;
        let mut shaking = Builder::new(params)
            .prologue(OPERATOR_PROLOGUE)
            .and_then(|builder| builder.local_private_key(&secret))
            .and_then(|builder| builder.remote_public_key(&target.key))
            .and_then(Builder::build_initiator)
            .map_err(broken)?;
        let mut first = [0; FIRST];
        let len = shaking.write_message(&certificate, &mut first).map_err(broken)?;
        let first = first.get(..len).unwrap_or(&[]);

        let mut stream = timeout(GREETING, TcpStream::connect(target.address))
            .await
            .map_err(|_| unreachable(target, "no answer in time"))?
            .map_err(|error| unreachable(target, error.to_string()))?;
        let second = timeout(GREETING, async {
            write_frame(&mut stream, first).await?;
            read_frame(&mut stream, SECOND).await
        })
        .await
        .map_err(|_| unreachable(target, "it takes the connection and says nothing"))?
        .map_err(|_| {
            refused(
                &target.name,
                "credential-unknown",
                401,
                "the node hung up: it does not know this credential",
                "it may be of another cluster, or its appliance's key is revoked; \
                 have another one issued: weft operator issue",
            )
        })?;
        let mut payload = [0; SECOND];
        let len = shaking.read_message(&second, &mut payload).map_err(|_| {
            unreachable(target, "what answers there is not the node that the credential names")
        })?;
        let refusal = String::from_utf8_lossy(payload.get(..len).unwrap_or(&[])).into_owned();
        if !refusal.is_empty() {
            return Err(refused(
                &target.name,
                "credential-refused",
                403,
                &refusal,
                "see docs/operator-access.md",
            ));
        }
        let noise = shaking.into_transport_mode().map_err(broken)?;
        Ok(Self { stream, noise, node: target.name.clone() })
    }

    /// Asks something. A refusal is an error.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Answer, CliError> {
        let broken = |why: String| CliError::Answer { what: "the question".into(), why };
        let plain = encode(ask, MAX_ASK).map_err(|error| broken(error.to_string()))?;
        let mut sealed = vec![0; plain.len() + TAG];
        let len = self.noise.write_message(&plain, &mut sealed).map_err(|error| broken(error.to_string()))?;
        sealed.truncate(len);
        let frame = timeout(PATIENCE, async {
            write_frame(&mut self.stream, &sealed).await?;
            read_frame(&mut self.stream, MAX_MESSAGE + TAG).await
        })
        .await
        .map_err(|_| CliError::TimedOut(format!("{} did not answer in time", self.node)))?
        .map_err(|error| broken(format!("{} hung up: {error}", self.node)))?;
        let mut plain = vec![0; frame.len()];
        let len = self.noise.read_message(&frame, &mut plain).map_err(|error| broken(error.to_string()))?;
        plain.truncate(len);
        match decode_answer(&plain).map_err(|error| broken(error.to_string()))? {
            Answer::Refused(reason) => Err(refused(&self.node, "refused", 409, &reason, "")),
            answer => Ok(answer),
        }
    }

    /// How things stand there.
    pub(super) async fn view(&mut self) -> Result<NodeView, CliError> {
        match self.ask(&Ask::View).await? {
            Answer::View(view) => Ok(*view),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Asks for a change.
    pub(super) async fn change(&mut self, ask: &Ask) -> Result<(), CliError> {
        match self.ask(ask).await? {
            Answer::Done => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(super) fn unexpected(&self, answer: &Answer) -> CliError {
        let kind = match answer {
            Answer::View(_) => "a view",
            Answer::Notes(_) => "events",
            Answer::Done => "done",
            Answer::Refused(_) => "a refusal",
        };
        CliError::Answer { what: self.node.clone(), why: format!("it answers another question with {kind}") }
    }
}

async fn write_frame(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let size = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&size.to_be_bytes(), bytes].concat()).await
}

async fn read_frame(stream: &mut TcpStream, most: usize) -> std::io::Result<Vec<u8>> {
    let size = usize::from(stream.read_u16().await?);
    if size > most {
        return Err(std::io::Error::other(format!("a frame of {size} bytes")));
    }
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}
