//! Following a chunk directory that a receiver may still be writing to: how far its samples are durable without a gap, and
//! reading them by seq. What was there is remembered by name, so a directory that is emptied meanwhile is noticed; and
//! while it is followed, no receiver empties it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io::ErrorKind,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use manifest::{ChunkName, SUCCESS};
use sample::{Extent, PIXELS, Samples};

use crate::{
    ChunkEntry, DatasetId, Disk, Error, Manifest, StreamEntry,
    chunk::Chunk,
    directory::Directory,
    layout::{Listing, READING},
    reader::{check_names, read_chunk},
};

/// A chunk directory that is followed from a seq on.
#[derive(Debug)]
pub struct Follower {
    directory: Directory,
    /// Those that are known, by number.
    chunks: Vec<ChunkEntry>,
    dataset: Option<DatasetId>,
    /// How far each stream has come, in the order in which they were found.
    streams: Vec<(String, u64)>,
    /// Where samples are, by the seq of the first of them.
    pieces: BTreeMap<u64, Piece>,
    first: u64,
    durable: u64,
    /// As soon as the directory is complete and all its chunks are known.
    manifest: Option<Manifest>,
    /// None where the directory can only be read: there nobody can empty it either.
    _reading: Option<File>,
}

/// Samples of consecutive seqs that stand together in a chunk.
#[derive(Clone, Copy, Debug)]
struct Piece {
    samples: usize,
    /// Index into the streams.
    stream: usize,
    /// Index into the chunks.
    chunk: usize,
    /// Place of the first in its chunk.
    row: usize,
}

