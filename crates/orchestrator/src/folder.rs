//! The folder of this run, from the orchestrator's side: made or opened before anything is started, with what tells the run
//! from every other. The crate `run_folder` says what the files hold.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use process::{
    exit::{Code, OrExit, failure},
    file,
};
use run_folder::{CHECKPOINTS, CONFIG, DATA, IDENTITY, RUNS, STREAMING};

use crate::{
    config::{self, Config},
    random,
};

/// The folder of the run to resume, or a new one.
/// Fails when the former is not there; when the latter holds another run or cannot be written, or a path is not UTF-8.
pub(crate) fn open(config: &Config) -> anyhow::Result<PathBuf> {
    let path = match &config.resume {
        Some(run) => {
            run.canonicalize().with_context(|| format!("failed to open the run folder `{}`", run.display()))?
        }
        None => create(config)?,
    };
    // Not every file that an orchestrator was writing when it was killed is written again.
    [DATA, STREAMING].iter().try_for_each(|name| file::remove_unfinished(&path.join(name)))?;
    ensure_unicode(&path)?;
    Ok(path)
}

/// The children are told the path as text.
pub(crate) fn ensure_unicode(path: &Path) -> anyhow::Result<()> {
    let error = || anyhow!("the path of the run folder, `{}`, is not UTF-8; choose another --run-dir", path.display());
    path.to_str().map(drop).with_context(error).or_exit(Code::Usage)
}

/// Makes the run folder and writes the configuration into it. One that holds another run, which would be lost, is refused.
fn create(config: &Config) -> anyhow::Result<PathBuf> {
    let text = config::file::text(config)?;
    let path = match &config.run_dir {
        Some(path) if [CONFIG, DATA, CHECKPOINTS].iter().any(|name| path.join(name).exists()) => {
            let name = path.display();
            let advice = format!("go on with --resume {name}, or choose another --run-dir");
            return Err(failure(Code::Directory, anyhow!("`{name}` already holds a run; {advice}")));
        }
        Some(path) => {
            fs::create_dir_all(path)
                .with_context(|| format!("failed to create the run folder `{}`", path.display()))?;
            path.clone()
        }
        None => run_folder::create_dated(Path::new(RUNS), &terminal::time::now())
            .with_context(|| format!("failed to create a run folder in `{RUNS}`"))?,
    };
    file::replace(&path.join(IDENTITY), random::hex::<16>()?.as_bytes())?;
    file::replace(&path.join(CONFIG), text.as_bytes())?;
    // Last, so that `--resume` never meets a run without its configuration. A convenience: without it, the run goes on.
    drop(run_folder::point_latest_to(&path));
    Ok(path)
}

/// Writes down which data the run streams. To be done when the chunk directory was emptied for this run and before its
/// first sample is sent: from then on, what the directory holds is this run's.
pub(crate) fn remember_data(run: &Path, digest: &str) -> anyhow::Result<()> {
    file::replace(&run.join(DATA), digest.as_bytes())
}

/// The digest of the data that the run streams; `None` if no sample of it can have been sent yet.
pub(crate) fn data(run: &Path) -> anyhow::Result<Option<String>> {
    let file = run.join(DATA);
    match fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).with_context(|| format!("failed to read `{}`", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    #[test]
    fn a_folder_that_holds_a_run_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (new, run) = (dir.path().join("new"), dir.path().join("run"));
        let load = |run_dir: &Path| config(&["--run-dir", run_dir.to_str().unwrap()]);
        assert_eq!(create(&load(&new)).unwrap(), new);
        assert_eq!(fs::read_dir(&new).unwrap().count(), 2); // The configuration and the run's identity.
        assert_eq!(run_folder::identity(&new).unwrap().unwrap().len(), 32);
        assert_eq!(run_folder::identity(dir.path()).unwrap(), None, "of an older run");

        fs::create_dir(&run).unwrap();
        fs::write(run.join(CONFIG), "rounds = 9\n").unwrap();
        assert_eq!(process::exit::code_of(&create(&load(&run)).unwrap_err()), Code::Directory);
        assert_eq!(fs::read_to_string(run.join(CONFIG)).unwrap(), "rounds = 9\n");

        fs::remove_file(run.join(CONFIG)).unwrap();
        fs::create_dir(run.join("checkpoints")).unwrap();
        create(&load(&run)).unwrap_err();
    }

    #[test]
    fn a_file_that_was_being_written_when_the_orchestrator_was_killed_is_gone_when_the_run_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        create(&config(&["--run-dir", run.to_str().unwrap()])).unwrap();
        fs::write(run.join(".tmp-streaming.json"), "{").unwrap();
        fs::write(run.join(".tmp-notes"), "mine").unwrap();
        open(&config(&["--resume", run.to_str().unwrap()])).unwrap();
        assert!(!run.join(".tmp-streaming.json").exists() && run.join(".tmp-notes").exists());
    }
}
