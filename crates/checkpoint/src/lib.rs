//! A checkpoint is a run after one of its rounds: the global model, the figures of every round so far, and where both
//! came from. One safetensors file holds it all, so it is complete or absent, and the newest one is all that a run
//! needs to go on as if it had never stopped. Everything else in a run folder can be made from it again.
//!
//! [`record`] is what is known of a round, [`seal`] how any change of a file of weights is noticed. Nothing here links
//! libtorch, so that the reader can be tried with any bytes at all.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use cli::exit::{Code, OrExit, failure};
use serde::{Deserialize, Serialize};
use weights::StateDict;

use crate::record::Record;

pub mod record;
pub mod seal;

/// Changes when an older trainer would misread a newer checkpoint.
const FORMAT: &str = "tributary checkpoint 1";

/// What decides the bits of a model after a given round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name and value of the flags that matter.
    pub flags: Vec<(String, String)>,
    /// The digest of the received data in canonical order.
    pub data: String,
    /// The dataset's name, for people.
    pub dataset: String,
}

/// A run after a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where it comes from.
    pub origin: Origin,
    /// The rounds so far.
    pub history: Vec<Record>,
    /// The model after the last of them.
    pub global: StateDict,
}

impl Origin {
    /// The first difference between this, what is wanted, and `stored`, as a clause; `None` if there is none.
    pub fn difference(&self, stored: &Origin) -> Option<String> {
        for (name, wanted) in &self.flags {
            match stored.flags.iter().find(|(stored, _)| stored == name) {
                Some((_, value)) if value == wanted => {}
                Some((_, value)) => return Some(format!("was trained with --{name} {value}, not {wanted}")),
                None => return Some(format!("does not say its --{name}")),
            }
        }
        let unwanted = |(name, _): &&(String, String)| self.flags.iter().all(|(wanted, _)| wanted != name);
        if let Some((name, value)) = stored.flags.iter().find(unwanted) {
            return Some(format!("was trained with --{name} {value}, and not without"));
        }
        let short = |digest: &str| digest.get(..16).unwrap_or(digest).to_owned();
        (self.data != stored.data).then(|| {
            let (have, want) = (short(&stored.data), short(&self.data));
            format!("was trained on other data (digest {have}…) than the chunk directory holds ({want}…)")
        })
    }
}

impl Checkpoint {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        file_name(self.history.len())
    }

    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        seal::seal(&self.global, self.metadata())
    }

    /// What its file says beside the weights.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let json = |value: serde_json::Result<String>| value.expect("texts and numbers are JSON");
        [
            (seal::FORMAT, FORMAT.to_owned()),
            ("round", self.history.len().to_string()),
            ("dataset", self.origin.dataset.clone()),
            ("origin", json(serde_json::to_string(&self.origin))),
            ("history", json(serde_json::to_string(&self.history))),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Reads the checkpoint at `path`, and takes it only if it is whole and of this origin.
    ///
    /// # Errors
    /// Naming the file: when it is unreadable, damaged, or not of this origin.
    pub fn read(path: &Path, wanted: &Origin) -> anyhow::Result<Self> {
        let name = path.display();
        let (global, mut metadata) = StateDict::read(path).map_err(|error| failure(error.exit_code(), error))?;
        if let Some(format) = metadata.get(seal::FORMAT).filter(|format| *format != FORMAT) {
            let error = anyhow!(
                "`{name}` has the format `{format}`, not `{FORMAT}`; resume it with the trainer that wrote it, or start \
                 a new run without --resume"
            );
            return Err(failure(Code::Data, error));
        }
        let damaged = || format!("`{name}` is damaged; remove it to resume from the checkpoint before");
        let decoded = seal::check(&global, &mut metadata).and_then(|()| Self::decode(global, &metadata));
        let decoded = decoded.and_then(|checkpoint| checkpoint.check_name(path));
        let checkpoint = decoded.with_context(damaged).or_exit(Code::Data)?;
        match wanted.difference(&checkpoint.origin) {
            Some(what) => {
                let error = anyhow!("`{name}` {what}; resume it as it was, or start a new run without --resume");
                Err(failure(Code::Data, error))
            }
            None => Ok(checkpoint),
        }
    }

    /// The checkpoint that weights and metadata are, whose seal has been checked.
    ///
    /// # Errors
    /// When the metadata is not that of a checkpoint.
    pub fn decode(global: StateDict, metadata: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let field = |key: &str| metadata.get(key).with_context(|| format!("`{key}` is missing"));
        field(seal::FORMAT)?;
        let (origin, history) = (serde_json::from_str(field("origin")?)?, serde_json::from_str(field("history")?)?);
        Ok(Self { origin, history, global })
    }

    fn check_name(self, path: &Path) -> anyhow::Result<Self> {
        if path.file_name() != Some(self.file_name().as_ref()) {
            bail!("it is the checkpoint of round {}, renamed", self.history.len());
        }
        Ok(self)
    }
}

