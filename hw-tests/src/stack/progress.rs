//! What `up` says while it works: one line for each thing that happened, with the time since the start.

use std::time::Instant;

/// A clock with a voice.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
}

impl Progress {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Says something on standard error.
    pub fn say(&self, what: &str) {
        eprintln!("[{:6.1} s] {what}", self.started.elapsed().as_secs_f32());
    }
}
