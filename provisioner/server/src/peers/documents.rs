//! Trust documents, on each appliance: what a person puts into force on one is in force on all.
//!
//! ```text
//! weft appliance init, on any ─▶ its trust/ ─▶ does not lead: POST /cluster/trust ─▶ leads: judged, its trust/ ─▶ row of the store
//! row of the store ─▶ judged by each ─▶ its trust/
//! ```
//! Of each document the later version stands, of two with one version the one in the store. The others are no authority for what
//! they bring: root holders signed it, and each appliance judges it by its own root set. Keys never go this way (see [`super::join`]).

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use weft_store::{Batch, StoreError};

use super::{Peers, dial, peer_address};
use crate::chain;
use crate::core::{Core, event};
use crate::error::Error;
use crate::keys::Keys;
use crate::trust::{Documents, Tie, Trust, TrustError};
use crate::util::now;

/// The row of the store.
const ROW: &str = "trust";
/// Time for the leader to take documents, a majority included.
const PATIENCE: Duration = Duration::from_secs(15);

impl Peers {
    async fn kept(&self) -> Result<Option<Documents>, Error> {
        let Some(text) = self.store.meta(ROW).await? else { return Ok(None) };
        let damaged = || StoreError::Damaged { table: "meta", key: ROW.to_string() };
        Ok(Some(Documents::parse(&text).ok_or_else(damaged)?))
    }

    async fn merged(&self, given: Documents, tie: Tie) -> Result<bool, Error> {
        let (data, lab) = (self.data.clone(), self.lab);
        let taking = tokio::task::spawn_blocking(move || {
            let keys = Keys::open(&data)?;
            Ok::<_, Error>(Trust::take(&data, &keys, &given, tie, lab)?)
        });
        taking.await.map_err(io::Error::other)?
    }

    /// Whether the store has documents that are not in force here.
    pub(super) async fn lacks_documents(&self) -> Result<bool, Error> {
        let kept = self.kept().await?;
        Ok(kept.is_some_and(|kept| Documents::of(&self.data).ok() != Some(kept)))
    }

    /// Whether the root set here is an earlier one than that of the store: who has it judges by holders who were replaced.
    ///
    /// # Errors
    /// It is.
    pub async fn check_roots(&self) -> Result<(), Error> {
        let Ok(Some(kept)) = self.kept().await else { return Ok(()) };
        if kept.is_beyond(&Documents::of(&self.data)?) { Err(TrustError::Behind.into()) } else { Ok(()) }
    }

    async fn in_force(&self) -> Result<Documents, Error> {
        let (data, lab) = (self.data.clone(), self.lab);
        let reading = tokio::task::spawn_blocking(move || {
            let keys = Keys::open(&data)?;
            Ok::<_, Error>(Documents::in_force(&data, &keys, lab)?)
        });
        reading.await.map_err(io::Error::other)?
    }

    /// Puts what the store has into force here. Whether anything changed.
    pub async fn take_documents(&self) -> Result<bool, Error> {
        match self.kept().await? {
            Some(kept) => self.merged(kept, Tie::Given).await,
            None => Ok(false),
        }
    }

    /// Does both on one that does not lead, and says when something changed here.
    pub(super) async fn carry_documents(&self, came: &watch::Sender<u64>) -> Result<(), Error> {
        if self.leading().is_some() {
            return Ok(());
        }
        if self.take_documents().await? {
            tracing::info!("trust documents of the other appliances are in force here");
            came.send_modify(|all| *all = all.saturating_add(1));
        }
        self.offer_documents().await
    }

    /// Offers what is later here to whoever leads; where this one does, [`Core::keep_documents`] does the rest.
    async fn offer_documents(&self) -> Result<(), Error> {
        let here = Documents::of(&self.data)?;
        if here.is_empty() || self.kept().await?.as_ref() == Some(&here) {
            return Ok(());
        }
        let standing = self.store.standing().await?;
        if let Some(at) = standing.leader_at().filter(|_| standing.leader != Some(standing.own)) {
            let asked = ("POST", "/cluster/trust");
            let body = here.text().into_bytes();
            dial::ask(&self.client, peer_address(at), asked, None, body, PATIENCE).await?;
        }
        Ok(())
    }

    /// Takes what another appliance offers to this one, which leads.
    pub(super) async fn take_offered(&self, core: &Core, given: Documents) -> Result<(), Error> {
        self.merged(given, Tie::Here).await?;
        core.keep_documents().await
    }
}

impl Core {
    /// Keeps the documents in force here for the other appliances, where this one leads. What the store has instead, stands.
    pub async fn keep_documents(&self) -> Result<(), Error> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let _change = self.change.lock().await;
        let taken = match peers.take_documents().await {
            // What cannot be judged here would keep all that is given later from the others for ever.
            Err(error @ (Error::Trust(_) | Error::Store(StoreError::Damaged { .. }))) => {
                peers.check_roots().await?;
                tracing::warn!(
                    error = chain(&error),
                    "trust documents in the store are replaced by those here"
                );
                false
            }
            taken => taken?,
        };
        if taken {
            self.emit(event(
                "trust.refused",
                "error",
                "trust files put here are no later version than those in force, and were taken back",
            ));
            self.reload_trust()?;
        }
        let here = peers.in_force().await?;
        if here.is_empty() || matches!(peers.kept().await, Ok(Some(kept)) if kept == here) {
            return Ok(());
        }
        let text = here.text();
        self.commit(Batch::new(now(), "appliance", "trust documents").put_meta(ROW, &text)).await?;
        Ok(())
    }
}
