//! The test set: samples that were never sent over the wire and are never trained on.

use std::path::Path;

use anyhow::Context;
use dataset::{Dataset, Split};
use process::exit::{Code, failure};
use store::DatasetId;

/// Loads the test set for the received data: the one that the user has `chosen`, whatever it is; else that which belongs to
/// the data, from where the sender finds such data.
pub(crate) fn load_for(received: &DatasetId, chosen: Option<&Path>) -> anyhow::Result<Dataset> {
    let dir = chosen.map_or_else(|| dataset::default_dir(&received.name), Path::to_owned);
    let test_set = load(&dir)?;
    if hex::encode(test_set.digest()) == received.digest {
        fail!(Code::Data, "the samples received are the test set in `{}` itself; send the other split", dir.display());
    }
    if chosen.is_none() && !belongs(&test_set, &dir, received) {
        fail!(
            Code::Data,
            "the test set in `{}` belongs to other samples, of `{}`, than those received, of `{}`; name the folder of the \
             one to measure by with --test-data",
            dir.display(),
            test_set.name,
            received.name
        );
    }
    Ok(test_set)
}

/// Whether the test set in `dir` is that of the received samples. Content says so, and no folder's name: MNIST is only called
/// that when it is, to the bit; of other data the samples to train on lie beside the test set.
fn belongs(test_set: &Dataset, dir: &Path, received: &DatasetId) -> bool {
    let is_mnist = test_set.name == "mnist" && received.name == "mnist";
    is_mnist || dataset::load(dir, Split::Train).is_ok_and(|beside| hex::encode(beside.digest()) == received.digest)
}

/// "of `shoes`" with a blank before it, where the test set is of another name than the data, so that nobody takes its figures for
/// those of the data's own.
pub(crate) fn foreign(test_set: &str, data: &str) -> String {
    if test_set == data { String::new() } else { format!(" of `{test_set}`, which is not the data's own test set") }
}

pub(crate) fn load(dir: &Path) -> anyhow::Result<Dataset> {
    let context = "failed to load the test set (--test-data)";
    let test_set =
        dataset::load(dir, Split::Test).map_err(|error| failure(error.exit_code(), error)).context(context)?;
    if test_set.samples.is_empty() {
        fail!(Code::Data, "the test set in `{}` is empty", dir.display());
    }
    Ok(test_set)
}
