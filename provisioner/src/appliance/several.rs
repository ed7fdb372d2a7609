//! `weft appliance run` on one of several, and the verbs that make it one (docs/appliances.md).
//!
//! ```text
//!                 ┌──────────── chosen, in a new term ───────────┐
//!   follows: shows the store, boots machines, relays ──────▶ leads: decides, DHCP, nodes, jobs, the service address
//!                 └◀─────── another is, or no majority ──────────┘
//! ```
//! Each time there is a new [`Core`] of what the store holds by then; what the one before began ends with it, and its writes are
//! refused by its term.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use weft_server::chain;
use weft_server::core::{Core, Settings};
use weft_server::http::{Certificate, Front, serve_local};
use weft_server::peers::{self, FoundError, JoinError, Member, Peers};
use weft_store::Standing;

use super::content::Current;
use super::engines::{Engines, SharedDhcp};
use super::interface::Place;
use super::run::{self, FAREWELL};
use super::service::ServiceAddress;
use super::{DataArguments, Failure, RunArguments, admin, notify};

/// How often it is looked who leads.
const LOOK: Duration = Duration::from_millis(50);
/// What does not lead shows changes no more often.
const SHOW: Duration = Duration::from_secs(1);
/// A leader that has not led for so long stops being one.
const ALONE: Duration = Duration::from_secs(1);
/// Files are waited for so long before one leads or shows.
const SOON: Duration = Duration::from_secs(2);
/// Who is chosen and cannot lead so many times in a row ends: while it lives nobody else is chosen.
const TRIES: u32 = 5;
/// Between two of these.
const AGAIN: Duration = Duration::from_millis(500);
/// What the store's log trusts, and nothing else.
const TRUSTS: &str = "SSL_CERT_FILE";
/// Longest invitation.
const MAX_INVITATION: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct FoundArguments {
    #[command(flatten)]
    data: DataArguments,
    /// Name of this appliance among the others
    #[arg(long)]
    name: String,
    /// Where the others will reach it; two more ports behind this one are taken too
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
}

#[derive(Debug, Args)]
pub(super) struct JoinArguments {
    #[command(flatten)]
    data: DataArguments,
    /// Name of the new appliance
    #[arg(long)]
    name: String,
    /// Where the others will reach it; two more ports behind this one are taken too
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// The invitation, of `weft appliance invite`; - for standard input
    #[arg(long, value_name = "FILE")]
    invitation: PathBuf,
}

/// Goes on as a process that trusts this authority and no other: `hiqlite` takes what the system trusts, and the system is told
/// so by a variable.
fn trusting(authority: &Path) -> Result<(), Failure> {
    let authority = std::path::absolute(authority).map_err(|error| Failure::of(&error, ""))?;
    if std::env::var_os(TRUSTS).is_some_and(|now| now == authority) {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|error| Failure::of(&error, ""))?;
    let mut again = std::process::Command::new(own);
    again.args(std::env::args_os().skip(1)).env(TRUSTS, authority).env_remove("SSL_CERT_DIR");
    Err(Failure::of(&again.exec(), "the program was moved?"))
}

