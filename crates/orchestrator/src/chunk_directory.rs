//! Whose the samples in a chunk directory are. One run at a time has it, from its first sample to its last round: between the
//! receiver's end and the trainer's reading, no other run may empty it. The lock lies beside the directory, which may hold
//! files of others; inside of it where only the directory itself can be written to.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use manifest::{Manifest, SUCCESS, StreamEntry};
use process::{
    exit::{Code, failure},
    lock,
};

use crate::{config::Config, folder};

/// How long the lock of a run that was killed may stay: until a child that it was about to start has become its program.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// Holds a chunk directory for one run until it is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct ChunkDirectory {
    lock: File,
    path: PathBuf,
}

impl ChunkDirectory {
    /// Takes the directory at `dir`, which need not be there.
    /// Fails with exit code 73 when another run has it; the message says which.
    pub(crate) fn hold(dir: &Path) -> anyhow::Result<ChunkDirectory> {
        let (path, mut file) = open_lock(dir)?;
        let failed = || format!("failed to lock `{}`", path.display());
        if !lock::wait(&file, LOCK_LIMIT, || false).with_context(failed)? {
            let mut holder = String::new();
            drop(file.read_to_string(&mut holder)); // Where locks keep readers out, it stays unnamed.
            let holder = if holder.is_empty() { "another run" } else { holder.trim_end() };
            let dir = dir.display();
            let advice = "wait for its end, or give this run a --dir of its own";
            return Err(failure(Code::Directory, anyhow!("chunk directory `{dir}` is in use by {holder}; {advice}")));
        }
        file.set_len(0).with_context(failed)?; // It names the run before.
        Ok(ChunkDirectory { lock: file, path })
    }

    /// Writes down which run has the directory, for those who find it in use.
    pub(crate) fn name_holder(&self, run: &Path) -> anyhow::Result<()> {
        let text = format!("run `{}` (process {})\n", run.display(), std::process::id());
        let written = self.lock.set_len(0).and_then(|()| (&self.lock).write_all(text.as_bytes()));
        written.with_context(|| format!("failed to write `{}`", self.path.display()))
    }
}

/// The lock of the directory, `data/.streaming_input.run` for `data/streaming_input`, whichever way that is named.
fn open_lock(dir: &Path) -> anyhow::Result<(PathBuf, File)> {
    let real = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(_) => {
            let parent = dir.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))?;
            let parent = parent.canonicalize().with_context(|| format!("failed to open `{}`", parent.display()))?;
            parent.join(dir.file_name().unwrap_or_default())
        }
    };
    let mut name = OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(".run");
    let (beside, inside) = (real.with_file_name(name), real.join(".run"));
    let open = |path: PathBuf| {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
        io::Result::Ok((path, file))
    };
    let is_closed =
        |error: &io::Error| matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
    let opened = match open(beside.clone()) {
        Err(error) if is_closed(&error) && real.is_dir() => open(inside),
        opened => opened,
    };
    opened.with_context(|| format!("failed to open `{}`, the lock of the chunk directory", beside.display()))
}

