//! `appliance backup`: everything that a new appliance needs, as one file.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use serde::Serialize;
use weft_api::{ApplianceState, BackupCreate};
use weft_backup::sealed::Sealer;
use weft_backup::{BackupError, Manifest};
use weft_signing::passphrase::{Passphrase, Source};

use crate::args::{Appliance, ApplianceRemove, Backup, Global};
use crate::client::{Client, Payload, segment};
use crate::error::{CliError, REFUSED, USAGE};
use crate::output::{Column, Output};
use crate::settings::Settings;

/// The appliance sends something within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is told of a backup.
#[derive(Serialize)]
struct Told {
    name: String,
    state: &'static str,
    made: String,
    program: String,
    schema: i64,
    cluster: String,
    transaction: u64,
    parts: usize,
    bytes: u64,
    left_out: u64,
}

fn columns() -> [Column<weft_api::Appliance>; 8] {
    [
        Column { title: "NAME", wide: false, cell: |one| one.name.clone() },
        Column { title: "STATE", wide: false, cell: |one| word(one.state).to_owned() },
        Column { title: "VOTES", wide: false, cell: |one| if one.voter { "yes" } else { "no" }.to_owned() },
        Column { title: "BEHIND", wide: false, cell: |one| one.behind.to_string() },
        Column { title: "LACKS", wide: false, cell: |one| one.lacks.to_string() },
        Column { title: "INTERFACE", wide: false, cell: |one| one.urls.join(",") },
        Column { title: "ADDRESS", wide: true, cell: |one| one.address.clone() },
        Column { title: "NUMBER", wide: true, cell: |one| one.id.to_string() },
    ]
}

fn word(state: ApplianceState) -> &'static str {
    match state {
        ApplianceState::Leads => "leads",
        ApplianceState::Follows => "follows",
        ApplianceState::Learns => "learns",
        ApplianceState::Invited => "invited",
        ApplianceState::Unreachable => "unreachable",
    }
}

/// Runs a verb.
pub(super) async fn run(global: &Global, output: Output, verb: &Appliance) -> Result<(), CliError> {
    let args = match verb {
        Appliance::Backup(args) => args,
        Appliance::List => {
            let client = Client::new(&Settings::resolve(global)?)?;
            let all = client.get::<Vec<weft_api::Appliance>>("/api/v1/appliances").await?;
            return output.list(
                &all,
                &columns(),
                "one appliance alone: weft appliance found makes it the first of several",
            );
        }
        Appliance::Remove(ApplianceRemove { name, yes }) => {
            let question = format!("remove appliance {name} for good?");
            crate::prompt::confirm(&question, *yes)?;
            let client = Client::new(&Settings::resolve(global)?)?;
            let path = format!("/api/v1/appliances/{}", segment(name));
            client.change(Method::DELETE, &path, Payload::None).await?;
            output.note(&format!("removed {name}"));
            return Ok(());
        }
    };
    if args.verify {
        let known = args.passphrase_file.clone().map_or(Source::Terminal, Source::File);
        let manifest = verified(&args.file, &|| Ok(known.read("Passphrase of the backup: ")?))?;
        return output.one(&told(&args.file, "good", &manifest));
    }
    backup(global, output, args).await
}

fn told(file: &Path, state: &'static str, manifest: &Manifest) -> Told {
    Told {
        name: file.display().to_string(),
        state,
        made: manifest.made.clone(),
        program: manifest.program.clone(),
        schema: manifest.schema,
        cluster: manifest.cluster.clone(),
        transaction: manifest.transaction,
        parts: manifest.parts.len(),
        bytes: manifest.parts.iter().map(|part| part.size).sum(),
        left_out: manifest.left_out,
    }
}

type Asked = Result<Passphrase, Box<dyn std::error::Error + Send + Sync>>;

fn verified(file: &Path, ask: &dyn Fn() -> Asked) -> Result<Manifest, CliError> {
    weft_backup::verify(file, ask).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let code = if matches!(error, BackupError::File { .. }) { USAGE } else { REFUSED };
        CliError::Offline { text, code }
    })
}