impl Follower {
    /// Follows the directory `dir`, which need not hold anything yet, for the samples from seq `first` on.
    ///
    /// # Errors
    /// When there is no such directory, a receiver is about to empty it, or the operating system says no.
    pub fn open(dir: &Path, first: u64) -> Result<Follower, Error> {
        let directory = Directory::new(Arc::new(Disk), dir);
        directory.list()?;
        let path = dir.join(READING);
        let failed = |source| Error::Io { action: "lock", path: path.clone(), source };
        let reading = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                File::open(&path).ok()
            }
            Err(error) => return Err(failed(error)),
        };
        match reading.as_ref().map_or(Ok(()), File::try_lock_shared) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (chunks, streams, pieces) = Default::default();
        let (dataset, manifest) = (None, None);
        Ok(Follower { directory, chunks, dataset, streams, pieces, first, durable: first, manifest, _reading: reading })
    }

    /// Takes in at most `limit` more chunks. Returns whether there were any, or the directory was found complete.
    ///
    /// # Errors
    /// When a file is damaged, missing or not ours, streams overlap, or the directory was emptied or given up.
    pub fn advance(&mut self, limit: usize) -> Result<bool, Error> {
        if self.manifest.is_some() {
            return Ok(false);
        }
        let listing = self.directory.list()?;
        self.check_listing(&listing)?;
        let new: Vec<&ChunkName> = listing.chunks.iter().skip(self.chunks.len()).take(limit).collect();
        if !new.is_empty() {
            // A receiver may have renamed a chunk and not yet synced that. What is trained on must outlive a power cut.
            self.directory.sync()?;
        }
        for name in &new {
            self.take(name)?;
        }
        let is_complete = listing.complete && self.chunks.len() == listing.chunks.len() && self.complete()?;
        Ok(is_complete || !new.is_empty())
    }

    /// Every sample from the first seq to before this one is durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The lowest seq that is there beyond a gap, if there is one.
    pub fn beyond(&self) -> Option<u64> {
        self.pieces.range(self.durable..).next().map(|(&seq, _)| seq)
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
        let count = (seqs.end - seqs.start) as usize;
        let mut samples = Samples { labels: vec![0; count], images: vec![0; count * PIXELS] };
        let mut by_chunk: BTreeMap<usize, Vec<(u64, Piece)>> = BTreeMap::new();
        for (first, piece) in self.pieces_of(&seqs) {
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
    pub fn chunks_of(&self, seqs: &Range<u64>) -> BTreeSet<&str> {
        self.pieces_of(seqs).map(|(_, piece)| self.chunks[piece.chunk].name.as_str()).collect()
    }

    /// Which streams hold these seqs, piece by piece.
    pub fn streams_of<'a>(&'a self, seqs: &Range<u64>) -> impl Iterator<Item = StreamEntry> + use<'a> {
        let (start, end) = (seqs.start, seqs.end);
        self.pieces_of(seqs).map(move |(first, piece)| {
            let (first, end) = (first.max(start), (first + piece.samples as u64).min(end));
            StreamEntry::new(self.streams[piece.stream].0.as_str(), Extent::range(first..end))
        })
    }

    /// For how long all samples of these seqs have been there, by the clock of the file system.
    pub fn age(&self, seqs: &Range<u64>) -> Option<Duration> {
        let newest = self.pieces_of(seqs).map(|(_, piece)| piece.chunk).max()?;
        let modified = fs::metadata(self.directory.join(&self.chunks[newest].name)).ok()?.modified().ok()?;
        Some(SystemTime::now().duration_since(modified).unwrap_or_default())
    }

    fn pieces_of<'a>(&'a self, seqs: &Range<u64>) -> impl Iterator<Item = (u64, Piece)> + use<'a> {
        let before = self.pieces.range(..=seqs.start).next_back().map_or(seqs.start, |(&first, _)| first);
        let (start, pieces) = (seqs.start, self.pieces.range(before..seqs.end.max(before)));
        let held = move |first: u64, piece: &Piece| first + piece.samples as u64 > start;
        pieces.filter(move |&(&first, piece)| held(first, piece)).map(|(&first, &piece)| (first, piece))
    }

    fn check_listing(&self, listing: &Listing) -> Result<(), Error> {
        if listing.rejected {
            let what = "what arrived is not what was sent".into();
            return Err(Error::Rejected { dir: self.path().to_owned(), what });
        }
        let known = self.chunks.iter().zip(&listing.chunks);
        if listing.chunks.len() < self.chunks.len() || known.clone().any(|(chunk, name)| chunk.name != name.file_name())
        {
            return Err(Error::Replaced(self.path().to_owned()));
        }
        let gap = listing.chunks.iter().zip(0..).find(|(name, number)| name.number != *number);
        match gap {
            Some((name, number)) => {
                let what = format!("chunk {number}, which comes before it, is missing");
                Err(Error::damaged(&self.directory.join(&name.file_name()), what))
            }
            None => Ok(()),
        }
    }

    /// Takes the next chunk into account.
    fn take(&mut self, name: &ChunkName) -> Result<(), Error> {
        let path = self.directory.join(&name.file_name());
        let damaged = |what: String| Error::damaged(&path, what);
        let (Chunk { footer, runs, samples }, bytes) = read_chunk(&self.directory, name)?;
        match &self.dataset {
            Some(dataset) if *dataset != footer.dataset => {
                return Err(damaged("it belongs to another dataset than the chunks before".into()));
            }
            Some(_) => {}
            None => self.dataset = Some(footer.dataset),
        }
        let mut streams = Vec::with_capacity(footer.streams.len());
        for span in footer.streams {
            let known = self.streams.iter().position(|(name, _)| *name == span.stream);
            let stream = known.unwrap_or(self.streams.len());
            match self.streams.get_mut(stream) {
                Some((_, position)) if *position != span.from => {
                    return Err(damaged(format!("it does not continue stream `{}`", span.stream)));
                }
                Some((_, position)) => *position = span.to,
                None => self.streams.push((span.stream, span.to)),
            }
            streams.push(stream);
        }
        let (chunk, mut row) = (self.chunks.len(), 0);
        for run in &runs {
            let stream = streams[run.stream];
            self.insert(run.first_seq, Piece { samples: run.samples, stream, chunk, row })
                .map_err(|what| Error::Order { dir: self.path().to_owned(), what })?;
            row += run.samples;
        }
        self.chunks.push(ChunkEntry { name: name.file_name(), samples: samples.len() as u64, bytes });
        while let Some(piece) = self.pieces.get(&self.durable) {
            self.durable += piece.samples as u64;
        }
        Ok(())
    }

    fn insert(&mut self, first: u64, piece: Piece) -> Result<(), String> {
        if first < self.first {
            return Err(format!("sample {first} is there, and the first is to be {}; see --offset", self.first));
        }
        let end = first + piece.samples as u64;
        let before = self.pieces.range(..end).next_back();
        if let Some((&other, _)) = before.filter(|&(&other, held)| other + held.samples as u64 > first) {
            let seq = other.max(first);
            return Err(format!("two streams hold sample {seq}"));
        }
        self.pieces.insert(first, piece);
        Ok(())
    }

    /// Reads the manifest, if it names these chunks. A receiver may have completed the directory after it was listed.
    fn complete(&mut self) -> Result<bool, Error> {
        let Some(manifest) = self.directory.manifest()? else { return Ok(false) };
        if manifest.chunks.len() > self.chunks.len() {
            return Ok(false);
        }
        check_names(&self.directory, &manifest)?;
        let damaged = |what: String| Error::damaged(&self.directory.join(SUCCESS), what);
        if self.dataset.as_ref().is_some_and(|dataset| *dataset != manifest.dataset) {
            return Err(damaged("it is of another dataset than the chunks".into()));
        }
        let begun = manifest.streams.iter().filter(|stream| stream.samples() > 0);
        let ends = begun.map(|stream| (stream.name.as_str(), stream.end));
        let positions: BTreeMap<&str, u64> = self.streams.iter().map(|(name, to)| (name.as_str(), *to)).collect();
        if !ends.eq(positions) {
            return Err(damaged("its streams do not end where the chunks end".into()));
        }
        self.manifest = Some(manifest);
        Ok(true)
    }

    fn read_chunk(&self, chunk: usize) -> Result<Chunk, Error> {
        let name = &self.chunks[chunk].name;
        let parsed = ChunkName::parse(name).expect("it was parsed when the chunk was found");
        Ok(read_chunk(&self.directory, &parsed)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Store};

    /// The pixels of a sample say its seq.
    fn samples(seqs: Range<u64>) -> Samples {
        let image = |seq: u64| [seq as u8; PIXELS];
        Samples { labels: seqs.clone().map(|seq| (seq % 10) as u8).collect(), images: seqs.flat_map(image).collect() }
    }

    fn dataset() -> DatasetId {
        DatasetId { name: "tiny".into(), digest: "00".into() }
    }

    struct Place {
        dir: tempfile::TempDir,
        store: Store,
    }

    impl Place {
        /// Streams of these samples, in chunks of at most 100.
        fn new(streams: &[(&str, Range<u64>)]) -> Place {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path(), Mode::Continue, 100).unwrap();
            for (name, seqs) in streams {
                store.open_stream(name, &dataset(), Extent::range(seqs.clone())).unwrap();
            }
            Place { dir, store }
        }

        /// A chunk of these samples.
        fn chunk(&mut self, stream: &str, seqs: Range<u64>) {
            self.store.append(stream, seqs.start, samples(seqs).as_slice()).unwrap();
            self.store.commit().unwrap();
        }

        fn follow(&self) -> Follower {
            Follower::open(self.dir.path(), 0).unwrap()
        }
    }

    #[test]
    fn samples_are_durable_up_to_the_first_gap_and_read_by_seq() {
        let mut place = Place::new(&[("a", 0..20), ("b", 20..40)]);
        let mut follower = place.follow();
        assert!(!follower.advance(9).unwrap());
        assert_eq!((follower.durable(), follower.dataset()), (0, None));
        place.chunk("b", 20..30);
        assert!(follower.advance(9).unwrap());
        assert_eq!((follower.durable(), follower.beyond()), (0, Some(20)));
        place.chunk("a", 0..15);
        place.chunk("a", 15..20);
        assert!(follower.advance(1).unwrap());
        assert_eq!(follower.durable(), 15);
        assert!(follower.advance(9).unwrap());
        assert_eq!((follower.durable(), follower.dataset()), (30, Some(&dataset())));
        assert_eq!(follower.read(12..27).unwrap(), samples(12..27));
        assert_eq!(follower.chunks_of(&(16..21)).len(), 2);
        let streams: Vec<_> =
            follower.streams_of(&(16..21)).map(|stream| (stream.name, stream.first, stream.end)).collect();
        assert_eq!(streams, [("a".into(), 16, 20), ("b".into(), 20, 21)]);
        assert!(follower.age(&(0..30)).unwrap() < Duration::from_secs(600));
        place.chunk("b", 30..40);
        place.store.complete(None, 0.5).unwrap();
        assert!(follower.advance(9).unwrap() && !follower.advance(9).unwrap());
        assert_eq!((follower.durable(), follower.manifest().unwrap().samples), (40, 40));
        assert_eq!(follower.read(0..40).unwrap(), samples(0..40));
    }

    #[test]
    fn a_directory_that_is_followed_is_not_emptied_and_one_that_was_is_noticed() {
        let mut place = Place::new(&[("a", 0..20)]);
        place.chunk("a", 0..10);
        let mut follower = place.follow();
        follower.advance(9).unwrap();
        drop(place.store);
        let fresh = |dir: &Path| Store::open(dir, Mode::Fresh, 100);
        assert!(matches!(fresh(place.dir.path()), Err(Error::Locked(_))));
        follower._reading = None; // As on a file system that knows no locks.
        fresh(place.dir.path()).unwrap();
        assert!(matches!(follower.advance(9), Err(Error::Replaced(_))));
    }

    #[test]
    fn what_cannot_be_cut_into_slices_is_refused() {
        let mut place = Place::new(&[("a", 0..20), ("b", 15..40)]);
        place.chunk("a", 0..20);
        place.chunk("b", 15..30);
        let error = place.follow().advance(9).unwrap_err().to_string();
        assert!(error.contains("two streams hold sample 15"), "{error}");
        let error = Follower::open(place.dir.path(), 5).unwrap().advance(9).unwrap_err().to_string();
        assert!(error.contains("sample 0 is there, and the first is to be 5"), "{error}");
    }
}
