//! The newest model of a run, kept until there is a newer one.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::ensure;
use native::{Isa, Scorer};
use run_folder::{checkpoint, seal};
use weights::SIMPLE_CNN;

/// A live run keeps two checkpoints, so one that is removed while it is read has a newer one beside it.
const ATTEMPTS: u32 = 5;

pub(crate) struct Model {
    version: Version,
    pub(crate) scorer: Scorer,
    /// The round after which it is, if the file says so.
    pub(crate) round: Option<u32>,
    pub(crate) sha256: String,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A file as it was when it was read.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

/// The newest model in a run folder, which is `kept` if it is that already; nothing if there is none yet.
pub(crate) fn newest<'a>(run_folder: &Path, kept: &'a mut Option<Model>) -> anyhow::Result<Option<&'a mut Model>> {
    newest_of(|| Ok(checkpoint::newest_model(run_folder)?), kept)
}

/// As [`newest`], of what `find` finds: another one, if the one that it found is gone by now.
fn newest_of(
    mut find: impl FnMut() -> anyhow::Result<Option<PathBuf>>,
    kept: &mut Option<Model>,
) -> anyhow::Result<Option<&mut Model>> {
    let (mut found, mut attempt) = (find()?, 1);
    while let Some(path) = &found {
        let Err(error) = renew(path, kept) else { return Ok(kept.as_mut()) };
        let other = find()?;
        if other == found || attempt == ATTEMPTS {
            return Err(error);
        }
        (found, attempt) = (other, attempt + 1);
    }
    Ok(None)
}

fn renew(path: &Path, kept: &mut Option<Model>) -> anyhow::Result<()> {
    let found = fs::symlink_metadata(path)?;
    ensure!(found.is_file(), "`{}` is no file", path.display());
    let version = Version { path: path.to_owned(), length: found.len(), modified: found.modified().ok() };
    if kept.as_ref().is_some_and(|kept| kept.version == version) {
        return Ok(());
    }
    let (weights, metadata) = seal::read(path, &SIMPLE_CNN)?;
    ensure!(
        weights.not_finite().is_none(),
        "the newest model has weights that are infinite or not a number: train with a smaller learning rate"
    );
    // Of a checkpoint, and of a final model.
    let round = ["round", "rounds"].iter().find_map(|key| metadata.get(*key)?.parse().ok());
    *kept = Some(Model { version, scorer: Scorer::new(Isa::best(), &weights), round, sha256: weights.sha256() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use run_folder::{CHECKPOINTS, FINAL_MODEL, ServerState};

    use super::*;

    fn write(path: &Path, seed: u64, metadata: &[(&str, &str)]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let metadata: BTreeMap<_, _> = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        process::file::replace(path, &seal::seal(&SIMPLE_CNN.init(seed), &ServerState::default(), metadata)).unwrap();
    }

    #[test]
    fn the_model_is_the_newest_and_is_read_again_when_there_is_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let checkpoint = |round: u32| folder.join(CHECKPOINTS).join(format!("round-{round:03}.safetensors"));
        let mut kept = None;
        let mut newest = || super::newest(folder, &mut kept).unwrap().map(|model| (model.round, model.sha256.clone()));
        assert_eq!(newest(), None);
        for round in 1..=3 {
            write(&checkpoint(round), round.into(), &[("round", &round.to_string())]);
            let expect = Some((Some(round), SIMPLE_CNN.init(round.into()).sha256()));
            assert_eq!(newest(), expect);
            fs::remove_file(checkpoint(round)).unwrap();
            write(&checkpoint(round), round.into(), &[("round", &round.to_string())]);
            assert_eq!(newest(), expect);
        }
        write(&folder.join(FINAL_MODEL), 9, &[]);
        assert_eq!(newest(), Some((None, SIMPLE_CNN.init(9).sha256())));
        write(&folder.join(FINAL_MODEL), 10, &[("rounds", "4")]);
        assert_eq!(newest(), Some((Some(4), SIMPLE_CNN.init(10).sha256())));
    }

    #[test]
    fn a_checkpoint_that_is_removed_before_it_is_read_has_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FINAL_MODEL);
        write(&path, 1, &[("round", "3")]);
        let newest = |found: &[&str]| {
            let mut found = found.iter().map(|name| dir.path().join(name));
            newest_of(|| Ok(found.next()), &mut None).map(|model| model.map(|model| model.round))
        };
        assert_eq!(newest(&["one", "two", FINAL_MODEL]).unwrap(), Some(Some(3)));
        assert_eq!(newest(&["one"]).unwrap(), None, "a resumed run has removed it");
        assert!(newest(&["one", "one", FINAL_MODEL]).is_err(), "it cannot be read");
        assert!(newest(&["1", "2", "3", "4", "5", "6", FINAL_MODEL]).is_err(), "it does not go on for ever");
    }

    #[test]
    fn a_file_that_is_no_model_is_an_error_that_names_it_and_what_was_read_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (mut kept, path) = (None, dir.path().join(FINAL_MODEL));
        write(&path, 1, &[]);
        newest(dir.path(), &mut kept).unwrap();
        fs::write(&path, "x").unwrap();
        let error = newest(dir.path(), &mut kept).unwrap_err();
        assert!(format!("{error:#}").contains(FINAL_MODEL), "{error:#}");
        assert!(kept.is_some());
    }
}
