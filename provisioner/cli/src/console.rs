//! `vs console`: a virtual server's console over a WebSocket.
//!
//! On a terminal: raw mode, every key goes to the guest, `Ctrl-]` leaves. In a pipe: the output goes to standard
//! output, the input to the guest; at the end of the input it stays until the output matches `--wait-for`, or until
//! there was silence for `--idle`.
//!
//! ```text
//! attach ─ history ─▶ live ─ (send-after matched) ─ input sent ─▶ end of input ─ matched or idle ─▶ leave
//! ```

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use crate::args::Console;
use crate::client::{Client, segment};
use crate::connect::Connection;
use crate::error::CliError;
use crate::output::Output;
use crate::prompt::TerminalMode;

/// `Ctrl-]`.
const ESCAPE: u8 = 0x1d;
/// The last bytes of the output in which a pattern is looked for.
const WINDOW_BYTES: usize = 64 * 1024;
/// Silence after which the history is taken to be complete.
const HISTORY_QUIET: Duration = Duration::from_millis(500);
/// A frame larger than this is not a console's.
const FRAME_MAX_BYTES: usize = 4 * 1024 * 1024;

type Socket = WebSocketStream<Connection>;

/// Runs the verb.
pub(crate) async fn run(client: &Client, output: Output, args: &Console) -> Result<(), CliError> {
    let socket = attach(client, &args.name.server).await?;
    if io::stdin().is_terminal() && args.wait_for.is_none() && args.send_after.is_none() {
        interactive(client, output, socket).await
    } else {
        piped(client, args, socket).await
    }
}

async fn attach(client: &Client, server: &str) -> Result<Socket, CliError> {
    let stream = client.connected().await?;
    let uri = format!("ws://{}/api/v1/vs/{}/console", client.endpoint().authority, segment(server));
    let bad =
        |error: WsError| CliError::usage(format!("the console's address is wrong: {error}"), "check --url");
    let mut request = uri.into_client_request().map_err(bad)?;
    request.headers_mut().insert("x-weft-request", HeaderValue::from_static("1"));
    if let Some(token) = &client.token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| CliError::usage("the token is not a word", "log in again: weft login"))?;
        request.headers_mut().insert("authorization", value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_MAX_BYTES))
        .max_frame_size(Some(FRAME_MAX_BYTES));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            Err(CliError::Refused(serde_json::from_slice(body).unwrap_or_else(|_| weft_api::Problem {
                code: format!("http-{}", status.as_u16()),
                status: status.as_u16(),
                title: format!("the console of {server} is not open: {status}"),
                next: format!("see weft vs show {server}"),
                ..weft_api::Problem::default()
            })))
        }
        Err(error) => Err(client.endpoint().unreachable(error.to_string())),
    }
}

/// Standard input in pieces; the channel closes at its end. A thread of its own, because a read of a terminal cannot
/// be given up.
fn input() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = io::stdin().lock().read(&mut buffer) {
            let piece = buffer.get(..count).unwrap_or_default().to_vec();
            if count == 0 || send.blocking_send(piece).is_err() {
                break;
            }
        }
    });
    receive
}

fn show(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|source| CliError::Io { what: "standard output".into(), source }),
    }
}

/// What one message means: bytes to show, or the end.
enum Heard {
    Output(Bytes),
    Nothing,
    End(String),
}