async fn backup(global: &Global, output: Output, args: &Backup) -> Result<(), CliError> {
    if args.file.exists() {
        let there = io::Error::new(io::ErrorKind::AlreadyExists, "it is there already");
        return Err(CliError::file(&args.file, there));
    }
    let source = match &args.passphrase_file {
        Some(file) => Some(Source::File(file.clone())),
        None => args.seal.then_some(Source::Terminal),
    };
    let passphrase = source.map(|source| source.read_new()).transpose();
    let passphrase =
        passphrase.map_err(|error| CliError::Offline { text: error.to_string(), code: USAGE })?;
    let (client, own) = match &args.data {
        Some(data) => (local(global, data)?, true),
        None => (Client::new(&Settings::resolve(global)?)?, false),
    };
    let part = Partial::beside(&args.file)?;
    let done = fetch(&client, output, args, &part.0, passphrase.as_ref()).await;
    if own {
        // The session was for this alone.
        let _ended = client.change(Method::POST, "/api/v1/logout", Payload::None).await;
    }
    done?;
    // What stands on this disk is what counts.
    let known = || passphrase.clone().ok_or_else(|| "it was not sealed".into());
    let manifest = verified(&part.0, &known)?;
    part.becomes(&args.file)?;
    if passphrase.is_none() {
        output.note("the file holds the appliance's keys, unsealed: keep it as you keep the appliance");
    }
    if manifest.left_out > 0 {
        output.note(&format!("{} files of images and guests were left out", manifest.left_out));
    }
    output.one(&told(&args.file, "written", &manifest))
}

async fn fetch(
    client: &Client,
    output: Output,
    args: &Backup,
    to: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<(), CliError> {
    let wrap = |error| CliError::file(to, error);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(wrap)?;
    let mut out = match passphrase {
        None => Out::Plain(file),
        Some(passphrase) => Out::Sealed(Box::new(Sealer::new(file, passphrase).map_err(wrap)?)),
    };
    let wanted = serde_json::to_value(BackupCreate { files: !args.without_files });
    let wanted = wanted.map_err(|error| CliError::usage(error.to_string(), ""))?;
    output.progress("the appliance copies its rows");
    let sent = client.send(Method::POST, "/api/v1/backup", Payload::Json(wanted)).await?;
    let mut body = sent.into_body();
    loop {
        let piece = tokio::time::timeout(PATIENCE, body.frame()).await;
        let piece =
            piece.map_err(|_| CliError::TimedOut("the appliance sends no more of the backup".into()))?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|error| CliError::Answer {
            what: "the backup".into(),
            why: format!("it broke off: {error}"),
        })?;
        if let Ok(bytes) = piece.into_data() {
            out.write_all(&bytes).map_err(wrap)?;
        }
    }
    let file = match out {
        Out::Plain(file) => file,
        Out::Sealed(sealer) => sealer.finish().map_err(wrap)?,
    };
    file.sync_all().map_err(wrap)
}

enum Out {
    Plain(fs::File),
    Sealed(Box<Sealer<fs::File>>),
}

impl Out {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Sealed(sealer) => sealer.write_all(bytes),
        }
    }
}

/// A file that is being written; it goes unless it becomes the backup.
struct Partial(PathBuf);

impl Partial {
    fn beside(file: &Path) -> Result<Self, CliError> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        Ok(Self(file.with_file_name(name)))
    }

    fn becomes(self, file: &Path) -> Result<(), CliError> {
        let wrap = |error| CliError::file(file, error);
        // A link, not a renaming: what came there meanwhile stays.
        match fs::hard_link(&self.0, file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists || file.exists() => {
                return Err(wrap(error));
            }
            // File systems of removable media have no links.
            Err(_) => fs::rename(&self.0, file).map_err(wrap)?,
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(wrap)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// The interface of the appliance of a data folder, with a session that its owner is given.
fn local(global: &Global, data: &Path) -> Result<Client, CliError> {
    let socket = data.join("admin.sock");
    let ask = || -> io::Result<String> {
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"token\n")?;
        let mut reply = String::new();
        BufReader::new(stream.take(4096)).read_line(&mut reply)?;
        match reply.trim_end().strip_prefix("error: ") {
            Some(why) => Err(io::Error::other(why.to_owned())),
            None => Ok(reply.trim_end().to_owned()),
        }
    };
    let token = ask().map_err(|error| {
        CliError::usage(
            format!("no appliance answers on {}: {error}", socket.display()),
            "the appliance must run; run this as its own user, or as root",
        )
    })?;
    let settings = Settings::resolve(global)?;
    let settings =
        Settings { url: format!("unix:{}", data.join("api.sock").display()), ca: None, ..settings };
    Client::with_token(&settings, token)
}
