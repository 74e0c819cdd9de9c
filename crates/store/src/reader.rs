//! Reading a complete chunk directory. Nothing is taken on trust: each file's digest is compared with its name before
//! a parser sees a byte, and the files must be exactly those that the manifest names. Damage is an error that names the
//! file, never fewer samples.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    ChunkEntry, Disk, Error, FileSystem, Manifest,
    chunk::{self, Chunk},
    directory::Directory,
    layout::{self, ChunkName, SUCCESS},
};

/// Samples by column, in the order of the chunks: entry `i` of each column belongs to sample `i`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Index into the manifest's streams.
    pub streams: Vec<u32>,
    /// Index in the dataset.
    pub seqs: Vec<u64>,
    /// The digit.
    pub labels: Vec<u8>,
    /// 784 bytes a sample, row by row.
    pub images: Vec<u8>,
}

/// The manifest of the directory, or `None` while it is not complete.
///
/// # Errors
/// When the directory is missing or the manifest is damaged.
pub fn read_manifest(dir: &Path) -> Result<Option<Manifest>, Error> {
    manifest(&Directory::new(Arc::new(Disk), dir))
}

/// Reads every sample of a complete directory.
///
/// # Errors
/// When the directory is missing or incomplete, or any file is damaged, missing, renamed or not ours.
pub fn read(dir: &Path) -> Result<(Manifest, Samples), Error> {
    read_on(Arc::new(Disk), dir)
}

/// Like [`read`], on any file system.
///
/// # Errors
/// As [`read`].
pub fn read_on(fs: Arc<dyn FileSystem>, dir: &Path) -> Result<(Manifest, Samples), Error> {
    let directory = Directory::new(fs, dir);
    let manifest = manifest(&directory)?.ok_or_else(|| Error::Incomplete(dir.to_owned()))?;
    check_names(&directory, &manifest)?;
    let mut samples = Samples::default();
    for entry in &manifest.chunks {
        let path = dir.join(&entry.name);
        let (chunk, _) = read_chunk(&directory, &parse_entry(dir, entry)?)?;
        if chunk.labels.len() as u64 != entry.samples {
            return Err(Error::damaged(
                &path,
                format!("it holds {} samples, not {}", chunk.labels.len(), entry.samples),
            ));
        }
        append(&mut samples, &manifest, chunk).map_err(|what| Error::damaged(&path, what))?;
    }
    Ok((manifest, samples))
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

fn manifest(directory: &Directory) -> Result<Option<Manifest>, Error> {
    if !layout::list(directory)?.complete {
        return Ok(None);
    }
    Manifest::decode(&directory.join(SUCCESS), &directory.read(SUCCESS)?).map(Some)
}

/// The chunk files must be exactly those of the manifest.
fn check_names(directory: &Directory, manifest: &Manifest) -> Result<(), Error> {
    let listing = layout::list(directory)?;
    let present: Vec<String> = listing.chunks.iter().map(ChunkName::file_name).collect();
    let missing = manifest.chunks.iter().find(|entry| !present.contains(&entry.name));
    if let (Some(entry), foreign) = (missing, &listing.foreign) {
        let hint = match foreign {
            Some(path) => format!("it is missing; `{}` may be it, renamed", file_name(path)),
            None => "it is missing".into(),
        };
        return Err(Error::damaged(&directory.join(&entry.name), hint));
    }
    if let Some(name) = present.iter().find(|name| !manifest.chunks.iter().any(|entry| entry.name == **name)) {
        return Err(Error::damaged(&directory.join(name), "the manifest `_SUCCESS` does not name it"));
    }
    match listing.foreign {
        Some(path) => Err(Error::Foreign(path)),
        None => Ok(()),
    }
}

fn parse_entry(dir: &Path, entry: &ChunkEntry) -> Result<ChunkName, Error> {
    let wrong = || Error::damaged(&dir.join(SUCCESS), format!("`{}` is not the name of a chunk", entry.name));
    ChunkName::parse(&entry.name).ok_or_else(wrong)
}

fn append(samples: &mut Samples, manifest: &Manifest, mut chunk: Chunk) -> Result<(), String> {
    if chunk.footer.dataset != manifest.dataset {
        return Err("it belongs to another dataset than the manifest".into());
    }
    for run in &chunk.runs {
        let name = &chunk.footer.streams[run.stream].stream;
        let stream = manifest.streams.iter().position(|stream| stream.name == *name);
        let stream = stream.ok_or_else(|| format!("the manifest does not name its stream `{name}`"))?;
        samples.streams.extend(std::iter::repeat_n(stream as u32, run.samples));
        samples.seqs.extend((run.first_seq..).take(run.samples));
    }
    samples.labels.append(&mut chunk.labels);
    samples.images.append(&mut chunk.images);
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().map(PathBuf::from).unwrap_or_default().display().to_string()
}
