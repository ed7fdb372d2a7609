//! One store on several appliances: who holds it, who leads, and how far each is.
//!
//! ```text
//! one voter ─▶ refounded at an address ─▶ others join, as learners ─▶ once there are three, all are voters
//! ```
//! Two voters would be worse than one: none could be missed. So whoever joins is a learner until a third is there. Voters
//! are chosen by the leader; `hiqlite`'s own interface changes them. Each is at two ports: the log's, and the next one.
//!
//! A leader's term is written into the store when it begins ([`Store::lead`]) and stands in each of its writes: where a later
//! leader has begun, the database refuses them ([`FENCE`]).

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hiqlite::tls::{ServerTlsConfig, ServerTlsConfigCerts};
use hiqlite::{Node, NodeConfig, Param, Params};

use crate::error::StoreError;
use crate::open::Store;

/// Files of the secrets that all voters share.
pub const RAFT_SECRET: &str = "raft.secret";
/// The same, of the interface by which voters are changed.
pub const API_SECRET: &str = "api.secret";
/// Between two signs of life of the leader, ms. The log's clock ticks each one and a half of it: so often they go, and so often
/// it is looked whether they stay away.
const HEARTBEAT_MS: u64 = 100;
/// A vote waits for so long, drawn between these at the start, ms; others only begin one that much after the last sign of life
/// and the longer of the two, so after 0.9 to 1.3 s and a tick. They are far apart so that two seldom begin at once: who then has
/// the lower number or the shorter log waits once more.
const ELECTION_MS: (u64, u64) = (250, 650);
/// Changes in one message to another that has missed some: each message has a heartbeat's time to be answered.
const BATCH: u64 = 16;
/// A leader that heard of no majority for so long does not try to write, ms. That it could not is the log's doing, not this.
const ALONE_MS: u64 = 2000;
/// The first statement of each write.
pub(crate) const FENCE: &str = "INSERT INTO fence (term) VALUES ($1)";
/// What the database says where a later leader writes.
pub(crate) const FENCED: &str = "a later leader writes";

/// This appliance among those that hold the store.
#[derive(Clone, Debug)]
pub struct Voters {
    /// Number and address of this one; numbers never come back.
    pub own: (u64, SocketAddr),
    /// Those that are asked to take it in, where they have not yet.
    pub joins: Vec<(u64, SocketAddr)>,
    /// Certificate of this one, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// The port of `hiqlite`'s own interface.
pub fn api_address(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port().saturating_add(1))
}

impl Voters {
    pub(crate) fn place(&self, config: &mut NodeConfig) {
        let node = |(id, at): (u64, SocketAddr)| Node {
            id,
            addr_raft: at.to_string(),
            addr_api: api_address(at).to_string(),
        };
        config.node_id = self.own.0;
        config.nodes = vec![node(self.own)];
        config.nodes.extend(self.joins.iter().copied().map(node));
        config.listen_addr_raft = self.own.1.ip().to_string().into();
        config.listen_addr_api = config.listen_addr_raft.clone();
        let pem = |path: &Path| path.display().to_string();
        let tls = ServerTlsConfig::Specific(ServerTlsConfigCerts::new(pem(&self.key), pem(&self.cert)));
        config.tls_raft = Some(tls.clone());
        config.tls_api = Some(tls);
        config.learner_only = true;
        config.raft_config.heartbeat_interval = HEARTBEAT_MS;
        config.raft_config.election_timeout_min = ELECTION_MS.0;
        config.raft_config.election_timeout_max = ELECTION_MS.1;
        config.raft_config.max_payload_entries = BATCH;
    }
}

/// One of those that hold the store, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub id: u64,
    /// Where its log is.
    pub address: String,
    /// Whether it has a vote.
    pub voter: bool,
    /// Up to which record it has the log; known to the leader alone.
    pub has: Option<u64>,
}

/// How the store stands among the appliances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// This one's number.
    pub own: u64,
    /// Who leads, as far as this one knows.
    pub leader: Option<u64>,
    /// This one leads, and a majority has answered it lately.
    pub leads: bool,
    /// The term of the last election.
    pub term: u64,
    /// The last record of the log here.
    pub log: u64,
    /// The last record that is in the database here.
    pub applied: u64,
    /// All of them.
    pub holders: Vec<Holder>,
}

impl Standing {
    /// Address of the one that leads.
    pub fn leader_at(&self) -> Option<SocketAddr> {
        let leader = self.leader?;
        self.holders.iter().find(|holder| holder.id == leader)?.address.parse().ok()
    }
}

impl Store {
    /// Whether this handle was given a term to write in.
    pub fn leads(&self) -> bool {
        self.term > 0
    }

