//! Where the samples of a followed directory are, by seq, and how far there is no gap.

use std::{collections::BTreeMap, ops::Range};

/// Samples of consecutive seqs that stand together in a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) samples: usize,
    /// Index into the streams.
    pub(super) stream: usize,
    /// Index into the chunks.
    pub(super) chunk: usize,
    /// Place of the first in its chunk.
    pub(super) row: usize,
}

/// All of them, from a seq on.
#[derive(Debug)]
pub(super) struct Pieces {
    /// By the seq of their first sample.
    by_seq: BTreeMap<u64, Piece>,
    first: u64,
    durable: u64,
}

impl Pieces {
    /// None yet; there are to be none before seq `first`.
    pub(super) fn new(first: u64) -> Pieces {
        Pieces { by_seq: BTreeMap::new(), first, durable: first }
    }

    /// Every sample from the first seq to before this one is there.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// The lowest seq that is there beyond a gap, if there is one.
    pub(super) fn beyond(&self) -> Option<u64> {
        self.by_seq.range(self.durable..).next().map(|(&seq, _)| seq)
    }

    /// Those that hold any of these seqs, each with the seq of its first sample.
    pub(super) fn of<'a>(&'a self, seqs: &Range<u64>) -> impl Iterator<Item = (u64, Piece)> + use<'a> {
        let before = self.by_seq.range(..=seqs.start).next_back().map_or(seqs.start, |(&first, _)| first);
        let (start, pieces) = (seqs.start, self.by_seq.range(before..seqs.end.max(before)));
        let held = move |first: u64, piece: &Piece| first + piece.samples as u64 > start;
        pieces.filter(move |&(&first, piece)| held(first, piece)).map(|(&first, &piece)| (first, piece))
    }

    /// Adds the pieces of a chunk, each with the seq of its first sample.
    ///
    /// # Errors
    /// When one of them cannot be: a clause.
    pub(super) fn add(&mut self, pieces: impl Iterator<Item = (u64, Piece)>) -> Result<(), String> {
        for (first, piece) in pieces {
            self.insert(first, piece)?;
        }
        while let Some(piece) = self.by_seq.get(&self.durable) {
            self.durable += piece.samples as u64;
        }
        Ok(())
    }

    fn insert(&mut self, first: u64, piece: Piece) -> Result<(), String> {
        if first < self.first {
            return Err(format!("sample {first} is there, and the first is to be {}; see --offset", self.first));
        }
        let end = first + piece.samples as u64;
        let before = self.by_seq.range(..end).next_back();
        if let Some((&other, _)) = before.filter(|&(&other, held)| other + held.samples as u64 > first) {
            let seq = other.max(first);
            return Err(format!("two streams hold sample {seq}"));
        }
        self.by_seq.insert(first, piece);
        Ok(())
    }
}
