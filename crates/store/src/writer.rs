//! Writing a chunk directory. The store collects samples of all streams into one chunk at a time and commits it when it
//! is full or sealed. A stream's position lives in the chunks alone: opening an unfinished directory verifies every
//! chunk and finds each stream where its last durable sample left it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use manifest::{ChunkName, SUCCESS};
use sample::{Extent, PIXELS, SampleSlice};

use crate::{
    ChunkEntry, DatasetId, Disk, Error, FileSystem, Lock, Manifest, StreamEntry, chunk,
    directory::Directory,
    layout::{Listing, READING, REJECTED},
    pending::{Pending, Stream},
    reader::read_chunk,
};

/// Characters of the reason in `.rejected` that are shown.
const MAX_REASON: usize = 1000;

/// What to do with what is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Go on with an unfinished directory; refuse a complete one.
    Continue,
    /// Remove the files of an earlier run, and only those.
    Fresh,
}

/// Samples of one stream that became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The stream.
    pub stream: String,
    /// Every sample of the stream before this position is durable.
    pub position: u64,
}

/// Consecutive samples found in the directory when it was opened.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The samples.
    pub samples: SampleSlice<'a>,
}

/// A chunk directory open for writing. There is one per directory: it holds the directory's lock.
#[derive(Debug)]
pub struct Store {
    directory: Directory,
    samples_per_chunk: usize,
    dataset: Option<DatasetId>,
    streams: BTreeMap<String, Stream>,
    chunks: Vec<ChunkEntry>,
    pending: Pending,
    /// A write failed, and what it left in the directory is unknown: only opening it again can tell.
    broken: bool,
    /// Until the directory is complete: from then on it is there to be read.
    lock: Option<Lock>,
}

impl Store {
    /// Opens `dir`, creating it if need be.
    ///
    /// # Errors
    /// When another process holds the directory, it is complete or holds files that are not ours, a chunk is damaged
    /// or missing, or the operating system says no.
    pub fn open(dir: &Path, mode: Mode, samples_per_chunk: usize) -> Result<Store, Error> {
        Store::open_on(Arc::new(Disk), dir, mode, samples_per_chunk, |_| {})
    }

    /// Like [`Store::open`], on any file system, and shows every sample that is already there, each stream's in order.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        mode: Mode,
        samples_per_chunk: usize,
        mut replay: impl FnMut(Replay<'_>),
    ) -> Result<Store, Error> {
        let directory = Directory::new(fs, dir);
        directory.create()?;
        if let Some(path) = directory.list()?.foreign {
            return Err(Error::Foreign(path)); // Before the lock, which would be a file of ours in somebody's folder.
        }
        let lock = directory.lock()?;
        let mut listing = directory.list()?;
        listing.temporary.iter().try_for_each(|path| directory.discard(path))?;
        // A process that was killed may have renamed or removed files and not synced that. What is found here is told to
        // senders and built on, so it must be what a power cut leaves, too.
        directory.sync()?;
        if mode == Mode::Fresh {
            // Whoever follows would lose what is removed; of an empty directory there is nothing to lose.
            let _followers = (!listing.is_empty()).then(|| directory.lock_by(READING)).transpose()?;
            remove_run(&directory, &listing)?;
            listing = Listing::default();
        }
        if listing.complete {
            return Err(Error::Complete(dir.to_owned()));
        }
        if listing.rejected {
            let what = String::from_utf8_lossy(&directory.read(REJECTED)?).replace(char::is_control, " ");
            return Err(Error::Rejected { dir: dir.to_owned(), what: what.chars().take(MAX_REASON).collect() });
        }
        let mut store = Store {
            directory,
            samples_per_chunk,
            dataset: None,
            streams: BTreeMap::new(),
            chunks: Vec::new(),
            pending: Pending::default(),
            broken: false,
            lock: Some(lock),
        };
        for name in listing.chunks {
            store.recover(&name, &mut replay)?;
        }
        Ok(store)
    }

