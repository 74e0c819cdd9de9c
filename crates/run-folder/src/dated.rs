//! Where run folders are: each run has its own, by default `runs/<local time>`; `runs/latest` is a link to the newest, so
//! that nobody has to type the time.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Zoned;

/// The folder of all runs, in the working directory.
pub const RUNS: &str = "runs";
/// The link to the newest run.
pub const LATEST: &str = "runs/latest";

/// Makes `runs/2026-01-31T12-30-05`, by what time it is now, with a number behind it if another run took that name in the same
/// second. The link stays as it is: see [`point_latest_to`].
///
/// # Errors
/// When it cannot be made.
pub fn create_dated(runs: &Path, now: &Zoned) -> io::Result<PathBuf> {
    fs::create_dir_all(runs)?;
    let time = now.strftime("%Y-%m-%dT%H-%M-%S").to_string();
    let mut path = runs.join(&time);
    let mut count = 1;
    // `create_dir` fails if the folder exists, so two runs cannot share one.
    while let Err(error) = fs::create_dir(&path) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        count += 1;
        path = runs.join(format!("{time}-{count}"));
    }
    Ok(path)
}

/// Lets `latest` point to this run folder, if it lies in a directory called `runs`. To be done when the folder holds
/// what a resumed run needs; in one step, so that the link is never missing.
///
/// # Errors
/// When links are not allowed, for one. Nothing depends on the link.
pub fn point_latest_to(run: &Path) -> io::Result<()> {
    let (Some(runs), Some(name)) = (run.parent(), run.file_name()) else { return Ok(()) };
    if runs.file_name() != Some(RUNS.as_ref()) {
        return Ok(());
    }
    process::file::point(&runs.join("latest"), Path::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_start_in_the_same_second_have_folders_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join(RUNS);
        let folders: Vec<_> = (0..20).map(|_| create_dated(&runs, &Zoned::now()).unwrap()).collect();
        assert_eq!(fs::read_dir(&runs).unwrap().count(), folders.len());
    }

    #[test]
    #[cfg(unix)]
    fn latest_points_to_the_newest_run_in_a_directory_called_runs_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["runs/a", "runs/b", "elsewhere/c"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            point_latest_to(&dir.path().join(name)).unwrap();
        }
        assert_eq!(fs::read_link(dir.path().join("runs/latest")).unwrap(), Path::new("b"));
        assert_eq!(fs::read_dir(dir.path().join("runs")).unwrap().count(), 3, "a, b, latest");
        assert_eq!(fs::read_dir(dir.path().join("elsewhere")).unwrap().count(), 1);
    }
}
