//! What the benches of the appliance share.
//!
//! - [`common`]: the appliance and the client that tests use;
//! - [`steady`]: a client that keeps its connection;
//! - [`process`]: what the kernel counts of a process;
//! - [`arguments`]: `--quick` and `--runs=N`.

#[allow(dead_code, reason = "tests use all of it")]
#[path = "../../tests/it/common.rs"]
pub(crate) mod common;
pub(crate) mod process;
pub(crate) mod steady;

/// What a bench was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// A short look.
    pub(crate) quick: bool,
    /// Rounds of each side.
    pub(crate) runs: usize,
}

/// `--quick` for a look, `--runs=N` for other than five rounds, or than one where it is quick. Cargo adds `--bench`.
pub(crate) fn arguments() -> Asked {
    let mut asked = Asked { quick: false, runs: 0 };
    for word in std::env::args().skip(1) {
        match (word.as_str(), word.strip_prefix("--runs=").map(str::parse)) {
            ("--bench", _) => {}
            ("--quick", _) => asked.quick = true,
            (_, Some(Ok(runs))) => asked.runs = runs,
            _ => panic!("{word} is not understood: --quick, --runs=N"),
        }
    }
    if asked.runs == 0 {
        asked.runs = if asked.quick { 1 } else { 5 };
    }
    asked
}
