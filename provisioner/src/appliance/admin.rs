//! `reset-admin` and `token`: over a socket that only the appliance's own user and root can open. Where no
//! appliance runs, `reset-admin` works on the data folder itself.

use std::io;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use weft_server::chain;
use weft_server::core::{Core, Settings};

use super::Failure;
use super::content::Current;

/// What may be asked, each one line.
const RESET: &str = "reset-admin\n";
const TOKEN: &str = "token\n";
const INVITE: &str = "invite\n";
/// Longest line that is read.
const MAX_REQUEST: u64 = 32;
/// Who asks here, as events name it.
const ACTOR: &str = "local administrator";
const PATIENCE: Duration = Duration::from_secs(10);

/// Path of the socket.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Binds a Unix socket for the owner alone, in place of one that a dead appliance left.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket until `stop`.
pub(crate) async fn serve(core: Arc<Current>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // One at a time: nobody needs two.
        if tokio::time::timeout(PATIENCE, answer(&core.get(), stream)).await.is_err() {
            tracing::debug!("an admin request took too long");
        }
    }
}

async fn answer(core: &Core, mut stream: UnixStream) {
    let own = rustix::process::geteuid().as_raw();
    let allowed = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own);
    let mut request = String::new();
    let heard = BufReader::new((&mut stream).take(MAX_REQUEST)).read_line(&mut request).await;
    let answered = match request.as_str() {
        RESET if allowed => core.reset_admin(ACTOR).await.map(|path| path.display().to_string()),
        TOKEN if allowed => core.local_token(ACTOR).await,
        INVITE if allowed => core.invite(ACTOR).await,
        _ => {
            tracing::warn!(allowed, ?heard, "refused on the admin socket");
            let _ = stream.write_all(b"error: not allowed\n").await;
            return;
        }
    };
    let reply = match answered {
        Ok(words) => format!("{words}\n"),
        Err(error) => format!("error: {}\n", chain(&error)),
    };
    let _ = stream.write_all(reply.as_bytes()).await;
}

/// `weft appliance token`: a session for the command line, into a file that its owner alone can read.
pub(crate) fn token(data: &Path, file: &Path) -> Result<(), Failure> {
    let token = ask(data, TOKEN).map_err(|error| {
        Failure::of(&error, "the appliance must run; run this as the appliance's own user, or as root")
    })?;
    write_secret(file, &token).map_err(|error| {
        Failure::new(format!("{}: {error}", file.display()), "name a file that can be written")
    })?;
    println!("{}", file.display());
    Ok(())
}

/// `weft appliance invite`: the invitation goes into a file that its owner alone can read, and onto no screen.
pub(crate) fn invite(data: &Path, file: &Path) -> Result<(), Failure> {
    let invitation = ask(data, INVITE).map_err(|error| {
        Failure::of(&error, "ask the appliance that leads (weft appliance list), as its own user or as root")
    })?;
    write_secret(file, &invitation).map_err(|error| {
        Failure::new(format!("{}: {error}", file.display()), "name a file that can be written")
    })?;
    println!("{}", file.display());
    eprintln!(
        "good for an hour, and once. Bring the file to the new machine over a channel that nobody reads, and there:\n  \
         weft appliance join --data DIR --name NAME --address ADDRESS:PORT --invitation FILE"
    );
    Ok(())
}

/// Never readable by others, not even for a moment.
fn write_secret(file: &Path, secret: &str) -> io::Result<()> {
    let new = file.with_extension(format!("new-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    options.open(&new)?.write_all(format!("{secret}\n").as_bytes())?;
    std::fs::rename(&new, file)
}

/// `weft appliance reset-admin`.
pub(crate) fn reset(data: &Path) -> Result<(), Failure> {
    let path = match ask(data, RESET) {
        Ok(path) => path,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            offline(data)?
        }
        Err(error) => {
            return Err(Failure::of(&error, "run it as the appliance's own user, or as root"));
        }
    };
    println!("{path}");
    eprintln!("the file holds a one-time password for admin; it dies at its first use");
    Ok(())
}

fn ask(data: &Path, request: &str) -> io::Result<String> {
    let mut stream = StdUnixStream::connect(socket(data))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.take(4096).read_to_string(&mut reply)?;
    match reply.trim_end().strip_prefix("error: ") {
        Some(why) => Err(io::Error::other(why.to_string())),
        None => Ok(reply.trim_end().to_string()),
    }
}

/// No appliance runs: the store is opened here.
fn offline(data: &Path) -> Result<String, Failure> {
    if !data.join("store").exists() {
        return Err(Failure::new(
            format!("{} holds no appliance", data.display()),
            "name its data folder: --data DIR",
        ));
    }
    let settings = Settings {
        data: data.to_path_buf(),
        lab: true,
        interface: String::new(),
        address: Ipv4Addr::UNSPECIFIED,
        dhcp_mode: "off".to_string(),
        http_port: 0,
        keep_events: weft_server::core::EVENTS_KEPT,
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::of(&error, ""))?;
    runtime.block_on(async {
        let (core, _events) = Core::open(settings).await.map_err(|error| Failure::of(&error, ""))?;
        let path = core.reset_admin(ACTOR).await.map_err(|error| Failure::of(&error, ""))?;
        core.close().await.map_err(|error| Failure::of(&error, ""))?;
        Ok(path.display().to_string())
    })
}
