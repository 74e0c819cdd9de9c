//! Following a chunk directory that a receiver may still be writing to: how far its samples are durable without a gap, and
//! reading them by seq. What was there is remembered by name, so a directory that is emptied meanwhile is noticed; and
//! while it is followed, no receiver empties it.

mod pieces;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use manifest::{ChunkName, SUCCESS};
use sample::{Extent, PIXELS, Samples};

use self::pieces::{Piece, Pieces};
use crate::{
    DatasetId, Disk, Error, Manifest, StreamEntry,
    chunk::{Chunk, Span},
    directory::Directory,
    layout::READING,
    reader::{check_names, read_chunk},
};

/// A chunk directory that is followed from a seq on.
#[derive(Debug)]
pub struct Follower {
    directory: Directory,
    /// The chunks that are known, by number, and how many samples each holds.
    chunks: Vec<(ChunkName, u64)>,
    /// Those that were seen and are not known yet: the next ones.
    found: VecDeque<ChunkName>,
    dataset: Option<DatasetId>,
    /// In the order in which they were found.
    streams: Vec<Stream>,
    pieces: Pieces,
    /// As soon as the directory is complete and all its chunks are known.
    manifest: Option<Manifest>,
    opened: Instant,
    /// While it is held, nobody empties the directory.
    _reading: Option<File>,
}

/// A stream, and how far it has come.
#[derive(Debug)]
struct Stream {
    name: String,
    extent: Extent,
    position: u64,
}

impl Follower {
    /// Follows the directory `dir`, which need not hold anything yet, for the samples from seq `first` on.
    ///
    /// # Errors
    /// When there is no such directory, a receiver is about to empty it, or the operating system says no.
    pub fn open(dir: &Path, first: u64) -> Result<Follower, Error> {
        let directory = Directory::new(Arc::new(Disk), dir);
        if let Some(path) = directory.list()?.foreign {
            return Err(Error::Foreign(path)); // Before the lock, which would be a file of ours in somebody's folder.
        }
        let _reading = directory.share_lock(READING)?;
        let (chunks, found, streams) = Default::default();
        let (dataset, manifest, pieces, opened) = (None, None, Pieces::new(first), Instant::now());
        Ok(Follower { directory, chunks, found, dataset, streams, pieces, manifest, opened, _reading })
    }

    /// Takes in at most `limit` more chunks. Returns whether there were any, or the directory was found complete.
    ///
    /// # Errors
    /// When a file is damaged, missing or not ours, streams overlap, or the directory was emptied or given up.
    pub fn advance(&mut self, limit: usize) -> Result<bool, Error> {
        let mut is_news = false;
        if self.found.is_empty() && self.manifest.is_none() {
            is_news = self.look()?;
        }
        for _ in 0..limit {
            let Some(name) = self.found.pop_front() else { break };
            self.take(name)?;
            is_news = true;
        }
        Ok(is_news)
    }

    /// Lists the directory. Returns whether it is complete, and nothing is left to be found.
    fn look(&mut self) -> Result<bool, Error> {
        let listing = self.directory.list()?;
        if listing.rejected {
            let what = "what arrived is not what was sent".into();
            return Err(Error::Rejected { dir: self.path().to_owned(), what });
        }
        if let Some(path) = listing.foreign {
            return Err(Error::Foreign(path));
        }
        let known = self.chunks.len();
        let is_kept = self.chunks.iter().map(|(name, _)| name).eq(listing.chunks.iter().take(known));
        if !is_kept {
            return Err(Error::Replaced(self.path().to_owned()));
        }
        // A listing that is made while chunks are renamed may lack one and have the next; the one after this has both.
        let next = listing.chunks.into_iter().skip(known).zip(known as u64..);
        self.found = next.take_while(|(name, number)| name.number == *number).map(|(name, _)| name).collect();
        if !self.found.is_empty() {
            // A receiver may have renamed a chunk and not yet synced that. What is trained on must outlive a power cut.
            self.directory.sync()?;
            return Ok(false);
        }
        if listing.complete { self.complete() } else { Ok(false) }
    }

    /// Every sample from the first seq to before this one is durable.
    pub fn durable(&self) -> u64 {
        self.pieces.durable()
    }

    /// The lowest seq that is there beyond a gap, if there is one.
    pub fn beyond(&self) -> Option<u64> {
        self.pieces.beyond()
    }

    /// Which data it is, as soon as a chunk is there.
    pub fn dataset(&self) -> Option<&DatasetId> {
        self.dataset.as_ref()
    }

    /// The manifest, once the directory is complete and every chunk of it is known.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The samples of these seqs, in their order.
    ///
    /// # Errors
    /// When a file is damaged or gone.
    ///
    /// # Panics
    /// When not all of them are known to be durable.
    pub fn read(&self, seqs: Range<u64>) -> Result<Samples, Error> {
        if seqs.is_empty() {
            return Ok(Samples::default());
        }
        let count = (seqs.end - seqs.start) as usize;
        let mut samples = Samples { labels: vec![0; count], images: vec![0; count * PIXELS] };
        let mut by_chunk: BTreeMap<usize, Vec<(u64, Piece)>> = BTreeMap::new();
        for (first, piece) in self.pieces.of(&seqs) {
            by_chunk.entry(piece.chunk).or_default().push((first, piece));
        }
        let mut found = 0;
        for (chunk, pieces) in by_chunk {
            let read = self.read_chunk(chunk)?;
            for (first, Piece { samples: held, row, .. }) in pieces {
                let from = seqs.start.max(first);
                let length = (seqs.end.min(first + held as u64) - from) as usize;
                let (row, at) = (row + (from - first) as usize, (from - seqs.start) as usize);
                let slice = read.samples.slice(row..row + length);
                samples.labels[at..at + length].copy_from_slice(slice.labels);
                samples.images[at * PIXELS..(at + length) * PIXELS].copy_from_slice(slice.images);
                found += length;
            }
        }
        assert_eq!(found, count, "samples that are not durable were asked for");
        Ok(samples)
    }

