//! The names in a chunk directory, and what a listing of one holds.

use std::path::PathBuf;

pub(crate) const LOCK: &str = ".lock";
pub(crate) const SUCCESS: &str = "_SUCCESS";
pub(crate) const REJECTED: &str = ".rejected";
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Hex digits of the digest in a chunk's name. They find damage, and no forger: a random change passes once in 2^64.
const DIGEST_DIGITS: usize = 16;

/// A chunk's file name: its number and the start of its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChunkName {
    pub(crate) number: u64,
    pub(crate) digest: String,
}

impl ChunkName {
    pub(crate) fn of(number: u64, bytes: &[u8]) -> Self {
        let digest = blake3::hash(bytes).to_hex()[..DIGEST_DIGITS].to_owned();
        ChunkName { number, digest }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (number, digest) = name.strip_prefix("chunk-")?.strip_suffix(".parquet")?.split_once('-')?;
        let parsed = ChunkName { number: number.parse().ok()?, digest: digest.to_owned() };
        let hex =
            digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && parsed.file_name() == name).then_some(parsed)
    }

    pub(crate) fn file_name(&self) -> String {
        format!("chunk-{:08}-{}.parquet", self.number, self.digest)
    }
}

/// What a chunk directory holds, by name alone.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By number.
    pub(crate) chunks: Vec<ChunkName>,
    pub(crate) temporary: Vec<PathBuf>,
    pub(crate) complete: bool,
    pub(crate) rejected: bool,
    /// The first thing that is not ours. Hidden files are nobody's business.
    pub(crate) foreign: Option<PathBuf>,
}

impl Listing {
    pub(crate) fn of(paths: Vec<PathBuf>) -> Self {
        let mut listing = Self::default();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(chunk) = ChunkName::parse(name) {
                listing.chunks.push(chunk);
            } else if name.starts_with(TEMPORARY) {
                listing.temporary.push(path);
            } else if name == SUCCESS {
                listing.complete = true;
            } else if name == REJECTED {
                listing.rejected = true;
            } else if !name.starts_with('.') && listing.foreign.is_none() {
                listing.foreign = Some(path);
            }
        }
        listing.chunks.sort();
        listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_name_holds_the_number_and_sixteen_digits_of_blake3() {
        let name = ChunkName::of(42, b"abc"); // BLAKE3("abc") begins with 6437b3ac38465133.
        assert_eq!(name.file_name(), "chunk-00000042-6437b3ac38465133.parquet");
        assert_eq!(ChunkName::parse("chunk-00000042-6437b3ac38465133.parquet"), Some(name));
    }

    #[test]
    fn other_names_are_not_chunks() {
        for name in [
            "chunk-42-6437b3ac38465133.parquet",
            "chunk-00000042-6437B3AC38465133.parquet",
            "chunk-00000042-6437b3ac3846513.parquet",
            "chunk-00000042-6437b3ac38465133.parquet.bak",
            "chunk-00000042.parquet",
            "_SUCCESS",
        ] {
            assert_eq!(ChunkName::parse(name), None, "{name}");
        }
    }
}
