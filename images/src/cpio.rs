//! A writer of initial ram disks: the `newc` cpio format of the Linux kernel.
//!
//! Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. Same calls, same bytes: inode
//! numbers count up, owner is root, every time stamp is zero.

/// An archive being written.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    next_inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// The kernel pads each header and each file to this many bytes.
const ALIGN: usize = 4;
/// The archive as a whole is padded to a block.
const BLOCK: usize = 512;

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory. `path` has no leading slash.
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.entry(path, DIRECTORY | mode, 2, (0, 0), &[]);
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entry(path, FILE | mode, 1, (0, 0), contents);
    }

    /// Adds a symbolic link at `path` that points to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, SYMLINK | 0o777, 1, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.entry(path, CHAR_DEVICE | mode, 1, (major, minor), &[]);
    }

    /// Ends the archive and returns its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.next_inode = 0;
        self.entry("TRAILER!!!", 0, 1, (0, 0), &[]);
        self.pad(BLOCK);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, links: u32, device: (u32, u32), data: &[u8]) {
        let size = u32::try_from(data.len()).expect("a file in a ram disk is below 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("paths are short");
        let fields = [self.next_inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.next_inode += 1;
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad(ALIGN);
        self.bytes.extend_from_slice(data);
        self.pad(ALIGN);
    }

    fn pad(&mut self, to: usize) {
        let size = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(size, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new();
        archive.directory("bin", 0o755);
        archive.file("bin/tool", 0o755, b"twelve bytes");
        archive.file("odd", 0o600, b"x");
        archive.symlink("init", "bin/tool");
        archive.char_device("null", 0o666, 1, 3);
        archive.finish()
    }

    #[test]
    fn same_contents_give_the_same_bytes() {
        assert_eq!(sample(), sample());
        assert_eq!(sample().len() % BLOCK, 0);
    }

    #[test]
    fn busybox_reads_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reader = Command::new("busybox")
            .args(["cpio", "-i", "-d", "bin/tool", "odd", "init"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("busybox starts");
        reader.stdin.take().expect("a pipe").write_all(&sample()).expect("it reads");
        assert!(reader.wait().expect("it ends").success());
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
        assert_eq!(read("bin/tool"), b"twelve bytes");
        assert_eq!(read("init"), b"twelve bytes");
        assert_eq!(read("odd"), b"x");
    }

    #[test]
    fn headers_are_hexadecimal_and_aligned() {
        let bytes = sample();
        // Header of 110 bytes, "bin" and its NUL, padded to 116.
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..114], b"bin\0");
        assert_eq!(&bytes[116..122], b"070701");
    }
}
