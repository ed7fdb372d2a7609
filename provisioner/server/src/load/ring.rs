//! A bounded history of one object: each second of the last five minutes, each minute of the last six hours.
//!
//! A row has a value for each metric, [`f32::NAN`] where nothing is known. Rows follow one another without holes: time
//! in which nothing was noted is filled with such rows, so that a gap stays one.

use std::collections::VecDeque;

/// Seconds kept one by one.
pub(crate) const FINE_ROWS: usize = 300;
/// Seconds of a coarse row.
pub(crate) const COARSE_S: u64 = 60;
/// Coarse rows kept.
pub(crate) const COARSE_ROWS: usize = 360;

/// Rows of equal distance.
#[derive(Clone, Debug)]
struct Ring<const N: usize> {
    /// Number of the last row: its time over the distance.
    last: u64,
    rows: VecDeque<[f32; N]>,
    keep: usize,
}

impl<const N: usize> Ring<N> {
    fn new(keep: usize) -> Self {
        Self { last: 0, rows: VecDeque::new(), keep }
    }

    /// Adds the row of `number`; what is no later than the last is dropped.
    fn push(&mut self, number: u64, row: [f32; N]) {
        if self.rows.is_empty() {
            self.rows.reserve_exact(self.keep);
        } else if number <= self.last {
            return;
        } else {
            let missed = usize::try_from(number - self.last - 1).unwrap_or(usize::MAX).min(self.keep);
            (0..missed).for_each(|_| self.add([f32::NAN; N]));
        }
        self.last = number;
        self.add(row);
    }

    fn add(&mut self, row: [f32; N]) {
        if self.rows.len() >= self.keep {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// The last `count` rows up to `last`, oldest first; unknown ones where there are none.
    fn tail(&self, last: u64, count: usize) -> Vec<[f32; N]> {
        let row = |back: usize| {
            let number = last.checked_sub(back as u64)?;
            let behind = usize::try_from(self.last.checked_sub(number)?).ok()?;
            let index = self.rows.len().checked_sub(1)?.checked_sub(behind)?;
            self.rows.get(index).copied()
        };
        (0..count).rev().map(|back| row(back).unwrap_or([f32::NAN; N])).collect()
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Rings<const N: usize> {
    fine: Ring<N>,
    coarse: Ring<N>,
    /// Minute under way: what was known of it so far.
    minute: u64,
    sums: [(f64, u32); N],
    /// Second of the last row in which anything was known.
    known: u64,
}

impl<const N: usize> Default for Rings<N> {
    fn default() -> Self {
        let (fine, coarse) = (Ring::new(FINE_ROWS), Ring::new(COARSE_ROWS));
        Self { fine, coarse, minute: 0, sums: [(0.0, 0); N], known: 0 }
    }
}

impl<const N: usize> Rings<N> {
    /// Notes a second.
    pub(crate) fn push(&mut self, second: u64, row: [f32; N]) {
        let minute = second / COARSE_S;
        if minute > self.minute {
            if self.minute > 0 {
                self.coarse.push(self.minute, self.means());
            }
            (self.minute, self.sums) = (minute, [(0.0, 0); N]);
        }
        for (sum, value) in self.sums.iter_mut().zip(row).filter(|(_, value)| !value.is_nan()) {
            *sum = (sum.0 + f64::from(value), sum.1.saturating_add(1));
            self.known = second;
        }
        self.fine.push(second, row);
    }

    fn means(&self) -> [f32; N] {
        self.sums.map(|(sum, count)| if count == 0 { f32::NAN } else { (sum / f64::from(count)) as f32 })
    }

    /// Whether nothing kept says anything any more.
    pub(crate) fn is_over(&self, second: u64) -> bool {
        second.saturating_sub(self.known) > COARSE_S * COARSE_ROWS as u64
    }

    /// The last `count` seconds up to `second`.
    pub(crate) fn seconds(&self, second: u64, count: usize) -> Vec<[f32; N]> {
        self.fine.tail(second, count.min(FINE_ROWS))
    }

    /// The last `count` whole minutes up to the one numbered `minute`.
    pub(crate) fn minutes(&self, minute: u64, count: usize) -> Vec<[f32; N]> {
        self.coarse.tail(minute, count.min(COARSE_ROWS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[[f32; 1]]) -> String {
        let text = |[value]: &[f32; 1]| if value.is_nan() { "-".to_string() } else { value.to_string() };
        rows.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn time_in_which_nothing_was_noted_is_a_gap() {
        let mut rings = Rings::<1>::default();
        for second in [1000, 1001, 1004] {
            rings.push(second, [(second - 1000) as f32]);
        }
        // Twice in a second, and backwards.
        rings.push(1004, [9.0]);
        rings.push(1002, [9.0]);
        assert_eq!(texts(&rings.seconds(1004, 6)), "- 0 1 - - 4");
        assert_eq!(texts(&rings.seconds(1006, 4)), "- 4 - -", "it is silent since");
        assert_eq!(texts(&rings.seconds(1002, 3)), "0 1 -", "as it was then");
    }

    #[test]
    fn minutes_are_means_of_what_was_known() {
        let mut rings = Rings::<1>::default();
        for second in 6000..6060 {
            rings.push(second, [if second < 6030 { 2.0 } else { f32::NAN }]);
        }
        assert_eq!(texts(&rings.minutes(100, 1)), "-", "the minute is not over");
        rings.push(6060, [8.0]);
        assert_eq!(texts(&rings.minutes(100, 2)), "- 2");
        // Four minutes of silence.
        rings.push(6360, [1.0]);
        assert_eq!(texts(&rings.minutes(105, 7)), "- 2 8 - - - -");
    }

    #[test]
    fn it_never_grows_beyond_its_bounds_and_forgets_the_oldest() {
        let mut rings = Rings::<1>::default();
        for second in 0..100_000 {
            rings.push(second, [second as f32]);
        }
        assert_eq!((rings.fine.rows.len(), rings.coarse.rows.len()), (FINE_ROWS, COARSE_ROWS));
        assert!(rings.fine.rows.capacity() <= FINE_ROWS && rings.coarse.rows.capacity() <= COARSE_ROWS);
        assert_eq!(rings.seconds(99_999, usize::MAX).len(), FINE_ROWS);
        assert_eq!(rings.seconds(99_999, FINE_ROWS)[0], [99_700.0]);
        assert!(!rings.is_over(99_999 + 6 * 3600) && rings.is_over(100_000 + 6 * 3600));
        // A leap of a day.
        rings.push(200_000, [1.0]);
        assert_eq!(texts(&rings.seconds(200_000, 2)), "- 1");
        assert_eq!(rings.fine.rows.len(), FINE_ROWS);
    }
}
