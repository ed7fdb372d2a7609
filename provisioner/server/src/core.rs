//! The appliance's heart: store, world, trust, and the one way in which anything changes.
//!
//! ```text
//! request or agent ─▶ lock `change` ─▶ decide on the world ─▶ Store::commit ─▶ world ─▶ events, pushes
//! ```
//! Changes are serial. What a change decides on cannot move before it is on disk, and nobody sees it
//! earlier.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{broadcast, mpsc};
use weft_api::Event;
use weft_store::{Batch, EventRow, LeaseRow, NewEvent, Store, StoreError};
use weft_types::ClusterId;

use crate::auth::asking;
use crate::boots::Boots;
use crate::console::Consoles;
use crate::drift::Drifts;
use crate::error::Error;
use crate::history::{self, History};
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::load::Loads;
use crate::partitions::PartitionEntry;
use crate::peers::{Member, Peers};
use crate::pools::Identifiers;
use crate::trust::Trust;
use crate::util::{hex, now, private_folder, random, unhex};
use crate::world::{NodeEntry, VsEntry, World};

/// Events that wait to be written.
const EVENT_QUEUE: usize = 4096;
/// Events written at once.
const EVENT_BATCH: usize = 256;
/// Events that a slow subscriber may lag behind before it must read from the store.
const EVENT_FAN: usize = 1024;
/// Events kept, unless told otherwise.
pub const EVENTS_KEPT: u64 = 200_000;
/// How often it is looked whether there are more.
const TRIM_EVERY: std::time::Duration = std::time::Duration::from_secs(2);
/// Readers of the event stream at once.
const STREAMS: usize = 1024;

/// How this appliance runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Data folder.
    pub data: PathBuf,
    /// Takes lab root sets.
    pub lab: bool,
    /// Interface served, for people.
    pub interface: String,
    /// Address on it.
    pub address: Ipv4Addr,
    /// `full`, `proxy` or `off`, for people.
    pub dhcp_mode: String,
    /// Boot HTTP port.
    pub http_port: u16,
    /// Events kept.
    pub keep_events: u64,
}

/// Figures for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) agent_handshakes_failed: AtomicU64,
    pub(crate) agent_refused: AtomicU64,
    pub(crate) agent_messages: AtomicU64,
    pub(crate) records_sent: AtomicU64,
    pub(crate) records_refused: AtomicU64,
    pub(crate) events_dropped: AtomicU64,
    pub(crate) logins_failed: AtomicU64,
    pub(crate) requests: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Shared by every part of the server.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<Store>,
    /// The other appliances, where there are several.
    pub(crate) peers: Option<Arc<Peers>>,
    pub(crate) keys: Keys,
    pub(crate) cluster: ClusterId,
    trust: RwLock<Arc<Trust>>,
    world: Mutex<World>,
    pub(crate) change: tokio::sync::Mutex<()>,
    events: mpsc::Sender<NewEvent>,
    pub(crate) fan: broadcast::Sender<Arc<Event>>,
    pub(crate) consoles: Consoles,
    pub(crate) history: History,
    pub(crate) boots: Boots,
    pub(crate) counts: Counts,
    pub(crate) sessions: AtomicU64,
    pub(crate) accounts: crate::accounts::Accounts,
    pub(crate) jobs: Jobs,
    pub(crate) loads: Loads,
    pub(crate) drifts: Drifts,
    pub(crate) turns: crate::http::Turns,
    /// Readers of the event stream.
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
    /// Backups that are made at once.
    pub(crate) backups: Arc<tokio::sync::Semaphore>,
}

impl Core {
    /// Opens everything in the data folder. Returns the core; events flow once [`Core::run_events`] runs.
    pub async fn open(settings: Settings) -> Result<(Arc<Self>, EventQueue), Error> {
        // Alone it would write what the others do not know into a log that all hold.
        if Member::read(&settings.data).map_err(std::io::Error::other)?.is_some() {
            return Err(Error::refused(
                409,
                "one-of-several",
                "this appliance is one of several: its store is not opened alone",
                "start it, and ask the one that leads: weft appliance list",
            ));
        }
        // Keys are looked at first: a store beside others is not touched.
        Keys::open(&settings.data)?;
        let store = Arc::new(Store::open(&settings.data.join("store")).await?);
        Self::on(settings, store, None).await
    }