/// The same, where the folder is that of one of several.
pub(crate) fn with_authority(data: &Path) -> Result<(), Failure> {
    match Member::read(data) {
        Ok(Some(_)) => trusting(&peers::authority_path(data)),
        Ok(None) => Ok(()),
        Err(error) => Err(Failure::of(&error, "")),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(|error| Failure::of(&error, ""))
}

/// `weft appliance found`.
pub(super) fn found(arguments: &FoundArguments) -> Result<(), Failure> {
    let FoundArguments { data: DataArguments { data }, name, address } = arguments;
    let failed = |error: FoundError| {
        let next = match &error {
            FoundError::NoStore(_) => "begin with: weft appliance run",
            FoundError::Already(_) => "nothing was changed; invite others: weft appliance invite",
            FoundError::Store(weft_store::StoreError::InUse(_)) => "nothing was changed; stop it first",
            _ => "the appliance is as it was",
        };
        Failure::of(&error, next)
    };
    let authority = peers::authority_path(data);
    let set = std::path::absolute(&authority).ok();
    if set.is_none() || std::env::var_os(TRUSTS).map(PathBuf::from) != set {
        peers::prepare(data, *address).map_err(failed)?;
        trusting(&authority)?;
    }
    runtime()?.block_on(peers::found(data, name, *address)).map_err(failed)?;
    println!("{name} is the first of several, at {address}");
    eprintln!("next: weft appliance run --data DIR …, then: weft appliance invite --data DIR --out FILE");
    Ok(())
}

/// `weft appliance join`.
pub(super) fn join(arguments: &JoinArguments) -> Result<(), Failure> {
    let JoinArguments { data: DataArguments { data }, name, address, invitation } = arguments;
    let mut text = String::new();
    let read = if invitation.as_os_str() == "-" {
        std::io::stdin().take(MAX_INVITATION).read_to_string(&mut text)
    } else {
        std::fs::File::open(invitation).and_then(|file| file.take(MAX_INVITATION).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failure::new(format!("{}: {error}", invitation.display()), "name the invitation's file")
    })?;
    runtime()?.block_on(peers::join(data, &text, name, *address)).map_err(|error| {
        let next = match &error {
            JoinError::Refused(_) => "nothing was written; where the invitation was used up, make another",
            _ => "nothing was written",
        };
        Failure::of(&error, next)
    })?;
    println!("{}", data.display());
    eprintln!("next: weft appliance run --data DIR …; it is taken in when it runs");
    Ok(())
}

/// What ends where this one leads no more.
struct Leading {
    term: u64,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    stop_events: watch::Sender<bool>,
    writing: JoinHandle<()>,
    dhcp: SharedDhcp,
    service: Option<ServiceAddress>,
    alone: Option<Instant>,
}

/// How long each part of a beginning took.
struct Times {
    begun: Instant,
    last: Instant,
    parts: Vec<(&'static str, u128)>,
}

impl Default for Times {
    fn default() -> Self {
        let now = Instant::now();
        Self { begun: now, last: now, parts: Vec::new() }
    }
}

impl Times {
    fn past(&mut self, part: &'static str) {
        self.parts.push((part, self.last.elapsed().as_millis()));
        self.last = Instant::now();
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|(part, ms)| format!("{part} {ms}")).collect();
        parts.join(", ")
    }
}

/// An appliance of several that runs.
struct Seat<'a> {
    arguments: &'a RunArguments,
    /// Where it is itself.
    place: &'a Place,
    ports: (u16, u16),
    peers: Arc<Peers>,
    current: Arc<Current>,
    front: Front,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    leading: Option<Leading>,
    /// How often in a row it was chosen and could not lead.
    failed: u32,
    /// The last record of the log that is shown, files that had come by then, and when that was.
    shown: (u64, u64, Instant),
    /// Ends streams of what is shown.
    stop: watch::Sender<bool>,
}

/// Where nodes find whoever leads.
fn reached(arguments: &RunArguments, place: &Place) -> Place {
    match &arguments.service_address {
        Some(net) => Place { address: net.address, ..place.clone() },
        None => place.clone(),
    }
}

fn settings(arguments: &RunArguments, place: &Place, http_port: u16) -> Settings {
    run::settings(arguments, &reached(arguments, place), http_port)
}

