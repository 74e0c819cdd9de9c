//! A run folder holds everything that a run leaves behind: its effective configuration, its events, a row and a
//! checkpoint for every round, the final model, the summary, and in `tensorboard/` what TensorBoard shows of it. Each file is
//! complete or absent, and of the events each one.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use checkpoint::{
    Checkpoint,
    record::{self, Record},
};
use cli::{
    event::Event,
    exit::{Code, OrExit, failure},
    layers, runs,
    shutdown::Shutdown,
};
use serde::Serialize;

use crate::{config::Folder, disk};

/// The file that holds the effective configuration, in the syntax of a configuration layer.
pub const CONFIG: &str = "config.toml";
/// The directory that holds the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The file that holds the model after the last round.
pub const FINAL_MODEL: &str = "final_cnn_model.safetensors";
/// The file that shows the run to people.
pub const REPORT: &str = "report.html";
/// The file that holds the summary.
pub const SUMMARY: &str = "summary.json";

/// How long another trainer may take to leave the folder: one that was told to stop ends its step first.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// An open run folder; no other trainer opens it meanwhile.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    events: File,
    _lock: File,
}

impl RunFolder {
    /// Makes a new run folder, or opens an earlier one.
    ///
    /// # Errors
    /// When it cannot be made or written to, when a new one is not empty of results, or another trainer uses it and
    /// goes on doing so.
    pub fn open(folder: &Folder, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let path = match folder {
            Folder::New(Some(path)) => {
                fs::create_dir_all(path)
                    .with_context(|| format!("failed to create run folder `{}`", path.display()))?;
                path.clone()
            }
            Folder::New(None) => runs::create_dated(Path::new(runs::RUNS))
                .with_context(|| format!("failed to create a run folder in `{}`", runs::RUNS))?,
            Folder::Resume(path) => path.clone(),
        };
        // Often enough to go unnoticed, and nothing to the disk.
        let lock = lock(&path, shutdown, || thread::sleep(Duration::from_millis(20)))?;
        let dir = path.join(CHECKPOINTS);
        if matches!(folder, Folder::New(_)) && checkpoint::newest(&dir)?.is_some() {
            let name = path.display();
            let error = anyhow!(
                "run folder `{name}` already holds checkpoints; go on with them by --resume {name}, or choose another \
                 --run-dir"
            );
            return Err(failure(Code::Directory, error));
        }
        fs::create_dir_all(&dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
        let events = path.join("events.jsonl");
        let events = open_events(&events).with_context(|| format!("failed to open `{}`", events.display()))?;
        if matches!(folder, Folder::New(_))
            && let Err(error) = runs::point_latest_to(&path)
        {
            tracing::warn!("failed to update `{}`: {error}", runs::LATEST);
        }
        Ok(Self { path, events, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of its checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Writes the effective configuration. Keys of other programs that the file holds already stay.
    ///
    /// # Errors
    /// When the file there cannot be understood, or writing fails.
    pub fn write_config(&self, effective: &toml::Table) -> anyhow::Result<()> {
        let path = self.path.join(CONFIG);
        let present = if path.exists() { read_config(&self.path)? } else { toml::Table::new() };
        let mut merged = present.clone();
        merged.extend(effective.clone());
        if merged == present { Ok(()) } else { disk::replace(&path, merged.to_string().as_bytes()) }
    }

    /// Appends an event, with the time, to `events.jsonl`.
    ///
    /// # Errors
    /// When writing fails.
    pub fn append_event(&mut self, event: &Event) -> anyhow::Result<()> {
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
            .with_context(|| format!("failed to append to `{}/events.jsonl`", self.path.display()))
    }

    /// The rounds that `events.jsonl` tells of, each with the hash of its model.
    ///
    /// # Errors
    /// When reading fails.
    pub fn logged_rounds(&self) -> anyhow::Result<BTreeSet<(u32, String)>> {
        let path = self.path.join("events.jsonl");
        let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        // Half a line, after a power cut, is no event.
        let events = bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let round = |event| match event {
            Event::Round { round, model_sha256, .. } => Some((round, model_sha256)),
            _ => None,
        };
        Ok(events.filter_map(round).collect())
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write_checkpoint(&self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        disk::replace(&self.checkpoints().join(checkpoint.file_name()), &checkpoint.to_bytes())
    }

    /// Writes `rounds.csv` and `partitions.csv`.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write_rounds(&self, history: &[Record]) -> anyhow::Result<()> {
        disk::replace(&self.path.join("rounds.csv"), record::csv(history).as_bytes())?;
        disk::replace(&self.path.join("partitions.csv"), record::partitions_csv(history).as_bytes())
    }

    /// Removes the final model, the summary and the report, if they are there.
    ///
    /// # Errors
    /// When they are there and stay.
    pub fn remove_results(&self) -> anyhow::Result<()> {
        for path in [FINAL_MODEL, SUMMARY, REPORT].map(|name| self.path.join(name)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("failed to remove `{}`", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes another file of the run.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        disk::replace(&self.path.join(name), bytes)
    }
}

/// The configuration in a run folder.
///
/// # Errors
/// When it cannot be read, which is also how a directory that is no run folder shows itself, or is not TOML.
pub fn read_config(run_folder: &Path) -> anyhow::Result<toml::Table> {
    let path = run_folder.join(CONFIG);
    let text = layers::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    text.parse().with_context(|| format!("`{}` is not TOML", path.display())).or_exit(Code::Data)
}

/// Locks the folder, and calls `pause` before each further look at it while another trainer has it.
fn lock(run_folder: &Path, shutdown: &Shutdown, mut pause: impl FnMut()) -> anyhow::Result<File> {
    let path = run_folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
    let folder = run_folder.display();
    let until = Instant::now() + LOCK_LIMIT;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until && shutdown.requested().is_none() => {}
            Err(TryLockError::WouldBlock) => {
                return Err(failure(Code::Directory, anyhow!("run folder `{folder}` is in use by another trainer")));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock `{}`", path.display()));
            }
        }
        if !told {
            tracing::info!("another trainer has run folder `{folder}`; waiting for its end");
            told = true;
        }
        pause();
    }
}

/// Opens `events.jsonl` for appending, on a fresh line even if a power cut left half of one.
fn open_events(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use cli::shutdown::Cause;

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
        let _second =
            lock(dir.path(), &shutdown, || drop(first.take().expect("a free folder was waited for"))).unwrap();
        assert!(first.is_none(), "a folder in use was locked");
        trigger.stop(Cause::Lifeline);
        let error = RunFolder::open(&Folder::Resume(dir.path().into()), &shutdown).unwrap_err();
        assert_eq!(cli::exit::code_of(&error), Code::Directory);
    }

    #[test]
    fn an_event_after_half_a_line_starts_on_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        fs::write(&path, "{\"event\":\"rou").unwrap();
        let mut folder = open(&Folder::Resume(dir.path().into())).unwrap();
        folder.append_event(&Record::example(1).event()).unwrap();
        folder.append_event(&Record::example(2).event()).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let last: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!((&last["event"], &last["round"]), (&"round".into(), &2.into()));
        assert!(last["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_configuration_keeps_what_other_programs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(CONFIG), "samples = 7\nrounds = 3\n").unwrap();
        let folder = open(&Folder::New(Some(dir.path().into()))).unwrap();
        folder.write_config(&"rounds = 5\nseed = 1".parse().unwrap()).unwrap();
        assert_eq!(read_config(dir.path()).unwrap(), "samples = 7\nrounds = 5\nseed = 1".parse().unwrap());
    }
}
