//! What a run folder keeps of a finished run, as a report needs it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use checkpoint::{Checkpoint, record::Record, seal};
use cli::exit::{Code, OrExit, failure};
use model::StateDict;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    provenance::Provenance,
    run_folder::{self, CHECKPOINTS, SUMMARY},
    summary::TestSet,
};

/// What the orchestrator writes of the streaming.
const STREAMING: &str = "streaming.json";

/// Both files are a few kilobytes; what is larger is none of ours.
const MAX_JSON: u64 = 1 << 20;

/// A finished run.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) folder: PathBuf,
    /// The folder's own name, also where it was found by another one.
    pub(super) name: String,
    pub(super) config: toml::Table,
    pub(super) summary: Summary,
    pub(super) history: Vec<Record>,
    /// The digest of the received data in canonical order.
    pub(super) data: String,
    pub(super) global: StateDict,
    pub(super) streaming: Option<Streaming>,
    /// What could not be read and is not needed, in a sentence.
    pub(super) damage: Option<String>,
}

/// What a report takes from `summary.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    pub(super) dataset: String,
    /// Earlier versions did not write it down.
    #[serde(default)]
    pub(super) test_set: Option<TestSet>,
    pub(super) n_samples: u64,
    pub(super) n_chunks: u64,
    #[serde(default)]
    pub(super) n_streams: Option<u64>,
    pub(super) engine: String,
    pub(super) partitions: u32,
    pub(super) rounds: u32,
    pub(super) seed: u64,
    pub(super) precision: String,
    pub(super) received_accuracy: f64,
    pub(super) model_sha256: String,
    pub(super) seconds: Seconds,
    #[serde(default)]
    pub(super) provenance: Provenance,
}

#[derive(Debug, Deserialize)]
pub(super) struct Seconds {
    pub(super) total: f64,
    pub(super) send: f64,
    pub(super) train: f64,
    pub(super) evaluate: f64,
}

/// `streaming.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Streaming {
    format: u32,
    /// The orchestrator's command line.
    pub(super) command: Vec<String>,
    /// The phases before training, with their seconds.
    pub(super) phases: Vec<(String, f64)>,
    pub(super) points: Vec<Stored>,
}

/// So many samples were durable, so many seconds after the senders were started.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) seconds: f64,
    pub(super) samples: u64,
}

impl Kept {
    /// Reads a finished run.
    ///
    /// # Errors
    /// When the folder holds none, or a file that is needed is damaged.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            let error = anyhow!("there is no run folder `{}`; name one such as runs/latest", folder.display());
            return Err(failure(Code::Io, error));
        }
        let config = run_folder::read_config(folder)?;
        let summary = read(&folder.join(SUMMARY))?.with_context(|| {
            let name = folder.display();
            format!("`{name}` holds no finished run: there is no `{SUMMARY}`; to finish it: trainer --resume {name}")
        });
        let summary = summary.or_exit(Code::Data)?;
        let none = || failure(Code::Data, anyhow!("there is no checkpoint in `{}`", folder.display()));
        let path = checkpoint::newest(&folder.join(CHECKPOINTS))?.ok_or_else(none)?;
        let (global, metadata) = seal::read(&path)?;
        let checkpoint = Checkpoint::decode(global, &metadata);
        let checkpoint = checkpoint.with_context(|| format!("`{}` is damaged", path.display())).or_exit(Code::Data)?;
        let (streaming, damage) = match streaming(folder) {
            Ok(streaming) => (streaming, None),
            Err(error) => {
                tracing::warn!("{error:#}; the report lacks the streaming");
                (None, Some(format!("{STREAMING} in the run folder is damaged, so this page lacks the streaming.")))
            }
        };
        let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Ok(Self {
            folder: folder.to_owned(),
            name: name.unwrap_or_else(|| folder.display().to_string()),
            config,
            summary,
            history: checkpoint.history,
            data: checkpoint.origin.data,
            global: checkpoint.global,
            streaming,
            damage,
        })
    }
}

fn streaming(folder: &Path) -> anyhow::Result<Option<Streaming>> {
    let path = folder.join(STREAMING);
    match read::<Streaming>(&path)? {
        Some(streaming) if streaming.format != 1 => {
            bail!("`{}` has format {}, not 1", path.display(), streaming.format)
        }
        streaming => Ok(streaming),
    }
}

/// What a file of JSON says; `None` if it is not there.
fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let name = path.display();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("failed to open `{name}`"))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_JSON + 1).read_to_end(&mut bytes).with_context(|| format!("failed to read `{name}`"))?;
    let parsed = if bytes.len() as u64 > MAX_JSON {
        Err(anyhow!("it is longer than {MAX_JSON} bytes"))
    } else {
        serde_json::from_slice(&bytes).map_err(Into::into)
    };
    parsed.map(Some).with_context(|| format!("`{name}` is damaged")).or_exit(Code::Data)
}