    /// The same, on a store that is open. Where that does not lead, the core only shows what is in it.
    pub async fn on(
        settings: Settings,
        store: Arc<Store>,
        peers: Option<Arc<Peers>>,
    ) -> Result<(Arc<Self>, EventQueue), Error> {
        let keys = Keys::open(&settings.data)?;
        let trust = Trust::open(&settings.data, &keys, settings.lab)?;
        let cluster = cluster(&store).await?;
        let mut world = World::default();
        for row in store.nodes().await? {
            world.nodes.insert(row.id.clone(), NodeEntry::from_row(row));
        }
        for row in store.servers().await? {
            world.servers.insert(row.id.clone(), VsEntry::from_row(row));
        }
        for row in store.partitions().await? {
            world.partitions.insert(row.id.clone(), PartitionEntry::from_row(row));
        }
        world.bmcs.extend(store.bmcs().await?.into_iter().map(|row| (row.node.clone(), row)));
        world.containers.extend(store.containers().await?.into_iter().map(|row| (row.id.clone(), row)));
        world.networks.extend(store.networks().await?.into_iter().map(|row| (row.id.clone(), row)));
        world.templates.extend(store.templates().await?.into_iter().map(|row| (row.id.clone(), row)));
        world.identifiers = Identifiers::load(&store).await?;
        for row in store.images().await? {
            world.images.insert(row.digest.clone(), row);
        }
        for row in store.blobs().await? {
            world.blobs.insert(row.digest, row.size);
        }
        world.default_guest = (
            store.meta("default_kernel").await?.unwrap_or_default(),
            store.meta("default_initrd").await?.unwrap_or_default(),
        );
        let jobs = Jobs::open(&store, &mut world).await?;
        let (history, consoles) = remember(&settings.data, &mut world)?;
        let accounts = crate::accounts::Accounts::open(&store).await?;
        let (events, queue) = mpsc::channel(EVENT_QUEUE);
        let core = Arc::new(Self {
            settings,
            store,
            peers,
            keys,
            cluster,
            trust: RwLock::new(Arc::new(trust)),
            world: Mutex::new(world),
            change: tokio::sync::Mutex::new(()),
            events,
            fan: broadcast::channel(EVENT_FAN).0,
            consoles,
            history,
            boots: Boots::default(),
            counts: Counts::default(),
            sessions: AtomicU64::new(0),
            accounts,
            jobs,
            loads: Loads::default(),
            drifts: Drifts::default(),
            turns: crate::http::Turns::default(),
            streams: Arc::new(tokio::sync::Semaphore::new(STREAMS)),
            backups: Arc::new(tokio::sync::Semaphore::new(1)),
        });
        if core.peers.is_none() {
            core.tidy_blobs()?;
        } else {
            // Files may be on their way while this is made anew; what broken uploads left went at the start.
            private_folder(&core.blob_folder())?;
        }
        core.load_boot_files_there_are()?;
        Ok((core, EventQueue(queue)))
    }

    /// The world, for a moment. Poisoning cannot leave it half-changed: it is written by single
    /// assignments after a commit.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the world to decide on; see [`World::sketch`].
    pub(crate) fn sketch(&self) -> World {
        self.world().sketch()
    }

    /// Documents in force.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the trust files again; keeps what is in force where they do not do.
    pub fn reload_trust(&self) -> Result<(), Error> {
        let trust = Trust::open(&self.settings.data, &self.keys, self.settings.lab)?;
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
        self.load_boot_files_there_are()?;
        self.push_all();
        Ok(())
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Addresses that DHCP gave, where several appliances give them.
    pub async fn leases(&self) -> Result<Vec<LeaseRow>, StoreError> {
        self.store.leases().await
    }

    /// Keeps addresses that DHCP gives.
    pub async fn put_leases(&self, rows: &[LeaseRow]) -> Result<(), StoreError> {
        self.store.put_leases(rows).await
    }

    /// Where nodes were last seen.
    pub fn node_addresses(&self) -> Vec<Ipv4Addr> {
        self.world().nodes.values().filter_map(|node| node.row.address.parse().ok()).collect()
    }

    /// Closes the store.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.history.flush();
        self.store.close().await
    }