/// The newest checkpoint in the directory of checkpoints.
///
/// # Errors
/// When the directory exists but cannot be read.
pub fn newest(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(format!("failed to list `{}`", dir.display())),
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()));
    Ok(names.filter_map(|name| round_of(&name)).max().map(|round| dir.join(file_name(round))))
}

fn file_name(round: usize) -> String {
    format!("round-{round:03}.safetensors")
}

/// The round in a checkpoint's file name; `None` for any other file.
fn round_of(name: &str) -> Option<usize> {
    let round = name.strip_prefix("round-")?.strip_suffix(".safetensors")?.parse().ok()?;
    (file_name(round) == name).then_some(round)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let flags = vec![("seed".into(), "42".into()), ("partitions".into(), "2".into())];
        let origin = Origin { flags, data: "ab".repeat(32), dataset: "mnist".into() };
        Checkpoint { origin, history: vec![Record::example(1), Record::example(2)], global: StateDict::init(1) }
    }

    fn write(checkpoint: &Checkpoint, dir: &Path) {
        fs::write(dir.join(checkpoint.file_name()), checkpoint.to_bytes()).unwrap();
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        write(&checkpoint(), dir.path());
        let path = newest(dir.path()).unwrap().unwrap();
        assert_eq!(path, dir.path().join("round-002.safetensors"));
        assert_eq!(Checkpoint::read(&path, &checkpoint().origin).unwrap(), checkpoint());
    }

    #[test]
    fn the_newest_checkpoint_is_that_of_the_highest_round_and_a_file_half_written_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(&dir.path().join("absent")).unwrap(), None);
        for name in ["round-009.safetensors", "round-1000.safetensors", "round-999.safetensors"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        for name in [".tmp-round-1001.safetensors", "round-1002.safetensors.bak", "round-01003.safetensors"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(newest(dir.path()).unwrap().unwrap().file_name().unwrap(), "round-1000.safetensors");
    }

    #[test]
    fn any_changed_byte_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        write(&checkpoint(), dir.path());
        let path = newest(dir.path()).unwrap().unwrap();
        let good = fs::read(&path).unwrap();
        let history = good.windows(7).position(|window| window == b"history").unwrap();
        for at in [0, 9, history + 30, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            let error = Checkpoint::read(&path, &checkpoint().origin).unwrap_err();
            assert!(format!("{error:#}").contains("round-002.safetensors"), "{error:#}");
            assert_eq!(cli::exit::code_of(&error), Code::Data);
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(Checkpoint::read(&path, &checkpoint().origin).is_err());
        fs::rename(&path, dir.path().join("round-003.safetensors")).unwrap();
        fs::write(dir.path().join("round-003.safetensors"), good).unwrap();
        let error = Checkpoint::read(&dir.path().join("round-003.safetensors"), &checkpoint().origin).unwrap_err();
        assert!(format!("{error:#}").ends_with("it is the checkpoint of round 2, renamed"), "{error:#}");
    }

    #[test]
    fn a_checkpoint_of_another_format_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = BTreeMap::from([("format".to_owned(), "tributary checkpoint 2".to_owned())]);
        let path = dir.path().join("round-001.safetensors");
        fs::write(&path, StateDict::init(1).to_safetensors(&metadata)).unwrap();
        let error = Checkpoint::read(&path, &checkpoint().origin).unwrap_err().to_string();
        assert!(error.contains("has the format `tributary checkpoint 2`") && !error.contains("damaged"), "{error}");
    }

    #[test]
    fn the_first_difference_is_named() {
        let stored = checkpoint().origin;
        let mut wanted = stored.clone();
        assert_eq!(wanted.difference(&stored), None);
        wanted.data = "cd".repeat(32);
        let what =
            "was trained on other data (digest abababababababab…) than the chunk directory holds (cdcdcdcdcdcdcdcd…)";
        assert_eq!(wanted.difference(&stored).unwrap(), what);
        wanted.flags[1].1 = "3".into();
        assert_eq!(wanted.difference(&stored).unwrap(), "was trained with --partitions 2, not 3");
        wanted.flags.remove(1);
        assert_eq!(wanted.difference(&stored).unwrap(), "was trained with --partitions 2, and not without");
        wanted.flags[0].0 = "rate".into();
        assert_eq!(wanted.difference(&stored).unwrap(), "does not say its --rate");
    }
}
