//! The node's door for operators: one TCP port, a few sessions, and who gets which answer.
//!
//! It is open only while the appliance's last word about this node, in this boot, was good. What a stranger can cost is
//! bounded: [`MAX_VISITORS`] connections, [`MAX_SESSIONS`] operators, a handshake each [`TOKEN_NS`] after a burst, one
//! question at a time and 2 KiB read in a poll. [`weft_agent::operator`] judges and decrypts.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use weft_abi::Kernel as _;
use weft_agent::operator::{Gate, Session, SessionEvent};
use weft_membership::RecordId;
use weft_transport::stack::{Endpoint, SocketError, Tcp, TcpState};
use weft_wire::agent::Level;
use weft_wire::cluster::ClusterResult;
use weft_wire::operator::{Answer, Ask};
use weft_wire::ports;

use crate::runtime::Runtime;

/// Connections at once, strangers included.
const MAX_VISITORS: usize = 4;
/// Operators that have proved who they are.
const MAX_SESSIONS: usize = 2;
/// Sockets that listen, so that a half-open connection does not shut the door.
const LISTENERS: usize = 2;
/// Handshakes that are taken at once, and how soon there is one more.
const MAX_TOKENS: u32 = 6;
const TOKEN_NS: u64 = 500_000_000;
/// Bytes read in one poll of a connection.
const READ_BYTES: usize = 2048;
/// Buffers of a connection, bytes.
const RECEIVE_BYTES: usize = 4096;
const SEND_BYTES: usize = 8192;
/// The members agree or refuse in this time, or nobody answers for them any more.
const PATIENCE_NS: u64 = 30_000_000_000;

struct Visitor {
    socket: Tcp,
    session: Session,
    from: Endpoint,
    /// What the members are asked, and until when they may think.
    pending: Option<(RecordId, u64)>,
    hung_up: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Door {
    listeners: Vec<Tcp>,
    visitors: Vec<Visitor>,
    /// Handshakes that may still begin, and since when there are so many.
    tokens: u32,
    counted_ns: u64,
    /// What became of configurations, while somebody waits for one.
    outcomes: Vec<ClusterResult>,
    waits: bool,
}

impl Door {
    /// What became of a configuration.
    pub(crate) fn outcome(&mut self, result: &ClusterResult) {
        if self.waits {
            self.outcomes.push(result.clone());
        }
    }

    /// Whether the members are asked something for an operator.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// When somebody must be sent away, or may come in.
    pub(crate) fn next_ns(&self) -> u64 {
        let due =
            |visitor: &Visitor| visitor.pending.map_or(visitor.session.deadline_ns(), |(_, until)| until);
        let next = self.visitors.iter().map(due).min().unwrap_or(u64::MAX);
        // While it is shut nobody counts tokens, and nobody comes in.
        if self.tokens == 0 && !self.listeners.is_empty() {
            next.min(self.counted_ns.saturating_add(TOKEN_NS))
        } else {
            next
        }
    }

    fn count_tokens(&mut self, now_ns: u64) {
        if self.tokens >= MAX_TOKENS {
            self.counted_ns = now_ns;
            return;
        }
        let earned = now_ns.saturating_sub(self.counted_ns) / TOKEN_NS;
        self.counted_ns = self.counted_ns.saturating_add(earned.saturating_mul(TOKEN_NS));
        let earned = u32::try_from(earned).unwrap_or(MAX_TOKENS);
        self.tokens = self.tokens.saturating_add(earned).min(MAX_TOKENS);
    }
}

/// Why a connection is over.
enum End {
    /// It came to its end.
    Over,
    /// It must not go on.
    Refused(String),
}

impl Runtime {
    /// Lets operators in and serves them, bounded. `true`: there is more to do at once.
    pub(crate) fn poll_door(&mut self, now_ns: u64) -> bool {
        if !self.agent.admits_operators() || self.kernel.realtime_ns().is_none() {
            self.close_door(now_ns);
            return false;
        }
        self.door.count_tokens(now_ns);
        let mut more = self.let_in(now_ns);
        let visitors = core::mem::take(&mut self.door.visitors);
        let proved = visitors.iter().filter(|visitor| visitor.session.is_proved()).count();
        for mut visitor in visitors {
            match self.serve(now_ns, &mut visitor, proved >= MAX_SESSIONS) {
                Ok(moved) => {
                    more |= moved;
                    self.door.visitors.push(visitor);
                }
                Err(end) => {
                    if let End::Refused(reason) = end {
                        self.note_refusal(now_ns, &visitor, &reason);
                    }
                    self.kernel.stack().tcp_close(visitor.socket, now_ns);
                }
            }
        }
        self.door.waits = self.door.visitors.iter().any(|visitor| visitor.pending.is_some());
        if !self.door.waits {
            self.door.outcomes.clear();
        }
        more
    }

