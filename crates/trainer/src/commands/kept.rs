//! What a run folder keeps of a run, as a report or a page needs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use process::exit::{Code, OrExit, failure};
use run_folder::{Checkpoint, STREAMING, SUMMARY, ServerState, Streaming, Summary, checkpoint, seal};

use crate::{config::ARCHITECTURE, folder_failure};

/// A run that may be finished or not; `S` is its summary.
#[derive(Debug)]
pub(super) struct Kept<S = Summary> {
    pub(super) folder: PathBuf,
    /// The folder's own name, also where it was found by another one.
    pub(super) name: String,
    pub(super) config: toml::Table,
    pub(super) summary: S,
    /// The newest.
    pub(super) checkpoint: Checkpoint,
    /// Where that is.
    pub(super) path: PathBuf,
    pub(super) streaming: Option<Streaming>,
    /// What could not be read and is not needed, in a sentence.
    pub(super) damage: Option<String>,
}

impl Kept {
    /// Of a finished run.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let summary = |summary: Option<Summary>| {
            let name = folder.display();
            summary.with_context(|| {
                format!(
                    "`{name}` holds no finished run: there is no `{SUMMARY}`; to finish it: trainer --resume {name}"
                )
            })
        };
        Kept::read_with(folder, summary)
    }
}

impl Kept<Option<Summary>> {
    /// Of a run that has a checkpoint at least.
    pub(super) fn read_unfinished(folder: &Path) -> anyhow::Result<Self> {
        Kept::read_with(folder, Ok)
    }
}

impl<S> Kept<S> {
    fn read_with(folder: &Path, of: impl FnOnce(Option<Summary>) -> anyhow::Result<S>) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            fail!(Code::Io, "there is no run folder `{}`; name one such as runs/latest", folder.display());
        }
        let config = run_folder::read_config(folder).map_err(folder_failure)?;
        let summary = of(Summary::read(folder).map_err(folder_failure)?).or_exit(Code::Data)?;
        let none = || {
            failure(
                Code::Data,
                anyhow!("there is no checkpoint in `{}`: no round of that run is over yet", folder.display()),
            )
        };
        let path = checkpoint::newest(folder).map_err(folder_failure)?.ok_or_else(none)?;
        let (global, metadata) = seal::read(&path, ARCHITECTURE).map_err(folder_failure)?;
        let checkpoint =
            Checkpoint::decode(global, ServerState::default(), &metadata).map_err(|what| anyhow!("{what}"));
        let checkpoint = checkpoint.with_context(|| format!("`{}` is damaged", path.display())).or_exit(Code::Data)?;
        let (streaming, damage) = match Streaming::read(folder) {
            Ok(streaming) => (streaming, None),
            Err(error) => {
                tracing::warn!("{:#}; the streaming will be missing", anyhow!(error));
                (None, Some(format!("{STREAMING} in the run folder is damaged, so this page lacks the streaming.")))
            }
        };
        let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Ok(Self {
            folder: folder.to_owned(),
            name: name.unwrap_or_else(|| folder.display().to_string()),
            config,
            summary,
            checkpoint,
            path,
            streaming,
            damage,
        })
    }
}
