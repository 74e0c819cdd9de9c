//! A checkpoint is a run after one of its rounds: the global model, the figures of every round so far, and where both
//! came from. One safetensors file holds it all, so it is complete or absent, and the newest one is all that a run
//! needs to go on as if it had never stopped. Everything else in a run folder can be made from it again.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weights::{Architecture, StateDict};

use crate::{CHECKPOINTS, Error, older, record::Record, seal};

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
    /// Where in its stream a live run stands.
    pub position: Option<Position>,
}

/// How far a live run has come in its stream. It is in the same file as the weights, so neither is ever ahead of the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// One past the seq of the last sample of the last slice.
    pub seq: u64,
    /// The digest of all samples up to there, however they came.
    pub digest: String,
    /// What the figures of prequential evaluation go on from; the trainer knows its form.
    pub figures: serde_json::Value,
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
        let position = self.position.as_ref().map(|position| ("position", json(serde_json::to_string(position))));
        let metadata = [
            (seal::FORMAT, FORMAT.to_owned()),
            ("round", self.history.len().to_string()),
            ("dataset", self.origin.dataset.clone()),
            ("origin", json(serde_json::to_string(&self.origin))),
            ("history", json(serde_json::to_string(&self.history))),
        ];
        metadata.into_iter().chain(position).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Reads the checkpoint at `path`, and takes it only if it is whole and of this origin and architecture.
    ///
    /// # Errors
    /// Naming the file: when it is unreadable, damaged, or not of this origin.
    pub fn read(path: &Path, architecture: &'static Architecture, wanted: &Origin) -> Result<Self, Error> {
        let other = |what| Error::Other { path: path.to_owned(), what };
        let (global, mut metadata) = architecture.read(path)?;
        if let Some(format) = metadata.get(seal::FORMAT).filter(|format| *format != FORMAT) {
            return Err(other(format!(
                "has the format `{format}`, not `{FORMAT}`; resume it with the trainer that wrote it, or start a new run \
                 without --resume"
            )));
        }
        let decoded = seal::check(&global, &mut metadata).and_then(|()| Self::decode(global, &metadata));
        let mut checkpoint = decoded.and_then(|checkpoint| checkpoint.check_name(path)).map_err(|what| {
            let advice = "; remove it to resume from the checkpoint before";
            Error::Damaged { path: path.to_owned(), advice, what }
        })?;
        older::flags(&mut checkpoint.origin.flags).map_err(other)?;
        match wanted.difference(&checkpoint.origin) {
            Some(what) => Err(other(format!("{what}; resume it as it was, or start a new run without --resume"))),
            None => Ok(checkpoint),
        }
    }

    /// The checkpoint that weights and metadata are, whose seal has been checked.
    ///
    /// # Errors
    /// Saying why the metadata is not that of a checkpoint.
    pub fn decode(global: StateDict, metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let field = |key: &str| metadata.get(key).ok_or_else(|| format!("`{key}` is missing"));
        let malformed = |error: serde_json::Error| error.to_string();
        field(seal::FORMAT)?;
        let origin = serde_json::from_str(field("origin")?).map_err(malformed)?;
        let history = serde_json::from_str(field("history")?).map_err(malformed)?;
        let position = metadata.get("position").map(|position| serde_json::from_str(position)).transpose();
        Ok(Self { origin, history, global, position: position.map_err(malformed)? })
    }

    fn check_name(self, path: &Path) -> Result<Self, String> {
        if path.file_name() != Some(self.file_name().as_ref()) {
            return Err(format!("it is the checkpoint of round {}, renamed", self.history.len()));
        }
        Ok(self)
    }
}

/// The newest checkpoint in a run folder.
///
/// # Errors
/// When the directory of checkpoints exists but cannot be read.
pub fn newest(run_folder: &Path) -> Result<Option<PathBuf>, Error> {
    let dir = run_folder.join(CHECKPOINTS);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { action: "list", path: dir, source }),
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()));
    Ok(names.filter_map(|name| round_of(&name)).max().map(|round| dir.join(file_name(round))))
}

/// The name of the file of the checkpoint after so many rounds.
pub fn file_name(round: usize) -> String {
    format!("round-{round:03}.safetensors")
}

