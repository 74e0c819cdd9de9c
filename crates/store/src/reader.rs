//! Reading a complete chunk directory. Nothing is taken on trust: each file's digest is compared with its name before
//! a parser sees a byte, and the files must be exactly those that the manifest names. Damage is an error that names the
//! file, never fewer samples.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use manifest::{ChunkName, SUCCESS};
use sample::Samples;

use crate::{
    ChunkEntry, Disk, Error, FileSystem, Manifest, StreamEntry,
    chunk::{self, Chunk},
    directory::Directory,
    layout::LOCK,
};

/// The rows of all chunks by column, in their order: entry `i` of each column belongs to sample `i`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Index into the manifest's streams.
    pub streams: Vec<u32>,
    /// Index in what the source of the samples sends.
    pub seqs: Vec<u64>,
    /// Labels and images.
    pub samples: Samples,
}

/// A complete directory that is being read. While this lives, no receiver empties it.
#[derive(Debug)]
pub struct Held {
    /// What the directory holds.
    pub manifest: Manifest,
    directory: Directory,
    /// None where the directory can only be read: there nobody can empty it either.
    _lock: Option<File>,
}

/// The manifest of the directory, or `None` while it is not complete.
///
/// # Errors
/// When the directory is missing or the manifest is damaged.
pub fn read_manifest(dir: &Path) -> Result<Option<Manifest>, Error> {
    Directory::new(Arc::new(Disk), dir).manifest()
}

/// Holds the directory for reading, or `None` while it is not complete. Any number of readers may hold it.
///
/// # Errors
/// When the directory is missing, a receiver is at work in it, or the manifest is damaged.
pub fn hold(dir: &Path) -> Result<Option<Held>, Error> {
    let directory = Directory::new(Arc::new(Disk), dir);
    if !directory.list()?.complete {
        return Ok(None); // Without a lock, which would keep a receiver waiting.
    }
    let lock = directory.share_lock(LOCK)?;
    // Looked for again: it may have been replaced before it was held.
    Ok(directory.manifest()?.map(|manifest| Held { manifest, directory, _lock: lock }))
}

impl Held {
    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Reads every sample.
    ///
    /// # Errors
    /// When any file is damaged, missing, renamed or not ours.
    pub fn read(&self) -> Result<Rows, Error> {
        rows(&self.directory, &self.manifest)
    }
}

/// Reads every sample of a complete directory.
///
/// # Errors
/// When the directory is missing or incomplete, or any file is damaged, missing, renamed or not ours.
pub fn read(dir: &Path) -> Result<(Manifest, Rows), Error> {
    read_on(Arc::new(Disk), dir)
}

/// Like [`read`], on any file system.
///
/// # Errors
/// As [`read`].
pub fn read_on(fs: Arc<dyn FileSystem>, dir: &Path) -> Result<(Manifest, Rows), Error> {
    let directory = Directory::new(fs, dir);
    let manifest = directory.manifest()?.ok_or_else(|| Error::Incomplete(dir.to_owned()))?;
    let rows = rows(&directory, &manifest)?;
    Ok((manifest, rows))
}

fn rows(directory: &Directory, manifest: &Manifest) -> Result<Rows, Error> {
    check_names(directory, manifest)?;
    let mut assembly = Assembly::new(manifest);
    for entry in &manifest.chunks {
        let damaged = |what: String| Error::damaged(&directory.join(&entry.name), what);
        let name = ChunkName::parse(&entry.name).ok_or_else(|| damaged("it is not named as a chunk".into()))?;
        assembly.append(entry, read_chunk(directory, &name)?.0).map_err(damaged)?;
    }
    assembly.finish().map_err(|what| Error::damaged(&directory.join(SUCCESS), what))
}

/// Reads one chunk file, verified against its name; returns its size beside it.
pub(crate) fn read_chunk(directory: &Directory, name: &ChunkName) -> Result<(Chunk, u64), Error> {
    let (path, bytes) = (directory.join(&name.file_name()), directory.read(&name.file_name())?);
    if ChunkName::of(name.number, &bytes) != *name {
        return Err(Error::damaged(&path, "its bytes do not match the digest in its name"));
    }
    let size = bytes.len() as u64;
    Ok((chunk::decode(&path, &bytes)?, size))
}

/// The chunk files must be exactly those of the manifest.
pub(crate) fn check_names(directory: &Directory, manifest: &Manifest) -> Result<(), Error> {
    let listing = directory.list()?;
    let present: HashSet<String> = listing.chunks.iter().map(ChunkName::file_name).collect();
    if let Some(entry) = manifest.chunks.iter().find(|entry| !present.contains(&entry.name)) {
        let hint = match &listing.foreign {
            Some(path) => format!("it is missing; `{}` may be it, renamed", file_name(path)),
            None => "it is missing".into(),
        };
        return Err(Error::damaged(&directory.join(&entry.name), hint));
    }
    let named: HashSet<&str> = manifest.chunks.iter().map(|entry| entry.name.as_str()).collect();
    if let Some(name) = listing.chunks.iter().map(ChunkName::file_name).find(|name| !named.contains(name.as_str())) {
        return Err(Error::damaged(&directory.join(&name), "the manifest `_SUCCESS` does not name it"));
    }
    match listing.foreign {
        Some(path) => Err(Error::Foreign(path)),
        None => Ok(()),
    }
}

/// The samples of a complete directory while its chunks are read, one after the other. Digests find damage; this finds
/// files that are whole and do not belong together.
struct Assembly<'a> {
    manifest: &'a Manifest,
    /// Index of each stream in the manifest.
    streams: HashMap<&'a str, usize>,
    /// How far each stream has come.
    positions: Vec<u64>,
    rows: Rows,
}

