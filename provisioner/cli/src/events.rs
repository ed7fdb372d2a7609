//! The event stream: server-sent events, with replay after a break from the last number that was seen.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use weft_api::{Event, EventGap};

use crate::client::{Client, Payload};
use crate::error::CliError;
use crate::output::Output;
use crate::when;

/// A line of the stream longer than this is not an event.
const LINE_MAX_BYTES: usize = 1 << 20;
/// Longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Takes a byte stream apart into the name and the `data` of each event (WHATWG HTML, "server-sent events").
#[derive(Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: String,
    name: String,
    after_return: bool,
}

impl Parser {
    /// Adds bytes; returns name and data of each event that they complete. Fails where a line is too long.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let line_feed_of_pair = byte == b'\n' && std::mem::take(&mut self.after_return);
            if line_feed_of_pair {
                continue;
            }
            self.after_return = byte == b'\r';
            if byte != b'\n' && byte != b'\r' {
                if self.line.len() + self.data.len() >= LINE_MAX_BYTES {
                    return Err("an event is longer than 1 MiB");
                }
                self.line.push(byte);
            } else if let Some(data) = self.end_line() {
                complete.push(data);
            }
        }
        Ok(complete)
    }

    fn end_line(&mut self) -> Option<(String, String)> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return (!data.is_empty()).then_some((name, data));
        }
        let text = String::from_utf8_lossy(&line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        // `id` repeats what the data says; other fields are comments to us.
        if field == "event" {
            self.name = value.strip_prefix(' ').unwrap_or(value).to_owned();
        } else if field == "data" {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
        None
    }
}

/// A line for a person.
pub(crate) fn line(event: &Event) -> String {
    let about: Vec<&str> =
        [event.node.as_str(), event.vs.as_str()].into_iter().filter(|name| !name.is_empty()).collect();
    let about = if about.is_empty() { "-".to_owned() } else { about.join("/") };
    format!(
        "{:>6}  {}  {:<5}  {:<22}  {:<14}  {}",
        event.seq,
        when::short(&event.at),
        event.state,
        event.name,
        about,
        event.text
    )
}

/// Prints events that fit the query as they happen, after number `after`, until it is interrupted or refused.
pub(crate) async fn follow(
    client: &Client,
    output: Output,
    query: &str,
    mut after: u64,
) -> Result<(), CliError> {
    let mut pause = Duration::from_millis(500);
    loop {
        let before = after;
        match stream(client, output, query, &mut after).await {
            Ok(()) => {}
            Err(error @ CliError::Unreachable { .. }) => output.note(&format!("{error}; trying again")),
            Err(error) => return Err(error),
        }
        pause = if after > before { Duration::from_millis(500) } else { (pause * 2).min(RETRY_MAX) };
        tokio::time::sleep(pause).await;
    }
}

async fn stream(client: &Client, output: Output, query: &str, after: &mut u64) -> Result<(), CliError> {
    let path = format!("/api/v1/events/stream?after={after}{query}");
    let response = client.send(Method::GET, &path, Payload::None).await?;
    let mut body = response.into_body();
    let mut parser = Parser::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| client.endpoint().unreachable(error.to_string()))?;
        let Some(bytes) = frame.data_ref() else { continue };
        let bad = |why: String| CliError::Answer { what: format!("GET {path}"), why };
        for (name, data) in parser.push(bytes).map_err(|why| bad(why.into()))? {
            if name == "missed" {
                let gap: EventGap = serde_json::from_str(&data).map_err(|error| bad(error.to_string()))?;
                output.note(&format!(
                    "events {} to {} were missed: {}; {}",
                    gap.first, gap.last, gap.text, gap.next
                ));
                // Where numbers went back, those that come are new all the same.
                *after = (*after).min(gap.first.saturating_sub(1));
                continue;
            }
            let event: Event = serde_json::from_str(&data).map_err(|error| bad(error.to_string()))?;
            // After a reconnection the server may repeat; a reader sees each number once.
            if event.seq > *after {
                *after = event.seq;
                output.item(&event, &line(&event))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text =
            b": hello\n\nid: 1\ndata: {\"a\":\ndata: 1}\n\nid: 2\r\ndata:two\r\n\r\nevent: x\n\ndata: late";
        let expected = ["{\"a\":\n1}", "two"].map(|data| (String::new(), data.to_owned()));
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                found.extend(parser.push(piece).expect("short"));
            }
            assert_eq!(found, expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 16];
        let mut result = Ok(Vec::new());
        for _ in 0..32 {
            result = parser.push(&piece);
            if result.is_err() {
                break;
            }
        }
        assert!(result.is_err());
    }
}
