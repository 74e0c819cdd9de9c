//! The test set: samples that were never sent over the wire and are never trained on.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use cli::exit::{Code, OrExit, failure};
use dataset::{Dataset, Split};
use store::DatasetId;

/// Loads the test set that belongs to the received data: from `chosen`, else from where the sender finds such data.
///
/// # Errors
/// When it is missing or damaged, belongs to another dataset, or is itself what was received.
pub fn load_for(received: &DatasetId, chosen: Option<&Path>) -> anyhow::Result<Dataset> {
    let dir = chosen.map_or_else(|| default_dir(&received.name), Path::to_owned);
    let test_set = load(&dir)?;
    if test_set.name != received.name {
        let error = anyhow!(
            "the test set in `{}` belongs to dataset `{}`, but the samples received are of `{}`; name the directory with \
             the latter's test set by --test-data",
            dir.display(),
            test_set.name,
            received.name
        );
        return Err(failure(Code::Data, error));
    }
    let digest: String = test_set.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    if digest == received.digest {
        let error =
            anyhow!("the samples received are the test set in `{}` itself; send the other split", dir.display());
        return Err(failure(Code::Data, error));
    }
    Ok(test_set)
}

/// Loads the test set in `dir`.
///
/// # Errors
/// When it is missing, damaged or empty.
pub fn load(dir: &Path) -> anyhow::Result<Dataset> {
    let context = "failed to load the test set (--test-data)";
    let test_set =
        dataset::load(dir, Split::Test).map_err(|error| failure(error.exit_code(), error)).context(context)?;
    if test_set.is_empty() {
        return Err(anyhow!("the test set in `{}` is empty", dir.display())).or_exit(Code::Data);
    }
    Ok(test_set)
}

/// Where the sender finds a dataset of this name by itself.
pub fn default_dir(dataset: &str) -> PathBuf {
    let mnist = || env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    match dataset {
        "generated" => "data/generated".into(),
        _ => mnist().unwrap_or_else(|| "data/mnist".into()),
    }
}
