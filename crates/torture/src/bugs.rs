//! Seeded bugs: negative controls. Each is a small change that breaks a promise; applied to a scratch copy of the
//! project, it must make the tests that it names fail. A test suite that stays green over one of them proves nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    Finding, progress,
    record::{checkout, commit},
};

/// A test that runs longer hangs, which is a way to fail.
const TEST_LIMIT: &str = "15m";

/// Where it is kept how far this has come.
const KEPT: &str = "target/torture/bugs.json";

/// A bug to seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bug {
    /// What is broken, as a clause.
    pub what: String,
    /// The file, in the checkout.
    pub file: PathBuf,
    /// What stands there, exactly once.
    pub old: String,
    /// What is put in its place.
    pub new: String,
    /// The arguments of `cargo test` that must fail.
    pub test: String,
}

/// The bugs of `seeded-bugs.toml`.
///
/// # Errors
/// When the file is wrong.
pub fn list() -> anyhow::Result<Vec<Bug>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        bug: Vec<Bug>,
    }
    let list: List = toml::from_str(include_str!("../seeded-bugs.toml")).context("failed to read seeded-bugs.toml")?;
    Ok(list.bug)
}

impl Bug {
    /// The file's text with the bug in it.
    ///
    /// # Errors
    /// When the old text does not stand there exactly once.
    pub fn seed(&self, text: &str) -> anyhow::Result<String> {
        let times = text.matches(self.old.trim()).count();
        ensure!(times == 1, "`{}`: the old text stands {times} times in `{}`", self.what, self.file.display());
        Ok(text.replacen(self.old.trim(), self.new.trim(), 1))
    }
}

/// How far this has come with a commit: all bugs take half an hour and more, and who breaks off loses but the one at hand.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    commit: String,
    /// The tests that pass without any bug.
    passed: BTreeSet<String>,
    /// The bugs that were caught, by what is broken.
    caught: BTreeSet<String>,
    took: Duration,
}

impl Kept {
    /// What is kept of this commit. A commit with changes says nothing about which.
    fn load(commit: String) -> anyhow::Result<Kept> {
        let kept = match fs::read(checkout().join(KEPT)) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("`{KEPT}` is damaged; remove it"))?,
            Err(_) => Kept::default(),
        };
        let goes_on = kept.commit == commit && !commit.ends_with('+');
        Ok(if goes_on { kept } else { Kept { commit, ..Kept::default() } })
    }

    /// Keeps it, with the time since `start` added.
    fn save(&mut self, start: &mut Instant) -> anyhow::Result<()> {
        self.took += start.elapsed();
        *start = Instant::now();
        let path = checkout().join(KEPT);
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("failed to write `{KEPT}`"))
    }
}

/// Seeds every bug in turn and sees the tests fail, except for those that were caught at this commit already.
///
/// # Errors
/// When the scratch copy cannot be made, or its tests fail before there is a bug in it.
pub fn run() -> anyhow::Result<Finding> {
    let mut start = Instant::now();
    let (bugs, scratch, mut kept) = (list()?, Scratch::new()?, Kept::load(commit()?)?);
    let tests: BTreeSet<&str> = bugs.iter().map(|bug| bug.test.as_str()).collect();
    for test in tests {
        if !kept.passed.contains(test) {
            ensure!(scratch.test(test, &[])?, "`cargo test {test}` fails without any bug");
            progress(&format!("without any bug, `cargo test {test}` passes"));
            kept.passed.insert(test.to_owned());
            kept.save(&mut start)?;
        }
    }
    let mut violations = Vec::new();
    for (number, bug) in bugs.iter().enumerate() {
        let caught = kept.caught.contains(&bug.what) || scratch.catches(bug)?;
        let verdict = if caught { "caught" } else { "MISSED" };
        progress(&format!("bug {} of {}, {}: {verdict}", number + 1, bugs.len(), bug.what));
        if caught {
            kept.caught.insert(bug.what.clone());
        } else {
            violations.push(format!("{}: `cargo test {}` stays green", bug.what, bug.test));
        }
        kept.save(&mut start)?;
    }
    let caught = bugs.len() - violations.len();
    let list = bugs.iter().map(|bug| (bug.what.clone(), format!("`cargo test {}`", bug.test)));
    Ok(Finding {
        title: "Seeded bugs".into(),
        cases: bugs.len() as u64,
        seed: 0,
        took: kept.took,
        figures: [("caught".to_owned(), format!("{caught} of {}", bugs.len()))].into_iter().chain(list).collect(),
        violations,
    })
}

/// A copy of the committed project, with a target directory of its own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Scratch> {
        let path = checkout().canonicalize()?.join("target/torture/scratch");
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("failed to remove `{}`", path.display()))?;
        }
        let cloned = Command::new("git").args(["clone", "--quiet", "--shared"]).arg(checkout()).arg(&path).status();
        ensure!(cloned.context("failed to run git")?.success(), "failed to copy the project");
        Ok(Scratch(path))
    }

    fn catches(&self, bug: &Bug) -> anyhow::Result<bool> {
        let file = self.0.join(&bug.file);
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
        fs::write(&file, bug.seed(&text)?)?;
        // A bug that does not compile is no bug. Tests of whole runs build the programs by themselves.
        let compiles = self.test(&bug.test, &["--no-run"])? && self.cargo(&["check", "--workspace", "--bins"])?;
        ensure!(compiles, "with `{}`, the project does not compile", bug.what);
        let caught = !self.test(&bug.test, &[])?;
        fs::write(&file, text)?;
        Ok(caught)
    }

    /// Whether `cargo test` passes.
    fn test(&self, arguments: &str, more: &[&str]) -> anyhow::Result<bool> {
        let test = ["test"].into_iter().chain(arguments.split(' ')).chain(more.iter().copied());
        self.cargo(&test.collect::<Vec<_>>())
    }

    fn cargo(&self, arguments: &[&str]) -> anyhow::Result<bool> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", TEST_LIMIT, "cargo", "--quiet"]).args(arguments).current_dir(&self.0);
        command.env("CARGO_TARGET_DIR", checkout().canonicalize()?.join("target/torture/scratch-target"));
        if std::env::var_os("LIBTORCH").is_none() {
            command.env("LIBTORCH", checkout().canonicalize()?.join(".libtorch"));
        }
        command.env_remove("CARGO").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().context("failed to run cargo")?.success())
    }
}

/// Every bug can be seeded into the project as it is: a list that has gone stale would prove nothing.
///
/// # Errors
/// When one cannot.
pub fn check(project: &Path) -> anyhow::Result<usize> {
    let bugs = list()?;
    for bug in &bugs {
        let file = project.join(&bug.file);
        bug.seed(&fs::read_to_string(&file).with_context(|| format!("failed to read `{}`", file.display()))?)?;
    }
    Ok(bugs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_can_be_seeded_into_the_project_as_it_is() {
        assert!(check(checkout()).unwrap() >= 20);
    }
}
