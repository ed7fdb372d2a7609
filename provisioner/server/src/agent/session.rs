//! One node's session, from `Hello` to the end.
//!
//! ```text
//!  greet ─▶ Hello ─▶ Core::arrive ─▶ Welcome ─▶ run: { node speaks | we are asked | a second passes }
//! ```
//! A node that says nothing for [`DEAD_AFTER_MS`], or takes nothing for as long, is gone. A node that
//! talks too much loses log lines and events, not its session; console output is bounded by its ring.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use weft_wire::agent::{DEAD_AFTER_MS, PROTOCOL, ToNode, ToServer, Welcome};
use weft_wire::codec::{DecodeError, decode_to_server, encode_to_node};

use super::channel::{Channel, ChannelError, Reader, Writer};
use crate::core::{Core, count};
use crate::nodes::Admission;
use crate::world::Ask;

const DEAD_AFTER: Duration = Duration::from_millis(DEAD_AFTER_MS);
/// We speak at least this often.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Messages read ahead of their handling.
const READ_AHEAD: usize = 16;
/// What a session may be asked before the asker has to wait.
const ASKS: usize = 64;
/// Log lines and events taken a second, and at once.
const TALK_PER_S: f64 = 50.0;
const TALK_BURST: f64 = 500.0;

/// A node that was let in, in quarantine or not.
pub(crate) struct Arrival {
    id: String,
    session: u64,
    channel: Channel,
    asks: mpsc::Receiver<Ask>,
    push: bool,
}

/// Takes the `Hello` and answers it.
pub(crate) async fn greet(
    core: &Arc<Core>,
    mut channel: Channel,
    key: [u8; 32],
    peer: SocketAddr,
    patience: Duration,
) -> Option<Arrival> {
    let plain = timeout(patience, channel.reader.receive()).await.ok()?.ok()?;
    let hello = match decode_to_server(&plain) {
        Ok(ToServer::Hello(hello)) => hello,
        Ok(_) | Err(_) => {
            count(&core.counts.agent_handshakes_failed);
            return None;
        }
    };
    if hello.protocol != PROTOCOL {
        let reason = format!("this appliance speaks agent protocol {PROTOCOL}, the node {}", hello.protocol);
        let _ = timeout(patience, send(&mut channel.writer, &welcome(true, reason))).await;
        return None;
    }
    let (asked, asks) = mpsc::channel(ASKS);
    let (session, answer, push) = match core.arrive(key, peer, hello, asked).await {
        Ok(Admission::In { session, quarantined, reason }) => {
            (Some(session), welcome(quarantined, reason), !quarantined)
        }
        Ok(Admission::Out(reason)) => (None, welcome(true, reason), false),
        Err(error) => {
            tracing::error!(%peer, error = crate::chain(&error), "a node was not admitted");
            (None, welcome(true, "the appliance cannot write to its store".to_string()), false)
        }
    };
    let sent = timeout(patience, send(&mut channel.writer, &answer)).await;
    let arrival =
        Arrival { id: crate::nodes::node_id(&key).to_string(), session: session?, channel, asks, push };
    if !matches!(sent, Ok(Ok(()))) {
        core.left(&arrival.id, arrival.session, false).await;
        return None;
    }
    Some(arrival)
}

fn welcome(quarantined: bool, reason: String) -> ToNode {
    ToNode::Welcome(Welcome { protocol: PROTOCOL, quarantined, reason })
}

async fn send(writer: &mut Writer, message: &ToNode) -> Result<(), ChannelError> {
    let plain = encode_to_node(message).map_err(|error| ChannelError::TooLong(error.max))?;
    timeout(DEAD_AFTER, writer.send(&plain))
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// Reads until the channel ends; the end itself is the last item.
async fn read_all(mut reader: Reader, out: mpsc::Sender<Result<ToServer, ChannelError>>) {
    loop {
        let message = match reader.receive().await {
            Ok(plain) => match decode_to_server(&plain) {
                // A node that is newer than this appliance has more to say than is understood here.
                Err(DecodeError::Unknown(_)) => continue,
                decoded => decoded.map_err(ChannelError::from),
            },
            Err(error) => Err(error),
        };
        let ends = message.is_err();
        if out.send(message).await.is_err() || ends {
            return;
        }
    }
}

/// Runs the session to its end.
pub(crate) async fn run(core: Arc<Core>, arrival: Arrival, mut stop: watch::Receiver<bool>) {
    let Arrival { id, session, channel, mut asks, push } = arrival;
    let (out, mut messages) = mpsc::channel(READ_AHEAD);
    let reading = tokio::spawn(read_all(channel.reader, out));
    let mut writer = channel.writer;
    let asked_to_end = tokio::select! {
        ended = converse(&core, &id, session, &mut writer, &mut messages, &mut asks, push) => ended,
        () = crate::util::stopped(&mut stop) => true,
    };
    reading.abort();
    core.left(&id, session, asked_to_end).await;
}

/// Returns whether the end was asked for.
async fn converse(
    core: &Arc<Core>,
    id: &str,
    session: u64,
    writer: &mut Writer,
    messages: &mut mpsc::Receiver<Result<ToServer, ChannelError>>,
    asks: &mut mpsc::Receiver<Ask>,
    push: bool,
) -> bool {
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut talk = Talk::new();
    if push && push_records(core, id, writer).await.is_err() {
        return false;
    }
    loop {
        let done = tokio::select! {
            message = messages.recv() => match message {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    count(&core.counts.agent_messages);
                    core.heard(id, session, message, &mut talk).await;
                    Ok(())
                }
                Some(Err(error)) => {
                    tracing::debug!(node = id, %error, "agent channel ended");
                    return false;
                }
                None => return false,
            },
            ask = asks.recv() => match ask {
                Some(Ask::Send(message)) => send(writer, &message).await,
                Some(Ask::Push) => push_records(core, id, writer).await,
                Some(Ask::Close(last)) => {
                    if let Some(message) = last {
                        let _ = send(writer, &message).await;
                    }
                    return true;
                }
                None => return true,
            },
            _ = ping.tick() => {
                if heard.elapsed() > DEAD_AFTER {
                    return false;
                }
                send(writer, &ToNode::Ping).await
            }
        };
        if let Err(error) = done {
            tracing::debug!(node = id, %error, "agent channel broke");
            return false;
        }
    }
}

async fn push_records(core: &Arc<Core>, id: &str, writer: &mut Writer) -> Result<(), ChannelError> {
    let records = match core.records_for(id).await {
        Ok(records) => records,
        Err(error) => {
            // The node keeps what it has; the next change tries again.
            tracing::error!(node = id, error = crate::chain(&error), "no record was signed");
            return Ok(());
        }
    };
    for record in records {
        send(writer, &ToNode::Record(record)).await?;
        count(&core.counts.records_sent);
    }
    if let Some(record) = core.cluster_record_for(id) {
        send(writer, &ToNode::Cluster(record)).await?;
    }
    Ok(())
}

/// How much a node may still say: a bucket that refills.
pub(crate) struct Talk {
    left: f64,
    at: Instant,
    /// Lines dropped since the last one taken.
    pub(crate) dropped: u64,
}

impl Talk {
    fn new() -> Self {
        Self { left: TALK_BURST, at: Instant::now(), dropped: 0 }
    }

    /// Whether one more line is taken.
    pub(crate) fn take(&mut self) -> bool {
        let now = Instant::now();
        let refill = now.duration_since(self.at).as_secs_f64() * TALK_PER_S;
        self.left = (self.left + refill).min(TALK_BURST);
        self.at = now;
        if self.left < 1.0 {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.left -= 1.0;
        true
    }
}
