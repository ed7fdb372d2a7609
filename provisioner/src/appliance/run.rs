//! `weft appliance run`: everything in one process, and a clean end.
//!
//! ```text
//! data folder ─▶ core ─▶ sockets (all of them, before anything is served) ─▶ serve ─▶ SIGTERM ─▶
//!   sessions told ─▶ requests finished ─▶ engines stopped ─▶ store closed
//! ```

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use weft_server::chain;
use weft_server::core::{Core, EventQueue, Settings};
use weft_server::http::{Certificate, Front, serve_local, serve_tls};
use weft_server::peers::Member;

use super::content::Current;
use super::engines::{Engines, advice, listen_on};
use super::interface::{self, Place};
use super::{DhcpMode, Failure, RunArguments, admin, lost_key, notify, several};

/// How often the trust files are looked at.
const TRUST_EVERY: Duration = Duration::from_secs(3);
/// How long the end may take.
pub(crate) const FAREWELL: Duration = Duration::from_secs(20);

/// Stack of each worker thread, bytes. A request passes many layers before a policy is evaluated, and Cedar refuses to evaluate
/// one where little stack is left, which reads as a policy that forbids.
const STACK: usize = 8 << 20;

pub(crate) fn run(arguments: RunArguments) -> Result<(), Failure> {
    several::with_authority(&arguments.data.data)?;
    // One voter has no remote leader: hiqlite's client for those would complain each second, and so would the log of one
    // of several, of each that is gone.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
            "info,hiqlite=error,hiqlite::client::stream=off,hiqlite::network::raft_client=off,openraft=error,\
             openraft::replication=off,hiqlite_wal=error"
                .into()
        }))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .map_err(|error| Failure::of(&error, ""))?;
    runtime.block_on(appliance(arguments))
}

/// The data folder must take a file: better to say so now than at the first lease.
pub(crate) fn check_writable(data: &Path) -> Result<(), Failure> {
    let next = "choose another folder with --data, or make this one writable for this user";
    std::fs::create_dir_all(data)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", data.display()), next))?;
    let probe = data.join(".probe");
    std::fs::File::create(&probe)
        .and_then(|mut file| file.write_all(b"probe").and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| Failure::new(format!("cannot write to {}: {error}", data.display()), next))
}

pub(crate) fn settings(arguments: &RunArguments, place: &Place, http_port: u16) -> Settings {
    Settings {
        data: arguments.data.data.clone(),
        lab: arguments.lab,
        interface: place.interface.clone(),
        address: place.address,
        dhcp_mode: match arguments.dhcp {
            DhcpMode::Full => "full",
            DhcpMode::Proxy => "proxy",
            DhcpMode::Off => "off",
        }
        .to_string(),
        http_port,
        keep_events: arguments.keep_events,
    }
}

/// What to do where the data folder is not what was written.
pub(crate) fn way_out(data: &Path, error: &weft_server::Error) -> String {
    match error {
        weft_server::Error::Store(error) if error.is_damage() => {
            let data = data.display();
            format!(
                "move {data} away as it is, and restore a backup: weft appliance restore FILE --data {data}"
            )
        }
        _ => "see the data folder".to_string(),
    }
}

/// Ports: as asked, else as delegated, else the usual ones.
fn ports(arguments: &RunArguments) -> Result<(u16, u16), Failure> {
    let data = &arguments.data.data;
    let keys = weft_server::keys::Keys::open(data).map_err(|error| lost_key(data, &error))?;
    let trust = weft_server::trust::Trust::open(data, &keys, arguments.lab)
        .map_err(|error| Failure::of(&error, "see: weft appliance init"))?;
    let (agent, http) = trust.ports(&keys).unwrap_or((weft_wire::ports::AGENT, weft_wire::ports::HTTP));
    for (asked, delegated, what) in
        [(arguments.agent_port, agent, "agent"), (arguments.http_port, http, "HTTP")]
    {
        if trust.delegation.is_some() && asked.is_some_and(|asked| asked != delegated) {
            tracing::warn!(
                "nodes will dial {what} port {delegated}, as the delegation says, and not the one asked for"
            );
        }
    }
    Ok((arguments.agent_port.unwrap_or(agent), arguments.http_port.unwrap_or(http)))
}

