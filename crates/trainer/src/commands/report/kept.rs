//! What a run folder keeps of a finished run, as a report needs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use process::exit::{Code, OrExit, failure};
use run_folder::{Checkpoint, STREAMING, SUMMARY, ServerState, Streaming, Summary, checkpoint, seal};

use crate::{config::ARCHITECTURE, folder_failure};

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) folder: PathBuf,
    /// The folder's own name, also where it was found by another one.
    pub(super) name: String,
    pub(super) config: toml::Table,
    pub(super) summary: Summary,
    pub(super) checkpoint: Checkpoint,
    pub(super) streaming: Option<Streaming>,
    /// What could not be read and is not needed, in a sentence.
    pub(super) damage: Option<String>,
}

impl Kept {
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            fail!(Code::Io, "there is no run folder `{}`; name one such as runs/latest", folder.display());
        }
        let config = run_folder::read_config(folder).map_err(folder_failure)?;
        let summary = Summary::read(folder).map_err(folder_failure)?.with_context(|| {
            let name = folder.display();
            format!("`{name}` holds no finished run: there is no `{SUMMARY}`; to finish it: trainer --resume {name}")
        });
        let summary = summary.or_exit(Code::Data)?;
        let none = || failure(Code::Data, anyhow!("there is no checkpoint in `{}`", folder.display()));
        let path = checkpoint::newest(folder).map_err(folder_failure)?.ok_or_else(none)?;
        let (global, metadata) = seal::read(&path, ARCHITECTURE).map_err(folder_failure)?;
        let checkpoint =
            Checkpoint::decode(global, ServerState::default(), &metadata).map_err(|what| anyhow!("{what}"));
        let checkpoint = checkpoint.with_context(|| format!("`{}` is damaged", path.display())).or_exit(Code::Data)?;
        let (streaming, damage) = match Streaming::read(folder) {
            Ok(streaming) => (streaming, None),
            Err(error) => {
                tracing::warn!("{:#}; the report lacks the streaming", anyhow!(error));
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
            streaming,
            damage,
        })
    }
}
