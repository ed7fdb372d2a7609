//! An operator's session on a node, sans-IO: who may come in, and what it asks.
//!
//! ```text
//! Waiting ─ message 1, certificate ─▶ Admitted ─ first Ask ─▶ Proved ─ Ask ─┐
//!    │ stranger, bad bytes: end          │ may be a replay        ▲ Answer ──┘
//!    └ known but not allowed: refusal in words, end               │ idle: end
//! ```
//! A message 1 that was recorded gets an answer which its sender cannot read, and nothing else: only who has the key
//! can send the first question. The certificate is judged anew with each question, since time goes on and delegations
//! are replaced while a session lasts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use weft_format::gate::record_key;
use weft_format::operator::{certificate_valid_at, verify_certificate};
use weft_format::{DalekVerifier, Delegation, key_id};
use weft_transport::noise::{Channel, MAX_REFUSAL, Received};
use weft_types::ClusterId;
use weft_wire::agent::MAX_MESSAGE;
use weft_wire::codec::{clip, decode_ask, encode};
use weft_wire::operator::{Answer, Ask, Certificate, Role};

use crate::machine::Agent;

const S: u64 = 1_000_000_000;
/// Who has not asked anything in this time after connecting is sent away.
const PROVE_NS: u64 = 5 * S;
/// A session without a question for so long ends.
const IDLE_NS: u64 = 60 * S;
/// How long a refusal may take to leave.
const LINGER_NS: u64 = 2 * S;

/// Whose certificates count.
#[derive(Clone, Debug)]
pub struct OperatorTrust {
    delegation: Delegation,
    cluster: ClusterId,
}

/// Why somebody is not let in.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Denied {
    /// Nobody that the appliance knows: it is told nothing.
    Stranger(String),
    /// It has a certificate of this cluster's appliance, and is told why that does not do.
    Known(String),
}

impl OperatorTrust {
    /// Certificates signed under this delegation, of this cluster.
    pub const fn new(delegation: Delegation, cluster: ClusterId) -> Self {
        Self { delegation, cluster }
    }

    fn judge(&self, key: &[u8; 32], bytes: &[u8], unix_s: u64) -> Result<Certificate, Denied> {
        let lookup = |id| record_key(&self.delegation, id);
        let certificate = verify_certificate(bytes, lookup, &DalekVerifier)
            .map_err(|error| Denied::Stranger(format!("its certificate is refused: {error}")))?;
        if certificate.cluster != self.cluster {
            let theirs = certificate.cluster;
            return Err(Denied::Stranger(format!("its certificate is of cluster {theirs}")));
        }
        if certificate.channel_key != *key {
            return Err(Denied::Stranger("it shows another operator's certificate".into()));
        }
        if [&certificate.channel_key, &certificate.sign_key]
            .iter()
            .any(|key| self.delegation.is_revoked(key_id(key)))
        {
            return Err(Denied::Known("this credential is revoked; have another one issued".into()));
        }
        let renew = "have another one issued: weft operator issue";
        certificate_valid_at(&certificate, unix_s)
            .map_err(|error| Denied::Known(format!("this credential is {error}; {renew}")))?;
        self.delegation.valid_at(unix_s).map_err(|error| {
            Denied::Known(format!("the delegation that this node holds is {error}; start the appliance"))
        })?;
        Ok(certificate)
    }
}

/// What a session goes by now.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Whose certificates count.
    pub trust: &'a OperatorTrust,
    /// Seconds since 1970, as the appliance told them.
    pub unix_s: u64,
    /// No more sessions are taken.
    pub full: bool,
}

/// What happened in a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    /// The operator proved its key. Comes once, before its first question.
    Proved,
    /// It asks something that it may ask. Exactly one answer is due.
    Ask(Ask),
    /// It was refused, and has been told why.
    Refused(String),
}

/// See the module.
pub struct Session {
    channel: Channel,
    shown: Option<([u8; 32], Vec<u8>)>,
    certificate: Option<Certificate>,
    proved: bool,
    /// A question waits for its answer.
    asked: bool,
    ends: bool,
    deadline_ns: u64,
    output: Vec<u8>,
}

impl Session {
    /// A session of somebody that has just connected. `None` where the node's key cannot be used.
    pub fn new(secret: &[u8; 32], seed: [u8; 32], now_ns: u64) -> Option<Self> {
        Some(Self {
            channel: Channel::respond(secret, seed).ok()?,
            shown: None,
            certificate: None,
            proved: false,
            asked: false,
            ends: false,
            deadline_ns: now_ns.saturating_add(PROVE_NS),
            output: Vec::new(),
        })
    }

