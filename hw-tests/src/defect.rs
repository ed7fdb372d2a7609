//! A defect of the emulator that ends guests through no fault of their own (docs/monitor.md): what ended so is run
//! again, a few times, and that is told.

use std::io::Write;

/// What the monitor says of such an end.
const CAUSE: &str = "a defect of the processor or emulator";
/// How often something is run again at most.
const AGAIN: u32 = 3;

/// Runs `once` until it does not end by the defect. `told`: what an outcome says.
pub fn again<T>(told: impl Fn(&T) -> String, once: impl FnMut() -> T) -> T {
    // Past what the test runner keeps for itself.
    again_telling(&mut std::io::stderr(), told, once)
}

fn again_telling<T>(out: &mut impl Write, told: impl Fn(&T) -> String, mut once: impl FnMut() -> T) -> T {
    let mut outcome = once();
    for _ in 0..AGAIN {
        let said = told(&outcome);
        let Some(line) = said.lines().find(|line| line.contains(CAUSE)) else { break };
        let _ = writeln!(out, "ended by the emulator, and is run again: {line}");
        outcome = once();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_defect_is_run_again_and_not_for_ever() {
        for (words, runs) in [("off", 1), ("Failed(\"a triple fault\")", 1), (CAUSE, 1 + AGAIN)] {
            let mut count = 0;
            let last = again(
                |said: &String| said.clone(),
                || {
                    count += 1;
                    words.to_string()
                },
            );
            assert_eq!((last.as_str(), count), (words, runs));
        }
    }
}
