//! Seeded bugs: negative controls. Each is a small change that breaks a promise; applied to a scratch copy of the
//! project, it must make the tests that it names fail. A test suite that stays green over one of them proves nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::{Finding, kept::Kept, record::checkout};

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
            Place::Crate(name) => rust_files(&project.join("crates").join(name).join("src"))?,
        };
        let mut found = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
            found.extend(bodies(&text, function).into_iter().map(|body| (file.clone(), text.clone(), body)));
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

fn rust_files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("failed to list `{}`", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Where the functions of this path are in a file: `name` is in no `impl`, `Type::name` is in one of that type's. What is
/// in the module `tests` does not count. The code is formatted, so what begins with an indentation ends with the next
/// brace that has the same.
fn bodies(text: &str, path: &str) -> Vec<Range<usize>> {
    let (owner, name) = path.rsplit_once("::").map_or((None, path), |(owner, name)| (Some(owner), name));
    let starts = [format!("fn {name}("), format!("fn {name}<")];
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let (mut at, mut block, mut found) = (0, None, Vec::new());
    for line in code.split_inclusive('\n') {
        match line {
            "}\n" => block = None,
            _ if line.starts_with("impl") => block = Some(line),
            _ => {}
        }
        let indentation = if block.is_some() { "    " } else { "" };
        let is_code = line.strip_prefix(indentation).is_some_and(|line| !line.starts_with([' ', '/']));
        let is_owned =
            owner.is_none() == block.is_none() && owner.zip(block).is_none_or(|(owner, of)| is_of(of, owner));
        if is_code && is_owned && starts.iter().any(|start| line.contains(start)) {
            let length = code[at..].find(&format!("\n{indentation}}}\n")).unwrap_or(code.len() - at);
            found.push(at..at + length);
        }
        at += line.len();
    }
    found
}

/// Whether a line that begins an `impl` says that it is this type's.
fn is_of(block: &str, owner: &str) -> bool {
    let of = block.rsplit_once(" for ").map_or(block, |(_, of)| of);
    of.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == owner)
}

/// Seeds every bug, or those whose description has the text `only`, and sees the tests fail. What was tried at this
/// commit already is not tried again.
pub fn run(only: Option<&str>) -> anyhow::Result<Finding> {
    let mut bugs = list()?;
    bugs.retain(|bug| only.is_none_or(|only| bug.what.contains(only)));
    ensure!(!bugs.is_empty(), "no bug in seeded-bugs.toml is described like that");
    let (scratch, mut kept, mut all) = (Scratch::new()?, Kept::load("bugs")?, Finding::default());
    let tests: BTreeSet<&str> = bugs.iter().map(|bug| bug.test.as_str()).collect();
    for test in tests {
        let found = kept.find(&format!("`cargo test {test}` without any bug"), || {
            ensure!(scratch.test(test, &[])?, "it fails");
            Ok(Finding::default())
        })?;
        all.spared += found.spared;
    }
    for bug in &bugs {
        all.add(kept.find(&bug.what, || scratch.seed(bug))?);
    }
    let caught = bugs.len() - all.violations.len();
    all.figures.insert(0, ("caught".into(), format!("{caught} of {}", bugs.len())));
    Ok(all)
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

    /// Whether the tests notice the bug.
    fn seed(&self, bug: &Bug) -> anyhow::Result<Finding> {
        let (file, seeded) = bug.seed(&self.0)?;
        let text = fs::read_to_string(&file)?;
        fs::write(&file, seeded)?;
        // A bug that does not compile is no bug. Tests of whole runs build the programs by themselves.
        let compiles = self.test(&bug.test, &["--no-run"])? && self.cargo(&["check", "--workspace", "--bins"])?;
        ensure!(compiles, "the project does not compile");
        let caught = !self.test(&bug.test, &[])?;
        fs::write(&file, text)?;
        let (test, mut finding) = (format!("`cargo test {}`", bug.test), Finding { cases: 1, ..Finding::default() });
        finding.hold(caught, || format!("{}: {test} stays green", bug.what));
        finding.figure(&bug.what, test);
        Ok(finding)
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