    /// The operator, once it was admitted.
    pub fn operator(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The operator's certificate as it came.
    pub fn certificate_bytes(&self) -> &[u8] {
        self.shown.as_ref().map_or(&[], |(_, bytes)| bytes)
    }

    /// Whether the operator has proved its key.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// When it is over, unless something is heard before. An answer that is due holds it open.
    pub fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Bytes that wait for the connection; the caller takes from the front what was sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether it is over once its output has left.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// Bytes from the connection. An error ends the session at once, without a word to the other side.
    pub fn receive(
        &mut self,
        now_ns: u64,
        bytes: &[u8],
        gate: Gate<'_>,
    ) -> Result<Vec<SessionEvent>, String> {
        let mut events = Vec::new();
        if self.ends {
            return Ok(events);
        }
        for item in self.channel.receive(bytes).map_err(|error| format!("{error}"))? {
            match item {
                Received::Asked { key, payload } => {
                    events.extend(self.on_asked(now_ns, key, payload, gate)?);
                }
                Received::Message(plain) => self.on_message(now_ns, &plain, gate, &mut events)?,
                Received::Opened => return Err("it answered as if it had been asked".into()),
            }
            if self.ends {
                break;
            }
        }
        Ok(events)
    }

    fn on_asked(
        &mut self,
        now_ns: u64,
        key: [u8; 32],
        payload: Vec<u8>,
        gate: Gate<'_>,
    ) -> Result<Option<SessionEvent>, String> {
        let refusal = match gate.trust.judge(&key, &payload, gate.unix_s) {
            Ok(_) if gate.full => Some(String::from("other operators are connected; try again later")),
            Ok(certificate) => {
                self.certificate = Some(certificate);
                self.shown = Some((key, payload));
                None
            }
            Err(Denied::Known(reason)) => Some(reason),
            Err(Denied::Stranger(reason)) => return Err(reason),
        };
        let told = refusal.as_deref().map_or("", |reason| clip(reason, MAX_REFUSAL));
        let second = self.channel.accept(told.as_bytes()).map_err(|error| format!("{error}"))?;
        self.output.extend_from_slice(&second);
        Ok(refusal.map(|reason| {
            self.end(now_ns);
            SessionEvent::Refused(reason)
        }))
    }

    fn on_message(
        &mut self,
        now_ns: u64,
        plain: &[u8],
        gate: Gate<'_>,
        events: &mut Vec<SessionEvent>,
    ) -> Result<(), String> {
        if self.asked {
            return Err("it asks again before it was answered".into());
        }
        let ask = decode_ask(plain).map_err(|error| format!("a question that is none: {error}"))?;
        let Some((key, certificate)) = &self.shown else { return Err("it asks before it came in".into()) };
        let judged = gate.trust.judge(key, certificate, gate.unix_s);
        self.deadline_ns = now_ns.saturating_add(IDLE_NS);
        if !self.proved {
            if gate.full {
                let reason = "other operators are connected; try again later";
                return self.turn_away(now_ns, reason.into(), events);
            }
            self.proved = true;
            events.push(SessionEvent::Proved);
        }
        let role = match judged {
            Ok(certificate) => certificate.role,
            Err(Denied::Known(reason) | Denied::Stranger(reason)) => {
                return self.turn_away(now_ns, reason, events);
            }
        };
        let changes = match ask {
            Ask::View | Ask::Notes => false,
            Ask::Want { .. } | Ask::Amend(_) => true,
        };
        if changes && role < Role::Operate {
            let reason = "this credential is for looking only; have one issued with --role operate";
            return self.answer(&Answer::Refused(reason.into()));
        }
        self.asked = true;
        events.push(SessionEvent::Ask(ask));
        Ok(())
    }

    /// Says why, and ends.
    fn turn_away(
        &mut self,
        now_ns: u64,
        reason: String,
        events: &mut Vec<SessionEvent>,
    ) -> Result<(), String> {
        self.answer(&Answer::Refused(reason.clone()))?;
        self.end(now_ns);
        events.push(SessionEvent::Refused(reason));
        Ok(())
    }

    fn end(&mut self, now_ns: u64) {
        self.ends = true;
        self.deadline_ns = now_ns.saturating_add(LINGER_NS);
    }

    /// Answers a question.
    pub fn answer(&mut self, answer: &Answer) -> Result<(), String> {
        let plain = encode(answer, MAX_MESSAGE).map_err(|error| format!("the answer is {error}"))?;
        let sealed = self.channel.seal(&plain).map_err(|error| format!("{error}"))?;
        self.output.extend_from_slice(&sealed);
        self.asked = false;
        Ok(())
    }
}

impl Agent {
    /// Whether operators may come in at all; see [`Agent::operator_trust`].
    pub fn admits_operators(&self) -> bool {
        self.judge.is_vouched() && self.delegation.is_some()
    }

    /// Whose operators may come in; `None` unless the appliance's last word about this node was good in this boot.
    pub fn operator_trust(&self) -> Option<OperatorTrust> {
        let delegation = self.delegation.clone().filter(|_| self.judge.is_vouched())?;
        Some(OperatorTrust::new(delegation, self.judge.cluster()?))
    }

    /// A session of somebody that has just connected, with a fresh random seed.
    pub fn operator_session(&self, seed: [u8; 32], now_ns: u64) -> Option<Session> {
        Session::new(&self.secret, seed, now_ns)
    }
}
