//! The run folder as the trainer writes it: each file is complete or absent, and of the events each one. What they hold
//! says the crate `run_folder`.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use event::Event;
use process::{exit::Code, file, lock, shutdown::Shutdown};
use run_folder::{
    CHECKPOINTS, CONFIG, Checkpoint, EVENTS, FINAL_MODEL, LATEST, LOCK, REPORT, RUNS, SUMMARY, checkpoint,
};
use serde::Serialize;

use crate::{config::Folder, folder_failure};

/// How long another trainer may take to leave the folder: one that was told to stop ends its step first.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// An open run folder; no other trainer opens it meanwhile.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    events: File,
    _lock: File,
}

impl RunFolder {
    /// Makes a new run folder, or opens an earlier one.
    pub(crate) fn open(folder: &Folder, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let path = match folder {
            Folder::New(Some(path)) => {
                fs::create_dir_all(path)
                    .with_context(|| format!("failed to create run folder `{}`", path.display()))?;
                path.clone()
            }
            Folder::New(None) => run_folder::create_dated(Path::new(RUNS), &terminal::time::now())
                .with_context(|| format!("failed to create a run folder in `{RUNS}`"))?,
            Folder::Resume(path) => path.clone(),
        };
        let lock = lock(&path, || shutdown.requested().is_some())?;
        if matches!(folder, Folder::New(_)) && checkpoint::newest(&path).map_err(folder_failure)?.is_some() {
            let name = path.display();
            fail!(
                Code::Directory,
                "run folder `{name}` already holds checkpoints; go on with them by --resume {name}, or choose another \
                 --run-dir"
            );
        }
        let dir = path.join(CHECKPOINTS);
        fs::create_dir_all(&dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
        let events = path.join(EVENTS);
        let events = open_events(&events).with_context(|| format!("failed to open `{}`", events.display()))?;
        if matches!(folder, Folder::New(_))
            && let Err(error) = run_folder::point_latest_to(&path)
        {
            tracing::warn!("failed to update `{LATEST}`: {error}");
        }
        Ok(Self { path, events, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the effective configuration. Keys of other programs that the file holds already stay.
    pub(crate) fn write_config(&self, effective: &toml::Table) -> anyhow::Result<()> {
        let path = self.path.join(CONFIG);
        let present = if path.exists() {
            run_folder::read_config(&self.path).map_err(folder_failure)?
        } else {
            toml::Table::new()
        };
        let mut merged = present.clone();
        merged.extend(effective.clone());
        if merged == present { Ok(()) } else { file::replace(&path, merged.to_string().as_bytes()) }
    }

    /// Appends an event, with the time, to `events.jsonl`.
    pub(crate) fn append_event(&mut self, event: &Event) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Timed<'a> {
            time: String,
            #[serde(flatten)]
            event: &'a Event,
        }
        let time = format!("{:.3}", jiff::Timestamp::now());
        let mut line = serde_json::to_vec(&Timed { time, event })?;
        line.push(b'\n');
        // One call, so that a kill does not cut the line.
        self.events
            .write_all(&line)
            .with_context(|| format!("failed to append to `{}`", self.path.join(EVENTS).display()))
    }

    /// The rounds that `events.jsonl` tells of, each with the hash of its model.
    pub(crate) fn logged_rounds(&self) -> anyhow::Result<BTreeSet<(u32, String)>> {
        let path = self.path.join(EVENTS);
        let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        // Half a line, after a power cut, is no event.
        let events = bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let round = |event| match event {
            Event::Round { round, model_sha256, .. } => Some((round, model_sha256)),
            _ => None,
        };
        Ok(events.filter_map(round).collect())
    }

    /// Writes a checkpoint, unless nobody could read it again.
    pub(crate) fn write_checkpoint(&self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        let bytes = checkpoint.to_bytes().map_err(folder_failure).with_context(|| {
            let rounds = checkpoint.rounds();
            format!(
                "{rounds} rounds are too many for one checkpoint; the one before stays, and a new run goes on from its model by \
                 --init"
            )
        })?;
        file::replace(&self.checkpoint(checkpoint), &bytes)
    }

    /// Where a checkpoint is.
    pub(crate) fn checkpoint(&self, checkpoint: &Checkpoint) -> PathBuf {
        self.path.join(CHECKPOINTS).join(checkpoint.file_name())
    }

    /// Removes all checkpoints but the newest so many.
    pub(crate) fn keep_checkpoints(&self, kept: usize) -> anyhow::Result<()> {
        let all = checkpoint::all(&self.path).map_err(folder_failure)?;
        all.iter().rev().skip(kept).try_for_each(|path| remove(path))
    }

    /// Removes the final model, the summary and the report, if they are there.
    pub(crate) fn remove_results(&self) -> anyhow::Result<()> {
        [FINAL_MODEL, SUMMARY, REPORT].iter().try_for_each(|name| remove(&self.path.join(name)))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        file::replace(&self.path.join(name), bytes)
    }
}

/// Locks the folder. While another trainer has it, waits for a while, unless `gives_up`.
fn lock(run_folder: &Path, mut gives_up: impl FnMut() -> bool) -> anyhow::Result<File> {
    let path = run_folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
    let folder = run_folder.display();
    let mut told = false;
    let waited_for = lock::wait(&file, LOCK_LIMIT, || {
        if !told {
            tracing::info!("another trainer has run folder `{folder}`; waiting for its end");
            told = true;
        }
        gives_up()
    });
    if !waited_for.with_context(|| format!("failed to lock `{}`", path.display()))? {
        fail!(Code::Directory, "run folder `{folder}` is in use by another trainer");
    }
    Ok(file)
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Opens `events.jsonl` for appending, on a fresh line even if a power cut left half of one.
fn open_events(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut events = Vec::new();
    file.read_to_end(&mut events)?;
    if events.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use process::shutdown::Cause;
    use run_folder::{Origin, ServerState, Sums, record::Record};

    use super::*;

    fn open(folder: &Folder) -> anyhow::Result<RunFolder> {
        let (_trigger, shutdown) = Shutdown::manual();
        RunFolder::open(folder, &shutdown)
    }

    #[test]
    fn a_folder_in_use_is_waited_for_until_told_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Some(open(&Folder::New(Some(dir.path().into()))).unwrap());
        let (trigger, shutdown) = Shutdown::manual();
        let free = || first.take().map(drop).is_none();
        let _second = lock(dir.path(), free).unwrap();
        assert!(first.is_none(), "a folder in use was locked");
        trigger.stop(Cause::Lifeline);
        let error = RunFolder::open(&Folder::Resume(dir.path().into()), &shutdown).unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Directory);
    }

    #[test]
    fn a_checkpoint_that_nobody_could_read_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = open(&Folder::New(Some(dir.path().into()))).unwrap();
        let origin = Origin { flags: Vec::new(), data: String::new(), dataset: "mnist".into() };
        let (history, unlisted, global) = (vec![Record::example(1)], Sums::default(), model::SIMPLE_CNN.zeros());
        let mut checkpoint =
            Checkpoint { origin, history, unlisted, global, position: None, server: ServerState::default() };
        folder.write_checkpoint(&checkpoint).unwrap();
        let good = fs::read(folder.checkpoint(&checkpoint)).unwrap();
        checkpoint.history[0].drifts = vec![u64::MAX; 1 << 20];
        let error = folder.write_checkpoint(&checkpoint).unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Data);
        assert!(error.to_string().starts_with("1 rounds are too many for one checkpoint; "), "{error}");
        assert_eq!(fs::read(folder.checkpoint(&checkpoint)).unwrap(), good);
    }

    #[test]
    fn an_event_after_half_a_line_starts_on_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EVENTS);
        fs::write(&path, "{\"event\":\"rou").unwrap();
        let mut folder = open(&Folder::Resume(dir.path().into())).unwrap();
        folder.append_event(&Event::Summary { text: "one".into() }).unwrap();
        folder.append_event(&Event::Summary { text: "two".into() }).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let last: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!((&last["event"], &last["text"]), (&"summary".into(), &"two".into()));
        assert!(last["time"].as_str().unwrap().ends_with('Z'));
    }
}
