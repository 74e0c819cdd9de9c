//! The test set: samples that were never sent over the wire and are never trained on.

use std::path::Path;

use anyhow::Context;
use dataset::{Dataset, Drift, Split};
use process::exit::{Code, failure};
use store::DatasetId;

/// Loads the test set for the received data: the one that the user has `chosen`, whatever it is; else that which belongs to
/// the data, from where the sender finds such data. The drift of the data is not the test set's: it is as it lies there.
pub(crate) fn load_for(received: &DatasetId, chosen: Option<&Path>) -> anyhow::Result<Dataset> {
    let (name, drift) = Drift::of_name(&received.name);
    let dir = chosen.map_or_else(|| dataset::default_dir(name), Path::to_owned);
    let test_set = load(&dir)?;
    if hex::encode(drift.digest(test_set.digest())) == received.digest {
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
/// that when it is, to the bit; of other data the samples to train on lie beside the test set, from which the received ones come
/// by the drift that their name tells of.
fn belongs(test_set: &Dataset, dir: &Path, received: &DatasetId) -> bool {
    let (name, drift) = Drift::of_name(&received.name);
    let is_source = |beside: Dataset| hex::encode(drift.digest(beside.digest())) == received.digest;
    let is_mnist = test_set.name == "mnist" && name == "mnist";
    is_mnist || dataset::load(dir, Split::Train).is_ok_and(is_source)
}

/// What is to be said of the test set after its number of samples, so that nobody takes its figures for those of other data:
/// "of `shoes`" with a blank before it, where it is of another name than the data, or that it lacks the data's drift.
pub(crate) fn foreign(test_set: &str, data: &str) -> String {
    let (name, drift) = Drift::of_name(data);
    match (test_set == name, drift.is_none()) {
        (false, _) => format!(" of `{test_set}`, which is not the data's own test set"),
        (true, true) => String::new(),
        (true, false) => " without the drift".into(),
    }
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

#[cfg(test)]
mod tests {
    use sample::PIXELS;

    use super::*;

    #[test]
    fn a_test_set_belongs_to_the_samples_beside_it_with_the_drift_that_their_name_tells_of() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("shoes");
        for (split, label) in [(Split::Train, 1), (Split::Test, 2)] {
            dataset::write_idx(&dir, split, &[label; PIXELS], &[label]).unwrap();
        }
        let mut test_set = load(&dir).unwrap();
        let digest = dataset::load(&dir, Split::Train).unwrap().digest();
        let turned: Drift = "rotate:45@20000".parse().unwrap();
        let received = |name: &str, digest| DatasetId { name: name.into(), digest: hex::encode(digest) };
        for (name, digest, expect) in [
            ("shoes", digest, true),
            ("any name", digest, true),
            ("shoes with drift rotate:45@20000", turned.digest(digest), true),
            ("shoes with drift rotate:45@20000", digest, false),
            ("shoes with drift rotate:45@30000", turned.digest(digest), false),
            ("shoes", turned.digest(digest), false),
            ("mnist with drift rotate:45@20000", [0; 32], false),
        ] {
            assert_eq!(belongs(&test_set, &dir, &received(name, digest)), expect, "{name}");
        }
        let itself = received("shoes with drift rotate:45@20000", turned.digest(test_set.digest()));
        let error = load_for(&itself, Some(&dir)).unwrap_err().to_string();
        assert!(error.ends_with("itself; send the other split"), "{error}");

        test_set.name = "mnist".into();
        for (name, expect) in [("mnist", true), ("mnist with drift permute@5", true), ("generated", false)] {
            assert_eq!(belongs(&test_set, &dir, &received(name, [0; 32])), expect, "{name}");
        }
    }

    #[test]
    fn what_the_test_set_is_not_is_said() {
        for (data, expect) in [
            ("mnist", ""),
            ("mnist with drift permute@5", " without the drift"),
            ("shoes with drift permute@5", " of `mnist`, which is not the data's own test set"),
        ] {
            assert_eq!(foreign("mnist", data), expect);
        }
    }
}
