//! The sibling programs, built by cargo in the profile of the running orchestrator.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::ValueEnum;
use indicatif::ProgressBar;
use process::exit::{Code, failure};
use tokio::process::Command;

use crate::{caller::Caller, checkout::Checkout, libtorch, tool};

/// cargo says something at each crate; the largest take a minute or two on a slow machine.
const SILENCE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How often a build that nobody watches says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(30);
const BUILDING: &str = "building   [{bar:30}] {pos}/{len} {wide_msg}";

/// A program that is started as a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are known by these names")]
pub enum Program {
    Receiver,
    Sender,
    Trainer,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 3] = [Program::Receiver, Program::Sender, Program::Trainer];

    /// The name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Program::Receiver => "receiver",
            Program::Sender => "sender",
            Program::Trainer => "trainer",
        }
    }
}

/// Where a program's binary is or will be.
pub fn path(directory: &Path, program: Program) -> PathBuf {
    directory.join(program.name()).with_extension(env::consts::EXE_EXTENSION)
}

/// Builds the programs that need nothing but Rust. Silent and quick if nothing has changed.
pub(crate) async fn build_sender_and_receiver(checkout: &Checkout, caller: &Caller) -> anyhow::Result<()> {
    let command = cargo_build(checkout, &[Program::Sender, Program::Receiver]);
    run(command, "sender and receiver", caller).await
}

/// Builds the trainer, with Spark if there is a `protoc` for it. Needs libtorch to be in place.
pub(crate) async fn build_trainer(checkout: &Checkout, protoc: Option<&OsStr>, caller: &Caller) -> anyhow::Result<()> {
    let mut command = cargo_build(checkout, &[Program::Trainer]);
    if let Some(protoc) = protoc {
        command.args(["--package", "trainer", "--features", "spark"]).env("PROTOC", protoc);
    }
    run(command, "trainer, with the bindings to libtorch", caller).await
}

/// Runs a build of `what`, and shows how far it is: on a terminal as a bar, elsewhere by a line now and then.
async fn run(command: Command, what: &str, Caller { console, shutdown }: &Caller) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut bar: Option<ProgressBar> = None;
    let mut first = None;
    let mut line_shown = start;
    let mut said = Vec::new();
    let status = tool::run(command, SILENCE_LIMIT, shutdown, |line| match Said::from(line) {
        Said::Compiling => {
            bar.get_or_insert_with(|| {
                console.note(&format!("building {what} (the first time takes a minute or two)"));
                console.bar(0, BUILDING)
            });
        }
        Said::Progress { done, of, what } => {
            let Some(bar) = &bar else { return };
            let now = (start.elapsed(), done);
            let left = left(*first.get_or_insert(now), now, of);
            let left = left.map(|left| format!("{} left, ", about(left))).unwrap_or_default();
            bar.set_length(of);
            bar.set_position(done);
            bar.set_message(format!("{left}{what}"));
            if !console.is_terminal() && line_shown.elapsed() > LINE_EVERY {
                line_shown = Instant::now();
                console.note(&format!("building: {done} of {of} crates, {left}at work on {what}"));
            }
        }
        Said::Blocked => console.note("another cargo is at work; waiting for it"),
        Said::Status => {}
        Said::Other => said.push(line.to_owned()),
    })
    .await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    if !status?.success() {
        said.iter().for_each(|line| console.note(line));
        let advice = format!("failed to build {what}; cargo's errors stand above");
        return Err(failure(Code::Software, anyhow!(advice)));
    }
    if bar.is_some() {
        console.note(&format!("built in {:.0} s", start.elapsed().as_secs_f64()));
    }
    Ok(())
}

/// The time that a build still takes, if crates go on as between these two moments; none before some have been built.
fn left((begin, before): (Duration, u64), (now, done): (Duration, u64), of: u64) -> Option<Duration> {
    let built = done.saturating_sub(before);
    (built >= 10).then(|| (now - begin).mul_f64(of.saturating_sub(done) as f64 / built as f64))
}

/// `40 s`, or `3 min`.
fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..90 => format!("{} s", seconds.next_multiple_of(5)),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

/// The command, such that cargo sees what it would see if it were typed by hand: else each would rebuild the other's crates.
fn cargo_build(checkout: &Checkout, programs: &[Program]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // No `-p`: the features of shared dependencies depend on which packages are chosen. From the root, because cargo
    // looks for its configuration from the working directory upwards.
    command.current_dir(&checkout.root).args(["build", "--profile", checkout.profile()]);
    command.arg("--target-dir").arg(&checkout.target_dir);
    if let Some(triple) = &checkout.triple {
        command.args(["--target", triple]);
    }
    for program in programs {
        command.args(["--bin", program.name()]);
    }
    for name in env::vars_os().map(|(name, _)| name).filter(set_by_cargo) {
        command.env_remove(name);
    }
    if libtorch::chosen_by_user(checkout).is_none() {
        command.env_remove("LIBTORCH");
    }
    command.env("CARGO_TERM_COLOR", "never");
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "100");
    command
}

/// Whether `cargo run` and `cargo test` set this variable, which a build script may look at.
fn set_by_cargo(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"].contains(&&*name)
}

#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    Compiling,
    Progress { done: u64, of: u64, what: &'a str },
    Blocked,
    Status,
    Other,
}

impl<'a> From<&'a str> for Said<'a> {
    fn from(line: &'a str) -> Said<'a> {
        // `    Building [=====>      ] 12/345: tokio, serde`
        let progress = || {
            let (numbers, what) = line.split_once("] ")?.1.split_once(": ")?;
            let (done, of) = numbers.trim().split_once('/')?;
            Some(Said::Progress { done: done.parse().ok()?, of: of.parse().ok()?, what: what.trim_end() })
        };
        match line.split_whitespace().next() {
            Some("Compiling") => Said::Compiling,
            Some("Building") => progress().unwrap_or(Said::Status),
            Some("Blocking") => Said::Blocked,
            Some("Downloading" | "Downloaded" | "Finished" | "Updating" | "Locking" | "Adding" | "Fresh") => {
                Said::Status
            }
            _ => Said::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_are_told_apart() {
        let building = "    Building [=====>      ] 12/345: tokio, serde          ";
        assert_eq!(Said::from(building), Said::Progress { done: 12, of: 345, what: "tokio, serde" });
        assert_eq!(Said::from("   Compiling tokio v1.54.1"), Said::Compiling);
        assert_eq!(Said::from("    Blocking waiting for file lock on build directory"), Said::Blocked);
        assert_eq!(Said::from("    Finished `dev` profile in 0.1s"), Said::Status);
        assert_eq!(Said::from("error[E0425]: cannot find value"), Said::Other);
    }

    #[test]
    fn the_time_left_is_guessed_from_the_crates_that_were_built_and_not_from_those_that_were_there() {
        let left = |seconds, done| left((Duration::from_secs(1), 100), (Duration::from_secs(seconds), done), 200);
        assert_eq!(left(1, 100), None);
        assert_eq!(left(5, 109), None, "too few to tell");
        assert_eq!(left(21, 120), Some(Duration::from_secs(80)));
        assert_eq!(left(101, 200), Some(Duration::ZERO));
    }

    #[test]
    fn a_guess_is_said_as_roughly_as_it_is_known() {
        let said = |seconds| about(Duration::from_secs(seconds));
        assert_eq!([said(0), said(41), said(89), said(91), said(150)], ["0 s", "45 s", "90 s", "2 min", "3 min"]);
    }
}
