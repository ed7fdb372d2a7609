//! Pools and licences as the interface shows them.

use weft_api::{Licence, Pool, PoolRange};
use weft_store::{LicenceRow, PoolRow};

use super::{Range, default_pool, in_use, kind_of};
use crate::util::{at_unix, unix_s};
use crate::world::World;

/// A pool with its usage.
pub(crate) fn show_pool(world: &World, pool: &PoolRow) -> Pool {
    let (kind, all) = (kind_of(&pool.kind), &world.identifiers);
    let drawn = all.drawn(kind);
    let pieces = all.pieces(pool);
    let ranges: Vec<PoolRange> = pieces
        .iter()
        .map(|piece| PoolRange {
            range: piece.range.text(kind),
            size: piece.range.size(),
            drawn: drawn.count_in(piece.range),
            licence: piece.licence.map(|row| row.id.clone()).unwrap_or_default(),
        })
        .collect();
    let size: u64 = ranges.iter().map(|range| range.size).sum();
    let free = all.free(pool, unix_s());
    let here = |text: &str| kind.parse(text).is_some_and(|n| pieces.iter().any(|piece| piece.range.has(n)));
    let state = match free {
        0 => "exhausted",
        free if free < size.div_ceil(10) => "low",
        _ => "ok",
    };
    Pool {
        name: pool.name.clone(),
        state: state.to_string(),
        id: pool.id.clone(),
        kind: pool.kind.clone(),
        oui: pool.oui.clone(),
        default: pool.id == default_pool(kind),
        size,
        drawn: ranges.iter().map(|range| range.drawn).sum(),
        in_use: in_use(world).filter(|(of, text, _)| *of == kind && here(text)).count() as u64,
        free,
        ranges,
        generation: pool.generation,
    }
}

/// A licence with its usage.
pub(crate) fn show_licence(world: &World, row: &LicenceRow) -> Licence {
    let (kind, now) = (kind_of(&row.kind), unix_s());
    let range = Range::parse(kind, &row.range);
    let state = match now {
        now if now < row.not_before => "not-yet",
        now if now >= row.expiry => "expired",
        _ => "valid",
    };
    Licence {
        name: row.name.clone(),
        state: state.to_string(),
        id: row.id.clone(),
        kind: row.kind.clone(),
        pool: world.identifiers.pools.get(&row.pool).map(|pool| pool.name.clone()).unwrap_or_default(),
        range: row.range.clone(),
        size: range.map_or(0, Range::size),
        drawn: range.map_or(0, |range| world.identifiers.drawn(kind).count_in(range)),
        not_before: at_unix(row.not_before),
        expires: at_unix(row.expiry),
        signers: row.signers.clone(),
        added: row.at.clone(),
    }
}
