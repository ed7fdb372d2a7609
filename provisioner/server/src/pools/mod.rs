//! Pools of identifiers: what they have, and how servers are given MACs and WWNNs from them.
//!
//! ```text
//! pool ─▶ its own ranges, and those of licences that are valid ─▶ least number that was never drawn ─▶ server
//! ```
//! Invariants:
//! - Ranges of one kind never overlap, whichever pool or licence they are of.
//! - An identifier that was drawn is never drawn again: the table of the store refuses it, and [`Runs`] has all of them.
//!   What a deleted server had rests for ever, because history is kept for ever and an undo gives it back.
//! - An identifier is drawn in the same batch that makes its server. It exists with the server or not at all.

mod change;
mod licences;
mod range;
mod runs;
mod show;

use std::collections::BTreeMap;

use weft_store::{LicenceRow, NetRow, PoolRow, Store, StoreError, VsRow};

use crate::error::Error;
use crate::util::unix_s;
use crate::world::{Lookup, World};

pub(crate) use change::check_pool;
pub(crate) use licences::check_licence;
pub(crate) use range::{IdKind, Range};
pub(crate) use runs::Runs;
pub(crate) use show::{show_licence, show_pool};

/// Ids of the pools that there always are.
const DEFAULTS: [(IdKind, &str); 2] =
    [(IdKind::Mac, "00000000000000000000000000000001"), (IdKind::Wwnn, "00000000000000000000000000000002")];

/// The pool that servers draw from where none is named.
pub(crate) fn default_pool(kind: IdKind) -> &'static str {
    DEFAULTS.into_iter().find(|(of, _)| *of == kind).map_or("", |(_, id)| id)
}

/// Pools and what was drawn from them, in memory.
#[derive(Debug, Default)]
pub(crate) struct Identifiers {
    pub(crate) pools: BTreeMap<String, PoolRow>,
    pub(crate) licences: BTreeMap<String, LicenceRow>,
    mac: Runs,
    wwnn: Runs,
}

/// Which pools servers draw from, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) mac: String,
    pub(crate) wwnn: String,
}

impl Default for Sources {
    fn default() -> Self {
        Self { mac: default_pool(IdKind::Mac).to_string(), wwnn: default_pool(IdKind::Wwnn).to_string() }
    }
}

/// An identifier of a server that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DrawnId {
    pub(crate) kind: IdKind,
    pub(crate) n: u64,
    pub(crate) vs: String,
}

/// A range that is in force, and the licence that it is of.
pub(crate) struct Piece<'a> {
    pub(crate) range: Range,
    pub(crate) licence: Option<&'a LicenceRow>,
}

impl Piece<'_> {
    /// Whether it may be drawn from.
    fn open_at(&self, now: u64) -> bool {
        self.licence.is_none_or(|licence| licence.not_before <= now && now < licence.expiry)
    }
}

/// Kind of a row, which was checked before it was written.
pub(crate) fn kind_of(word: &str) -> IdKind {
    IdKind::of(word).unwrap_or(IdKind::Mac)
}

