//! The name of a chunk file.

/// Hex digits of the digest in a chunk's name. They find damage, and no forger: a random change passes once in 2^64.
const DIGEST_DIGITS: usize = 16;

/// A chunk's file name: its number and the start of its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkName {
    /// Its place among the chunks, from 0.
    pub number: u64,
    digest: String,
}

impl ChunkName {
    /// The name of a file with these bytes.
    pub fn of(number: u64, bytes: &[u8]) -> Self {
        let digest = blake3::hash(bytes).to_hex()[..DIGEST_DIGITS].to_owned();
        ChunkName { number, digest }
    }

    /// The name as it is written, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        let (number, digest) = name.strip_prefix("chunk-")?.strip_suffix(".parquet")?.split_once('-')?;
        let parsed = ChunkName { number: number.parse().ok()?, digest: digest.to_owned() };
        let hex =
            digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && parsed.file_name() == name).then_some(parsed)
    }

    /// As it is written.
    pub fn file_name(&self) -> String {
        format!("chunk-{:08}-{}.parquet", self.number, self.digest)
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
