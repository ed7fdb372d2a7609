//! A set of numbers as runs without a gap: what was drawn takes as much memory as it has gaps, not as it has numbers.

use std::collections::BTreeMap;

use super::range::Range;

/// Numbers, as first → last of each run. Runs neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// Adds all numbers of a range.
    pub(crate) fn add(&mut self, range: Range) {
        let Range { mut first, mut last } = range;
        // Runs that begin within or right behind the new one, and the one that reaches it, become one with it.
        let until = last.saturating_add(1);
        while let Some((start, end)) = self.0.range(..=until).next_back().map(|(start, end)| (*start, *end)) {
            if end.saturating_add(1) < first {
                break;
            }
            self.0.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    /// The run that has a number.
    fn run_at(&self, n: u64) -> Option<Range> {
        let (first, last) = self.0.range(..=n).next_back()?;
        (*last >= n).then_some(Range { first: *first, last: *last })
    }

    /// The least number of a range that is not in the set.
    pub(crate) fn first_free(&self, range: Range) -> Option<u64> {
        let free = match self.run_at(range.first) {
            None => range.first,
            Some(run) => run.last.checked_add(1)?,
        };
        (free <= range.last).then_some(free)
    }

    /// The first `count` numbers in a row of a range of which none is in the set.
    pub(crate) fn stretch(&self, within: Range, count: u64) -> Option<Range> {
        let mut first = within.first;
        loop {
            first = self.first_free(Range { first, last: within.last })?;
            let last = first.checked_add(count.checked_sub(1)?)?;
            if last > within.last {
                return None;
            }
            match self.0.range(first..=last).next() {
                None => return Some(Range { first, last }),
                Some((_, end)) => first = end.checked_add(1)?,
            }
        }
    }

    /// How many numbers of a range are in the set.
    pub(crate) fn count_in(&self, range: Range) -> u64 {
        let before = self.run_at(range.first).map(|run| run.last.min(range.last) - range.first + 1);
        let begun =
            self.0.range(range.first.saturating_add(1)..=range.last.max(range.first.saturating_add(1)));
        let within = begun
            .filter(|(first, _)| **first <= range.last)
            .map(|(first, last)| (*last).min(range.last) - first + 1);
        before.unwrap_or(0).saturating_add(within.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> Range {
        Range { first, last }
    }

    fn runs(all: &[(u64, u64)]) -> Runs {
        let mut runs = Runs::default();
        all.iter().for_each(|(first, last)| runs.add(range(*first, *last)));
        runs
    }

    #[test]
    fn runs_that_touch_become_one() {
        assert_eq!(runs(&[(1, 1), (3, 3), (2, 2)]).0, BTreeMap::from([(1, 3)]));
        assert_eq!(runs(&[(5, 9), (1, 2), (0, 20)]).0, BTreeMap::from([(0, 20)]));
        assert_eq!(runs(&[(5, 9), (1, 3), (7, 12)]).0, BTreeMap::from([(1, 3), (5, 12)]));
        assert_eq!(runs(&[(0, 20), (5, 9)]).0, BTreeMap::from([(0, 20)]));
        assert_eq!(runs(&[(u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX - 1)]).0.len(), 1);
    }

    #[test]
    fn the_same_comes_out_as_of_a_plain_set() {
        // A linear congruential generator: the same numbers each time.
        let mut seed = 7u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let (mut runs, mut plain) = (Runs::default(), std::collections::BTreeSet::new());
            for _ in 0..next(30) {
                let first = next(60);
                let last = first + next(4);
                runs.add(range(first, last));
                plain.extend(first..=last);
            }
            let first = next(60);
            let within = range(first, first + next(20));
            let free = |n: &u64| !plain.contains(n);
            assert_eq!(runs.first_free(within), (within.first..=within.last).find(free));
            let there = (within.first..=within.last).filter(|n| plain.contains(n)).count() as u64;
            assert_eq!(runs.count_in(within), there, "{runs:?} {within:?}");
            let count = 1 + next(5);
            let fits =
                |start: &u64| start + count - 1 <= within.last && (*start..start + count).all(|n| free(&n));
            assert_eq!(
                runs.stretch(within, count).map(|found| found.first),
                (within.first..=within.last).find(fits)
            );
        }
    }
}
