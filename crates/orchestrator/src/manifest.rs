//! The manifest of a complete chunk directory, as far as it says whose samples these are. It is read without the crate
//! `store`, whose Parquet would make a fresh checkout wait before its first run.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path};

use anyhow::{Context, anyhow};
use process::exit::{Code, OrExit, failure};
use serde::Deserialize;

use crate::{
    config::{Config, Share},
    folder,
};

#[derive(Debug, PartialEq, Deserialize)]
struct Manifest {
    dataset: Dataset,
    run: Option<String>,
    streams: BTreeSet<Share>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Dataset {
    digest: String,
}

/// Whether the chunk directory is complete, with the streams and the data of this very run.
/// Fails when it is complete with those of another, or damaged.
pub(crate) fn is_streamed(config: &Config, run: &Path) -> anyhow::Result<bool> {
    let Some(digest) = folder::data(run)? else { return Ok(false) }; // It holds an earlier run's samples, if any.
    let dir = config.directory.dir.display();
    let bytes = match fs::read(config.directory.dir.join("_SUCCESS")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        bytes => bytes.with_context(|| format!("failed to read `{dir}/_SUCCESS`"))?,
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).with_context(|| format!("`{dir}/_SUCCESS` is damaged")).or_exit(Code::Data)?;
    let (dataset, run, streams) = (Dataset { digest }, config.identity.run_id.clone(), config.shares().collect());
    if manifest == (Manifest { dataset, run, streams }) {
        return Ok(true);
    }
    let advice = "name this run's own with --dir, or start a new run without --resume";
    Err(failure(Code::Data, anyhow!("`{dir}` holds the samples of another run; {advice}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_directory_is_this_runs_if_its_data_and_streams_are() {
        let manifest = r#"{"format": 1, "dataset": {"name": "mnist", "digest": "d1"}, "streams": [
            {"name": "sender-1", "first": 11, "end": 16}, {"name": "sender-0", "first": 5, "end": 11}]}"#;
        let dir = tempfile::tempdir().unwrap();
        let chunks = dir.path().to_str().unwrap();
        let config =
            Config::load(&["x", "--samples=11", "--offset=5", "--senders=2", "--dir", chunks].map(Into::into)).unwrap();
        fs::write(dir.path().join("_SUCCESS"), manifest).unwrap();
        assert!(
            !is_streamed(&config, dir.path()).unwrap(),
            "what is there before a sample is sent is an earlier run's"
        );
        folder::remember_data(dir.path(), "d1").unwrap();
        assert!(is_streamed(&config, dir.path()).unwrap());
        let other = "` holds the samples of another run; ";
        for (manifest, expect) in [
            (manifest.replace("16", "17"), other),
            (manifest.replace("sender-1", "b"), other),
            (manifest.replace("d1", "d2"), other),
            (manifest.replace("\"format\": 1", "\"format\": 1, \"run\": \"1f\""), other),
            (manifest[..40].to_owned(), "/_SUCCESS` is damaged: "),
        ] {
            fs::write(dir.path().join("_SUCCESS"), manifest).unwrap();
            let error = is_streamed(&config, dir.path()).unwrap_err();
            assert_eq!(process::exit::code_of(&error), Code::Data);
            assert!(error.to_string().starts_with(&format!("`{chunks}{expect}")), "{error}");
        }
        fs::remove_file(dir.path().join("_SUCCESS")).unwrap();
        assert!(!is_streamed(&config, dir.path()).unwrap());
    }
}