pub(crate) struct Sockets {
    pub(crate) api: Vec<TcpListener>,
    pub(crate) api_local: tokio::net::UnixListener,
    pub(crate) admin: tokio::net::UnixListener,
}

fn refused(what: String, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot listen {what}: {error}"), advice(error, "another appliance?"))
}

/// Where nodes dial in.
pub(crate) fn agents(place: &Place, port: u16) -> Result<TcpListener, Failure> {
    listen_on(place, port)
        .and_then(TcpListener::from_std)
        .map_err(|error| refused(format!("for agents on {}:{port}", place.address), &error))
}

pub(crate) async fn sockets(arguments: &RunArguments) -> Result<Sockets, Failure> {
    let mut api = Vec::new();
    for address in &arguments.api_listen {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| refused(format!("for the interface on {address}"), &error))?;
        api.push(listener);
    }
    let data = &arguments.data.data;
    let local = arguments.api_socket.clone().unwrap_or_else(|| data.join("api.sock"));
    let unix =
        |path: &Path| admin::bind(path).map_err(|error| refused(format!("on {}", path.display()), &error));
    Ok(Sockets { api, api_local: unix(&local)?, admin: unix(&admin::socket(data))? })
}

async fn appliance(arguments: RunArguments) -> Result<(), Failure> {
    let place = interface::find(&arguments.interface, arguments.address)?;
    check_writable(&arguments.data.data)?;
    let (agent_port, http_port) = ports(&arguments)?;
    let member = Member::read(&arguments.data.data).map_err(|error| Failure::of(&error, ""))?;
    if let Some(member) = member {
        return several::run(&arguments, &place, (agent_port, http_port), member).await;
    }
    let (core, events) = Core::open(settings(&arguments, &place, http_port))
        .await
        .map_err(|error| Failure::of(&error, way_out(&arguments.data.data, &error)))?;
    let served = serve(&arguments, &place, agent_port, http_port, &core, events).await;
    let closed = core.close().await.map_err(|error| Failure::of(&error, ""));
    served.and(closed)
}

/// Addresses that the certificate names.
pub(crate) fn certified(arguments: &RunArguments, place: &Place) -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V4(place.address)];
    addresses.extend(arguments.api_listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()));
    addresses.extend(&arguments.cert_address);
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Says where the page is and how to log in for the first time.
pub(crate) fn announce(core: &Core, shown: &[String], certificate: &Certificate, password: Option<&Path>) {
    for at in shown {
        println!("interface and page: https://{at}");
    }
    println!("certificate: {} ({})", certificate.fingerprint(), certificate.path.display());
    match password {
        Some(path) => println!("first log-in: admin, one-time password in {}", path.display()),
        None if core.password_file().exists() => {
            println!("first log-in: admin, one-time password in {}", core.password_file().display());
        }
        None => {}
    }
}

