//! Licences: identifiers that a holder of the root set adds to a pool.
//!
//! ```text
//! file ─▶ signature, root set, time ─▶ known already? ─▶ range: named, or cut from our own block ─▶ apart from all? ─▶ pool
//! ```
//! One that was removed and is added again has the range that it had: a licence of a count is not worth more for that.

use weft_api::{Licence, LicenceAdd, Plan};
use weft_format::licence::{Grant, MAX_LICENCE, verify_licence};
use weft_store::{LicenceRow, NewEvent};

use super::change::{check_apart, check_unused};
use super::range::check;
use super::{IdKind, Range, Runs, default_pool, kind_of, lost, show_licence};
use crate::core::{Core, event};
use crate::error::Error;
use crate::partitions::bytes_of;
use crate::servers::invalid;
use crate::transactions::{Change, Draft, Kept, Kind};
use crate::trust::RingVerifier;
use crate::util::{at_unix, hex, now, unix_s};
use crate::world::{Lookup, World};

/// Most licences.
const MAX_LICENCES: usize = 4096;
/// Blocks of 24 bits from which counts are cut: those behind the block of the default pool.
const BLOCKS: std::ops::RangeInclusive<u64> = 1..=254;

/// Where a kind's blocks begin.
const fn base(kind: IdKind) -> u64 {
    match kind {
        IdKind::Mac => 0x0257_0000_0000,
        IdKind::Wwnn => 0x3057_0000_0000_0000,
    }
}

/// A range of our own block that no pool has and of which nothing was drawn.
fn cut(world: &World, kind: IdKind, count: u64) -> Result<Range, Error> {
    let mut taken: Runs = world.identifiers.drawn(kind).clone();
    world.identifiers.all_pieces(kind).for_each(|(_, piece)| taken.add(piece.range));
    let mut blocks = BLOCKS.map(|block| {
        let first = base(kind) + (block << 24);
        Range { first, last: first + 0xff_ffff }
    });
    blocks.find_map(|block| taken.stretch(block, count)).ok_or_else(|| {
        Error::refused(
            409,
            "block-exhausted",
            format!("no {count} {}s in a row are left in the block that counts are cut from", kind.word()),
            "have a licence issued that names a range: weft licence issue --range FIRST-LAST",
        )
    })
}

/// Whether a licence may stand, or go: for undos.
pub(crate) fn check_licence(
    world: &World,
    before: Option<&LicenceRow>,
    after: Option<&LicenceRow>,
) -> Result<(), Error> {
    let Some(row) = after.or(before) else { return Ok(()) };
    let kind = kind_of(&row.kind);
    let range = Range::parse(kind, &row.range)
        .ok_or_else(|| invalid("the licence's range is damaged", "see weft tx show"))?;
    if after.is_none() {
        return check_unused(world, kind, &[range], &format!("the licence of {}", row.name));
    }
    if !world.identifiers.pools.contains_key(&row.pool) {
        return Err(Error::refused(
            409,
            "pool-not-found",
            format!("the pool that the licence of {} extended is gone", row.name),
            "undo its deletion first: weft tx list",
        ));
    }
    check_apart(world, kind, range)
}

impl World {
    /// A licence by id, or unique prefix.
    pub(crate) fn licence(&self, id: &str) -> Result<&LicenceRow, Lookup> {
        let all = self.identifiers.licences.values();
        crate::world::unique(all.filter(|row| row.id == id || crate::world::prefix(&row.id, id)))
    }
}

fn refused(title: impl Into<String>, next: &str) -> Error {
    Error::refused(422, "licence-refused", title, next)
}

impl Core {
    pub(crate) fn find_licence(&self, id: &str) -> Result<LicenceRow, Error> {
        self.world().licence(id).cloned().map_err(|lookup| match lookup {
            Lookup::Missing => Error::not_found("licence-not-found", "licence", id, "weft licence list"),
            Lookup::Ambiguous => Error::ambiguous("licence", id),
        })
    }

