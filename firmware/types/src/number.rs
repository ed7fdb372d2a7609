//! Numbers of a partition's configurations: the appliance's own, and what an operator changes while it is away.
//!
//! ```text
//! epoch │ counter: 24 bits of the appliance │ 8 bits: amendment, 0 none │ 32 bits: which one
//! ```
//! The appliance leaves room behind each of its counters, so that its next word is later than every amendment of the
//! one before, though it has heard of none. Two operators that amend one configuration at once give the same number to
//! two things; the last 32 bits, of a digest, keep their identities apart.

use core::fmt;

/// Bits behind the appliance's counter.
const AMENDMENT_BITS: u32 = 40;
const DIGEST_BITS: u32 = 32;

/// Epoch and counter of a configuration. Compared by epoch first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigNumber {
    /// Grows when an appliance's store was restored.
    pub epoch: u64,
    /// See the module.
    pub counter: u64,
}

impl ConfigNumber {
    /// Number of the appliance's `count`-th configuration; `None` once an epoch has no more.
    pub const fn of_appliance(epoch: u64, count: u64) -> Option<Self> {
        if count == 0 || count >> (u64::BITS - AMENDMENT_BITS) != 0 {
            return None;
        }
        Some(Self { epoch, counter: count << AMENDMENT_BITS })
    }

    /// Number of an amendment of this configuration. `None` where this is no configuration of the appliance, where it
    /// left no room (an earlier version's), or for amendment 0.
    pub const fn amended(self, amendment: u8, digest: u32) -> Option<Self> {
        let room = self.counter >> AMENDMENT_BITS != 0 && self.base().counter == self.counter;
        if !room || amendment == 0 {
            return None;
        }
        let low = (amendment as u64) << DIGEST_BITS | digest as u64;
        Some(Self { epoch: self.epoch, counter: self.counter | low })
    }

    /// The appliance's configuration that this one amends; itself where it amends none.
    pub const fn base(self) -> Self {
        let counter = match self.counter >> AMENDMENT_BITS {
            0 => self.counter,
            count => count << AMENDMENT_BITS,
        };
        Self { epoch: self.epoch, counter }
    }

    /// Which amendment it is, 0 for the appliance's own word.
    pub const fn amendment(self) -> u8 {
        match self.counter >> AMENDMENT_BITS {
            0 => 0,
            // 8 bits are left.
            _ => (self.counter >> DIGEST_BITS & 0xff) as u8,
        }
    }
}

/// `1.7`, and `1.7+2` for the second amendment of it.
impl fmt::Display for ConfigNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.counter >> AMENDMENT_BITS {
            0 => write!(f, "{}.{}", self.epoch, self.counter),
            count => write!(f, "{}.{count}", self.epoch),
        }?;
        match self.amendment() {
            0 => Ok(()),
            amendment => write!(f, "+{amendment}"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn amendments_lie_between_two_words_of_the_appliance() {
        let of = |count| ConfigNumber::of_appliance(1, count).unwrap();
        let (first, next) = (of(7), of(8));
        let one = first.amended(1, u32::MAX).unwrap();
        let two = first.amended(2, 0).unwrap();
        let last = first.amended(255, u32::MAX).unwrap();
        assert!(first < one && one < two && two < last && last < next);
        assert_eq!([first, one, last].map(|number| number.base()), [first; 3]);
        assert_eq!([first, one, last].map(|number| number.amendment()), [0, 1, 255]);
        assert_eq!([first, two].map(|number| number.to_string()), ["1.7", "1.7+2"]);
        assert!(
            ConfigNumber::of_appliance(2, 1).unwrap() > last,
            "a new epoch is later than all of one before"
        );
    }

    #[test]
    fn what_has_no_room_is_not_amended() {
        let earlier = ConfigNumber { epoch: 1, counter: 37 };
        assert_eq!((earlier.amended(1, 5), earlier.base(), earlier.amendment()), (None, earlier, 0));
        assert_eq!(earlier.to_string(), "1.37");
        let first = ConfigNumber::of_appliance(1, 7).unwrap();
        assert_eq!(first.amended(0, 5), None);
        assert_eq!(first.amended(1, 5).unwrap().amended(2, 5), None, "an amendment of an amendment");
        assert_eq!(ConfigNumber::of_appliance(1, 0), None);
        assert_eq!(ConfigNumber::of_appliance(1, 1 << 24), None);
    }
}
