//! A guest that boots Linux once more by itself (`kexec`), without its monitor being asked: the lab's guest, to whose ram
//! disk a second one is added with the kernel, the first ram disk and the first program `images/kexec/init`.
//!
//! What it says: [`AGAIN`], then [`guest::USERLAND_UP`] of the second kernel, which switches itself off.

use std::path::Path;
use std::process::Command;

use crate::cpio::Archive;
use crate::guest::{self, Guest};
use crate::{Error, packages, sha256_hex};

/// What the first kernel's userland says, followed by its count of processors.
pub const AGAIN: &str = "weft guest: boots again from ";

const INIT: &str = include_str!("../kexec/init");

/// Makes the guest in `work` (for example `target/kexec`), from the lab's guest in `guest_work`.
pub fn build(work: &Path, guest_work: &Path) -> Result<Guest, Error> {
    let base = guest::build(guest_work)?;
    let _alone = packages::alone(work)?;
    let program = work.join("boot-again");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("kexec/boot-again.c");
    let mut compiler = Command::new("gcc");
    compiler.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s"]);
    packages::run(compiler.arg("-o").arg(&program).arg(source))?;

    let mut bytes = guest::read(&base.initrd)?;
    // The kernel unpacks one after the other; a file of the second takes the place of one of the first.
    bytes.extend(second(&guest::read(&base.kernel)?, &bytes, &guest::read(&program)?));
    let initrd = work.join("initrd");
    guest::write(&initrd, &bytes)?;
    Ok(Guest { initrd_digest: sha256_hex(&bytes), initrd, ..base })
}

fn second(kernel: &[u8], initrd: &[u8], program: &[u8]) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/boot-again", 0o755, program);
    archive.directory("boot", 0o755);
    archive.file("boot/vmlinuz", 0o644, kernel);
    archive.file("boot/initrd", 0o644, initrd);
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_announces_the_second_boot_in_the_agreed_words() {
        assert!(INIT.contains(AGAIN));
    }
}
