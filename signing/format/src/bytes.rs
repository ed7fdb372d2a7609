//! A reader over outside bytes. Every read is bounded; nothing here can panic.

/// The bytes ended too early, or a field that must be zero was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Ended too early.
    Short,
    /// Reserved bytes or padding are not zero.
    NotZero,
}

/// Takes fixed-size little-endian fields from the front.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes `len` bytes that must all be zero.
    pub(crate) fn zeros(&mut self, len: usize) -> Result<(), Malformed> {
        if all_zero(self.take(len)?) { Ok(()) } else { Err(Malformed::NotZero) }
    }
}

pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Fills a fixed-size buffer from the front. Only for values of our own, whose sizes are constants:
/// a write past the end is a defect of this crate and asserts.
pub(crate) struct Writer<'a> {
    rest: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let rest = core::mem::take(&mut self.rest);
        assert!(bytes.len() <= rest.len(), "field past the end of its layout");
        let (head, rest) = rest.split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.rest = rest;
    }

    /// Leaves `len` bytes as they are.
    pub(crate) fn skip(&mut self, len: usize) {
        let rest = core::mem::take(&mut self.rest);
        assert!(len <= rest.len(), "field past the end of its layout");
        self.rest = rest.split_at_mut(len).1;
    }
}
