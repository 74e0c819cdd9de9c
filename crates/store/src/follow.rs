//! Following a chunk directory that a receiver may still be writing to: how far its samples are durable without a gap, and
//! reading them by seq. What was there is remembered by name, so a directory that is emptied meanwhile is noticed; and
//! while it is followed, no receiver empties it.

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
    /// Where samples are, by the seq of the first of them.
    pieces: BTreeMap<u64, Piece>,
    first: u64,
    durable: u64,
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
        if let Some(path) = directory.list()?.foreign {
            return Err(Error::Foreign(path)); // Before the lock, which would be a file of ours in somebody's folder.
        }
        let _reading = directory.share_lock(READING)?;
        let (chunks, found, streams, pieces) = Default::default();
        let (dataset, manifest, durable, opened) = (None, None, first, Instant::now());
        Ok(Follower { directory, chunks, found, dataset, streams, pieces, first, durable, manifest, opened, _reading })
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
        if seqs.is_empty() {
            return Ok(Samples::default());
        }
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
    pub fn chunks_of(&self, seqs: &Range<u64>) -> BTreeSet<String> {
        let chunks: BTreeSet<usize> = self.pieces_of(seqs).map(|(_, piece)| piece.chunk).collect();
        chunks.into_iter().map(|chunk| self.chunks[chunk].0.file_name()).collect()
    }

    /// Which streams hold these seqs, piece by piece.
    pub fn streams_of<'a>(&'a self, seqs: &Range<u64>) -> impl Iterator<Item = StreamEntry> + use<'a> {
        let (start, end) = (seqs.start, seqs.end);
        self.pieces_of(seqs).map(move |(first, piece)| {
            let (first, end) = (first.max(start), (first + piece.samples as u64).min(end));
            StreamEntry::new(self.streams[piece.stream].name.as_str(), Extent::range(first..end))
        })
    }

    /// For how long all samples of these seqs have been there for this follower, by the clock of the file system.
    pub fn age(&self, seqs: &Range<u64>) -> Duration {
        let newest = self.pieces_of(seqs).map(|(_, piece)| piece.chunk).max();
        let path = newest.map(|chunk| self.directory.join(&self.chunks[chunk].0.file_name()));
        let modified = path.and_then(|path| fs::metadata(path).ok()?.modified().ok());
        let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok()).unwrap_or_default();
        age.min(self.opened.elapsed())
    }

    fn pieces_of<'a>(&'a self, seqs: &Range<u64>) -> impl Iterator<Item = (u64, Piece)> + use<'a> {
        let before = self.pieces.range(..=seqs.start).next_back().map_or(seqs.start, |(&first, _)| first);
        let (start, pieces) = (seqs.start, self.pieces.range(before..seqs.end.max(before)));
        let held = move |first: u64, piece: &Piece| first + piece.samples as u64 > start;
        pieces.filter(move |&(&first, piece)| held(first, piece)).map(|(&first, &piece)| (first, piece))
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
        for run in &runs {
            let stream = streams[run.stream];
            self.insert(run.first_seq, Piece { samples: run.samples, stream, chunk, row })
                .map_err(|what| Error::Order { dir: self.path().to_owned(), what })?;
            row += run.samples;
        }
        self.chunks.push((name, samples.len() as u64));
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
        assert!(follower.age(&(0..30)) < Duration::from_secs(600));
        place.chunk("b", 30..40);
        place.store.complete(None, 0.5).unwrap();
        let news = [(); 3].map(|()| follower.advance(9).unwrap());
        assert_eq!(news, [true, true, false], "the chunk, the manifest, and nothing more");
        assert_eq!((follower.durable(), follower.manifest().unwrap().samples), (40, 40));
        assert_eq!(follower.read(0..40).unwrap(), samples(0..40));
    }

    #[test]
    fn a_chunk_that_a_listing_lacks_is_waited_for() {
        let mut place = Place::new(&[("a", 0..30)]);
        (0..3).for_each(|i| place.chunk("a", i * 10..i * 10 + 10));
        let mut follower = place.follow();
        let name = follower.directory.list().unwrap().chunks[1].file_name();
        let [there, elsewhere] = [name.as_str(), ".elsewhere"].map(|name| place.dir.path().join(name));
        fs::rename(&there, &elsewhere).unwrap();
        assert!(follower.advance(9).unwrap() && !follower.advance(9).unwrap());
        assert_eq!(follower.durable(), 10);
        fs::rename(&elsewhere, &there).unwrap();
        assert!(follower.advance(9).unwrap());
        assert_eq!(follower.durable(), 30);
    }

    #[test]
    fn a_fresh_start_of_a_directory_without_samples_takes_nothing_from_its_followers() {
        let place = Place::new(&[]);
        let _follower = place.follow();
        drop(place.store);
        Store::open(place.dir.path(), Mode::Fresh, 100).unwrap();
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