/// Whether the chunk directory is complete, with the streams and the data of this very run.
/// Fails when it is complete with those of another, or damaged.
pub(crate) fn is_streamed(config: &Config, run: &Path) -> anyhow::Result<bool> {
    let Some(digest) = folder::data(run)? else { return Ok(false) }; // It holds an earlier run's samples, if any.
    let dir = config.directory.dir.display();
    let bytes = match fs::read(config.directory.dir.join(SUCCESS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        bytes => bytes.with_context(|| format!("failed to read `{dir}/{SUCCESS}`"))?,
    };
    let Manifest { dataset, run, streams, .. } =
        Manifest::decode(&bytes).map_err(|error| failure(Code::Data, anyhow!("`{dir}/{SUCCESS}` is {error}")))?;
    let declared = |stream: StreamEntry| (stream.name.clone(), stream.declared());
    let [streams, shares] =
        [streams, config.shares().collect()].map(|streams| streams.into_iter().map(declared).collect::<BTreeSet<_>>());
    if (dataset.digest, run, streams) == (digest, config.identity.run_id.clone(), shares) {
        return Ok(true);
    }
    let advice = "name this run's own with --dir, or start a new run without --resume";
    Err(failure(Code::Data, anyhow!("`{dir}` holds the samples of another run; {advice}")))
}

#[cfg(test)]
mod tests {
    use manifest::{ChunkEntry, DatasetId};
    use sample::Extent;

    use super::*;

    #[test]
    fn a_directory_is_one_runs_by_whatever_name_and_the_other_hears_whose() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("new/chunks");
        let first = ChunkDirectory::hold(&dir).unwrap();
        first.name_holder(Path::new("runs/one")).unwrap();
        fs::create_dir(&dir).unwrap();
        let error = ChunkDirectory::hold(&dir.join("../chunks")).unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Directory);
        let said = error.to_string();
        let expect = format!("is in use by run `runs/one` (process {}); wait for its end", std::process::id());
        assert!(said.contains(&expect), "{said}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        drop(first);
        ChunkDirectory::hold(&dir).unwrap();
    }

    #[test]
    fn a_chunk_directory_is_this_runs_if_its_data_and_streams_are() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = dir.path().to_str().unwrap();
        let config = crate::config::tests::config(&["--samples=24", "--offset=5", "--senders=12", "--dir", chunks]);
        let mut streams: Vec<StreamEntry> = config.shares().collect();
        assert_eq!(streams[11], StreamEntry::new("sender-11", Extent::range(27..29)));
        streams.sort_by(|one, other| one.name.cmp(&other.name)); // As the receiver does it.
        let manifest = |run: Option<&str>, digest: &str, streams: &[StreamEntry]| {
            let dataset = DatasetId { name: "mnist".into(), digest: digest.into() };
            let samples = streams.iter().map(StreamEntry::samples).sum();
            let chunk = ChunkEntry { name: "chunk-00000000-6437b3ac38465133.parquet".into(), samples, bytes: 6000 };
            Manifest::new(dataset, run.map(Into::into), 0.5, streams.into(), vec![chunk]).encode()
        };
        let own = manifest(None, "d1", &streams);
        fs::write(dir.path().join(SUCCESS), &own).unwrap();
        assert!(
            !is_streamed(&config, dir.path()).unwrap(),
            "what is there before a sample is sent is an earlier run's"
        );
        folder::remember_data(dir.path(), "d1").unwrap();
        assert!(is_streamed(&config, dir.path()).unwrap());

        let [mut longer, mut renamed] = [streams.clone(), streams.clone()];
        longer[0].end += 1;
        renamed[0].name = "a".into();
        let (other, damaged) = ("` holds the samples of another run; ", "/_SUCCESS` is damaged: ");
        for (bytes, expect) in [
            (manifest(None, "d1", &longer), other),
            (manifest(None, "d1", &renamed), other),
            (manifest(None, "d2", &streams), other),
            (manifest(Some("1f"), "d1", &streams), other),
            (own[..40].to_vec(), damaged),
            (own.iter().map(|byte| if *byte == b'9' { b'8' } else { *byte }).collect(), damaged),
        ] {
            fs::write(dir.path().join(SUCCESS), bytes).unwrap();
            let error = is_streamed(&config, dir.path()).unwrap_err();
            assert_eq!(process::exit::code_of(&error), Code::Data);
            assert!(error.to_string().starts_with(&format!("`{chunks}{expect}")), "{error}");
        }
        fs::remove_file(dir.path().join(SUCCESS)).unwrap();
        assert!(!is_streamed(&config, dir.path()).unwrap());

        // Streams that were declared without an end have ended somewhere.
        let endless = crate::config::tests::config(&["--endless", "--senders=2", "--dir", chunks]);
        let streams: Vec<_> = endless.shares().map(|stream| StreamEntry { end: stream.first + 3, ..stream }).collect();
        fs::write(dir.path().join(SUCCESS), manifest(None, "d1", &streams)).unwrap();
        assert!(is_streamed(&endless, dir.path()).unwrap());
        is_streamed(&config, dir.path()).unwrap_err();
    }
}