fn hear(message: Option<Result<Message, WsError>>) -> Heard {
    match message {
        None => Heard::End("the appliance closed the console".into()),
        Some(Err(error)) => Heard::End(error.to_string()),
        Some(Ok(Message::Binary(bytes))) => Heard::Output(bytes),
        Some(Ok(Message::Text(text))) => Heard::Output(text.into()),
        Some(Ok(Message::Close(frame))) => {
            let reason = frame.map(|frame| frame.reason.to_string()).filter(|reason| !reason.is_empty());
            Heard::End(reason.unwrap_or_else(|| "the appliance closed the console".into()))
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Nothing,
    }
}

async fn interactive(client: &Client, output: Output, mut socket: Socket) -> Result<(), CliError> {
    output.note("attached; Ctrl-] leaves");
    let mode = TerminalMode::change(|mode| mode.make_raw())
        .map_err(|source| CliError::Io { what: "the terminal".into(), source })?;
    let mut keys = input();
    let end = loop {
        tokio::select! {
            piece = keys.recv() => {
                let Some(piece) = piece else { break Ok(()) };
                let (before, leaves) = match piece.iter().position(|&byte| byte == ESCAPE) {
                    Some(at) => (piece.get(..at).unwrap_or_default().to_vec(), true),
                    None => (piece, false),
                };
                if !before.is_empty() && let Err(error) = socket.send(Message::binary(before)).await {
                    break Err(client.endpoint().unreachable(error.to_string()));
                }
                if leaves {
                    break Ok(());
                }
            }
            message = socket.next() => match hear(message) {
                Heard::Output(bytes) => show(&bytes)?,
                Heard::Nothing => {}
                Heard::End(why) => break Err(client.endpoint().unreachable(why)),
            },
        }
    };
    drop(mode);
    output.note("");
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
    end
}

/// The last part of the output, for patterns.
#[derive(Default)]
struct Window(Vec<u8>);

impl Window {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(WINDOW_BYTES);
        self.0.drain(..excess);
    }

    fn matches(&self, pattern: &regex::Regex) -> bool {
        // A console ends its lines with CR LF; `$` of a pattern means the end of a line all the same.
        pattern.is_match(&String::from_utf8_lossy(&self.0).replace("\r\n", "\n"))
    }
}

/// Where a piped session stands.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Nothing was sent yet.
    Before,
    /// Input flows.
    Sending,
    /// The input has ended.
    After,
}

async fn piped(client: &Client, args: &Console, mut socket: Socket) -> Result<(), CliError> {
    let mut lines = input();
    let limit = Instant::now() + Duration::from_secs(args.timeout);
    let idle = Duration::from_secs(args.idle);
    let bounded = args.wait_for.is_some() || args.send_after.is_some();
    let (mut window, mut phase, mut sent) = (Window::default(), Phase::Before, false);
    let mut quiet = Instant::now() + HISTORY_QUIET;
    loop {
        if phase == Phase::After && args.wait_for.as_ref().is_some_and(|pattern| window.matches(pattern)) {
            let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
            return Ok(());
        }
        if phase == Phase::Before && args.send_after.as_ref().is_some_and(|pattern| window.matches(pattern)) {
            phase = Phase::Sending;
        }
        tokio::select! {
            message = socket.next() => match hear(message) {
                Heard::Output(bytes) => {
                    show(&bytes)?;
                    window.push(&bytes);
                    quiet = Instant::now() + if phase == Phase::Before { HISTORY_QUIET } else { idle };
                }
                Heard::Nothing => {}
                Heard::End(why) => return Err(client.endpoint().unreachable(why)),
            },
            piece = lines.recv(), if phase == Phase::Sending => match piece {
                Some(piece) => {
                    if !sent {
                        // What was printed before the input cannot be an answer to it.
                        window = Window::default();
                        sent = true;
                    }
                    socket.send(Message::binary(piece)).await.map_err(|error| client.endpoint().unreachable(error.to_string()))?;
                }
                None => {
                    phase = Phase::After;
                    quiet = Instant::now() + idle;
                }
            },
            () = sleep_until(quiet), if phase == Phase::Before && args.send_after.is_none() => phase = Phase::Sending,
            () = sleep_until(quiet), if phase == Phase::After && args.wait_for.is_none() => {
                let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
                return Ok(());
            }
            () = sleep_until(limit), if bounded => {
                let pattern = if phase == Phase::Before { &args.send_after } else { &args.wait_for };
                let pattern = pattern.as_ref().map_or("the end of the input", |pattern| pattern.as_str());
                return Err(CliError::TimedOut(format!("{} did not print {pattern} within {} s", args.name.server, args.timeout)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_across_pieces_and_line_ends() {
        let pattern = regex::Regex::new("(?m)^ready$").expect("pattern");
        let mut window = Window::default();
        window.push(b"echo ready\r\nrea");
        assert!(!window.matches(&pattern));
        window.push(b"dy\r\n# ");
        assert!(window.matches(&pattern));
    }

    #[test]
    fn the_window_forgets_what_is_old() {
        let mut window = Window::default();
        window.push(b"early");
        window.push(&vec![b'x'; WINDOW_BYTES]);
        assert_eq!(window.0.len(), WINDOW_BYTES);
        assert!(!window.matches(&regex::Regex::new("early").expect("pattern")));
    }
}
