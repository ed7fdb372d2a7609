//! A stream to the appliance: TCP or a Unix socket, with TLS on it or, on this machine only, without.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::error::CliError;
use crate::settings::Settings;
use crate::tls;

/// Time for connecting, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// The appliance's address and how to trust it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// As the user gave it.
    pub(crate) url: String,
    /// For the `Host` header.
    pub(crate) authority: String,
    /// Whether a certificate was pinned.
    pinned: bool,
}

/// Any of the streams.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connected stream.
pub(crate) struct Connection(Box<dyn Stream>);

/// Addresses that are tried, at most.
const MAX_ADDRESSES: usize = 16;

impl Endpoint {
    /// Reads the addresses, with commas between them: several appliances that hold the same.
    pub(crate) fn all(settings: &Settings) -> Result<Vec<Self>, CliError> {
        let urls = settings.url.split(',').map(str::trim).take(MAX_ADDRESSES);
        urls.map(|url| Self::new(&Settings { url: url.to_owned(), ..settings.clone() })).collect()
    }

    /// Reads the address.
    pub(crate) fn new(settings: &Settings) -> Result<Self, CliError> {
        let url = settings.url.trim_end_matches('/').to_owned();
        let ca = settings.ca.as_deref();
        if let Some(path) = url.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            let tls = ca.map(|ca| with_tls(Some(ca), "localhost")).transpose()?;
            return Ok(Self {
                place: Place::Unix(path),
                tls,
                url,
                authority: "localhost".into(),
                pinned: ca.is_some(),
            });
        }
        let bad = |why: &str| {
            CliError::usage(
                format!("{url} is not an address: {why}"),
                "for example --url https://10.20.0.1:8443",
            )
        };
        let uri: Uri = url.parse().map_err(|_| bad("it cannot be read"))?;
        let host = uri.host().ok_or_else(|| bad("the host is missing"))?;
        if uri.path().len() > 1 || uri.query().is_some() {
            return Err(bad("it has a path"));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("https") => (Some(with_tls(ca, &bare)?), 443),
            Some("http") if is_loopback(&bare) => (None, 80),
            Some("http") => return Err(bad("http is for this machine only, use https")),
            Some(_) => return Err(bad("use https, or unix:PATH")),
            None => return Err(bad("it needs https:// in front")),
        };
        let authority = uri.authority().map_or_else(|| host.to_owned(), ToString::to_string);
        let place = Place::Tcp { host: bare, port: uri.port_u16().unwrap_or(port) };
        Ok(Self { place, tls, url, authority, pinned: ca.is_some() })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Connection, CliError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.connect_inner()).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable("no answer within 10 s".into())),
        }
    }

    async fn connect_inner(&self) -> Result<Connection, CliError> {
        let stream: Box<dyn Stream> = match &self.place {
            Place::Tcp { host, port } => Box::new(
                TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(|error| self.unreachable(error.to_string()))?,
            ),
            Place::Unix(path) => Box::new(
                UnixStream::connect(path).await.map_err(|error| self.unreachable(error.to_string()))?,
            ),
        };
        let Some((connector, name)) = &self.tls else { return Ok(Connection(stream)) };
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Connection(Box::new(stream))),
            Err(error) => Err(CliError::Unreachable {
                url: self.url.clone(),
                why: format!("its certificate is not trusted: {}", plain(&error)),
                next: if self.pinned {
                    "check that this is the appliance you mean, then give its certificate: --ca FILE or --ca sha256:HEX"
                } else {
                    "compare the fingerprint with the appliance's console, then give it: --ca sha256:HEX"
                }
                .into(),
            }),
        }
    }

    /// The error for a connection that could not be made or broke.
    pub(crate) fn unreachable(&self, why: String) -> CliError {
        CliError::Unreachable {
            url: self.url.clone(),
            why,
            next: "check that the appliance runs (weft appliance run) and the address: --url, WEFT_URL or a profile".into(),
        }
    }
}

/// The reason without the words that rustls puts before errors of others.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("other error: ").unwrap_or(&text).to_owned()
}

fn with_tls(ca: Option<&str>, host: &str) -> Result<(TlsConnector, ServerName<'static>), CliError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        CliError::usage(format!("{host} is not a host name"), "for example --url https://10.20.0.1:8443")
    })?;
    Ok((TlsConnector::from(tls::config(ca)?), name))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, CliError> {
        Endpoint::new(&Settings { url: url.into(), ca: None, token_file: PathBuf::new() })
    }

    #[test]
    fn good_addresses_are_read() {
        for (url, authority) in [
            ("https://10.0.0.1:8443/", "10.0.0.1:8443"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("http://127.0.0.1:80", "127.0.0.1:80"),
            ("unix:/run/weft.sock", "localhost"),
        ] {
            assert_eq!(endpoint(url).map_err(|e| e.to_string()).expect("good").authority, authority);
        }
    }

    #[test]
    fn plain_http_leaves_this_machine_never() {
        let Err(error) = endpoint("http://10.0.0.1") else { panic!("accepted") };
        assert!(error.to_string().contains("this machine only"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_with_advice() {
        for url in ["", "10.0.0.1:8443", "ftp://x", "https://", "https://a/b", "https://a?x=1", "https://a b"]
        {
            let Err(error) = endpoint(url) else { panic!("{url} accepted") };
            assert_eq!(error.exit_code(), 2, "{url}");
        }
    }
}