impl<'a> Assembly<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        Assembly {
            manifest,
            streams: manifest.streams.iter().enumerate().map(|(index, stream)| (stream.name.as_str(), index)).collect(),
            positions: manifest.streams.iter().map(|stream| stream.first).collect(),
            rows: Rows::default(),
        }
    }

    /// Takes in the next chunk, which must go on where its streams stand.
    fn append(&mut self, entry: &ChunkEntry, chunk: Chunk) -> Result<(), String> {
        if chunk.samples.len() as u64 != entry.samples {
            return Err(format!("it holds {} samples, not {}", chunk.samples.len(), entry.samples));
        }
        if chunk.footer.dataset != self.manifest.dataset {
            return Err("it belongs to another dataset than the manifest".into());
        }
        let mut streams = Vec::with_capacity(chunk.footer.streams.len());
        for span in &chunk.footer.streams {
            let stream = self.streams.get(span.stream.as_str()).map(|&index| (index, &self.manifest.streams[index]));
            match stream {
                Some((index, entry)) if entry.declared() == span.extent => streams.push(index),
                _ => return Err(format!("its stream `{}` is not one of the manifest's", span.stream)),
            }
        }
        for (span, &stream) in chunk.footer.streams.iter().zip(&streams) {
            if span.from != self.positions[stream] {
                return Err(format!("it does not continue stream `{}`", span.stream));
            }
            self.positions[stream] = span.to;
        }
        for run in &chunk.runs {
            let stream = streams[run.stream];
            self.rows.streams.extend(std::iter::repeat_n(stream as u32, run.samples));
            self.rows.seqs.extend((run.first_seq..).take(run.samples));
        }
        self.rows.samples.extend(chunk.samples.as_slice());
        Ok(())
    }

    /// All samples, if every stream has come to its end.
    fn finish(self) -> Result<Rows, String> {
        let mut ends = self.manifest.streams.iter().zip(&self.positions);
        match ends.find(|(stream, position)| stream.end != **position) {
            Some((stream, position)) => {
                let StreamEntry { name, end, .. } = stream;
                Err(format!("the chunks hold stream `{name}` up to {position}, not to {end}"))
            }
            None => Ok(self.rows),
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(PathBuf::from).unwrap_or_default().display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sample::{Extent, PIXELS};

    use super::*;
    use crate::{DatasetId, Mode, Store, read_manifest};

    /// A complete directory: samples 0 to 6 of stream `a`, with these many in each of three chunks.
    fn complete(per_chunk: [usize; 3]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
        let mut store = Store::open(dir.path(), Mode::Continue, 6).unwrap();
        let mut next = store.open_stream("a", &dataset, Extent::range(0..6)).unwrap();
        for count in per_chunk {
            let samples = Samples { labels: vec![1; count], images: vec![2; count * PIXELS] };
            store.append("a", next, samples.as_slice()).unwrap();
            store.commit().unwrap();
            next += count as u64;
        }
        store.complete(None, 0.0).unwrap();
        dir
    }

    /// Reads the directory under a manifest of these streams and chunks, whose digest is right.
    fn read_as(dir: &Path, streams: &[StreamEntry], chunks: &[&ChunkEntry]) -> Result<usize, String> {
        let dataset = DatasetId { name: "tiny".into(), digest: "00".into() };
        let chunks = chunks.iter().map(|&chunk| chunk.clone()).collect();
        fs::write(dir.join(SUCCESS), Manifest::new(dataset, None, 0.0, streams.into(), chunks).encode()).unwrap();
        read(dir).map(|(_, rows)| rows.samples.len()).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(said: Result<usize, String>, file: &str, what: &str) {
        let said = said.unwrap_err();
        assert!(said.contains(&format!("{file}` is damaged: {what}")), "{said}");
    }

    #[test]
    fn whole_files_that_do_not_belong_together_are_an_error_that_names_one_of_them() {
        let (dir, other) = (complete([2, 2, 2]), complete([1, 2, 3]));
        let Manifest { streams, chunks, .. } = read_manifest(dir.path()).unwrap().unwrap();
        let others = read_manifest(other.path()).unwrap().unwrap().chunks;
        let swap = |old: &ChunkEntry, new: &ChunkEntry| {
            fs::remove_file(dir.path().join(&old.name)).unwrap();
            fs::copy(other.path().join(&new.name), dir.path().join(&new.name)).unwrap();
        };
        let kept = fs::read(dir.path().join(&chunks[2].name)).unwrap();

        swap(&chunks[2], &others[2]); // It holds sample 3 again.
        let said = read_as(dir.path(), &streams, &[&chunks[0], &chunks[1], &others[2]]);
        check(said, SUCCESS, "its numbers of samples do not add up");
        let lie = ChunkEntry { samples: 2, ..others[2].clone() };
        let said = read_as(dir.path(), &streams, &[&chunks[0], &chunks[1], &lie]);
        check(said, &lie.name, "it holds 3 samples, not 2");
        let longer = [StreamEntry { end: 7, ..streams[0].clone() }];
        let said = read_as(dir.path(), &longer, &[&chunks[0], &chunks[1], &others[2]]);
        check(said, &chunks[0].name, "its stream `a` is not one of the manifest's");

        fs::remove_file(dir.path().join(&others[2].name)).unwrap();
        fs::write(dir.path().join(&chunks[2].name), kept).unwrap();
        swap(&chunks[1], &others[1]); // As many samples, but 1 again and not 3.
        let said = read_as(dir.path(), &streams, &[&chunks[0], &others[1], &chunks[2]]);
        check(said, &others[1].name, "it does not continue stream `a`");
    }
}
