//! A password that nothing shows by accident.

use std::fmt;

/// Shown as `***`, also in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Holds it.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// To hand it to a controller, and to nobody else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_in_debug_output() {
        assert_eq!(format!("{:?}", Password::new("hunter2")), "***");
    }
}