    #[cold]
    fn close_door(&mut self, now_ns: u64) {
        let visitors = core::mem::take(&mut self.door.visitors).into_iter().map(|visitor| visitor.socket);
        let sockets: Vec<Tcp> = visitors.chain(core::mem::take(&mut self.door.listeners)).collect();
        for socket in sockets {
            self.kernel.stack().tcp_close(socket, now_ns);
        }
    }

    /// Listens, and takes whoever has connected.
    fn let_in(&mut self, now_ns: u64) -> bool {
        let mut more = false;
        let listeners = core::mem::take(&mut self.door.listeners);
        for socket in listeners {
            match self.kernel.stack().tcp_state(socket) {
                TcpState::Closed => self.kernel.stack().tcp_close(socket, now_ns),
                TcpState::Open if self.door.visitors.len() < MAX_VISITORS && self.door.tokens > 0 => {
                    self.door.tokens -= 1;
                    more = true;
                    self.greet(now_ns, socket);
                }
                TcpState::Connecting | TcpState::Open => self.door.listeners.push(socket),
            }
        }
        while self.door.listeners.len() < LISTENERS {
            let stack = self.kernel.stack();
            match stack.tcp_listen(ports::OPERATOR, RECEIVE_BYTES, SEND_BYTES) {
                Ok(socket) => self.door.listeners.push(socket),
                // Others need their sockets more; it is tried again.
                Err(_) => break,
            }
        }
        more
    }

    #[cold]
    fn greet(&mut self, now_ns: u64, socket: Tcp) {
        let mut seed = [0; 32];
        self.kernel.entropy(&mut seed);
        let from = self.kernel.stack().tcp_peer(socket);
        match (self.agent.operator_session(seed, now_ns), from) {
            (Some(session), Some(from)) => {
                self.door.visitors.push(Visitor { socket, session, from, pending: None, hung_up: false });
            }
            (_, _) => self.kernel.stack().tcp_close(socket, now_ns),
        }
    }

    /// One look at one connection. `true`: bytes moved.
    fn serve(&mut self, now_ns: u64, visitor: &mut Visitor, full: bool) -> Result<bool, End> {
        if self.kernel.stack().tcp_state(visitor.socket) == TcpState::Closed {
            return Err(End::Over);
        }
        self.settle_pending(now_ns, visitor)?;
        let mut moved = self.flush(visitor)?;
        if visitor.pending.is_some() || !visitor.session.output().is_empty() {
            // One thing at a time; who takes no answer runs into its deadline.
            return if visitor.pending.is_none() && now_ns >= visitor.session.deadline_ns() {
                Err(End::Over)
            } else {
                Ok(moved)
            };
        }
        if visitor.session.ends() && !visitor.hung_up {
            visitor.hung_up = true;
            self.kernel.stack().tcp_shutdown(visitor.socket);
            return Ok(true);
        }
        if now_ns >= visitor.session.deadline_ns() {
            return Err(End::Over);
        }
        let mut buffer = vec![0; READ_BYTES];
        let bytes = match self.kernel.stack().tcp_receive(visitor.socket, &mut buffer) {
            Ok(0) => return Err(End::Over),
            Ok(len) => buffer.get(..len).unwrap_or(&[]),
            Err(SocketError::WouldBlock) => return Ok(moved),
            Err(_) => return Err(End::Over),
        };
        moved = true;
        let (Some(trust), Some(unix_ns)) = (self.agent.operator_trust(), self.kernel.realtime_ns()) else {
            return Err(End::Over);
        };
        let full = full && !visitor.session.is_proved();
        let gate = Gate { trust: &trust, unix_s: unix_ns / 1_000_000_000, full };
        for event in visitor.session.receive(now_ns, bytes, gate).map_err(End::Refused)? {
            match event {
                SessionEvent::Proved => {
                    let name = visitor.name();
                    self.log(
                        now_ns,
                        Level::Info,
                        &format!("operator {name} is connected{}", visitor.origin()),
                    );
                }
                SessionEvent::Refused(reason) => self.note_refusal(now_ns, visitor, &reason),
                SessionEvent::Ask(ask) => self.on_ask(now_ns, visitor, ask)?,
            }
        }
        self.flush(visitor)?;
        Ok(moved)
    }