    /// Writes a batch and tells its events to those who listen. Gives back the transaction's number, if it has one.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Option<u64>, StoreError> {
        let batch = match asking::key().filter(|_| batch.is_change()) {
            Some(key) => batch.keyed(key.row),
            None => batch,
        };
        let done = self.store.commit(batch).await?;
        for row in done.events {
            // Nobody listening is no error.
            let _ = self.fan.send(Arc::new(api_event(row)));
        }
        Ok(done.transaction)
    }

    /// Puts an event in line to be written. Where the line is full it is counted and dropped: an event
    /// of this kind tells of something, it does not make it so.
    pub(crate) fn emit(&self, event: NewEvent) {
        if self.events.try_send(event).is_err() {
            count(&self.counts.events_dropped);
        }
    }

    /// Writes events as they come, many at once. Ends when the queue's senders are gone or on `stop`.
    pub async fn run_events(
        self: Arc<Self>,
        queue: EventQueue,
        mut stop: tokio::sync::watch::Receiver<bool>,
    ) {
        let EventQueue(mut queue) = queue;
        let mut waiting = Vec::with_capacity(EVENT_BATCH);
        let kept = self.settings.keep_events;
        // Changes write events too, so that what is to be dropped is looked for now and then.
        let mut looks = tokio::time::interval(TRIM_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut trimmed = 0u64;
        loop {
            // What is in line goes first: stopping loses no event.
            tokio::select! {
                biased;
                n = queue.recv_many(&mut waiting, EVENT_BATCH) => if n == 0 { return },
                () = crate::util::stopped(&mut stop) => return,
                _ = looks.tick() => {}
            }
            let mut batch = Batch::new(now(), "appliance", "events");
            for event in waiting.drain(..) {
                batch = batch.event(event);
            }
            let past = self.store.last_event().await.saturating_sub(kept);
            if past > trimmed.saturating_add(kept / 16) {
                trimmed = past;
                batch = batch.trim_events(past);
            }
            if batch.is_empty() {
                continue;
            }
            if let Err(error) = self.commit(batch).await {
                count(&self.counts.events_dropped);
                tracing::error!(%error, "events were not written");
            }
        }
    }
}

/// Logs and screens of the last run, and where those of this one go.
fn remember(data: &Path, world: &mut World) -> Result<(History, Consoles), Error> {
    let history = History::open(data)?;
    let consoles = Consoles::default();
    let nodes: Vec<String> = world.nodes.keys().cloned().collect();
    let servers: Vec<String> = world.servers.keys().cloned().collect();
    let kept = history::tidy(data, &nodes, &servers);
    for (id, node) in world.nodes.iter_mut().filter(|(id, _)| kept.log(id)) {
        node.log = history::log_of(data, id).into();
    }
    for id in servers.iter().filter(|id| kept.screen(id)) {
        history::replay(data, id, &consoles);
    }
    Ok((history, consoles))
}

/// Events in line; made by [`Core::open`], used up by [`Core::run_events`].
pub struct EventQueue(mpsc::Receiver<NewEvent>);

/// An event of the appliance itself.
pub(crate) fn event(name: &str, state: &str, text: impl Into<String>) -> NewEvent {
    NewEvent {
        at: now(),
        name: name.to_string(),
        state: state.to_string(),
        actor: "appliance".to_string(),
        text: text.into(),
        ..NewEvent::default()
    }
}

pub(crate) fn api_event(row: EventRow) -> Event {
    let EventRow { seq, event } = row;
    Event {
        seq,
        at: event.at,
        name: event.name,
        state: event.state,
        node: event.node,
        vs: event.vs,
        actor: event.actor,
        text: event.text,
        transaction: event.transaction,
    }
}

async fn cluster(store: &Store) -> Result<ClusterId, Error> {
    if let Some(text) = store.meta("cluster").await? {
        return unhex(&text)
            .map(ClusterId)
            .ok_or_else(|| StoreError::Damaged { table: "meta", key: "cluster".to_string() }.into());
    }
    let drawn = random::<16>();
    let batch = Batch::new(now(), "appliance", "first start").put_meta("cluster", &hex(&drawn));
    store.commit(batch).await?;
    Ok(ClusterId(drawn))
}
