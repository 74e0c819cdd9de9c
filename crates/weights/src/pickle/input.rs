//! What of a pickle has not been read.

use super::TOO_SHORT;

pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    /// An unsigned little-endian integer of so many bytes: the length of what follows, or an index.
    pub(super) fn number(&mut self, width: usize) -> Result<usize, String> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| TOO_SHORT.into())
    }

    pub(super) fn line(&mut self) -> Result<&'a str, String> {
        let len = self.0.iter().position(|&byte| byte == b'\n').ok_or(TOO_SHORT)?;
        let line = str::from_utf8(self.take(len)?).map_err(|_| "a name in it is not UTF-8")?;
        self.take(1)?;
        Ok(line)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }
}
