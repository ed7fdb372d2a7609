//! The machine's memory as sorted, disjoint regions.
//!
//! Firmware maps overlap, repeat and are unsorted. Where two entries disagree, the one that forbids
//! more wins: [`RegionKind::Loader`] over [`RegionKind::Reserved`] over [`RegionKind::AcpiTables`]
//! over [`RegionKind::Usable`]. What is usable is rounded inwards to whole pages, all else outwards.

use weft_types::PAGE_SIZE;
use weft_types::handoff::{MAX_REGIONS, Region, RegionKind};

/// Most entries of a firmware map, after neighbours of one kind were joined.
pub const MAX_INPUTS: usize = 512;

/// The map has more entries than [`MAX_INPUTS`], or more regions than [`MAX_REGIONS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
    kind: RegionKind,
}

/// A firmware map being collected.
pub struct RegionSet {
    spans: [Span; MAX_INPUTS],
    count: usize,
}

const fn weight(kind: RegionKind) -> u8 {
    match kind {
        RegionKind::Usable => 0,
        RegionKind::AcpiTables => 1,
        RegionKind::Reserved => 2,
        RegionKind::Loader => 3,
    }
}

impl Default for RegionSet {
    fn default() -> Self {
        Self::new()
    }
}

impl RegionSet {
    /// No entries.
    pub const fn new() -> Self {
        Self { spans: [Span { start: 0, end: 0, kind: RegionKind::Reserved }; MAX_INPUTS], count: 0 }
    }

    fn spans(&self) -> &[Span] {
        self.spans.get(..self.count).unwrap_or(&[])
    }

    /// Adds an entry. A size past the end of the address space is cut.
    pub fn add(&mut self, base: u64, size: u64, kind: RegionKind) -> Result<(), TooMany> {
        let last_page = !(PAGE_SIZE - 1);
        let end = base.saturating_add(size);
        let (start, end) = match kind {
            RegionKind::Usable => {
                (base.checked_next_multiple_of(PAGE_SIZE).unwrap_or(last_page), end & !(PAGE_SIZE - 1))
            }
            RegionKind::Reserved | RegionKind::AcpiTables | RegionKind::Loader => {
                (base & !(PAGE_SIZE - 1), end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(last_page))
            }
        };
        if size == 0 || start >= end {
            return Ok(());
        }
        let last = self.count.checked_sub(1).and_then(|last| self.spans.get_mut(last));
        if let Some(last) = last.filter(|last| last.kind == kind && last.end == start) {
            last.end = end;
            return Ok(());
        }
        *self.spans.get_mut(self.count).ok_or(TooMany)? = Span { start, end, kind };
        self.count += 1;
        Ok(())
    }

    /// First byte past the highest memory that is not reserved.
    pub fn top(&self) -> u64 {
        let ram = self.spans().iter().filter(|span| span.kind != RegionKind::Reserved);
        ram.map(|span| span.end).max().unwrap_or(0)
    }

    /// The highest `size` bytes of usable memory that end at or below `limit` and that no other
    /// entry touches. `size` is a multiple of the page size.
    pub fn place(&self, size: u64, limit: u64) -> Option<u64> {
        let usable = self.spans().iter().filter(|span| span.kind == RegionKind::Usable);
        usable.filter_map(|span| self.place_in(span, size, limit)).max()
    }

    fn place_in(&self, span: &Span, size: u64, limit: u64) -> Option<u64> {
        let mut end = span.end.min(limit);
        loop {
            let start = end.checked_sub(size).filter(|start| *start >= span.start)?;
            let clash =
                |other: &&Span| other.kind != RegionKind::Usable && other.start < end && other.end > start;
            match self.spans().iter().find(clash) {
                // Each turn moves below one more entry, so that this ends.
                Some(other) => end = other.start,
                None => return Some(start),
            }
        }
    }

    /// What holds at `start`, up to the next border of any entry.
    fn stretch(&self, start: u64) -> (u64, Option<RegionKind>) {
        let borders = self.spans().iter().flat_map(|span| [span.start, span.end]);
        let end = borders.filter(|border| *border > start).min().unwrap_or(u64::MAX);
        let covering = self.spans().iter().filter(|span| span.start <= start && span.end > start);
        (end, covering.map(|span| span.kind).max_by_key(|kind| weight(*kind)))
    }

    /// Writes the regions to `out` and returns their number.
    pub fn resolve(&self, out: &mut [Region; MAX_REGIONS]) -> Result<usize, TooMany> {
        let mut count = 0_usize;
        let mut at = self.spans().iter().map(|span| span.start).min().unwrap_or(u64::MAX);
        let mut previous: Option<(u64, RegionKind)> = None;
        while at < u64::MAX {
            let (end, kind) = self.stretch(at);
            if let Some(kind) = kind {
                if previous == Some((at, kind)) {
                    if let Some(last) = out.get_mut(count.saturating_sub(1)) {
                        last.size += end - at;
                    }
                } else {
                    let slot = out.get_mut(count).ok_or(TooMany)?;
                    *slot = Region { base: at, size: end - at, kind: kind as u32, reserved: 0 };
                    count += 1;
                }
                previous = Some((end, kind));
            }
            at = end;
        }
        Ok(count)
    }
}