impl Identifiers {
    /// All that the store has.
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let mut all = Self::default();
        all.pools.extend(store.pools().await?.into_iter().map(|row| (row.id.clone(), row)));
        all.licences.extend(store.licences().await?.into_iter().map(|row| (row.id.clone(), row)));
        for kind in IdKind::ALL {
            for (first, last) in store.drawn(kind.word()).await? {
                all.drawn_mut(kind).add(Range { first, last });
            }
        }
        Ok(all)
    }

    pub(crate) fn drawn(&self, kind: IdKind) -> &Runs {
        match kind {
            IdKind::Mac => &self.mac,
            IdKind::Wwnn => &self.wwnn,
        }
    }

    fn drawn_mut(&mut self, kind: IdKind) -> &mut Runs {
        match kind {
            IdKind::Mac => &mut self.mac,
            IdKind::Wwnn => &mut self.wwnn,
        }
    }

    /// Ranges of a pool: its own, then those of its licences, those that end first before the others.
    pub(crate) fn pieces<'a>(&'a self, pool: &'a PoolRow) -> Vec<Piece<'a>> {
        let kind = kind_of(&pool.kind);
        let own = pool.ranges.iter().filter_map(|text| Range::parse(kind, text));
        let mut pieces: Vec<Piece<'a>> = own.map(|range| Piece { range, licence: None }).collect();
        let mut licences: Vec<&LicenceRow> =
            self.licences.values().filter(|row| row.pool == pool.id).collect();
        licences.sort_by_key(|row| (row.expiry, row.id.clone()));
        pieces.extend(
            licences
                .into_iter()
                .filter_map(|row| Some(Piece { range: Range::parse(kind, &row.range)?, licence: Some(row) })),
        );
        pieces
    }

    /// All ranges of a kind with the pools that they are of.
    fn all_pieces(&self, kind: IdKind) -> impl Iterator<Item = (&PoolRow, Piece<'_>)> {
        let pools = self.pools.values().filter(move |pool| pool.kind == kind.word());
        pools.flat_map(move |pool| self.pieces(pool).into_iter().map(move |piece| (pool, piece)))
    }

    /// The pool that has an identifier.
    pub(crate) fn pool_of(&self, kind: IdKind, text: &str) -> Option<&PoolRow> {
        let n = kind.parse(text)?;
        self.all_pieces(kind).find(|(_, piece)| piece.range.has(n)).map(|(pool, _)| pool)
    }

    /// How many a pool can give at `now`.
    pub(crate) fn free(&self, pool: &PoolRow, now: u64) -> u64 {
        let drawn = self.drawn(kind_of(&pool.kind));
        let free = |piece: &Piece<'_>| piece.range.size().saturating_sub(drawn.count_in(piece.range));
        self.pieces(pool).iter().filter(|piece| piece.open_at(now)).map(free).sum()
    }

    /// Refuses where a pool cannot give so many: MACs, and WWNNs.
    pub(crate) fn check_room(&self, sources: &Sources, [macs, wwnns]: [u64; 2]) -> Result<(), Error> {
        for (id, kind, count) in [(&sources.mac, IdKind::Mac, macs), (&sources.wwnn, IdKind::Wwnn, wwnns)] {
            if count == 0 {
                continue;
            }
            let Some(pool) = self.pools.get(id) else { return Err(missing(id)) };
            let free = self.free(pool, unix_s());
            if free < count {
                return Err(exhausted(pool, kind, free, count));
            }
        }
        Ok(())
    }

    /// Takes the least identifier of a pool that was never drawn. It counts as drawn from here on, whatever becomes of
    /// its server: one that is left out harms nobody.
    fn take(&mut self, id: &str) -> Result<u64, Error> {
        let Some(pool) = self.pools.get(id) else { return Err(missing(id)) };
        let (kind, now) = (kind_of(&pool.kind), unix_s());
        let pieces = self.pieces(pool);
        let mut open = pieces.iter().filter(|piece| piece.open_at(now));
        let Some(n) = open.find_map(|piece| self.drawn(kind).first_free(piece.range)) else {
            return Err(exhausted(pool, kind, 0, 1));
        };
        self.drawn_mut(kind).add(Range { first: n, last: n });
        Ok(n)
    }

    /// Gives a new server its identifiers.
    pub(crate) fn draw(&mut self, sources: &Sources, row: &mut VsRow) -> Result<[DrawnId; 2], Error> {
        let (mac, wwnn) = (self.take(&sources.mac)?, self.take(&sources.wwnn)?);
        row.macs = vec![IdKind::Mac.text(mac)];
        row.wwnn = IdKind::Wwnn.text(wwnn);
        let drawn = |kind, n| DrawnId { kind, n, vs: row.id.clone() };
        Ok([drawn(IdKind::Mac, mac), drawn(IdKind::Wwnn, wwnn)])
    }

    /// Gives a new VNIC its MAC, a new VHBA its WWNN; others want none.
    pub(crate) fn draw_net(&mut self, sources: &Sources, row: &mut NetRow) -> Result<Option<DrawnId>, Error> {
        let vs = row.server.clone();
        let drawn = |kind, n| Some(DrawnId { kind, n, vs });
        Ok(if !row.mac.is_empty() {
            let mac = self.take(&sources.mac)?;
            row.mac = IdKind::Mac.text(mac);
            drawn(IdKind::Mac, mac)
        } else if !row.wwnn.is_empty() {
            let wwnn = self.take(&sources.wwnn)?;
            row.wwnn = IdKind::Wwnn.text(wwnn);
            drawn(IdKind::Wwnn, wwnn)
        } else {
            None
        })
    }
}