    /// The names of the chunks that hold these seqs.
    pub fn chunks_of(&self, seqs: &Range<u64>) -> BTreeSet<String> {
        let chunks: BTreeSet<usize> = self.pieces.of(seqs).map(|(_, piece)| piece.chunk).collect();
        chunks.into_iter().map(|chunk| self.chunks[chunk].0.file_name()).collect()
    }

    /// Which streams hold these seqs, piece by piece.
    pub fn streams_of<'a>(&'a self, seqs: &Range<u64>) -> impl Iterator<Item = StreamEntry> + use<'a> {
        let (start, end) = (seqs.start, seqs.end);
        self.pieces.of(seqs).map(move |(first, piece)| {
            let (first, end) = (first.max(start), (first + piece.samples as u64).min(end));
            StreamEntry::new(self.streams[piece.stream].name.as_str(), Extent::range(first..end))
        })
    }

    /// For how long all samples of these seqs have been there for this follower, by the clock of the file system.
    pub fn age(&self, seqs: &Range<u64>) -> Duration {
        let newest = self.pieces.of(seqs).map(|(_, piece)| piece.chunk).max();
        let path = newest.map(|chunk| self.directory.join(&self.chunks[chunk].0.file_name()));
        let modified = path.and_then(|path| fs::metadata(path).ok()?.modified().ok());
        let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok()).unwrap_or_default();
        age.min(self.opened.elapsed())
    }

    /// Takes the next chunk into account.
    fn take(&mut self, name: ChunkName) -> Result<(), Error> {
        let path = self.directory.join(&name.file_name());
        let damaged = |what: String| Error::damaged(&path, what);
        let (Chunk { footer, runs, samples }, _) = read_chunk(&self.directory, &name)?;
        match &self.dataset {
            Some(dataset) if *dataset != footer.dataset => {
                return Err(damaged("it belongs to another dataset than the chunks before".into()));
            }
            Some(_) => {}
            None => self.dataset = Some(footer.dataset),
        }
        let mut streams = Vec::with_capacity(footer.streams.len());
        for Span { stream: name, extent, from, to } in footer.streams {
            let known = self.streams.iter().position(|stream| stream.name == name);
            let stream = known.unwrap_or_else(|| {
                self.streams.push(Stream { name, extent, position: extent.first });
                self.streams.len() - 1
            });
            streams.push(stream);
            let stream = &mut self.streams[stream];
            if (stream.extent, stream.position) != (extent, from) {
                return Err(damaged(format!("it does not continue stream `{}`", stream.name)));
            }
            stream.position = to;
        }
        let (chunk, mut row) = (self.chunks.len(), 0);
        let pieces = runs.iter().map(|run| {
            let piece = Piece { samples: run.samples, stream: streams[run.stream], chunk, row };
            row += run.samples;
            (run.first_seq, piece)
        });
        self.pieces.add(pieces).map_err(|what| Error::Order { dir: self.directory.path().to_owned(), what })?;
        self.chunks.push((name, samples.len() as u64));
        Ok(())
    }

    /// Reads the manifest, if it names these chunks. A receiver may have completed the directory after it was listed.
    fn complete(&mut self) -> Result<bool, Error> {
        let Some(manifest) = self.directory.manifest()? else { return Ok(false) };
        check_names(&self.directory, &manifest)?;
        let named = manifest.chunks.iter().map(|chunk| (chunk.name.clone(), chunk.samples));
        if manifest.chunks.len() > self.chunks.len() {
            return Ok(false);
        }
        let damaged = |what: &str| Error::damaged(&self.directory.join(SUCCESS), what);
        if !named.eq(self.chunks.iter().map(|(name, samples)| (name.file_name(), *samples))) {
            return Err(damaged("its chunks do not hold what it says"));
        }
        if self.dataset.as_ref().is_some_and(|dataset| *dataset != manifest.dataset) {
            return Err(damaged("it is of another dataset than the chunks"));
        }
        let begun = manifest.streams.iter().filter(|stream| stream.samples() > 0);
        let begun = begun.map(|stream| (stream.name.as_str(), stream.declared(), stream.end));
        let mut found: Vec<_> =
            self.streams.iter().map(|stream| (stream.name.as_str(), stream.extent, stream.position)).collect();
        found.sort_unstable();
        if !begun.eq(found) {
            return Err(damaged("its streams are not those of the chunks"));
        }
        self.manifest = Some(manifest);
        Ok(true)
    }

    fn read_chunk(&self, chunk: usize) -> Result<Chunk, Error> {
        Ok(read_chunk(&self.directory, &self.chunks[chunk].0)?.0)
    }
}
