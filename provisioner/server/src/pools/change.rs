//! Creating, extending and deleting pools.

use weft_api::{Plan, Pool, PoolCreate, PoolExtend};
use weft_store::{NewEvent, PoolRow};

use super::range::{check, parse_oui};
use super::{IdKind, Range, default_pool, in_use, kind_of, lost, show_pool};
use crate::core::{Core, event};
use crate::error::Error;
use crate::servers::{check_name, invalid};
use crate::transactions::{Change, Draft, Kept, Kind};
use crate::util::{hex, random};
use crate::world::World;

/// Most pools.
const MAX_POOLS: usize = 1024;
/// Most ranges of a pool, those of licences not counted.
const MAX_RANGES: usize = 64;

fn pool_event(actor: &str, name: &str, text: String) -> NewEvent {
    NewEvent { actor: actor.to_string(), ..event(name, "info", text) }
}

/// Ranges as they are kept. Refused where one is none, may not be had, or overlaps another of its kind.
fn checked_ranges(world: &World, kind: IdKind, oui: &str, texts: &[String]) -> Result<Vec<String>, Error> {
    if texts.is_empty() || texts.len() > MAX_RANGES {
        return Err(invalid(format!("{} ranges", texts.len()), format!("name 1 to {MAX_RANGES} ranges")));
    }
    let mut ranges: Vec<Range> = Vec::new();
    for text in texts {
        let example = match kind {
            IdKind::Mac => "02:00:00:00:10:00-02:00:00:00:10:ff",
            IdKind::Wwnn => "30:00:00:00:00:00:10:00-30:00:00:00:00:00:10:ff",
        };
        let range = Range::parse(kind, text).ok_or_else(|| {
            invalid(format!("{text} is no range of {}s", kind.word()), format!("for example {example}"))
        })?;
        check(kind, range, parse_oui(oui)).map_err(|why| {
            invalid(
                why,
                "use locally administered ones, or name your own OUI when you make the pool: --oui 00:1b:21",
            )
        })?;
        if let Some(other) = ranges.iter().find(|other| other.overlaps(range)) {
            return Err(overlap(&range.text(kind), &other.text(kind), "the same request"));
        }
        check_apart(world, kind, range)?;
        ranges.push(range);
    }
    Ok(ranges.into_iter().map(|range| range.text(kind)).collect())
}

/// Refuses a range that overlaps one that is in force.
pub(super) fn check_apart(world: &World, kind: IdKind, range: Range) -> Result<(), Error> {
    let mut all = world.identifiers.all_pieces(kind);
    match all.find(|(_, piece)| piece.range.overlaps(range)) {
        Some((pool, piece)) => Err(overlap(&range.text(kind), &piece.range.text(kind), &pool.name)),
        None => Ok(()),
    }
}

fn overlap(range: &str, other: &str, of: &str) -> Error {
    Error::refused(
        409,
        "range-overlaps",
        format!("{range} overlaps {other} of {of}"),
        "choose a range that no pool has: weft pool list -o json",
    )
}

/// Refuses where a server has an identifier of one of these ranges.
pub(super) fn check_unused(world: &World, kind: IdKind, ranges: &[Range], what: &str) -> Result<(), Error> {
    let within = |text: &String| kind.parse(text).is_some_and(|n| ranges.iter().any(|range| range.has(n)));
    match in_use(world).find(|(of, text, _)| *of == kind && within(text)) {
        Some((_, _, (word, name))) => Err(Error::refused(
            409,
            "identifiers-in-use",
            format!("{name} has an identifier of {what}"),
            format!("delete it first: weft {word} delete {name}"),
        )),
        None => Ok(()),
    }
}

/// Whether a pool may stand as it is here, after it stood as `before`: for undos.
pub(crate) fn check_pool(
    world: &World,
    before: Option<&PoolRow>,
    after: Option<&PoolRow>,
) -> Result<(), Error> {
    let Some(row) = after.or(before) else { return Ok(()) };
    let kind = kind_of(&row.kind);
    let ranges = |row: Option<&PoolRow>| -> Vec<Range> {
        row.into_iter().flat_map(|row| &row.ranges).filter_map(|text| Range::parse(kind, text)).collect()
    };
    let (old, new) = (ranges(before), ranges(after));
    for range in new.iter().filter(|range| !old.contains(range)) {
        check_apart(world, kind, *range)?;
    }
    let gone: Vec<Range> = old.into_iter().filter(|range| !new.contains(range)).collect();
    check_unused(world, kind, &gone, &row.name)?;
    if after.is_none() {
        check_unlicensed(world, row)?;
    }
    let taken = |pool: &&PoolRow| after.is_some_and(|row| row.name == pool.name && row.id != pool.id);
    match world.identifiers.pools.values().find(taken) {
        Some(pool) => Err(taken_name(&pool.name)),
        None => Ok(()),
    }
}

