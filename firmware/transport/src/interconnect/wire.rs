//! The header of a link frame. Little-endian, [`HEADER`] bytes, then the tag, the control bytes, the payload.
//!
//! ```text
//! 0 version  1 flags  2 from  3 to  4 vs (u32)  8 epoch (u32)  12 number (u48)  18 control length  19 zero
//! 20 sequence (u32)  24 ack (u32)  28 received beyond ack (u64)  36 released requests (u16)
//! 38 released forwards (u16)  40 ack delay, µs (u16)  42 payload length (u16)      44 tag  60 …
//! ```
//! `number` counts every frame of one direction and never repeats under one key: it makes each frame unique and
//! lets the receiver refuse replays. `sequence` counts data frames only: a frame sent again keeps it.

use super::{Class, MAX_CONTROL, Peer};

/// Bytes of the header.
pub const HEADER: usize = 44;
/// Bytes of the authentication tag.
pub const TAG: usize = 16;
/// What a link adds to each frame, bytes.
pub const OVERHEAD: usize = HEADER + TAG;
/// This protocol.
pub(crate) const VERSION: u8 = 1;
/// Numbers end here.
pub(crate) const NUMBER_END: u64 = 1 << 48;

const FLAG_DATA: u8 = 1 << 2;
const FLAG_FIRST: u8 = 1 << 3;
const FLAG_LAST: u8 = 1 << 4;
const FLAG_PROBE: u8 = 1 << 5;
const FLAG_SIZE: u8 = 1 << 6;
const FLAGS: u8 = 0b111_1111;

/// What a data frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Data {
    pub(crate) class: Class,
    /// First frame of its message.
    pub(crate) first: bool,
    /// Last frame of its message.
    pub(crate) last: bool,
}

/// The header's fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) from: Peer,
    pub(crate) to: Peer,
    pub(crate) vs: u32,
    pub(crate) epoch: u32,
    pub(crate) number: u64,
    /// `None`: a frame that only acknowledges.
    pub(crate) data: Option<Data>,
    /// Without data: asks for an acknowledgement.
    pub(crate) probe: bool,
    /// Without data: with padding as payload it asks whether frames of this length arrive, without it answers that one did.
    pub(crate) size: bool,
    /// Of this data frame; of the next one where there is no data.
    pub(crate) sequence: u32,
    /// All data frames before this one have arrived.
    pub(crate) ack: u32,
    /// Bit `i`: data frame `ack + 1 + i` has arrived.
    pub(crate) beyond: u64,
    /// Requests and forwards that the receiver is done with, modulo 2^16.
    pub(crate) released: [u16; 2],
    /// How long the newest arrival waited for this acknowledgement, microseconds.
    pub(crate) ack_delay_us: u16,
    pub(crate) control: u8,
    pub(crate) payload: u16,
}

/// Why a frame is no link frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WireError {
    /// Shorter than its header, tag and lengths.
    Short,
    /// Not this protocol.
    Version,
    /// Flags or lengths that cannot be.
    Malformed,
}

fn array<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], WireError> {
    frame.get(at..at + N).and_then(|b| b.try_into().ok()).ok_or(WireError::Short)
}

fn u16_at(frame: &[u8], at: usize) -> Result<u16, WireError> {
    array(frame, at).map(u16::from_le_bytes)
}

fn u32_at(frame: &[u8], at: usize) -> Result<u32, WireError> {
    array(frame, at).map(u32::from_le_bytes)
}

fn u64_at(frame: &[u8], at: usize) -> Result<u64, WireError> {
    array(frame, at).map(u64::from_le_bytes)
}

