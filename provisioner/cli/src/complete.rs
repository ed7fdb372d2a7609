//! Completion of live names. It asks the appliance of the environment or the default profile, for one second at
//! most, and stays silent when there is no answer: a shell is no place for errors.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use serde::Deserialize;

use crate::args::Global;
use crate::client::Client;
use crate::settings::Settings;

#[derive(Deserialize)]
struct Named {
    name: String,
    state: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    number: u64,
}

/// Names of nodes.
pub(crate) fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/nodes", |item| item.name.clone())
}

/// Names of partitions.
pub(crate) fn partitions(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/partitions", |item| item.name.clone())
}

/// Names of data centers.
pub(crate) fn datacenters(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/datacenters", |item| item.name.clone())
}

/// Names of virtual mainframes.
pub(crate) fn mainframes(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/mainframes", |item| item.name.clone())
}

/// Names of frames.
pub(crate) fn frames(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/frames", |item| item.name.clone())
}

/// Names of data centers, virtual mainframes and frames.
pub(crate) fn containers(current: &OsStr) -> Vec<CompletionCandidate> {
    [datacenters, mainframes, frames].into_iter().flat_map(|names| names(current)).collect()
}

/// Names of virtual switches.
pub(crate) fn switches(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/switches", |item| item.name.clone())
}

/// Names of gateway ports.
pub(crate) fn gateways(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/gateways", |item| item.name.clone())
}

/// Names of ports.
pub(crate) fn ports(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/ports", |item| item.name.clone())
}

/// Names of virtual switches, gateway ports, ports, VNICs and VHBAs.
pub(crate) fn networks(current: &OsStr) -> Vec<CompletionCandidate> {
    ["switches", "gateways", "ports", "vnics", "vhbas"]
        .into_iter()
        .flat_map(|path| candidates(current, &format!("/api/v1/{path}"), |item| item.name.clone()))
        .collect()
}

/// Names of virtual servers.
pub(crate) fn servers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/vs", |item| item.name.clone())
}

/// Names of drifts.
pub(crate) fn drifts(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/drift", |item| item.name.clone())
}

/// Names of templates.
pub(crate) fn templates(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/templates", |item| item.name.clone())
}

/// Names of pools.
pub(crate) fn pools(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/pools", |item| item.name.clone())
}

/// Identities of licences.
pub(crate) fn licences(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/licences", |item| item.id.clone())
}

/// Digests of images.
pub(crate) fn images(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/images", |item| item.digest.clone())
}

/// Numbers of rollouts.
pub(crate) fn rollouts(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/rollouts", |item| item.number.to_string())
}

/// Names of accounts.
pub(crate) fn accounts(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/accounts", |item| item.name.clone())
}

/// Names of tokens.
pub(crate) fn tokens(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/tokens", |item| item.name.clone())
}

/// Names of policies about rights.
pub(crate) fn auth_policies(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, "/api/v1/auth/policies", |item| item.name.clone())
}

fn candidates(current: &OsStr, path: &str, value: fn(&Named) -> String) -> Vec<CompletionCandidate> {
    let Some(prefix) = current.to_str() else { return Vec::new() };
    let items = live(path).unwrap_or_default();
    let fits = |item: &Named| value(item).starts_with(prefix);
    items
        .iter()
        .filter(|item| fits(item))
        .map(|item| {
            CompletionCandidate::new(value(item)).help(Some(format!("{} {}", item.name, item.state).into()))
        })
        .collect()
}

fn live(path: &str) -> Option<Vec<Named>> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let global = Global {
        url: env("WEFT_URL"),
        ca: env("WEFT_CA"),
        token_file: env("WEFT_TOKEN_FILE").map(Into::into),
        profile: env("WEFT_PROFILE"),
        ..Global::default()
    };
    let client = Client::new(&Settings::resolve(&global).ok()?).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(1), client.get(path)).await.ok()?.ok() })
}