    /// What a document says, if it is good now.
    fn judged(&self, document: &str) -> Result<(weft_format::Licence, Vec<String>), Error> {
        if document.len() > MAX_LICENCE * 2 {
            return Err(refused("it is too large for a licence", "give the file of weft licence issue"));
        }
        let bytes = bytes_of(document).ok_or_else(|| {
            refused("the document is not hexadecimal", "give the file of weft licence issue")
        })?;
        let trust = self.trust();
        let roots = trust.roots.as_ref().ok_or_else(|| {
            refused(
                "this appliance has no root set, and so nobody whose licences it takes",
                "weft appliance init --roots FILE",
            )
        })?;
        let signed = verify_licence(&bytes, roots, &RingVerifier).map_err(|error| {
            refused(error.to_string(), "have it issued by a holder of this appliance's root set")
        })?;
        let signers = signed.signatures.iter().map(|entry| entry.key_id.to_string()).collect();
        let licence = signed.licence;
        if licence.expiry <= unix_s() {
            let title = format!("the licence of {} expired at {}", licence.name, at_unix(licence.expiry));
            return Err(refused(title, "have another one issued"));
        }
        Ok((licence, signers))
    }

    /// The range that a licence had when it was here before.
    async fn earlier_range(&self, id: &str) -> Result<Option<String>, Error> {
        let rows = self.store.changes_after("licence", id, 0, 1).await?;
        let row = rows.first().and_then(|row| {
            let text = if row.after == "null" { &row.before } else { &row.after };
            serde_json::from_str::<LicenceRow>(text).ok()
        });
        Ok(row.map(|row| row.range))
    }

    /// Adds a licence to a pool: the plan, and the licence where it is added.
    pub(crate) async fn licence_add(
        &self,
        actor: &str,
        wanted: &LicenceAdd,
        dry: bool,
    ) -> Result<(Plan, Option<Licence>), Error> {
        let (licence, signers) = self.judged(&wanted.document)?;
        let _change = self.change.lock().await;
        let (id, kind) = (hex(&licence.id), IdKind::from(licence.kind));
        let earlier = self.earlier_range(&id).await?;
        let row = {
            let world = self.world();
            if let Some(known) = world.identifiers.licences.get(&id) {
                let title = format!("the licence {id} of {} is here already", known.name);
                return Err(Error::refused(
                    409,
                    "licence-known",
                    title,
                    "each licence counts once: weft licence list",
                ));
            }
            if world.identifiers.licences.len() >= MAX_LICENCES {
                let title = format!("there are {MAX_LICENCES} licences");
                return Err(Error::refused(409, "too-many", title, "remove those that expired"));
            }
            let pool = if wanted.pool.is_empty() { default_pool(kind) } else { wanted.pool.as_str() };
            let pool = world.pool(pool).map_err(|lookup| lost(lookup, pool))?;
            if pool.kind != kind.word() {
                let title = format!(
                    "{} is a pool of {}s, and the licence is for {}s",
                    pool.name,
                    pool.kind,
                    kind.word()
                );
                return Err(invalid(title, "name another pool: --pool POOL"));
            }
            let (range, counted) = match (licence.grant, earlier.and_then(|text| Range::parse(kind, &text))) {
                (Grant::Range { first, last }, _) => (Range { first, last }, false),
                (Grant::Count(_), Some(range)) => (range, true),
                (Grant::Count(count), None) => (cut(&world, kind, count)?, true),
            };
            check(kind, range, super::range::parse_oui(&pool.oui)).map_err(|why| {
                refused(
                    why,
                    "have it issued for locally administered ones, or add it to a pool with that OUI",
                )
            })?;
            check_apart(&world, kind, range)?;
            LicenceRow {
                id,
                name: licence.name,
                kind: kind.word().to_string(),
                pool: pool.id.clone(),
                range: range.text(kind),
                counted,
                not_before: licence.not_before,
                expiry: licence.expiry,
                signers,
                at: now(),
            }
        };
        let told = licence_event(actor, "licence.added", &row);
        let id = row.id.clone();
        let change = Change::Kept(Kept::Licence { before: None, after: Some(row) });
        let plan = self.carry_out(actor, Draft::new(Kind::LicenceAdd, vec![change], told), dry).await?;
        let world = self.world();
        Ok((plan, world.identifiers.licences.get(&id).map(|row| show_licence(&world, row))))
    }

    /// Removes a licence of which no server has an identifier.
    pub(crate) async fn licence_remove(&self, actor: &str, id: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.find_licence(id)?;
        check_licence(&self.world(), Some(&row), None)?;
        let told = licence_event(actor, "licence.removed", &row);
        let change = Change::Kept(Kept::Licence { before: Some(row), after: None });
        self.carry_out(actor, Draft::new(Kind::LicenceRemove, vec![change], told), dry).await
    }
}

fn licence_event(actor: &str, name: &str, row: &LicenceRow) -> NewEvent {
    let text = format!("{} of {}: {}", row.id, row.name, row.range);
    NewEvent { actor: actor.to_string(), ..event(name, "info", text) }
}