async fn serve(
    arguments: &RunArguments,
    place: &Place,
    agent_port: u16,
    http_port: u16,
    core: &Arc<Core>,
    events: EventQueue,
) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::of(&error, ""))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Failure::of(&error, ""))?;
    if let Some(kernel) = &arguments.guest_kernel {
        core.set_default_guest(kernel, arguments.guest_initrd.as_deref())
            .await
            .map_err(|error| Failure::of(&error, "see --guest-kernel and --guest-initrd"))?;
    }
    let data = &arguments.data.data;
    let certificate =
        Certificate::open(data, &certified(arguments, place)).map_err(|error| Failure::of(&error, ""))?;
    let agents = agents(place, agent_port)?;
    let sockets = sockets(arguments).await?;
    let engines = Arc::new(Engines::start(core, arguments, place, http_port, data)?);
    let password = core.first_admin().await.map_err(|error| Failure::of(&error, ""))?;

    let (stop, stopped) = watch::channel(false);
    let (stop_events, events_stopped) = watch::channel(false);
    let writing = tokio::spawn(Arc::clone(core).run_events(events, events_stopped));
    let mut tasks = JoinSet::new();
    let metrics: Arc<dyn Fn() -> String + Send + Sync> = {
        let engines = Arc::clone(&engines);
        Arc::new(move || engines.metrics())
    };
    let front = Front::new(Arc::clone(core), metrics, stopped.clone());
    let certificate = Arc::new(certificate);
    let shown = show(&mut tasks, &front, sockets.api, &certificate, &stopped);
    tasks.spawn(serve_local(front, sockets.api_local, stopped.clone()));
    tasks.spawn(admin::serve(Current::new(Arc::clone(core)), sockets.admin, stopped.clone()));
    let agent_at = agents.local_addr().map(|at| at.to_string()).unwrap_or_default();
    tasks.spawn(weft_server::agent::serve(Arc::clone(core), agents, stopped.clone()));
    tasks.spawn(Arc::clone(core).run_jobs(stopped.clone()));
    tasks.spawn(Arc::clone(core).run_loads(stopped.clone()));
    tasks.spawn(Arc::clone(core).run_drift(stopped.clone()));
    tasks.spawn(watch_trust(Arc::clone(core), data.clone(), stopped));

    println!(
        "Weft appliance on {} ({}): {}, agents {agent_at}",
        place.interface,
        place.address,
        engines.describe()
    );
    announce(core, &shown, &certificate, password.as_deref());
    println!("ready");
    let _ = std::io::stdout().flush();
    core.tell("appliance.started", "info", &format!("serving {}", place.interface));
    notify::tell("READY=1");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    notify::tell("STOPPING=1");
    core.tell("appliance.stopped", "info", "asked to stop");
    let _ = stop.send(true);
    let ended = tokio::time::timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!("some connections did not end in time");
        tasks.abort_all();
    }
    // The engines' threads are joined; leases that wait are written.
    let _ = tokio::task::spawn_blocking(move || drop(engines)).await;
    let _ = stop_events.send(true);
    let _ = tokio::time::timeout(FAREWELL, writing).await;
    Ok(())
}

/// Serves the interface over TLS on all these; their addresses.
pub(crate) fn show(
    tasks: &mut JoinSet<()>,
    front: &Front,
    listeners: Vec<TcpListener>,
    certificate: &Arc<Certificate>,
    stopped: &watch::Receiver<bool>,
) -> Vec<String> {
    let mut shown = Vec::new();
    for listener in listeners {
        shown.push(listener.local_addr().map(|at| at.to_string()).unwrap_or_default());
        let (front, stopped, certificate) = (front.clone(), stopped.clone(), Arc::clone(certificate));
        tasks.spawn(async move {
            if let Err(error) = serve_tls(front, listener, &certificate, stopped).await {
                tracing::error!(error = chain(&error), "the interface does not run");
            }
        });
    }
    shown
}

/// Takes trust files that `weft appliance init` put in place; of several appliances all get them.
pub(crate) async fn watch_trust(core: Arc<Core>, data: std::path::PathBuf, mut stop: watch::Receiver<bool>) {
    let stamp = |data: &Path| -> Vec<Option<SystemTime>> {
        let changed =
            |name: &&str| std::fs::metadata(data.join("trust").join(name)).and_then(|m| m.modified());
        weft_server::trust::NAMES.iter().map(|name| changed(name).ok()).collect()
    };
    let mut known = stamp(&data);
    // What was put there before, the others may not have either.
    let mut kept = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TRUST_EVERY) => {}
            _ = stop.changed() => return,
        }
        let now = stamp(&data);
        if now != known {
            known = now;
            kept = false;
            match core.reload_trust() {
                Ok(()) => core.tell(
                    "trust.changed",
                    "info",
                    "root set, delegation and revocation list were read anew",
                ),
                Err(error) => core.tell(
                    "trust.refused",
                    "error",
                    &format!("the new trust files were refused: {}", chain(&error)),
                ),
            }
        }
        if !kept {
            match core.keep_documents().await {
                Ok(()) => kept = true,
                Err(error) => tracing::warn!(error = chain(&error), "the other appliances lack trust files"),
            }
        }
    }
}