impl Seat<'_> {
    /// Begins to lead.
    async fn begin(&mut self, standing: &Standing) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| Failure::of(error, "");
        let mut times = Times::default();
        // What is decided is to be kept here too: who cannot write makes way.
        run::check_writable(&self.arguments.data.data)?;
        let store = Arc::new(self.peers.store().lead().await.map_err(|error| failed(&error))?);
        times.past("term");
        fetch_what_comes_soon(&self.peers).await;
        let rotate = "give the rotation to this one: weft appliance init --rotation";
        self.peers.check_roots().await.map_err(|error| Failure::of(&error, rotate))?;
        times.past("files");
        let settings = settings(self.arguments, self.place, self.ports.1);
        let (core, events) =
            Core::on(settings, store, Some(Arc::clone(&self.peers))).await.map_err(|error| failed(&error))?;
        let password = core.first_admin().await.map_err(|error| failed(&error))?;
        times.past("state");
        let at = reached(self.arguments, self.place);
        let service = match self.arguments.service_address {
            Some(net) => Some(ServiceAddress::take(net, self.place, &core, self.peers.store())?),
            None => None,
        };
        times.past("address");
        let agents = run::agents(&at, self.ports.0)?;
        let agents_at = agents.local_addr().map(|at| at.to_string()).unwrap_or_default();
        let dhcp = SharedDhcp::start(&core, self.arguments, &at, self.ports.1, &self.current).await?;
        times.past("services");
        let (stop, stopped) = watch::channel(false);
        let (stop_events, events_stopped) = watch::channel(false);
        let writing = tokio::spawn(Arc::clone(&core).run_events(events, events_stopped));
        let mut tasks = JoinSet::new();
        tasks.spawn(weft_server::agent::serve(Arc::clone(&core), agents, stopped.clone()));
        tasks.spawn(Arc::clone(&core).run_jobs(stopped.clone()));
        tasks.spawn(Arc::clone(&core).run_loads(stopped.clone()));
        tasks.spawn(Arc::clone(&core).run_drift(stopped.clone()));
        if let Some(kernel) = self.arguments.guest_kernel.clone() {
            tasks.spawn(default_guest(Arc::clone(&core), kernel, self.arguments.guest_initrd.clone()));
        }
        let data = self.arguments.data.data.clone();
        tasks.spawn(run::watch_trust(Arc::clone(&core), data, stopped.clone()));
        tasks.spawn(Arc::clone(&self.peers).tend(Arc::clone(&core), stopped.clone()));
        self.serve(&core);
        core.tell("appliance.leads", "info", &format!("{} leads", self.peers.member().name));
        if let Some(password) = password {
            println!("first log-in: admin, one-time password in {}", password.display());
        }
        println!(
            "leads in term {}, after {} ms ({}); agents {agents_at}",
            standing.term,
            times.begun.elapsed().as_millis(),
            times.text()
        );
        let _ = std::io::stdout().flush();
        self.leading = Some(Leading {
            term: standing.term,
            stop,
            tasks,
            stop_events,
            writing,
            dhcp,
            service,
            alone: None,
        });
        Ok(())
    }

    /// Shows this core from now on.
    fn serve(&mut self, core: &Arc<Core>) {
        let (stop, stopped) = watch::channel(false);
        self.peers.set_core(core);
        self.front.show(Arc::clone(core), Arc::clone(&self.metrics), stopped);
        self.current.set(Arc::clone(core));
        // Streams of what was shown before begin anew, here or where they are relayed to.
        let _ = std::mem::replace(&mut self.stop, stop).send(true);
    }

    /// Leads no more.
    async fn end(&mut self, orderly: bool) {
        let Some(leading) = self.leading.take() else { return };
        let Leading { stop, mut tasks, stop_events, writing, dhcp, service, .. } = leading;
        let _ = stop.send(true);
        // Nobody is to reach this one by the address any more.
        let _ = tokio::task::spawn_blocking(move || drop((service, dhcp))).await;
        let limit = if orderly { FAREWELL } else { Duration::from_secs(2) };
        if tokio::time::timeout(limit, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
            tasks.abort_all();
        }
        let _ = stop_events.send(true);
        let abort = writing.abort_handle();
        if tokio::time::timeout(limit, writing).await.is_err() {
            abort.abort();
        }
    }

    /// Shows what the store holds by now, and leads not.
    async fn follow(&mut self, standing: &Standing, came: u64) {
        self.shown = (standing.applied, came, Instant::now());
        take_documents(&self.peers).await;
        let settings = settings(self.arguments, self.place, self.ports.1);
        match Core::on(settings, Arc::clone(self.peers.store()), Some(Arc::clone(&self.peers))).await {
            Ok((core, _)) => self.serve(&core),
            Err(error) => tracing::warn!(error = chain(&error), "what the store holds is not shown yet"),
        }
    }

    /// Looks who leads, and does what follows of it. Fails where others could lead if this one ended.
    async fn look(&mut self, came: u64) -> Result<(), Failure> {
        let standing = match self.peers.store().standing().await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::error!(error = chain(&error), "the store does not say who leads");
                return Ok(());
            }
        };
        let Some(leading) = &mut self.leading else {
            if standing.leads {
                match self.begin(&standing).await {
                    Ok(()) => self.failed = 0,
                    Err(failure) => {
                        tracing::error!("cannot lead: {}", failure.text);
                        self.failed = self.failed.saturating_add(1);
                        let others = standing.holders.iter().filter(|holder| holder.voter).count() > 1;
                        if others && self.failed >= TRIES {
                            return Err(failure);
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            } else if self.shown.2.elapsed() >= SHOW
                && (self.shown.0, self.shown.1) != (standing.applied, came)
            {
                self.follow(&standing, came).await;
            }
            return Ok(());
        };
        let own = standing.leader == Some(standing.own) && standing.term == leading.term;
        if own && standing.leads {
            leading.alone = None;
            return Ok(());
        }
        let since = *leading.alone.get_or_insert_with(Instant::now);
        if !own || since.elapsed() >= ALONE {
            tracing::warn!(leader = ?standing.leader, term = standing.term, "leads no more");
            println!("leads no more");
            self.end(false).await;
            self.follow(&standing, came).await;
        }
        Ok(())
    }
}

/// Takes what `--guest-kernel` names. A majority has it first, so nobody waits for it.
async fn default_guest(core: Arc<Core>, kernel: PathBuf, initrd: Option<PathBuf>) {
    if let Err(error) = core.set_default_guest(&kernel, initrd.as_deref()).await {
        tracing::error!(error = chain(&error), "see --guest-kernel and --guest-initrd");
    }
}

/// Waits until the store is open, or the process is told to end.
async fn opened(data: &Path, member: Member, lab: bool) -> Result<Option<Arc<Peers>>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::of(&error, ""))?;
    let (name, address) = (member.name.clone(), member.address);
    let opening = Peers::open(data, member, lab);
    tokio::pin!(opening);
    loop {
        tokio::select! {
            opened = &mut opening => {
                let next = "see the data folder; a store that is damaged goes: remove this appliance, and join anew";
                return opened.map(Some).map_err(|error| Failure::of(&error, next));
            }
            _ = terminate.recv() => return Ok(None),
            () = tokio::time::sleep(Duration::from_secs(5)) => {
                println!("{name} at {address} waits for the other appliances: a majority must be there");
            }
        }
    }
}

