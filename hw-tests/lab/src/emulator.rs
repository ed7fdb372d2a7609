//! The emulator's command line begins here.
//!
//! An emulated machine has a thread for each processor, and one for its devices. Where all want processors of this machine at once, a
//! frame waits for its receiver's device thread until some processor thread has used up its slice, several milliseconds, which
//! no real network does. So the device thread goes first (`SCHED_RR`); it mostly sleeps, and the kernel keeps a twentieth of
//! each second for others whatever it does. Processor threads stay ordinary.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Lifetime;
use crate::process;

const PROGRAM: &str = "qemu-system-x86_64";
/// Only the thread that is started gets the policy; those that it makes are ordinary.
const FIRST: [&str; 4] = ["chrt", "--reset-on-fork", "--rr", "1"];

/// Whether this user may give threads such a policy: root may, others mostly not.
fn may_go_first() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        let [program, arguments @ ..] = FIRST;
        let mut asked = Command::new(program);
        asked.args(arguments).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    })
}

/// An emulator, its device thread first where that is allowed. Without it nodes are slower under load, and right.
pub fn command(lifetime: Lifetime) -> Command {
    if !may_go_first() {
        return process::command(lifetime, &[], PROGRAM);
    }
    // `setpriv` first: what it asks for survives the programs that follow.
    let [program, arguments @ ..] = FIRST;
    let mut chosen = process::command(lifetime, &[], program);
    chosen.args(arguments).arg(PROGRAM);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_thread_goes_first_or_nothing_is_asked_for() {
        let command = command(Lifetime::Test);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let wanted: &[&str] = if may_go_first() { &["--rr", "1", PROGRAM] } else { &[PROGRAM] };
        assert!(
            words.ends_with(&wanted.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()),
            "{words:?}"
        );
    }
}
