//! The names in a chunk directory, and what a listing of one holds.

use std::path::PathBuf;

use manifest::{ChunkName, SUCCESS};

pub(crate) const LOCK: &str = ".lock";
pub(crate) const READING: &str = ".reading";
pub(crate) const REJECTED: &str = ".rejected";
pub(crate) const TEMPORARY: &str = ".tmp-";

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
    /// Whether nothing of a run is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.complete && !self.rejected
    }

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
