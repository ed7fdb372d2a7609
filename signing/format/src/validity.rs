//! The stretch of time in which a signed document speaks.

/// A document is judged at a time at which it does not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// Its time has not come.
    #[error("not valid before {not_before} (seconds since 1970), and it is {now}")]
    NotYet {
        /// First second at which it speaks.
        not_before: u64,
        /// The time it was judged at.
        now: u64,
    },
    /// Its time is over.
    #[error("expired at {expiry} (seconds since 1970), and it is {now}")]
    Expired {
        /// First second at which it no longer speaks.
        expiry: u64,
        /// The time it was judged at.
        now: u64,
    },
}

/// Judges `not_before <= now < expiry`, all in seconds since 1970.
pub(crate) const fn judge(not_before: u64, expiry: u64, now: u64) -> Result<(), ValidityError> {
    if now < not_before {
        Err(ValidityError::NotYet { not_before, now })
    } else if now >= expiry {
        Err(ValidityError::Expired { expiry, now })
    } else {
        Ok(())
    }
}
