//! The run folder: where a run's configuration, and later its results, are kept.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use cli::{
    exit::{Code, OrExit, failure},
    flags::Identity,
    runs,
};
use serde_json::Value;

use crate::{commands, config::Config, platform, streaming_log};

/// The effective configuration, in the run folder.
pub const CONFIG: &str = "config.toml";

/// The digest of the data that the run streams, in the run folder.
const DATA: &str = "data.digest";

/// The folder of the run to resume, or a new one.
///
/// # Errors
/// When the former is not there; when the latter holds another run or cannot be written, or a path is not UTF-8.
pub fn open(config: &Config) -> anyhow::Result<PathBuf> {
    let path = match &config.resume {
        Some(run) => {
            let path =
                run.canonicalize().with_context(|| format!("failed to open the run folder `{}`", run.display()))?;
            sweep(&path)?;
            path
        }
        None => create(config)?,
    };
    ensure_unicode(&path)?;
    Ok(path)
}

/// The children are told the path as text.
pub(crate) fn ensure_unicode(path: &Path) -> anyhow::Result<()> {
    let error = || anyhow!("the path of the run folder, `{}`, is not UTF-8; choose another --run-dir", path.display());
    path.to_str().map(drop).with_context(error).or_exit(Code::Usage)
}

/// Refuses a `--run-dir` that holds another run: its configuration would be lost.
fn check(config: &Config) -> anyhow::Result<()> {
    match &config.run_dir {
        Some(path) if [CONFIG, DATA, "checkpoints"].iter().any(|name| path.join(name).exists()) => {
            let name = path.display();
            let advice = format!("go on with --resume {name}, or choose another --run-dir");
            Err(failure(Code::Directory, anyhow!("`{name}` already holds a run; {advice}")))
        }
        _ => Ok(()),
    }
}

/// Makes the run folder and writes the effective configuration into it.
fn create(config: &Config) -> anyhow::Result<PathBuf> {
    check(config)?;
    let text = effective(config)?;
    let path = match &config.run_dir {
        Some(path) => {
            fs::create_dir_all(path)
                .with_context(|| format!("failed to create the run folder `{}`", path.display()))?;
            path.clone()
        }
        None => runs::create_dated(Path::new(runs::RUNS))
            .with_context(|| format!("failed to create a run folder in `{}`", runs::RUNS))?,
    };
    let file = path.join(runs::IDENTITY);
    write(&file, &fresh_id()?).with_context(|| format!("failed to write `{}`", file.display()))?;
    let file = path.join(CONFIG);
    write(&file, &text).with_context(|| format!("failed to write `{}`", file.display()))?;
    // Last, so that `--resume` never meets a run without its configuration. A convenience: without it, the run goes on.
    drop(runs::point_latest_to(&path));
    Ok(path)
}

/// 128 random bits, in hex.
fn fresh_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("failed to make an identity")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What tells the run from every other; empty if its folder has no [`runs::IDENTITY`].
///
/// # Errors
/// When it cannot be read.
pub fn identity(run: &Path) -> anyhow::Result<Identity> {
    let failed = || format!("failed to read `{}`", run.join(runs::IDENTITY).display());
    Ok(Identity { run_id: runs::identity(run).with_context(failed)? })
}

/// Writes down which data the run streams. To be done when the chunk directory was emptied for this run and before its
/// first sample is sent: from then on, what the directory holds is this run's.
///
/// # Errors
/// When it cannot be written.
pub fn remember_data(run: &Path, digest: &str) -> anyhow::Result<()> {
    let file = run.join(DATA);
    write(&file, digest).with_context(|| format!("failed to write `{}`", file.display()))
}

/// The digest of the data that the run streams; `None` if no sample of it can have been sent yet.
///
/// # Errors
/// When it cannot be read.
pub fn data(run: &Path) -> anyhow::Result<Option<String>> {
    read(&run.join(DATA))
}

/// The text of a file that may not be there.
fn read(file: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some).with_context(|| format!("failed to read `{}`", file.display())),
    }
}

/// Writes a file that is complete or absent.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    platform::sync_directory(path.parent().unwrap_or(path))
}