/// Documents and files that the others have and this one lacks, while that takes a moment; the rest comes later.
async fn fetch_what_comes_soon(peers: &Peers) {
    take_documents(peers).await;
    match tokio::time::timeout(SOON, peers.fetch_missing()).await {
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "files of the other appliances"),
    }
}

/// Puts trust documents of the store into force here. Where they do not do, what is here stays.
async fn take_documents(peers: &Peers) {
    match peers.take_documents().await {
        Ok(_) => {}
        // A store that is only just open may not have any rows.
        Err(error @ weft_server::Error::Store(_)) => {
            tracing::debug!(error = chain(&error), "trust documents are not known yet");
        }
        Err(error) => tracing::warn!(error = chain(&error), "trust documents of the other appliances"),
    }
}

/// The first core: a store that was only just joined may not hold anything yet.
async fn first(settings: &Settings, peers: &Arc<Peers>) -> Result<Arc<Core>, Failure> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        fetch_what_comes_soon(peers).await;
        match Core::on(settings.clone(), Arc::clone(peers.store()), Some(Arc::clone(peers))).await {
            Ok((core, _)) => return Ok(core),
            Err(error) if Instant::now() > end => return Err(Failure::of(&error, "see the data folder")),
            Err(error) => tracing::debug!(error = chain(&error), "the store does not hold enough yet"),
        }
        if peers.store().standing().await.is_ok_and(|standing| standing.leads) {
            // A later version of this program may have to change the rows before it can read them.
            let store = peers.store().lead().await.map_err(|error| Failure::of(&error, ""))?;
            let core = Core::on(settings.clone(), Arc::new(store), Some(Arc::clone(peers))).await;
            return core.map(|(core, _)| core).map_err(|error| Failure::of(&error, ""));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Runs one of several.
pub(super) async fn run(
    arguments: &RunArguments,
    place: &Place,
    ports: (u16, u16),
    member: Member,
) -> Result<(), Failure> {
    let data = &arguments.data.data;
    let Some(peers) = opened(data, member, arguments.lab).await? else { return Ok(()) };
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::of(&error, ""))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Failure::of(&error, ""))?;
    let certificate = Certificate::open(data, &run::certified(arguments, place))
        .map_err(|error| Failure::of(&error, ""))?;
    let certificate = Arc::new(certificate);
    let sockets = run::sockets(arguments).await?;
    let at = peers.listen();
    let others = TcpListener::bind(at).await.map_err(|error| {
        Failure::new(format!("cannot listen for the other appliances on {at}: {error}"), "")
    })?;
    let core = first(&settings(arguments, place, ports.1), &peers).await?;
    let current = Current::new(Arc::clone(&core));
    let engines = Arc::new(Engines::files(&current, arguments, place, ports.1)?);
    let metrics: Arc<dyn Fn() -> String + Send + Sync> = {
        let engines = Arc::clone(&engines);
        Arc::new(move || engines.metrics())
    };
    let (stop, stopped) = watch::channel(false);
    let (stop_shown, shown_stopped) = watch::channel(false);
    let front = Front::new(Arc::clone(&core), Arc::clone(&metrics), shown_stopped);
    let mut tasks = JoinSet::new();
    let shown = run::show(&mut tasks, &front, sockets.api, &certificate, &stopped);
    peers.set_urls(shown.iter().map(|at| format!("https://{at}")).collect());
    tasks.spawn(serve_local(front.clone(), sockets.api_local, stopped.clone()));
    tasks.spawn(admin::serve(Arc::clone(&current), sockets.admin, stopped.clone()));
    tasks.spawn(peers::serve_peers(Arc::clone(&peers), front.clone(), others, stopped.clone()));
    let (came, files) = watch::channel(0u64);
    tasks.spawn(Arc::clone(&peers).keep_fetching(came, stopped));
    let mut seat = Seat {
        arguments,
        place,
        ports,
        peers,
        current,
        front,
        metrics,
        leading: None,
        failed: 0,
        shown: (0, 0, Instant::now()),
        stop: stop_shown,
    };
    seat.serve(&core);
    let Member { id, name, address, .. } = seat.peers.member();
    println!(
        "Weft appliance {name} (number {id} of several, at {address}) on {}: {}",
        place.interface,
        engines.describe()
    );
    run::announce(&core, &shown, &certificate, None);
    drop(core);
    println!("ready");
    let _ = std::io::stdout().flush();
    notify::tell("READY=1");
    let ended = loop {
        let came = *files.borrow();
        if let Err(failure) = seat.look(came).await {
            break Err(failure);
        }
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    };
    notify::tell("STOPPING=1");
    let _ = stop.send(true);
    let _ = seat.stop.send(true);
    seat.end(true).await;
    if tokio::time::timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tasks.abort_all();
    }
    let _ = tokio::task::spawn_blocking(move || drop(engines)).await;
    ended
}
