//! A stream under a passphrase.
//!
//! ```text
//! magic (16) | rounds (4) | salt (16) | chunk … | last chunk        chunk: up to 64 KiB, and its tag of 16 bytes
//! ```
//! The key comes from the passphrase by PBKDF2-HMAC-SHA256 (RFC 8018) and is this file's own, as the salt is drawn. Chunks
//! are sealed by ChaCha20-Poly1305 (RFC 8439) with their number and whether they are the last as nonce, and the head as
//! associated data: none can be changed, left out, moved or cut off unseen. The same as for holders' keys at rest.

use std::io::{self, Read, Write};
use std::num::NonZeroU32;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use weft_signing::keyfile::{LEAST_ROUNDS, MOST_ROUNDS, ROUNDS};
use weft_signing::passphrase::Passphrase;
use zeroize::Zeroizing;

/// First bytes of a sealed file.
pub const MAGIC: &[u8; 16] = b"weft sealed v1\n\0";
const HEAD: usize = 16 + 4 + 16;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

/// What an [`io::Error`] of an [`Opener`] holds where a chunk is not what was sealed under this passphrase.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("wrong passphrase, or the file was changed")]
pub struct Unopened;

fn derive(passphrase: &Passphrase, rounds: u32, salt: &[u8]) -> Option<LessSafeKey> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, NonZeroU32::new(rounds)?, salt, passphrase, key.as_mut());
    UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).ok().map(LessSafeKey::new)
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Seals what is written to it.
pub struct Sealer<W: Write> {
    out: W,
    key: LessSafeKey,
    head: [u8; HEAD],
    number: u64,
    waiting: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    /// Writes the head. The last chunk is written by [`Sealer::finish`].
    pub fn new(mut out: W, passphrase: &Passphrase) -> io::Result<Self> {
        let no_randomness = || io::Error::other("the system gives no randomness");
        let mut head = [0; HEAD];
        head[..16].copy_from_slice(MAGIC);
        head[16..20].copy_from_slice(&ROUNDS.to_be_bytes());
        SystemRandom::new().fill(&mut head[20..]).map_err(|_| no_randomness())?;
        let key = derive(passphrase, ROUNDS, &head[20..]).ok_or_else(no_randomness)?;
        out.write_all(&head)?;
        Ok(Self { out, key, head, number: 0, waiting: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)) })
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let sealed = &mut *self.waiting;
        self.key
            .seal_in_place_append_tag(nonce(self.number, last), Aad::from(self.head), sealed)
            .map_err(|_| io::Error::other("a chunk was not sealed"))?;
        self.out.write_all(sealed)?;
        sealed.clear();
        self.number = self.number.saturating_add(1);
        Ok(())
    }

    /// Seals the rest.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for what follows: only then is it known not to be the last.
        if self.waiting.len() == CHUNK && !bytes.is_empty() {
            self.seal(false)?;
        }
        let count = bytes.len().min(CHUNK - self.waiting.len());
        self.waiting.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Opens what is read from it.
pub struct Opener<R: Read> {
    from: R,
    key: LessSafeKey,
    head: [u8; HEAD],
    number: u64,
    /// The first byte of the next chunk, if one follows.
    ahead: Option<u8>,
    open: Zeroizing<Vec<u8>>,
    place: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Reads the rest of the head, behind [`MAGIC`].
    pub fn new(mut from: R, passphrase: &Passphrase) -> io::Result<Self> {
        let mut head = [0; HEAD];
        head[..16].copy_from_slice(MAGIC);
        from.read_exact(&mut head[16..])?;
        let rounds = u32::from_be_bytes([head[16], head[17], head[18], head[19]]);
        let known = (LEAST_ROUNDS..=MOST_ROUNDS).contains(&rounds);
        let key = known.then(|| derive(passphrase, rounds, &head[20..])).flatten();
        let key = key.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, Unopened))?;
        let mut opener = Self {
            from,
            key,
            head,
            number: 0,
            ahead: None,
            open: Zeroizing::new(Vec::new()),
            place: 0,
            ended: false,
        };
        opener.ahead = opener.one()?;
        Ok(opener)
    }

    fn one(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((self.from.by_ref().take(1).read_to_end_into(&mut byte)? == 1).then_some(byte[0]))
    }

    fn next(&mut self) -> io::Result<()> {
        let mut sealed = Vec::with_capacity(CHUNK + TAG);
        sealed.extend(self.ahead.take());
        let left = (CHUNK + TAG).saturating_sub(sealed.len());
        self.from.by_ref().take(left as u64).read_to_end(&mut sealed)?;
        self.ahead = self.one()?;
        let last = self.ahead.is_none();
        let opened = self.key.open_in_place(nonce(self.number, last), Aad::from(self.head), &mut sealed);
        let length = opened.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, Unopened))?.len();
        sealed.truncate(length);
        self.number = self.number.saturating_add(1);
        self.open = Zeroizing::new(sealed);
        self.place = 0;
        self.ended = last;
        Ok(())
    }
}

/// Reads until the buffer is full or nothing follows.
trait ReadInto {
    fn read_to_end_into(self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl<R: Read> ReadInto for R {
    fn read_to_end_into(mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.place == self.open.len() {
            if self.ended {
                return Ok(0);
            }
            self.next()?;
        }
        let rest = self.open.get(self.place..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.place = self.place.saturating_add(count);
        Ok(count)
    }
}