fn check_unlicensed(world: &World, row: &PoolRow) -> Result<(), Error> {
    match world.identifiers.licences.values().find(|licence| licence.pool == row.id) {
        Some(licence) => Err(Error::refused(
            409,
            "pool-licensed",
            format!("the licence {} of {} extends {}", licence.id, licence.name, row.name),
            format!("remove it first: weft licence remove {}", licence.id),
        )),
        None => Ok(()),
    }
}

fn taken_name(name: &str) -> Error {
    Error::refused(409, "taken", format!("there is a pool {name}"), "choose another name")
}

impl Core {
    pub(crate) fn find_pool(&self, name: &str) -> Result<PoolRow, Error> {
        self.world().pool(name).cloned().map_err(|lookup| lost(lookup, name))
    }

    /// Creates a pool: the plan, and the pool where it is made.
    pub(crate) async fn pool_create(
        &self,
        actor: &str,
        wanted: PoolCreate,
        dry: bool,
    ) -> Result<(Plan, Option<Pool>), Error> {
        check_name(&wanted.name)?;
        let kind = IdKind::of(&wanted.kind)
            .ok_or_else(|| invalid(format!("there is no kind {}", wanted.kind), "mac or wwnn"))?;
        if !wanted.oui.is_empty() && parse_oui(&wanted.oui).is_none() {
            return Err(invalid(
                format!("{} is no OUI that anybody can own", wanted.oui),
                "three octets, assigned to you by the IEEE: --oui 00:1b:21",
            ));
        }
        let _change = self.change.lock().await;
        let row = {
            let world = self.world();
            if world.identifiers.pools.len() >= MAX_POOLS {
                return Err(Error::refused(
                    409,
                    "too-many",
                    format!("there are {MAX_POOLS} pools"),
                    "delete one",
                ));
            }
            if world.identifiers.pools.values().any(|pool| pool.name == wanted.name) {
                return Err(taken_name(&wanted.name));
            }
            PoolRow {
                id: hex(&random::<16>()),
                name: wanted.name.clone(),
                kind: wanted.kind.clone(),
                oui: wanted.oui.to_ascii_lowercase(),
                ranges: checked_ranges(&world, kind, &wanted.oui, &wanted.ranges)?,
                generation: 1,
            }
        };
        let told = pool_event(actor, "pool.created", format!("{}: {}", row.name, row.ranges.join(", ")));
        let id = row.id.clone();
        let change = Change::Kept(Kept::Pool { before: None, after: Some(row) });
        let plan = self.carry_out(actor, Draft::new(Kind::PoolCreate, vec![change], told), dry).await?;
        let world = self.world();
        Ok((plan, world.identifiers.pools.get(&id).map(|row| show_pool(&world, row))))
    }

    /// Adds ranges to a pool.
    pub(crate) async fn pool_extend(
        &self,
        actor: &str,
        name: &str,
        wanted: &PoolExtend,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let before = self.find_pool(name)?;
        let mut after = PoolRow { generation: before.generation.saturating_add(1), ..before.clone() };
        let kind = kind_of(&before.kind);
        let more = checked_ranges(&self.world(), kind, &before.oui, &wanted.ranges)?;
        let told = pool_event(actor, "pool.extended", format!("{} by {}", before.name, more.join(", ")));
        after.ranges.extend(more);
        if after.ranges.len() > MAX_RANGES {
            return Err(invalid(
                format!("{} would have {} ranges", before.name, after.ranges.len()),
                format!("a pool has at most {MAX_RANGES}: make another one"),
            ));
        }
        let change = Change::Kept(Kept::Pool { before: Some(before), after: Some(after) });
        self.carry_out(actor, Draft::new(Kind::PoolExtend, vec![change], told), dry).await
    }

    /// Deletes a pool that no server has an identifier of.
    pub(crate) async fn pool_delete(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.find_pool(name)?;
        if row.id == default_pool(kind_of(&row.kind)) {
            return Err(Error::refused(
                409,
                "default-pool",
                format!("servers draw from {} where no pool is named", row.name),
                "it stays; name another pool when you make a server",
            ));
        }
        check_pool(&self.world(), Some(&row), None)?;
        let told = pool_event(actor, "pool.deleted", row.name.clone());
        let change = Change::Kept(Kept::Pool { before: Some(row), after: None });
        self.carry_out(actor, Draft::new(Kind::PoolDelete, vec![change], told), dry).await
    }
}
