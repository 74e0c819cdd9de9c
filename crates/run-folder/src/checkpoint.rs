//! A checkpoint is a run after one of its rounds: the global model, the figures of the rounds so far, and where both
//! came from. One safetensors file holds it all, so it is complete or absent, and the newest one is all that a run
//! needs to go on as if it had never stopped. Everything else in a run folder can be made from it again,
//! but for what a live run has told of rounds that its checkpoint does not list.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weights::{Architecture, Beside, StateDict};

use crate::{CHECKPOINTS, Error, FINAL_MODEL, Sums, older, record::Record, seal};

/// The next is for what an older trainer would misread: a checkpoint with the state of a server.
const FORMATS: [&str; 2] = ["tributary checkpoint 1", "tributary checkpoint 2"];

/// What a strategy remembers from round to round: lists with names, with a number for each weight.
pub type ServerState = Beside;

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
    /// The rounds so far; the newest of a live run.
    pub history: Vec<Record>,
    /// Sums of what is not in the history.
    pub unlisted: Sums,
    /// The model after the last of them.
    pub global: StateDict,
    /// Where in its stream a live run stands.
    pub position: Option<Position>,
    /// What the strategy remembers.
    pub server: ServerState,
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
    /// How many rounds there are so far.
    pub fn rounds(&self) -> u32 {
        self.unlisted.rounds.saturating_add(self.history.len() as u32)
    }

    /// Sums over all rounds so far.
    pub fn sums(&self) -> Sums {
        let mut sums = self.unlisted;
        self.history.iter().for_each(|record| sums.add(record));
        sums
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        file_name(self.rounds())
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// When it has so many rounds that the file could not be read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = seal::seal(&self.global, &self.server, self.metadata());
        weights::check_header(&bytes)?;
        Ok(bytes)
    }

    /// What its file says beside the weights.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let json = |value: serde_json::Result<String>| value.expect("texts and numbers are JSON");
        let position = self.position.as_ref().map(|position| ("position", json(serde_json::to_string(position))));
        let unlisted = Some(self.unlisted).filter(|unlisted| *unlisted != Sums::default());
        let unlisted = unlisted.map(|unlisted| ("unlisted", json(serde_json::to_string(&unlisted))));
        let metadata = [
            (seal::FORMAT, FORMATS[usize::from(!self.server.is_empty())].to_owned()),
            ("round", self.rounds().to_string()),
            ("dataset", self.origin.dataset.clone()),
            ("origin", json(serde_json::to_string(&self.origin))),
            ("history", json(serde_json::to_string(&self.history))),
        ];
        metadata.into_iter().chain(position).chain(unlisted).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Reads the checkpoint at `path`, and takes it only if it is whole and of this origin and architecture.
    ///
    /// # Errors
    /// Naming the file: when it is unreadable, damaged, or not of this origin.
    pub fn read(path: &Path, architecture: &'static Architecture, wanted: &Origin) -> Result<Self, Error> {
        let other = |what| Error::Other { path: path.to_owned(), what };
        let (global, server, mut metadata) = architecture.read_with(path)?;
        if let Some(format) = metadata.get(seal::FORMAT).filter(|format| !FORMATS.contains(&format.as_str())) {
            let [_, newest] = FORMATS;
            return Err(other(format!(
                "has the format `{format}`, not `{newest}`; resume it with the trainer that wrote it, or start a new run \
                 without --resume"
            )));
        }
        let decoded = seal::check(&global, &server, &mut metadata);
        let decoded = decoded.and_then(|()| Self::decode(global, server, &metadata));
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

    /// The checkpoint that weights, what is beside them, and metadata are, whose seal has been checked.
    ///
    /// # Errors
    /// Saying why the metadata is not that of a checkpoint.
    pub fn decode(global: StateDict, server: ServerState, metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let field = |key: &str| metadata.get(key).ok_or_else(|| format!("`{key}` is missing"));
        let malformed = |error: serde_json::Error| error.to_string();
        field(seal::FORMAT)?;
        let origin = serde_json::from_str(field("origin")?).map_err(malformed)?;
        let history: Vec<Record> = serde_json::from_str(field("history")?).map_err(malformed)?;
        let position = metadata.get("position").map(|position| serde_json::from_str(position)).transpose();
        let unlisted = metadata.get("unlisted").map_or(Ok(Sums::default()), |sums| serde_json::from_str(sums));
        let unlisted = unlisted.map_err(malformed)?;
        check_rounds(&unlisted, &history)?;
        let weights = global.values().len();
        if let Some((name, list)) = server.iter().find(|(_, list)| list.len() != weights) {
            return Err(format!("its `{name}` has {} numbers, not {weights}", list.len()));
        }
        Ok(Self { origin, history, unlisted, global, position: position.map_err(malformed)?, server })
    }

    fn check_name(self, path: &Path) -> Result<Self, String> {
        if path.file_name() != Some(self.file_name().as_ref()) {
            return Err(format!("it is the checkpoint of round {}, renamed", self.rounds()));
        }
        Ok(self)
    }
}

/// Checks that a history goes on where its run stood before, and that it says how that stands.
fn check_rounds(unlisted: &Sums, history: &[Record]) -> Result<(), String> {
    let mut rounds = (u64::from(unlisted.rounds) + 1..).zip(history);
    if !rounds.all(|(round, record)| u64::from(record.round) == round && record.round < u32::MAX) {
        return Err("its rounds are not one after the other".into());
    }
    if history.is_empty() && *unlisted != Sums::default() {
        return Err("it does not list its last round".into());
    }
    Ok(())
}

/// The newest checkpoint in a run folder.
///
/// # Errors
/// When the directory of checkpoints exists but cannot be read.
pub fn newest(run_folder: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(all(run_folder)?.pop())
}

/// The newest model of a run folder: the final one, else the newest checkpoint.
///
/// # Errors
/// As [`newest`].
pub fn newest_model(run_folder: &Path) -> Result<Option<PathBuf>, Error> {
    let model = run_folder.join(FINAL_MODEL);
    if model.is_file() { Ok(Some(model)) } else { newest(run_folder) }
}

/// All checkpoints in a run folder, the newest last.
///
/// # Errors
/// As [`newest`].
pub fn all(run_folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let dir = run_folder.join(CHECKPOINTS);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Io { action: "list", path: dir, source }),
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()));
    let mut rounds: Vec<u32> = names.filter_map(|name| round_of(&name)).collect();
    rounds.sort_unstable();
    Ok(rounds.into_iter().map(|round| dir.join(file_name(round))).collect())
}

/// The name of the file of the checkpoint after so many rounds.
fn file_name(round: u32) -> String {
    format!("round-{round:03}.safetensors")
}

/// The round in a checkpoint's file name; `None` for any other file.
fn round_of(name: &str) -> Option<u32> {
    let round = name.strip_prefix("round-")?.strip_suffix(".safetensors")?.parse().ok()?;
    (file_name(round) == name).then_some(round)
}

#[cfg(test)]
mod tests;
