//! Many nodes at once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::dhcp::Relay;
use crate::rng::Rng;
use crate::tftp::{Fetch, fetch_with};
use crate::{Times, http};

/// What the nodes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// How many.
    pub nodes: u32,
    /// Of loss and of start times.
    pub seed: u64,
    /// Chance of each datagram to be lost, 1/1000.
    pub loss: u32,
    /// All start within this time, milliseconds.
    pub spread_ms: u64,
    /// DHCP first: the server, and the address and port of the relay that the nodes stand behind.
    pub dhcp: Option<(SocketAddrV4, SocketAddrV4)>,
    /// Then TFTP: server, name, blksize, windowsize.
    pub tftp: Option<(SocketAddr, String, u16, u16)>,
    /// Then HTTP: server, path.
    pub http: Option<(SocketAddr, String)>,
    /// Length of [`crate::content`] to expect.
    pub size_bytes: usize,
    /// How often a node that failed is switched off and on again.
    #[serde(default)]
    pub restarts: u32,
    /// Silent seconds after which a TFTP transfer is given up.
    pub patience_s: u32,
}

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Nodes that did not get everything.
    pub lost: usize,
    /// Why, and how many.
    pub reasons: BTreeMap<String, usize>,
    /// DHCP alone.
    pub dhcp: Times,
    /// TFTP alone.
    pub tftp: Times,
    /// HTTP alone.
    pub http: Times,
    /// All stages of a node.
    pub boot: Times,
    /// From the first start to the last end, seconds.
    pub wall_s: f64,
    /// The address of each node that got one.
    pub addresses: BTreeMap<u32, Ipv4Addr>,
}

struct Node {
    number: u32,
    address: Option<Ipv4Addr>,
    dhcp: Option<Duration>,
    tftp: Option<Duration>,
    http: Option<Duration>,
    boot: Duration,
}

/// Runs the plan on a runtime of its own.
///
/// # Errors
/// The runtime or the relay's socket; lost nodes are in the report.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let _ = crate::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(storm(plan))
}

async fn storm(plan: &Plan) -> anyhow::Result<Report> {
    let relay = match plan.dhcp {
        Some((server, bind)) => Some(Relay::new(bind, server).await?),
        None => None,
    };
    let plan = Arc::new(plan.clone());
    let content: Arc<[u8]> = crate::content(plan.size_bytes).into();
    let start = Instant::now();
    let mut nodes = JoinSet::new();
    for number in 0..plan.nodes {
        let (plan, relay, content) = (Arc::clone(&plan), relay.clone(), Arc::clone(&content));
        nodes.spawn(async move {
            let mut rng = Rng::new(plan.seed, u64::from(number));
            let wait = rng.next().checked_rem(plan.spread_ms.saturating_mul(1000)).unwrap_or(0);
            tokio::time::sleep(Duration::from_micros(wait)).await;
            let mut outcome = node(number, &plan, relay.as_deref(), &content, &mut rng).await;
            for _ in 0..plan.restarts {
                if outcome.is_err() {
                    outcome = node(number, &plan, relay.as_deref(), &content, &mut rng).await;
                }
            }
            outcome
        });
    }
    let mut report = Report::default();
    let (mut dhcp, mut tftp, mut web, mut boot) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    while let Some(ended) = nodes.join_next().await {
        match ended? {
            Ok(node) => {
                report.addresses.extend(node.address.map(|address| (node.number, address)));
                dhcp.extend(node.dhcp);
                tftp.extend(node.tftp);
                web.extend(node.http);
                boot.push(node.boot);
            }
            Err(reason) => {
                report.lost += 1;
                *report.reasons.entry(reason).or_default() += 1;
            }
        }
    }
    report.wall_s = start.elapsed().as_secs_f64();
    report.dhcp = Times::of(dhcp);
    report.tftp = Times::of(tftp);
    report.http = Times::of(web);
    report.boot = Times::of(boot);
    Ok(report)
}

async fn node(
    number: u32,
    plan: &Plan,
    relay: Option<&Relay>,
    content: &[u8],
    rng: &mut Rng,
) -> Result<Node, String> {
    let start = Instant::now();
    let mut done = Node { number, address: None, dhcp: None, tftp: None, http: None, boot: Duration::ZERO };
    if let Some(relay) = relay {
        done.address = Some(relay.boot(number, plan.loss, rng).await.ok_or("dhcp: no lease")?);
        done.dhcp = Some(start.elapsed());
    }
    if let Some((server, name, blksize, window)) = &plan.tftp {
        let began = Instant::now();
        let what = Fetch {
            server: *server,
            name,
            blksize: *blksize,
            window: *window,
            loss: plan.loss,
            tries: plan.patience_s,
            expected: content,
        };
        fetch_with(&what, rng).await.map_err(|stage| format!("tftp: {stage}"))?;
        done.tftp = Some(began.elapsed());
    }
    if let Some((server, path)) = &plan.http {
        let began = Instant::now();
        http::fetch(*server, path, content).await.map_err(|stage| format!("http: {stage}"))?;
        done.http = Some(began.elapsed());
    }
    done.boot = start.elapsed();
    Ok(done)
}
