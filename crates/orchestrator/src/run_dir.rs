//! The run folder: where a run's configuration, and later its results, are kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use anyhow::Context;
use cli::exit::{Code, OrExit};
use jiff::Zoned;
use serde_json::Value;

use crate::{commands, config::Config, platform};

/// The folder of all runs, in the working directory.
const RUNS: &str = "runs";
/// A link to the newest run.
pub const LATEST: &str = "runs/latest";
/// The effective configuration, in the run folder.
pub const CONFIG: &str = "config.toml";

/// Makes the run folder and writes the effective configuration into it.
///
/// # Errors
/// When it cannot be written, or a path is not UTF-8.
pub fn create(config: &Config) -> anyhow::Result<PathBuf> {
    let path = match &config.run_dir {
        Some(path) => {
            fs::create_dir_all(path)
                .with_context(|| format!("failed to create the run folder `{}`", path.display()))?;
            path.clone()
        }
        None => create_dated(Path::new(RUNS)).with_context(|| format!("failed to create a run folder in `{RUNS}`"))?,
    };
    let file = path.join(CONFIG);
    fs::write(&file, effective(config)?).with_context(|| format!("failed to write `{}`", file.display()))?;
    Ok(path)
}

/// Whether the trainer has left a checkpoint in `run_dir` to go on from.
pub fn has_checkpoint(run_dir: &Path) -> bool {
    fs::read_dir(run_dir.join("checkpoints")).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "safetensors")))
    })
}

/// `runs/2026-01-31T12-30-05`, in local time, and `runs/latest` pointing to it.
fn create_dated(runs: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(runs)?;
    let time = Zoned::now().strftime("%Y-%m-%dT%H-%M-%S").to_string();
    let mut name = time.clone();
    let mut count = 1;
    // `create_dir` fails if the folder exists, so two runs in one second cannot share one.
    while let Err(error) = fs::create_dir(runs.join(&name)) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        count += 1;
        name = format!("{time}-{count}");
    }
    // The link is a convenience: where links are not allowed, the run goes on without.
    let link = runs.join(format!(".latest-{}", process::id()));
    if platform::link_directory(Path::new(&name), &link).is_ok() && fs::rename(&link, runs.join("latest")).is_err() {
        drop(fs::remove_file(&link));
    }
    Ok(runs.join(name))
}

/// The configuration as a file that `--config` and `--resume` read.
fn effective(config: &Config) -> anyhow::Result<String> {
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
    let body = toml::to_string(&values).context("failed to write the configuration").or_exit(Code::Software)?;
    Ok(format!("# What this run was started with. `orchestrator --config FILE` repeats it.\n{body}"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn two_runs_within_a_second_have_two_folders() {
        let runs = tempfile::tempdir().unwrap();
        let first = create_dated(runs.path()).unwrap();
        let second = create_dated(runs.path()).unwrap();
        let third = create_dated(runs.path()).unwrap();
        assert!(first != second && second != third && first != third);
        assert_eq!(fs::canonicalize(runs.path().join("latest")).unwrap(), fs::canonicalize(third).unwrap());
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
