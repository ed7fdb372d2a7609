//! Messages as frames: a small header, and pieces of at most [`MAX_FRAME`] bytes put together again.
//!
//! ```text
//! 0   version, 1
//! 1   incarnation of the sender, u64
//! 9   counter of the newest epoch that the sender knows to be agreed, u64
//! 17  number of the message, u32
//! 21  index of the piece, u8
//! 22  pieces, u8
//! 23  piece
//! ```
//! Numbers are little-endian. A sender has one unfinished message at a time here; a piece of another one
//! replaces it. So memory per peer is bounded by [`MAX_MESSAGE`], and a lost piece costs a repetition, which
//! every message has anyway.

use alloc::vec::Vec;

/// Version that is spoken.
const VERSION: u8 = 1;
/// Bytes before the piece.
pub const HEADER: usize = 23;
/// Longest frame, bytes. Fits any link with its headers.
pub const MAX_FRAME: usize = 1200;
/// Longest message, bytes: a cluster record with room to spare.
pub const MAX_MESSAGE: usize = 20 * 1024;
const PIECE: usize = MAX_FRAME - HEADER;
const MAX_PIECES: usize = MAX_MESSAGE.div_ceil(PIECE);
const _: () = assert!(MAX_PIECES < 256);

/// What every frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Incarnation of the sender.
    pub incarnation: u64,
    /// Newest agreed counter that it knows.
    pub agreed: u64,
}

/// A frame taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What every frame says.
    pub header: Header,
    number: u32,
    index: u8,
    pieces: u8,
    piece: &'a [u8],
}

/// Cuts a message. `None` if it is too long.
pub fn cut(header: Header, number: u32, message: &[u8]) -> Option<Vec<Vec<u8>>> {
    if message.len() > MAX_MESSAGE {
        return None;
    }
    let pieces = u8::try_from(message.len().div_ceil(PIECE).max(1)).ok()?;
    let cut = (0..pieces).map(|index| {
        let start = usize::from(index) * PIECE;
        let end = message.len().min(start + PIECE);
        let piece = message.get(start..end).unwrap_or(&[]);
        let mut frame = Vec::with_capacity(HEADER + piece.len());
        frame.push(VERSION);
        frame.extend_from_slice(&header.incarnation.to_le_bytes());
        frame.extend_from_slice(&header.agreed.to_le_bytes());
        frame.extend_from_slice(&number.to_le_bytes());
        frame.extend_from_slice(&[index, pieces]);
        frame.extend_from_slice(piece);
        frame
    });
    Some(cut.collect())
}

/// Takes a frame apart. `None` if it is none.
pub fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    if bytes.len() > MAX_FRAME {
        return None;
    }
    let (version, rest) = bytes.split_first()?;
    let (incarnation, rest) = rest.split_first_chunk::<8>()?;
    let (agreed, rest) = rest.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let ([index, pieces], piece) = rest.split_first_chunk::<2>()?;
    let whole = usize::from(*index) + 1 == usize::from(*pieces) || piece.len() == PIECE;
    let sound = *version == VERSION && index < pieces && usize::from(*pieces) <= MAX_PIECES && whole;
    sound.then_some(Frame {
        header: Header { incarnation: u64::from_le_bytes(*incarnation), agreed: u64::from_le_bytes(*agreed) },
        number: u32::from_le_bytes(*number),
        index: *index,
        pieces: *pieces,
        piece,
    })
}

/// The unfinished message of one peer.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    number: u32,
    pieces: Vec<Option<Vec<u8>>>,
}

impl Assembly {
    /// Adds a piece; the message once it is whole.
    pub fn add(&mut self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        if frame.pieces == 1 {
            return Some(frame.piece.to_vec());
        }
        let pieces = usize::from(frame.pieces);
        if self.number != frame.number || self.pieces.len() != pieces {
            self.number = frame.number;
            self.pieces.clear();
            self.pieces.resize(pieces, None);
        }
        if let Some(slot) = self.pieces.get_mut(usize::from(frame.index)) {
            *slot = Some(frame.piece.to_vec());
        }
        if self.pieces.iter().any(Option::is_none) {
            return None;
        }
        let message = self.pieces.drain(..).flatten().flatten().collect();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const FROM: Header = Header { incarnation: 7, agreed: 9 };

    #[test]
    fn messages_of_all_lengths_survive_in_any_order() {
        for length in [0, 1, PIECE, PIECE + 1, 5 * PIECE, MAX_MESSAGE] {
            let message: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
            let mut frames = cut(FROM, 3, &message).unwrap();
            frames.reverse();
            let mut assembly = Assembly::default();
            let mut whole = None;
            for bytes in &frames {
                assert!(bytes.len() <= MAX_FRAME);
                let frame = parse(bytes).unwrap();
                assert_eq!(frame.header, FROM);
                whole = assembly.add(&frame).or(whole);
            }
            assert_eq!(whole, Some(message), "length {length}");
        }
        assert_eq!(cut(FROM, 3, &vec![0; MAX_MESSAGE + 1]), None);
    }

    #[test]
    fn pieces_of_two_messages_are_not_mixed() {
        let first = cut(FROM, 1, &vec![1; 2 * PIECE]).unwrap();
        let second = cut(FROM, 2, &vec![2; 2 * PIECE]).unwrap();
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(&parse(&first[0]).unwrap()), None);
        assert_eq!(assembly.add(&parse(&second[1]).unwrap()), None);
        assert_eq!(assembly.add(&parse(&first[1]).unwrap()), None);
        assert_eq!(assembly.add(&parse(&first[0]).unwrap()), Some(vec![1; 2 * PIECE]));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let good = cut(FROM, 1, &[1, 2, 3]).unwrap().remove(0);
        for length in 0..HEADER {
            assert_eq!(parse(&good[..length]), None, "length {length}");
        }
        for (at, value) in [(0, 2), (21, 1), (22, 0), (22, 255), (22, 2)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(parse(&bad), None, "byte {at} is {value}");
        }
        assert_eq!(parse(&[1; MAX_FRAME + 1]), None);
    }
}
