//! Seeded bugs: negative controls. Each is a small change that breaks a promise; applied to a scratch copy of the
//! project, it must make the tests that it names fail. A test suite that stays green over one of them proves nothing.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::{Finding, kept::Kept, progress, record::checkout};

/// A test that runs longer hangs, which is a way to fail.
const TEST_LIMIT: &str = "15m";

#[derive(Clone, Debug, Deserialize)]
struct Bug {
    /// What is broken, as a clause.
    what: String,
    #[serde(flatten)]
    place: Place,
    /// Its path: `name` or `Type::method`.
    function: String,
    /// What stands in its body, exactly once.
    old: String,
    new: String,
    /// The arguments of `cargo test` that must fail.
    test: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// A file of the project.
    File(PathBuf),
    /// A crate in which there is one such function.
    Crate(String),
}

fn list() -> anyhow::Result<Vec<Bug>> {
    let list = toml::from_str::<BTreeMap<String, Vec<Bug>>>(include_str!("../seeded-bugs.toml"));
    list.context("failed to read seeded-bugs.toml")?.remove("bug").context("there are no bugs in seeded-bugs.toml")
}

impl Bug {
    /// The file that it goes into and that file's text with the bug in it.
    fn seed(&self, project: &Path) -> anyhow::Result<(PathBuf, String)> {
        let Bug { what, function, old, .. } = self;
        let files = match &self.place {
            Place::File(file) => vec![project.join(file)],
            Place::Crate(name) => source::files(&project.join("crates").join(name).join("src"))?,
        };
        let mut found = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
            let bodies = source::bodies(&text, function).with_context(|| file.display().to_string())?;
            found.extend(bodies.into_iter().map(|body| (file.clone(), text.clone(), body)));
        }
        let place = &self.place;
        let [(file, text, body)] = &found[..] else {
            bail!("`{what}`: {} functions `{function}` in {place:?}", found.len());
        };
        let times = text[body.clone()].matches(old.as_str()).count();
        ensure!(times == 1, "`{what}`: `{old}` stands {times} times in `{function}` of `{}`", file.display());
        let seeded = text[body.clone()].replacen(old, &self.new, 1);
        Ok((file.clone(), [&text[..body.start], &seeded, &text[body.end..]].concat()))
    }
}

/// Seeds every bug, or those whose description has the text `only`, and sees the tests fail. What was tried at this
/// commit already is not tried again.
pub fn run(only: Option<&str>) -> anyhow::Result<Finding> {
    let mut bugs = list()?;
    bugs.retain(|bug| only.is_none_or(|only| bug.what.contains(only)));
    ensure!(!bugs.is_empty(), "no bug in seeded-bugs.toml is described like that");
    let (scratch, mut kept) = (Scratch::new()?, Kept::load("bugs")?);
    let mut finding = Finding::new("Seeded bugs", 0);
    let mut holds = |what: &str, attempt: &dyn Fn() -> anyhow::Result<bool>| -> anyhow::Result<bool> {
        let start = Instant::now();
        let good = kept.get(what).is_some() || attempt()?;
        progress(&format!("{what}: {}", if good { "yes" } else { "NO" }));
        if good && kept.get(what).is_none() {
            kept.put(what, start.elapsed())?;
        }
        finding.took += kept.get(what).copied().unwrap_or_else(|| start.elapsed());
        Ok(good)
    };
    let tests: BTreeSet<&str> = bugs.iter().map(|bug| bug.test.as_str()).collect();
    for test in tests {
        let what = format!("without any bug, `cargo test {test}` passes");
        ensure!(holds(&what, &|| scratch.test(test, &[]))?, "`cargo test {test}` fails without any bug");
    }
    let mut missed = Vec::new();
    for bug in &bugs {
        if !holds(&format!("caught: {}", bug.what), &|| scratch.catches(bug))? {
            missed.push(format!("{}: `cargo test {}` stays green", bug.what, bug.test));
        }
    }
    finding.cases = bugs.len() as u64;
    finding.figure("caught", format!("{} of {}", bugs.len() - missed.len(), bugs.len()));
    for bug in bugs {
        finding.figure(bug.what, format!("`cargo test {}`", bug.test));
    }
    finding.violations = missed;
    Ok(finding)
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
        let (file, seeded) = bug.seed(&self.0)?;
        let text = fs::read_to_string(&file)?;
        fs::write(&file, seeded)?;
        // A bug that does not compile is no bug. Tests of whole runs build the programs by themselves.
        let compiles = self.test(&bug.test, &["--no-run"])? && self.cargo(&["check", "--workspace", "--bins"])?;
        ensure!(compiles, "with `{}`, the project does not compile", bug.what);
        let caught = !self.test(&bug.test, &[])?;
        fs::write(&file, text)?;
        Ok(caught)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_can_be_seeded_into_the_project_as_it_is() {
        let bugs = list().unwrap();
        assert!(bugs.len() >= 35);
        let stale: Vec<String> =
            bugs.iter().filter_map(|bug| bug.seed(checkout()).err()).map(|error| format!("{error:#}")).collect();
        assert!(stale.is_empty(), "{}", stale.join("\n"));
    }
}