    #[cold]
    fn note_refusal(&mut self, now_ns: u64, visitor: &Visitor, reason: &str) {
        let text = format!("operator{} is refused: {reason}", visitor.origin());
        self.log(now_ns, Level::Warn, &text);
    }

    fn flush(&mut self, visitor: &mut Visitor) -> Result<bool, End> {
        let mut moved = false;
        while !visitor.session.output().is_empty() {
            match self.kernel.stack().tcp_send(visitor.socket, visitor.session.output()) {
                Ok(sent) => {
                    let output = visitor.session.output();
                    output.drain(..sent.min(output.len()));
                    moved = true;
                }
                Err(SocketError::WouldBlock) => break,
                Err(_) => return Err(End::Over),
            }
        }
        Ok(moved)
    }

    #[cold]
    fn on_ask(&mut self, now_ns: u64, visitor: &mut Visitor, ask: Ask) -> Result<(), End> {
        let answer = match ask {
            Ask::View => Answer::View(self.view(now_ns).into()),
            Ask::Notes => Answer::Notes(self.notes.latest()),
            Ask::Want { vs, running } => match self.want(now_ns, vs, running, visitor.name()) {
                Ok(()) => Answer::Done,
                Err(reason) => Answer::Refused(reason),
            },
            Ask::Amend(amendment) => {
                let certificate = visitor.session.certificate_bytes();
                match self.amended(certificate, &amendment) {
                    Ok((id, record)) => {
                        visitor.pending = Some((id, now_ns.saturating_add(PATIENCE_NS)));
                        self.door.waits = true;
                        self.give_amended(now_ns, record, visitor.name());
                        return self.settle_pending(now_ns, visitor);
                    }
                    Err(reason) => Answer::Refused(reason),
                }
            }
        };
        visitor.session.answer(&answer).map_err(End::Refused)
    }

    /// Answers who waits for the members, once they have spoken.
    fn settle_pending(&mut self, now_ns: u64, visitor: &mut Visitor) -> Result<(), End> {
        let Some((id, until_ns)) = visitor.pending else { return Ok(()) };
        let given = (id.epoch, id.counter);
        let later = |told: &&ClusterResult| told.record > given && told.result.is_ok();
        let told = self.door.outcomes.iter().find(|told| told.record == given || later(told));
        let answer = match told {
            Some(ClusterResult { result: Err(reason), .. }) => Answer::Refused(reason.clone()),
            Some(told) if told.record == given => Answer::Done,
            Some(_) => Answer::Refused("the members agreed on another configuration; look again".into()),
            None if now_ns < until_ns => return Ok(()),
            None => Answer::Refused("this node has left its partition; look again".into()),
        };
        visitor.pending = None;
        visitor.session.answer(&answer).map_err(End::Refused)
    }
}

impl Visitor {
    fn name(&self) -> &str {
        self.session.operator().map_or("?", |operator| operator.name.as_str())
    }

    fn origin(&self) -> String {
        let [a, b, c, d] = self.from.address;
        format!(" from {a}.{b}.{c}.{d}")
    }
}