    /// How the store stands.
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        let metrics = self.db.metrics_db().await?;
        let members = &metrics.membership_config;
        let voters: Vec<u64> = members.voter_ids().collect();
        let matched = |id: &u64| {
            let log = metrics.replication.as_ref()?.get(id)?;
            log.as_ref().map(|log| log.index)
        };
        let own = metrics.id;
        let log = metrics.last_log_index.unwrap_or(0);
        let holders: Vec<Holder> = members
            .nodes()
            .map(|(id, node)| Holder {
                id: *id,
                address: node.addr_raft.clone(),
                voter: voters.contains(id),
                has: if *id == own { Some(log) } else { matched(id) },
            })
            .collect();
        let fresh = metrics.millis_since_quorum_ack.is_some_and(|since| since < ALONE_MS);
        Ok(Standing {
            own,
            leader: metrics.current_leader,
            leads: metrics.current_leader == Some(own) && (voters.len() < 2 || fresh),
            term: metrics.current_term,
            log,
            applied: metrics.last_applied.map_or(0, |last| last.index),
            holders,
        })
    }

    /// Writes, fenced by the term that this handle leads in. Gives back how many rows each statement changed.
    pub(crate) async fn write<S>(&self, statements: Vec<(S, Params)>) -> Result<Vec<usize>, StoreError>
    where
        S: Into<Cow<'static, str>>,
    {
        if self.term == 0 {
            return Err(StoreError::NotLeader);
        }
        if self.several && !self.standing().await?.leads {
            // Known before it is begun: else it would wait for a majority for half a minute.
            return Err(StoreError::NotLeader);
        }
        let term = Param::from(i64::try_from(self.term).unwrap_or(i64::MAX));
        let mut all: Vec<(Cow<'static, str>, Params)> = vec![(Cow::Borrowed(FENCE), vec![term])];
        all.extend(statements.into_iter().map(|(sql, params)| (sql.into(), params)));
        let results = self.db.txn(all).await?;
        let mut rows = results.into_iter().collect::<Result<Vec<usize>, _>>()?;
        // The fence is no row.
        rows.drain(..1.min(rows.len()));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, NewEvent, RecordNumber, VsRow};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_an_earlier_leader_still_writes_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let vs = |id: &str| VsRow { id: id.into(), name: id.into(), ..VsRow::default() };
        let change =
            |id: &str| Batch::new("t", "ann", "vs create").put_vs(None, &vs(id)).event(NewEvent::default());
        store.commit(change("a")).await.expect("it leads");
        let number = store.next_record("n").await.expect("a number");
        assert_eq!(number, RecordNumber { epoch: 1, counter: 1 });
        // Who reads does not write.
        let reader = store.reader();
        assert!(matches!(reader.commit(change("b")).await, Err(StoreError::NotLeader)));
        assert_eq!(reader.servers().await.expect("servers").len(), 1);
        // The same one has begun anew in the same term of the log.
        let before = store;
        let store = before.lead().await.expect("it leads");
        assert!(store.term > before.term && store.term >> 20 == before.term >> 20);
        assert!(matches!(before.commit(change("b")).await, Err(StoreError::NotLeader)));
        drop(before);
        // Another one has begun to lead, as the log says.
        let later = ((store.term >> 20) + 1) << 20;
        let sql = "UPDATE leadership SET term = $1, member = 2";
        store.db.execute(sql, vec![Param::from(later as i64)]).await.expect("a later term");
        assert!(matches!(store.commit(change("b")).await, Err(StoreError::NotLeader)));
        assert!(matches!(store.lead().await, Err(StoreError::NotLeader)));
        assert!(matches!(store.next_record("m").await, Err(StoreError::NotLeader)));
        assert!(matches!(store.put_invitation("h", 9).await, Err(StoreError::NotLeader)));
        assert_eq!(store.servers().await.expect("servers"), [vs("a")]);
        assert_eq!(store.events(0, 10).await.expect("events").len(), 1);
        store.close().await.expect("closed");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_invitation_is_good_once_and_for_its_time_and_numbers_never_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        store.put_invitation("h", 100).await.expect("kept");
        assert!(!store.take_invitation("h", 100).await.expect("too late"));
        assert!(!store.take_invitation("x", 1).await.expect("another"));
        assert!(store.take_invitation("h", 99).await.expect("good"));
        assert!(!store.take_invitation("h", 99).await.expect("used"));
        assert_eq!(store.next_appliance().await.expect("a number"), 2);
        let row = crate::ApplianceRow { id: 2, name: "b".into(), ..Default::default() };
        store.put_appliance(&row).await.expect("kept");
        assert_eq!(store.appliances().await.expect("rows"), [row]);
        store.delete_appliance(2).await.expect("gone");
        assert_eq!(store.next_appliance().await.expect("a number"), 3);
        let lease = |address, state: &str| crate::LeaseRow {
            address,
            hw: "1-02".into(),
            expires: 7,
            state: state.into(),
        };
        store.put_leases(&[lease(5, "bound"), lease(4, "bound"), lease(5, "released")]).await.expect("kept");
        assert_eq!(store.leases().await.expect("rows"), [lease(4, "bound"), lease(5, "released")]);
        store.close().await.expect("closed");
    }
}
