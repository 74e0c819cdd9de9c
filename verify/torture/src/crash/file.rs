//! A file on a simulated disk: its bytes, and how many of them are sure to survive a power cut.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use sample::random::Stream as Random;

/// What a disk writes at once, for certain.
const SECTOR: usize = 512;

/// What stands where nothing of ours was written.
const GARBAGE: u8 = 0xa5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) synced: usize,
    /// A sync failed: what was not synced then never will be.
    pub(super) spoiled: bool,
    /// Of all of the above, so that trees are compared quickly.
    pub(super) hash: u64,
}

impl Hash for File {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl File {
    pub(super) fn new(bytes: Vec<u8>, synced: usize, spoiled: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        (&bytes, synced, spoiled).hash(&mut hasher);
        File { bytes: Arc::new(bytes), synced, spoiled, hash: hasher.finish() }
    }

    /// What a power cut may leave of a file that was not synced to its end: the ways that are likeliest to be mistaken for
    /// a good one, and `torn` random ones.
    pub(super) fn remains(&self, torn: usize, random: &mut Random) -> Vec<File> {
        let (bytes, synced) = (&self.bytes[..], self.synced);
        let filled = |from: usize, byte: u8| {
            let mut left = bytes.to_vec();
            left[from..].fill(byte);
            left
        };
        let half = synced + (bytes.len() - synced) / 2;
        let mut left = vec![
            bytes.to_vec(),
            bytes[..synced].to_vec(),
            bytes[..half].to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
            filled(synced, 0),
            filled(half, 0),
            filled(synced, GARBAGE),
        ];
        left.extend((0..torn).map(|_| {
            let mut left = bytes.to_vec();
            for sector in left[synced..].chunks_mut(SECTOR) {
                match random.below(3) {
                    0 => sector.fill(0),
                    1 => sector.fill(GARBAGE),
                    _ => {}
                }
            }
            left.truncate(synced + random.below((bytes.len() - synced) as u64 + 1) as usize);
            left
        }));
        left.into_iter().map(|bytes| File::new(bytes.clone(), bytes.len(), false)).collect()
    }
}