impl Header {
    /// Reads the header and checks that the frame is as long as it says; padding behind it is allowed.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let [version, flags, from, to] = array(frame, 0)?;
        if version != VERSION {
            return Err(WireError::Version);
        }
        let [n0, n1, n2, n3, n4, n5, control, zero] = array(frame, 12)?;
        let data = match flags & FLAG_DATA {
            0 => None,
            _ => Some(Data {
                class: Class::from_bits(flags & 3).ok_or(WireError::Malformed)?,
                first: flags & FLAG_FIRST != 0,
                last: flags & FLAG_LAST != 0,
            }),
        };
        let header = Self {
            from: Peer(from),
            to: Peer(to),
            vs: u32_at(frame, 4)?,
            epoch: u32_at(frame, 8)?,
            number: u64::from_le_bytes([n0, n1, n2, n3, n4, n5, 0, 0]),
            data,
            probe: flags & FLAG_PROBE != 0,
            size: flags & FLAG_SIZE != 0,
            sequence: u32_at(frame, 20)?,
            ack: u32_at(frame, 24)?,
            beyond: u64_at(frame, 28)?,
            released: [u16_at(frame, 36)?, u16_at(frame, 38)?],
            ack_delay_us: u16_at(frame, 40)?,
            control,
            payload: u16_at(frame, 42)?,
        };
        let empty = header.control == 0 && (header.payload == 0 || header.size);
        let fits = match data {
            None => flags & !(FLAG_PROBE | FLAG_SIZE) == 0 && empty,
            Some(data) => {
                !header.probe && !header.size && (data.first || (header.control == 0 && header.payload > 0))
            }
        };
        if flags & !FLAGS != 0 || zero != 0 || usize::from(control) > MAX_CONTROL || !fits {
            return Err(WireError::Malformed);
        }
        if frame.len() < header.frame_len() {
            return Err(WireError::Short);
        }
        Ok(header)
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        OVERHEAD + usize::from(self.control) + usize::from(self.payload)
    }

    /// The header's bytes.
    pub(crate) fn emit(&self) -> [u8; HEADER] {
        let probe = if self.probe { FLAG_PROBE } else { 0 };
        let size = if self.size { FLAG_SIZE } else { 0 };
        let flags = self.data.map_or(probe | size, |data| {
            FLAG_DATA
                | data.class.bits()
                | if data.first { FLAG_FIRST } else { 0 }
                | if data.last { FLAG_LAST } else { 0 }
        });
        let mut out = [0; HEADER];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            // The pieces below are `HEADER` bytes together.
            if let Some(room) = out.get_mut(at..at + bytes.len()) {
                room.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&[VERSION, flags, self.from.0, self.to.0]);
        put(&self.vs.to_le_bytes());
        put(&self.epoch.to_le_bytes());
        let [n0, n1, n2, n3, n4, n5, ..] = self.number.to_le_bytes();
        put(&[n0, n1, n2, n3, n4, n5, self.control, 0]);
        put(&self.sequence.to_le_bytes());
        put(&self.ack.to_le_bytes());
        put(&self.beyond.to_le_bytes());
        put(&self.released[0].to_le_bytes());
        put(&self.released[1].to_le_bytes());
        put(&self.ack_delay_us.to_le_bytes());
        put(&self.payload.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn header() -> Header {
        Header {
            from: Peer(1),
            to: Peer(2),
            vs: 0x0102_0304,
            epoch: 7,
            number: 0x0000_a1b2_c3d4_e5f6,
            data: Some(Data { class: Class::Forward, first: true, last: false }),
            probe: false,
            size: false,
            sequence: 9,
            ack: 10,
            beyond: 1 << 63,
            released: [11, 12],
            ack_delay_us: 13,
            control: 48,
            payload: 4096,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bare = Header { data: None, probe: true, control: 0, payload: 0, ..header() };
        let sized = Header { probe: false, size: true, ..bare };
        for header in [header(), bare, sized, Header { payload: 4000, ..sized }] {
            let mut frame = vec![0; header.frame_len()];
            frame[..HEADER].copy_from_slice(&header.emit());
            assert_eq!(Header::parse(&frame), Ok(header));
            frame.push(0);
            assert_eq!(Header::parse(&frame), Ok(header), "padding");
        }
    }

    #[test]
    fn a_control_message_with_its_tag_is_at_most_64_bytes() {
        assert_eq!(MAX_CONTROL + TAG, 64);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let frame = |header: Header| {
            let mut frame = vec![0; header.frame_len()];
            frame[..HEADER].copy_from_slice(&header.emit());
            frame
        };
        let good = frame(header());
        assert_eq!(Header::parse(&good[..good.len() - 1]), Err(WireError::Short));
        assert_eq!(Header::parse(&good[..HEADER - 1]), Err(WireError::Short));
        assert_eq!(Header::parse(&[]), Err(WireError::Short));
        let mut other = good.clone();
        other[0] = 2;
        assert_eq!(Header::parse(&other), Err(WireError::Version));
        for (at, value) in [(1, 0b1_1111), (1, 0x44), (18, 49), (19, 1), (1, 0b0_0101), (1, 0xa4)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Header::parse(&bad), Err(WireError::Malformed), "{at} {value}");
        }
        let bad = frame(Header { data: None, ..header() });
        assert_eq!(Header::parse(&bad), Err(WireError::Malformed), "an acknowledgement with data");
    }
}
