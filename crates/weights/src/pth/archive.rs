//! The zip archive that `torch.save` writes since PyTorch 1.6: `NAME/data.pkl` is the pickle, `NAME/data/KEY` holds the numbers
//! of a storage, uncompressed, and `NAME/byteorder` says how they are written.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::MAX_PICKLE;
use crate::{Error, fit::shown};

pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that holds everything: the file's name when it was saved.
    folder: String,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| Error::Pth(error.to_string()))?;
        let folder = zip.file_names().flatten().find_map(|name| name.strip_suffix("data.pkl").map(String::from));
        let folder = folder.ok_or_else(|| Error::Pth("it has no `data.pkl`".into()))?;
        Ok(Self { zip, folder })
    }

    /// The pickle, if the numbers that it describes are little-endian.
    pub(super) fn pickle(&mut self) -> Result<Vec<u8>, Error> {
        let order = self.entry("byteorder", 16)?;
        if order.is_some_and(|order| order != b"little") {
            return Err(Error::Pth("its numbers are big-endian".into()));
        }
        self.entry("data.pkl", MAX_PICKLE)?.ok_or_else(|| Error::Pth("it has no `data.pkl`".into()))
    }

    /// A whole entry, of at most so many bytes; `None` if there is none of that name. Its CRC is checked.
    pub(super) fn entry(&mut self, name: &str, max_len: usize) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}{name}", self.folder);
        let Some(index) = self.zip.index_for_name(&path) else { return Ok(None) };
        let wrong = |problem: String| Error::Pth(format!("its entry `{}`: {problem}", shown(&path)));
        let entry = self.zip.by_index(index).map_err(|error| wrong(error.to_string()))?;
        // The size that the archive names may be a lie: read no more than is allowed, whatever it says.
        let mut content = Vec::new();
        entry.take(max_len as u64 + 1).read_to_end(&mut content).map_err(|error| wrong(error.to_string()))?;
        if content.len() > max_len {
            return Err(wrong(format!("more than {max_len} bytes")));
        }
        Ok(Some(content))
    }
}
