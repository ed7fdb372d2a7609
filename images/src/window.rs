//! A guest that looks for the monitor's shadow tables in every paging mode: `images/window/window.S`, assembled by the
//! machine's C compiler, as a bzImage. It says how often it looked and how often it read anything but a fault or
//! ones, and switches itself off.

use std::path::Path;
use std::process::Command;

use crate::{Error, hostile, packages};

/// The last words of a guest that read nothing it should not.
pub const NOTHING_READ: &str = " looks, 0 reads";

/// The image; `work` is a folder for what is assembled.
pub fn kernel(work: &Path) -> Result<Vec<u8>, Error> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("window/window.S");
    std::fs::create_dir_all(work).map_err(Error::io(work))?;
    let file = work.join("window.bin");
    let mut compiler = Command::new("gcc");
    compiler.args(["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,--oformat=binary"]);
    compiler.arg(format!("-Wl,-Ttext={:#x}", hostile::BASE)).arg("-o").arg(&file).arg(source);
    packages::run(&mut compiler)?;
    let payload = std::fs::read(&file).map_err(Error::io(&file))?;
    Ok(hostile::wrap(&payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_its_entry_where_the_boot_protocol_wants_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = kernel(folder.path()).expect("assembled");
        // cli, 512 bytes after the start of the payload, which follows the setup sectors.
        assert_eq!(image[1024 + 0x200], 0xfa);
        assert_eq!(&image[0x202..0x206], b"HdrS");
    }
}