/// Identifiers that servers and their devices have, with the kind and the name of what has each.
pub(crate) fn in_use(world: &World) -> impl Iterator<Item = (IdKind, &String, (&'static str, &String))> {
    let servers = world
        .servers
        .values()
        .flat_map(|vs| identifiers(&vs.row).map(move |(kind, text)| (kind, text, ("vs", &vs.row.name))));
    let devices = world.networks.values().flat_map(|row| {
        let has = [(IdKind::Mac, &row.mac), (IdKind::Wwnn, &row.wwnn)];
        let has = has.into_iter().filter(|(_, text)| !text.is_empty());
        has.map(move |(kind, text)| (kind, text, (row.kind.word(), &row.name)))
    });
    servers.chain(devices)
}

/// Identifiers of a server.
pub(crate) fn identifiers(row: &VsRow) -> impl Iterator<Item = (IdKind, &String)> {
    let wwnn = (!row.wwnn.is_empty()).then_some((IdKind::Wwnn, &row.wwnn));
    row.macs.iter().map(|mac| (IdKind::Mac, mac)).chain(wwnn)
}

fn missing(id: &str) -> Error {
    Error::not_found("pool-not-found", "pool", id, "weft pool list")
}

fn exhausted(pool: &PoolRow, kind: IdKind, free: u64, wanted: u64) -> Error {
    let what = match kind {
        IdKind::Mac => "MACs",
        IdKind::Wwnn => "WWNNs",
    };
    let name = &pool.name;
    Error::refused(
        409,
        "pool-exhausted",
        format!("the pool {name} has {free} {what} left that were never drawn, and {wanted} are wanted"),
        format!(
            "extend it: weft pool extend {name} --range FIRST-LAST, or weft licence add FILE --pool {name}; \
             or name another pool: --{}-pool POOL",
            kind.word()
        ),
    )
}

impl World {
    /// A pool by name, id, or unique prefix.
    pub(crate) fn pool(&self, name: &str) -> Result<&PoolRow, Lookup> {
        let pools = &self.identifiers.pools;
        match pools.values().find(|pool| pool.name == name) {
            Some(pool) => Ok(pool),
            None => crate::world::unique(pools.values().filter(|pool| crate::world::prefix(&pool.id, name))),
        }
    }

    /// The pools that a request names, each of its kind; the default ones where it names none.
    pub(crate) fn sources(&self, mac: &str, wwnn: &str) -> Result<Sources, Error> {
        let source = |name: &str, kind: IdKind| {
            if name.is_empty() {
                return Ok(default_pool(kind).to_string());
            }
            let pool = self.pool(name).map_err(|lookup| lost(lookup, name))?;
            if pool.kind == kind.word() {
                Ok(pool.id.clone())
            } else {
                Err(Error::refused(
                    422,
                    "invalid",
                    format!(
                        "{} is a pool of {}s, and one of {}s is wanted",
                        pool.name,
                        pool.kind,
                        kind.word()
                    ),
                    "see weft pool list",
                ))
            }
        };
        Ok(Sources { mac: source(mac, IdKind::Mac)?, wwnn: source(wwnn, IdKind::Wwnn)? })
    }
}

/// A pool that a name does not lead to.
pub(crate) fn lost(lookup: Lookup, name: &str) -> Error {
    match lookup {
        Lookup::Missing => missing(name),
        Lookup::Ambiguous => Error::ambiguous("pool", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifiers(ranges: &[&str]) -> Identifiers {
        let mut all = Identifiers::default();
        for (kind, id) in DEFAULTS {
            let ranges = match kind {
                IdKind::Mac => ranges.iter().map(ToString::to_string).collect(),
                IdKind::Wwnn => vec!["30:57:00:00:00:00:00:00-30:57:00:00:00:00:00:ff".to_string()],
            };
            let row = PoolRow {
                id: id.to_string(),
                name: format!("default-{}", kind.word()),
                kind: kind.word().to_string(),
                ranges,
                ..PoolRow::default()
            };
            all.pools.insert(id.to_string(), row);
        }
        all
    }

    fn macs(all: &mut Identifiers, count: usize) -> Vec<String> {
        let draw = |_| {
            let mut row = VsRow::default();
            all.draw(&Sources::default(), &mut row).map(|_| row.macs.concat()).unwrap_or_default()
        };
        (0..count).map(draw).collect()
    }

    #[test]
    fn what_was_drawn_is_passed_over_and_the_next_range_follows() {
        let mut all =
            identifiers(&["02:00:00:00:00:01-02:00:00:00:00:03", "06:00:00:00:00:00-06:00:00:00:00:00"]);
        let n = IdKind::Mac.parse("02:00:00:00:00:02").expect("a MAC");
        all.mac.add(Range { first: n, last: n });
        assert_eq!(all.free(&all.pools[default_pool(IdKind::Mac)], 0), 3);
        assert_eq!(
            macs(&mut all, 4),
            ["02:00:00:00:00:01", "02:00:00:00:00:03", "06:00:00:00:00:00", ""],
            "the fourth is refused"
        );
        let error = all.check_room(&Sources::default(), [1, 1]).expect_err("nothing is left").problem();
        assert_eq!(error.code, "pool-exhausted");
        assert!(error.title.contains("default-mac has 0 MACs left"), "{}", error.title);
        assert!(error.next.contains("weft pool extend default-mac"), "{}", error.next);
    }

    #[test]
    fn a_licence_counts_only_while_it_is_valid() {
        let mut all = identifiers(&["02:00:00:00:00:01-02:00:00:00:00:01"]);
        let licence = |id: &str, range: &str, expiry: u64| LicenceRow {
            id: id.to_string(),
            kind: "mac".to_string(),
            pool: default_pool(IdKind::Mac).to_string(),
            range: range.to_string(),
            expiry,
            ..LicenceRow::default()
        };
        let valid = licence("1", "06:00:00:00:00:00-06:00:00:00:00:01", u64::MAX);
        let expired = licence("2", "0a:00:00:00:00:00-0a:00:00:00:00:ff", 5);
        all.licences.extend([("1".to_string(), valid), ("2".to_string(), expired)]);
        let pool = all.pools[default_pool(IdKind::Mac)].clone();
        assert_eq!((all.free(&pool, 4), all.free(&pool, 5)), (259, 3));
        assert_eq!(macs(&mut all, 4), ["02:00:00:00:00:01", "06:00:00:00:00:00", "06:00:00:00:00:01", ""]);
        assert_eq!(all.pool_of(IdKind::Mac, "0a:00:00:00:00:07").map(|pool| &pool.name), Some(&pool.name));
    }
}