    /// Declares a stream of `dataset`. Returns the position accepted so far, the extent's first for a new stream. Declaring it
    /// again, with the same extent, changes nothing.
    ///
    /// # Errors
    /// When the directory holds another dataset, the stream was declared with another extent, or there can be none of this one.
    pub fn open_stream(&mut self, name: &str, dataset: &DatasetId, extent: Extent) -> Result<u64, Error> {
        if let Err(what) = extent.check_even_empty() {
            let what = format!("there cannot be {what}");
            return Err(Error::Stream { stream: name.to_owned(), what });
        }
        match &self.dataset {
            // The digest decides; the name is for people, and may be that of a folder.
            Some(have) if have.digest != dataset.digest => {
                let describe = |id: &DatasetId| format!("`{}` ({:.12})", id.name, id.digest);
                return Err(Error::OtherDataset {
                    dir: self.directory.path().to_owned(),
                    have: describe(have),
                    want: describe(dataset),
                });
            }
            Some(_) => {}
            None => self.dataset = Some(dataset.clone()),
        }
        let (durable, accepted) = (extent.first, extent.first);
        let stream = self.streams.entry(name.to_owned()).or_insert(Stream { extent, durable, accepted });
        if stream.extent != extent {
            let what = format!("it has samples {}, not {extent}; use --fresh to start over", stream.extent);
            return Err(Error::Stream { stream: name.to_owned(), what });
        }
        Ok(stream.accepted)
    }

    /// Takes a declaration back, if no sample of the stream was accepted.
    pub fn forget_if_empty(&mut self, name: &str) -> bool {
        let empty = self.streams.get(name).is_some_and(|stream| stream.accepted == stream.extent.first);
        if empty {
            self.streams.remove(name);
        }
        if self.streams.is_empty() {
            self.dataset = None;
        }
        empty
    }