/// Removes what an orchestrator has left that was killed while it wrote a file; not every file is written again.
fn sweep(run: &Path) -> anyhow::Result<()> {
    for name in [CONFIG, DATA, runs::IDENTITY, streaming_log::FILE] {
        let path = temporary(&run.join(name));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("failed to remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a file is called while it is written.
fn temporary(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// The configuration as a file that `--config` and `--resume` read.
fn effective(config: &Config) -> anyhow::Result<String> {
    let values = values(config)?;
    let body = toml::to_string(&values).context("failed to write the configuration").or_exit(Code::Software)?;
    Ok(format!("# What this run was started with. `orchestrator --config FILE` repeats it.\n{body}"))
}

/// The configuration as values that a file can hold, by long flag.
///
/// # Errors
/// When a path is not UTF-8.
pub(crate) fn values(config: &Config) -> anyhow::Result<toml::Table> {
    let mut values = toml::Table::new();
    for (key, value) in commands::table(config)? {
        let value = match value {
            Value::String(text) => text.into(),
            Value::Bool(flag) => flag.into(),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => integer.into(),
                (None, Some(float)) if number.is_f64() => float.into(),
                _ => number.to_string().into(), // An integer beyond TOML's; read as if typed, so a string will do.
            },
            other => other.to_string().into(),
        };
        values.insert(key, value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn a_folder_that_holds_a_run_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (new, run) = (dir.path().join("new"), dir.path().join("run"));
        let load = |run_dir: &Path| Config::load(&["x".into(), "--run-dir".into(), run_dir.into()]).unwrap();
        assert_eq!(create(&load(&new)).unwrap(), new);
        assert_eq!(fs::read_dir(&new).unwrap().count(), 2); // The configuration and the run's identity.
        assert_eq!(identity(&new).unwrap().run_id.unwrap().len(), 32);
        assert_eq!(identity(dir.path()).unwrap().run_id, None, "of an older run");

        fs::create_dir(&run).unwrap();
        fs::write(run.join(CONFIG), "rounds = 9\n").unwrap();
        let error = create(&load(&run)).unwrap_err();
        assert_eq!(cli::exit::code_of(&error), Code::Directory);
        let name = run.display();
        let expect = format!("`{name}` already holds a run; go on with --resume {name}, or choose another --run-dir");
        assert_eq!(error.to_string(), expect);
        assert_eq!(fs::read_to_string(run.join(CONFIG)).unwrap(), "rounds = 9\n");

        fs::remove_file(run.join(CONFIG)).unwrap();
        fs::create_dir(run.join("checkpoints")).unwrap();
        create(&load(&run)).unwrap_err();
    }

    #[test]
    fn a_file_that_was_being_written_when_the_orchestrator_was_killed_is_gone_when_the_run_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        create(&Config::load(&["x".into(), "--run-dir".into(), run.clone().into()]).unwrap()).unwrap();
        fs::write(run.join("streaming.tmp"), "{").unwrap();
        fs::write(run.join("notes.tmp"), "mine").unwrap();
        open(&Config::load(&["x".into(), "--resume".into(), run.clone().into()]).unwrap()).unwrap();
        assert!(!run.join("streaming.tmp").exists() && run.join("notes.tmp").exists());
    }

    #[test]
    fn the_written_configuration_gives_the_same_configuration_when_it_is_read() {
        let run = tempfile::tempdir().unwrap();
        let load = |arguments: &[&str]| {
            let arguments: Vec<OsString> = ["x"].iter().chain(arguments).map(Into::into).collect();
            Config::load(&arguments).unwrap_or_else(|error| panic!("{error:?}"))
        };
        let flags =
            ["--preset=original", "--seed=18446744073709551615", "--learning-rate=1e-10", "--data=a b", "--senders=3"];
        let first = load(&flags);
        fs::write(run.path().join(CONFIG), effective(&first).unwrap()).unwrap();
        let second = load(&["--resume", run.path().to_str().unwrap()]);
        assert_eq!(commands::table(&first).unwrap(), commands::table(&second).unwrap());
        assert_eq!(second.training.seed, u64::MAX);
    }
}
