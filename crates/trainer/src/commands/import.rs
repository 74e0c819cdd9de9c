//! `trainer import`: the Python original's `.npz` chunks become a chunk directory, so that all that holds for one (complete
//! or absent, every byte verified) holds for them from then on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use flags::{Chunking, Directory, path};
use process::exit::{Code, OrExit, failure};
use sample::{Extent, Samples};
use store::{DatasetId, Mode, Store};
use terminal::count;

use crate::{data::digest::Digest, output};

const STREAM: &str = "import";

/// Make a chunk directory of the .npz files that the Python original wrote, with arrays `images` and `labels`
#[derive(clap::Args, Clone, Debug)]
pub struct Import {
    /// Directory with .npz files; they are read in the natural order of their names
    #[arg(value_parser = path::parser())]
    npz_dir: PathBuf,
    #[command(flatten)]
    directory: Directory,
    #[command(flatten)]
    chunking: Chunking,
    /// Remove an earlier run from the chunk directory first (only files of ours)
    #[arg(long)]
    fresh: bool,
    /// Name of the dataset: mnist, or that of the folder that holds its test set
    #[arg(long, value_name = "NAME", default_value = "mnist")]
    dataset: String,
}

impl Import {
    /// Reads all files, in the natural order of their names, then writes their samples. An import that was killed goes on
    /// where it stopped.
    ///
    /// # Errors
    /// When there is no such file or one is not what it must be; then nothing is written. When the chunk directory cannot be
    /// written to, or holds other data.
    pub fn run(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let files = files(&self.npz_dir)?;
        let samples = read(&files)?;
        if samples.is_empty() {
            fail!(Code::Data, "the .npz files in `{}` hold no samples", self.npz_dir.display());
        }
        let chunks = self.write(&samples, started).map_err(|error| failure(error.exit_code(), error))?;
        output::say(&format!(
            "imported {} from {} into `{}`: {}",
            count(samples.len(), "sample"),
            count(files.len(), "file"),
            self.directory.dir.display(),
            count(chunks, "chunk")
        ));
        Ok(())
    }

    /// Writes the samples, and returns the number of chunks.
    fn write(&self, samples: &Samples, started: Instant) -> Result<usize, store::Error> {
        let mode = if self.fresh { Mode::Fresh } else { Mode::Continue };
        let samples_per_chunk = self.chunking.samples_per_chunk as usize;
        let mut store = Store::open(&self.directory.dir, mode, samples_per_chunk)?;
        let samples_and_seqs = samples.as_slice().iter().zip(0..);
        let digest: Digest = samples_and_seqs.map(|((label, image), seq)| Digest::of(seq, label, image)).sum();
        let dataset = DatasetId { name: self.dataset.clone(), digest: digest.to_string() };
        let end = samples.len();
        let mut at = store.open_stream(STREAM, &dataset, Extent::range(0..end as u64))? as usize;
        while at < end {
            let next = (at + samples_per_chunk).min(end);
            store.append(STREAM, at as u64, samples.slice(at..next))?;
            store.commit()?;
            at = next;
        }
        store.complete(None, started.elapsed().as_secs_f64())?;
        Ok(store.chunks())
    }
}

/// The `.npz` files in the directory, in natural order: `chunk_2` before `chunk_10`.
fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = super::files_in(dir, |ending| ending == "npz")?;
    if files.is_empty() {
        fail!(Code::Data, "there are no .npz files in `{}`; name the folder that numpy.savez wrote to", dir.display());
    }
    files.sort_by_cached_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (natural(&name), name)
    });
    Ok(files)
}

fn read(files: &[PathBuf]) -> anyhow::Result<Samples> {
    let mut all = Samples::default();
    for path in files {
        let bytes = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let samples = dataset::npz::read(&bytes).with_context(|| format!("cannot import `{}`", path.display()));
        all.extend(samples.or_exit(Code::Data)?.as_slice());
    }
    Ok(all)
}

/// A name as texts and the numbers behind them, of which the one with more digits is greater.
fn natural(name: &str) -> Vec<(String, usize, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let (text, tail) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (number, tail) = tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len()));
        let number = number.trim_start_matches('0');
        parts.push((text.to_owned(), number.len(), number.to_owned()));
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_natural_order() {
        let mut names =
            ["chunk_10", "chunk_9b", "chunk_0010a", "b", "chunk_1_20", "chunk_", "chunk_1_3", "chunk_2", "a1"];
        names.sort_by_key(|name| natural(name));
        let expect = ["a1", "b", "chunk_", "chunk_1_3", "chunk_1_20", "chunk_2", "chunk_9b", "chunk_10", "chunk_0010a"];
        assert_eq!(names, expect);
    }
}