    /// Gives the directory up for good: what it holds is not what was sent. Only [`Mode::Fresh`] opens it again.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn reject(&self, what: &str) -> Result<Error, Error> {
        self.directory.write_atomically(REJECTED, what.as_bytes())?;
        Ok(Error::Rejected { dir: self.directory.path().to_owned(), what: what.to_owned() })
    }

    /// Takes in consecutive samples of a declared stream, from its accepted position on. They are in memory only;
    /// [`Store::commit`] is due when [`Store::has_full_chunk`].
    ///
    /// # Errors
    /// When the samples do not continue the stream.
    pub fn append(&mut self, name: &str, first_position: u64, samples: SampleSlice<'_>) -> Result<(), Error> {
        let SampleSlice { labels, images } = samples;
        let wrong = |what: String| Error::Stream { stream: name.to_owned(), what };
        let stream = self.streams.get_mut(name).ok_or_else(|| wrong("it was not opened".into()))?;
        if first_position != stream.accepted || labels.len() as u64 > stream.extent.limit() - stream.accepted {
            return Err(wrong(format!("samples from {first_position} do not continue it at {}", stream.accepted)));
        }
        if images.len() != labels.len() * PIXELS {
            return Err(wrong(format!("{} labels with {} bytes of images", labels.len(), images.len())));
        }
        stream.accepted += labels.len() as u64;
        self.pending.push(name, first_position, samples);
        Ok(())
    }

    /// The durable position of a stream, if it was declared.
    pub fn durable(&self, name: &str) -> Option<u64> {
        self.streams.get(name).map(|stream| stream.durable)
    }

    /// Whether samples wait for their chunk.
    pub fn has_pending(&self) -> bool {
        !self.pending.samples.is_empty()
    }

    /// Whether enough samples wait to fill a chunk.
    pub fn has_full_chunk(&self) -> bool {
        self.pending.samples.len() >= self.samples_per_chunk
    }

    /// The streams that are known, by name. One that was declared without an end ends where it is durable.
    pub fn streams(&self) -> Vec<StreamEntry> {
        let entry = |(name, stream): (&String, &Stream)| {
            let entry = StreamEntry::new(name, stream.extent);
            StreamEntry { end: stream.extent.end.unwrap_or(stream.durable), ..entry }
        };
        self.streams.iter().map(entry).collect()
    }

    /// Durable samples.
    pub fn samples(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.samples).sum()
    }

    /// Chunk files.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Writes the manifest, which makes the directory complete, and leaves the directory to readers. The manifest names
    /// the run that the samples are for, if there is one. A stream that was declared without an end ends where it stands.
    ///
    /// # Errors
    /// When a stream is not durable to its end, or to what was accepted of it, or the manifest cannot be written; after
    /// [`Error::is_full`], a later try may succeed.
    pub fn complete(&mut self, run: Option<&str>, seconds: f64) -> Result<Manifest, Error> {
        let Some(dataset) = &self.dataset else {
            return Err(Error::Stream { stream: String::new(), what: "there is no stream to complete".into() });
        };
        let end = |stream: &Stream| stream.extent.end.unwrap_or(stream.accepted);
        if let Some((name, stream)) = self.streams.iter().find(|(_, stream)| stream.durable != end(stream)) {
            let what = format!("it is durable to {} of {}", stream.durable, end(stream));
            return Err(Error::Stream { stream: name.clone(), what });
        }
        let run = run.map(Into::into);
        let manifest = Manifest::new(dataset.clone(), run, seconds, self.streams(), self.chunks.clone());
        self.directory.write_atomically(SUCCESS, &manifest.encode())?;
        self.lock = None;
        Ok(manifest)
    }

    /// Writes the samples that wait as one chunk, full or, if there are too few, short; returns what became durable.
    ///
    /// # Errors
    /// When the chunk cannot be written: then nothing is reported durable, whether or not the chunk is there. After
    /// [`Error::is_full`] the samples still wait, and a later commit may succeed; after any other error the store refuses
    /// to write until it is opened anew.
    pub fn commit(&mut self) -> Result<Vec<Durable>, Error> {
        if self.broken {
            let source = std::io::Error::other("an earlier write failed");
            return Err(Error::Io { action: "write to", path: self.directory.path().to_owned(), source });
        }
        let number = self.chunks.len() as u64;
        let samples = self.pending.samples.len().min(self.samples_per_chunk);
        if samples == 0 {
            return Ok(Vec::new());
        }
        let chunk = self.pending.chunk(samples, self.dataset.as_ref(), &self.streams);
        let spans = chunk.footer.streams.iter();
        let durable: Vec<_> = spans.map(|span| Durable { stream: span.stream.clone(), position: span.to }).collect();
        let bytes = chunk::encode(chunk).map_err(|error| Error::Io {
            action: "encode",
            path: self.directory.join(&format!("chunk-{number:08}")),
            source: std::io::Error::other(error),
        })?;
        let name = ChunkName::of(number, &bytes).file_name();
        let written = self.directory.write_atomically(&name, &bytes);
        self.broken = written.as_ref().is_err_and(|error| !error.is_full());
        written?;
        tracing::debug!(chunk = name, samples, "chunk is durable");
        self.chunks.push(ChunkEntry { name, samples: samples as u64, bytes: bytes.len() as u64 });
        self.pending.remove(samples);
        for Durable { stream, position } in &durable {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.durable = *position;
            }
        }
        Ok(durable)
    }

    /// Takes the next chunk of an unfinished directory into account.
    fn recover(&mut self, name: &ChunkName, replay: &mut impl FnMut(Replay<'_>)) -> Result<(), Error> {
        let path = self.directory.join(&name.file_name());
        let expected = self.chunks.len() as u64;
        if name.number != expected {
            let what = if name.number > expected {
                format!("chunk {expected}, which comes before it, is missing")
            } else {
                format!("there is another chunk {}", name.number)
            };
            return Err(Error::damaged(&path, what));
        }
        let (chunk, bytes) = read_chunk(&self.directory, name)?;
        for span in &chunk.footer.streams {
            let position = self.open_stream(&span.stream, &chunk.footer.dataset, span.extent);
            if position.map_err(|error| Error::damaged(&path, error.to_string()))? != span.from {
                return Err(Error::damaged(&path, format!("it does not continue stream `{}`", span.stream)));
            }
            if let Some(stream) = self.streams.get_mut(&span.stream) {
                (stream.durable, stream.accepted) = (span.to, span.to);
            }
        }
        let mut at = 0;
        for run in &chunk.runs {
            let next = at + run.samples;
            replay(Replay { stream: &chunk.footer.streams[run.stream].stream, samples: chunk.samples.slice(at..next) });
            at = next;
        }
        self.chunks.push(ChunkEntry { name: name.file_name(), samples: at as u64, bytes });
        Ok(())
    }
}

/// Removes an earlier run: the manifest first, then the chunks from the last to the first, each durably before the next,
/// so that what a crash leaves is an unfinished directory that can be gone on with. The mark of a rejected one goes last.
fn remove_run(directory: &Directory, listing: &Listing) -> Result<(), Error> {
    if listing.complete {
        directory.remove(SUCCESS)?;
    }
    listing.chunks.iter().rev().try_for_each(|name| directory.remove(&name.file_name()))?;
    if listing.rejected {
        directory.remove(REJECTED)?;
    }
    Ok(())
}