/// The round in a checkpoint's file name; `None` for any other file.
fn round_of(name: &str) -> Option<usize> {
    let round = name.strip_prefix("round-")?.strip_suffix(".safetensors")?.parse().ok()?;
    (file_name(round) == name).then_some(round)
}

#[cfg(test)]
mod tests {
    use weights::SIMPLE_CNN;

    use super::*;

    fn checkpoint() -> Checkpoint {
        let flags = vec![("seed".into(), "42".into()), ("partitions".into(), "2".into())];
        let origin = Origin { flags, data: "ab".repeat(32), dataset: "mnist".into() };
        Checkpoint {
            origin,
            history: vec![Record::example(1), Record::example(2)],
            global: SIMPLE_CNN.init(1),
            position: None,
        }
    }

    fn written() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(CHECKPOINTS)).unwrap();
        let path = dir.path().join(CHECKPOINTS).join(checkpoint().file_name());
        fs::write(&path, checkpoint().to_bytes()).unwrap();
        (dir, path)
    }

    fn read(path: &Path) -> Result<Checkpoint, Error> {
        Checkpoint::read(path, &SIMPLE_CNN, &checkpoint().origin)
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was_written() {
        let (dir, path) = written();
        assert_eq!(newest(dir.path()).unwrap().unwrap(), path);
        assert!(path.ends_with("round-002.safetensors"));
        assert_eq!(read(&path).unwrap(), checkpoint());
    }

    #[test]
    fn the_newest_checkpoint_is_that_of_the_highest_round_and_a_file_half_written_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path()).unwrap(), None);
        let checkpoints = dir.path().join(CHECKPOINTS);
        fs::create_dir(&checkpoints).unwrap();
        for name in ["round-009.safetensors", "round-1000.safetensors", "round-999.safetensors"] {
            fs::write(checkpoints.join(name), "").unwrap();
        }
        for name in [".tmp-round-1001.safetensors", "round-1002.safetensors.bak", "round-01003.safetensors"] {
            fs::write(checkpoints.join(name), "").unwrap();
        }
        assert_eq!(newest(dir.path()).unwrap().unwrap().file_name().unwrap(), "round-1000.safetensors");
    }

    #[test]
    fn any_changed_byte_is_an_error_that_names_the_file() {
        let (_dir, path) = written();
        let good = fs::read(&path).unwrap();
        let history = good.windows(7).position(|window| window == b"history").unwrap();
        for at in [0, 9, history + 30, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains("round-002.safetensors"), "{error}");
            assert_eq!(error.exit_code(), 65);
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(read(&path).is_err());
        let renamed = path.with_file_name("round-003.safetensors");
        fs::write(&renamed, good).unwrap();
        let error = read(&renamed).unwrap_err().to_string();
        assert!(error.ends_with("it is the checkpoint of round 2, renamed"), "{error}");
    }

    #[test]
    fn a_checkpoint_of_another_format_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = BTreeMap::from([("format".to_owned(), "tributary checkpoint 2".to_owned())]);
        let path = dir.path().join("round-001.safetensors");
        fs::write(&path, SIMPLE_CNN.init(1).to_safetensors(&metadata)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("has the format `tributary checkpoint 2`") && !error.contains("damaged"), "{error}");
    }

    #[test]
    fn a_run_from_before_the_native_step_goes_on_by_libtorchs() {
        let (_dir, path) = written();
        let with = |name: &str, value: &str| {
            let mut checkpoint = checkpoint();
            checkpoint.origin.flags.push((name.into(), value.into()));
            checkpoint
        };
        let read = |older: Checkpoint, step: &str| {
            fs::write(&path, older.to_bytes()).unwrap();
            Checkpoint::read(&path, &SIMPLE_CNN, &with("step", step).origin)
        };
        assert_eq!(read(with("precision", "f32"), "libtorch").unwrap(), with("step", "libtorch"));
        for (older, step, says) in [
            (with("precision", "f32"), "native", "was trained with --step libtorch, not native; resume it as it was"),
            (
                with("precision", "bf16"),
                "libtorch",
                "was trained in bf16, which this version does not do; resume it with",
            ),
        ] {
            let error = read(older, step).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
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
