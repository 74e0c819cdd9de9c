//! `trainer page`: the page that a run could be watched on, made again of what its folder keeps.

mod history;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;
use flags::{address, path};
use page::{Happening, Options, Run, Server};
use process::{
    exit::{Code, OrExit},
    lock,
    shutdown::Shutdown,
};
use run_folder::{EVENTS, LOCK, Summary};

use self::history::{History, Told};
use super::kept::Kept;
use crate::output;

/// The longest log of events that is read: that of a run of weeks.
const MAX_EVENTS: u64 = 256 << 20;

/// Serve a page on runs that are over: to look at them, and to draw digits for their models
#[derive(clap::Args, Clone, Debug)]
#[group(skip)] // It would have the name of the flags' own.
pub struct Page {
    /// Run folders, such as runs/latest
    #[arg(required = true, value_name = "RUN", value_parser = path::parser())]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    page: flags::Page,
}

impl Page {
    /// Serves until told to stop, or for as long as is asked for.
    ///
    /// # Errors
    /// When a folder holds no run, a file in it is damaged, or the page cannot be served.
    pub fn run(&self, shutdown: &mut Shutdown) -> anyhow::Result<()> {
        let flags::Page { page, page_token, page_linger } = &self.page;
        let runs = self.runs.iter().map(|folder| told(folder)).collect::<anyhow::Result<_>>()?;
        let listen = address::resolve(page.as_deref().unwrap_or(flags::Page::ADDRESS))?;
        let server = Server::start(&Options { listen, token_file: page_token.clone() }, runs)?;
        let said = output::say_surely(&format!("the page is at {}", server.address()));
        said.context("failed to say where the page is").or_exit(Code::Io)?;
        if let Some(warning) = server.warning() {
            tracing::warn!("{warning}");
        }
        if page_linger.is_none() {
            tracing::info!("serving it until Ctrl-C");
        }
        Ok(shutdown.block(*page_linger)?)
    }
}

/// A run to which all is told that its folder knows.
fn told(folder: &Path) -> anyhow::Result<Run> {
    let kept = Kept::read_unfinished(folder)?;
    // `runs/latest` is going to be another run soon.
    let folder = &folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let run = Run::new(&kept.name, folder);
    let last = fs::metadata(&kept.path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let history = History::new(&kept, &history::times(&events(folder)), last);
    run.tell(None, history.begin, &history.plan);
    for Told { at, child, event } in &history.told {
        run.tell(Some(child), *at, &Happening::Event(event));
    }
    if let Some(damage) = &kept.damage {
        run.tell(Some(history::TRAINER), history.end, &Happening::Log(damage));
    }
    let (ok, text) = ending(&kept);
    run.tell(None, history.end, &Happening::Finished { ok, text: &text });
    Ok(run)
}

/// What the trainer told; nothing if it cannot be read: without it, times are a guess.
fn events(folder: &Path) -> Vec<u8> {
    let path = folder.join(EVENTS);
    let is_read = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= MAX_EVENTS);
    is_read.then(|| fs::read(path).ok()).flatten().unwrap_or_default()
}

/// Whether a trainer is at work on the run.
fn is_under_way(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    is_file && File::open(path).is_ok_and(|file| lock::take(&file).is_ok_and(|is_free| !is_free))
}

/// Whether there is a result, and which; else how to get one.
fn ending(kept: &Kept<Option<Summary>>) -> (bool, String) {
    match &kept.summary {
        Some(summary) => {
            let (accuracy, samples) = (100.0 * summary.test_accuracy, summary.n_test_samples);
            (true, format!("test accuracy {accuracy:.2} % of {samples} samples"))
        }
        None => {
            let (rounds, folder) = (kept.checkpoint.rounds(), kept.folder.display());
            if is_under_way(&kept.folder) {
                return (
                    false,
                    format!("under way, here as it was after round {rounds}; --page shows a run while it lasts"),
                );
            }
            (false, format!("not finished after round {rounds}; to go on: trainer --resume {folder}"))
        }
    }
}
