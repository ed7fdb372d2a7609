//! A writer of packet captures: the classic pcap file format, microseconds, Ethernet.
//!
//! Source: the IETF draft "PCAP Capture File Format", section 4.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// A capture stops growing here, bytes.
pub const MAX_BYTES: u64 = 512 * 1024 * 1024;

const MAGIC: u32 = 0xa1b2_c3d4;
const SNAP_LENGTH: u32 = 65535;
const ETHERNET: u32 = 1;

/// A capture file being written.
pub struct Capture {
    file: BufWriter<File>,
    written: u64,
}

impl Capture {
    /// Starts a capture.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&MAGIC.to_le_bytes())?;
        file.write_all(&2u16.to_le_bytes())?;
        file.write_all(&4u16.to_le_bytes())?;
        for field in [0, 0, SNAP_LENGTH, ETHERNET] {
            file.write_all(&u32::to_le_bytes(field))?;
        }
        Ok(Self { file, written: 24 })
    }

    /// Adds a frame; nothing once [`MAX_BYTES`] are reached.
    pub fn frame(&mut self, since_1970: Duration, frame: &[u8]) -> std::io::Result<()> {
        if self.written >= MAX_BYTES {
            return Ok(());
        }
        let seconds = u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX);
        let length = u32::try_from(frame.len()).unwrap_or(SNAP_LENGTH);
        for field in [seconds, since_1970.subsec_micros(), length, length] {
            self.file.write_all(&field.to_le_bytes())?;
        }
        self.file.write_all(frame)?;
        self.written += 16 + u64::from(length);
        Ok(())
    }

    /// Puts what is buffered on disk.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_a_header_and_whole_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.pcap");
        let mut capture = Capture::create(&path).expect("made");
        capture.frame(Duration::new(7, 8000), &[1, 2, 3]).expect("written");
        capture.flush().expect("flushed");
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len(), 24 + 16 + 3);
        assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
        assert_eq!(bytes[24..32], [7, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(bytes[40..], [1, 2, 3]);
    }
}
