//! An HTTP client that checks every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for the next bytes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn fetch(server: SocketAddr, path: &str, expected: &[u8]) -> Result<(), &'static str> {
    let mut last = "connect";
    // As often as firmware tries.
    for _ in 0..4 {
        match attempt(server, path, expected).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn attempt(server: SocketAddr, path: &str, expected: &[u8]) -> Result<(), &'static str> {
    let connected = timeout(PATIENCE, TcpStream::connect(server)).await;
    let mut stream = connected.map_err(|_| "connect")?.map_err(|_| "connect")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|_| "send")?;
    let mut buffer = vec![0; 64 * 1024];
    let mut head = Vec::new();
    let mut received = None;
    while received != Some(expected.len()) {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.map_err(|_| "silence")?;
        let len = read.map_err(|_| "receive")?;
        let mut bytes = buffer.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            return Err("short");
        }
        let at = match received {
            Some(at) => at,
            None => {
                let old = head.len();
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n").map(|end| end + 4) else {
                    continue;
                };
                if !head.starts_with(b"HTTP/1.1 200") {
                    return Err("refused");
                }
                bytes = bytes.get(end.saturating_sub(old)..).unwrap_or_default();
                0
            }
        };
        if expected.get(at..at.saturating_add(bytes.len())) != Some(bytes) {
            return Err("wrong bytes");
        }
        received = Some(at + bytes.len());
    }
    Ok(())
}
