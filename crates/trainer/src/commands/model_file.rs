//! A model file is where weights are kept: ours or PyTorch's, or that of a run folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use model::StateDict;
use process::exit::{Code, failure};
use run_folder::{checkpoint, seal};

use crate::{config::ARCHITECTURE, folder_failure};

pub(crate) struct ModelFile {
    pub(crate) path: PathBuf,
    pub(crate) weights: StateDict,
    /// What the file says about itself; nothing if it is not ours.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl ModelFile {
    /// Reads a `.safetensors` or `.pth` file, or a run folder's final model or else its newest checkpoint.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            fail!(
                Code::Io,
                "there is no model `{}`; name a .safetensors or .pth file, or a run folder",
                path.display()
            );
        }
        let path = if path.is_dir() { model_in(path)? } else { path.to_owned() };
        let (weights, metadata) = seal::read(&path, ARCHITECTURE).map_err(folder_failure)?;
        if let Some(tensor) = weights.not_finite() {
            fail!(
                Code::Data,
                "the model `{}` is of no use: its tensor `{tensor}` has a weight that is infinite or not a number; name \
                 another model, or train this one again with a smaller learning rate",
                path.display()
            );
        }
        Ok(Self { path, weights, metadata })
    }
}

fn model_in(run_folder: &Path) -> anyhow::Result<PathBuf> {
    let none = || failure(Code::Data, anyhow!("there is no model in `{}`", run_folder.display()));
    checkpoint::newest_model(run_folder).map_err(folder_failure)?.ok_or_else(none)
}
