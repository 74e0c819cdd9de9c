//! `trainer evaluate`: how good a model is on a test set, whether we trained it or PyTorch did.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use checkpoint::seal;
use cli::exit::{Code, failure};
use model::{Evaluation, evaluate};

use crate::{
    output,
    run_folder::{CHECKPOINTS, FINAL_MODEL},
    test_set,
};

/// Evaluates a model file, or a run folder's final model or else its newest checkpoint, and says the result on stdout.
///
/// # Errors
/// When there is no such model, or the test set is missing, damaged, or of another dataset than the model was trained on.
pub fn run(model: &Path, test_data: Option<&Path>) -> anyhow::Result<()> {
    let path = if model.is_dir() { model_in(model)? } else { model.to_owned() };
    let (weights, metadata) = seal::read(&path)?;
    let trained_on = metadata.get("dataset").map(String::as_str);
    let dir = test_data.map_or_else(|| test_set::default_dir(trained_on.unwrap_or("mnist")), Path::to_owned);
    let test_set = test_set::load(&dir)?;
    if let Some(trained_on) = trained_on.filter(|name| *name != test_set.name) {
        let error = anyhow!(
            "model `{}` was trained on dataset `{trained_on}`, but the test set in `{}` belongs to `{}`; name the \
             directory with the former's test set by --test-data",
            path.display(),
            dir.display(),
            test_set.name
        );
        return Err(failure(Code::Data, error));
    }
    let Evaluation { n, correct, loss, .. } = evaluate(&weights, &test_set.images, &test_set.labels);
    let accuracy = 100.0 * correct as f64 / n as f64;
    output::say(&format!(
        "model          {}\n\
         model SHA-256  {}\n\
         test set       {}, {n} samples\n\
         test loss      {loss:.4}\n\
         test accuracy  {accuracy:.2} %",
        path.display(),
        weights.sha256(),
        test_set.name,
    ));
    Ok(())
}

fn model_in(run_folder: &Path) -> anyhow::Result<PathBuf> {
    let model = run_folder.join(FINAL_MODEL);
    if model.is_file() {
        return Ok(model);
    }
    let none = || failure(Code::Data, anyhow!("there is no model in `{}`", run_folder.display()));
    checkpoint::newest(&run_folder.join(CHECKPOINTS))?.ok_or_else(none)
}
