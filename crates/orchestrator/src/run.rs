//! A run, in phases: set-up, data, streaming, training. Each begins when the one before has reported its end.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use cli::{
    event::Event,
    exit::{Code, OrExit, failure},
    shutdown::Shutdown,
};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    commands::{self, Program, Share},
    config::Config,
    console::Console,
    crew::{Crew, News, STOP_LIMIT, gave_up},
    progress::Progress,
    run_dir, setup,
};

/// The receiver verifies what it finds in its directory before it listens.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The sender's own limits on a download are shorter; this one is for a sender that hangs.
const DATA_LIMIT: Duration = Duration::from_secs(15 * 60);
/// On top of the simulated latency of the samples of a chunk, which are acknowledged together.
const STREAM_LIMIT: Duration = Duration::from_secs(5 * 60);
/// One full-batch step over a large partition says nothing for long.
const TRAIN_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs everything.
///
/// # Errors
/// When the set-up or a child fails, or when told to stop; no child is left behind in any case.
pub async fn run(config: &Config, console: Console, shutdown: Shutdown) -> anyhow::Result<()> {
    run_dir::check(config)?; // Before the set-up, which may take long.
    let mut progress = Progress::new(console.clone());
    let programs = setup::provide(&console, &shutdown, progress.phases()).await?;
    let mut crew = Crew::new(&programs.directory, console, shutdown);
    let result = phases(config, &mut crew, &mut progress).await;
    progress.clear();
    crew.stop(STOP_LIMIT).await;
    result?;
    progress.summarise();
    Ok(())
}

async fn phases(config: &Config, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    let run = match &config.resume {
        Some(run) => {
            run.canonicalize().with_context(|| format!("failed to open the run folder `{}`", run.display()))?
        }
        None => run_dir::create(config)?,
    };
    let mut config = config.clone();
    if config.resume.is_none() || !is_streamed(&config, &run)? {
        let start = Instant::now();
        config = config.with_data(provide_data(&config, crew, progress).await?);
        progress.phases().end("data", start);
        let start = Instant::now();
        stream(&config, &run, crew, progress).await?;
        progress.phases().end("streaming", start);
    }
    let start = Instant::now();
    train(&config, &run, crew, progress).await?;
    progress.phases().end("training", start);
    Ok(())
}

/// Whether the chunk directory is complete, with the streams and the data of this very run.
fn is_streamed(config: &Config, run: &Path) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Manifest {
        dataset: Dataset,
        streams: Vec<Share>,
    }
    #[derive(Deserialize)]
    struct Dataset {
        digest: String,
    }
    let dir = config.directory.dir.display();
    let bytes = match fs::read(config.directory.dir.join("_SUCCESS")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        bytes => bytes.with_context(|| format!("failed to read `{dir}/_SUCCESS`"))?,
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).with_context(|| format!("`{dir}/_SUCCESS` is damaged")).or_exit(Code::Data)?;
    let (streams, shares) = (BTreeSet::from_iter(manifest.streams), BTreeSet::from_iter(commands::shares(config)));
    if streams == shares && run_dir::is_its_data(run, &manifest.dataset.digest) {
        return Ok(true);
    }
    let advice = "name this run's own with --dir, or start a new run without --resume";
    Err(failure(Code::Data, anyhow!("`{dir}` holds the samples of another run; {advice}")))
}

/// Where the data is.
async fn provide_data(config: &Config, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<PathBuf> {
    crew.start(commands::prepare(config)?)?;
    let mut data = None;
    loop {
        match crew.next(DATA_LIMIT, "providing the data").await? {
            News::Event { event: Event::Data { dir, .. }, .. } => data = Some(dir),
            News::Event { child, event } => progress.show(child, event),
            News::Ended(_) => break,
        }
    }
    progress.clear();
    data.context("the sender ended without saying where the data is")
}

async fn stream(config: &Config, run: &Path, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    crew.start(commands::receiver(config, config.resume.is_none())?)?;
    let address = listening(crew, progress).await?;
    progress.note(&format!("the receiver listens on {address}"));
    for sender in commands::senders(config, address)? {
        crew.start(sender)?;
    }
    progress.sending(config.streaming.samples);
    let limit = STREAM_LIMIT + chunk_delay(config);
    let mut complete = false;
    let mut running = config.senders + 1; // And the receiver.
    while running > 0 {
        match crew.next(limit, "streaming").await? {
            News::Event { child, event } => {
                complete |= matches!(event, Event::Complete { .. });
                if let Event::Data { digest: Some(digest), .. } = &event {
                    run_dir::remember_data(run, digest)?;
                }
                progress.show(child, event);
            }
            News::Ended(_) => running -= 1,
        }
    }
    if !complete {
        bail!("the receiver ended before the chunk directory was complete");
    }
    Ok(())
}

async fn listening(crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<SocketAddr> {
    let doing = "waiting for the receiver to listen";
    let listening = async {
        loop {
            match crew.next(READY_LIMIT, doing).await? {
                News::Event { event: Event::Listening { address, .. }, .. } => return Ok(address),
                News::Event { child, event } => progress.show(child, event),
                News::Ended(_) => bail!("the receiver ended before it listened"),
            }
        }
    };
    // However much it has to say meanwhile.
    timeout(READY_LIMIT, listening).await.unwrap_or_else(|_| Err(gave_up(READY_LIMIT, doing)))
}

async fn train(config: &Config, run: &Path, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    crew.start(commands::trainer(config, run)?)?;
    loop {
        match crew.next(TRAIN_LIMIT, "training").await? {
            News::Event { child, event } => progress.show(child, event),
            News::Ended(Program::Trainer) => return Ok(()),
            News::Ended(_) => {}
        }
    }
}

/// The simulated latency of all batches of one chunk.
fn chunk_delay(config: &Config) -> Duration {
    let batches = config.chunking.samples_per_chunk.div_ceil(config.streaming.samples_per_batch);
    config.streaming.batch_delay.saturating_mul(batches)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[track_caller]
    fn check(manifest: Option<&str>, expect: Result<bool, &str>) {
        let dir = tempfile::tempdir().unwrap();
        let chunks = dir.path().to_str().unwrap();
        let arguments = ["x", "--samples=11", "--offset=5", "--senders=2", "--dir", chunks].map(OsString::from);
        let config = Config::load(&arguments).unwrap();
        if let Some(manifest) = manifest {
            fs::write(dir.path().join("_SUCCESS"), manifest).unwrap();
        }
        run_dir::remember_data(dir.path(), "d1").unwrap();
        match (is_streamed(&config, dir.path()), expect) {
            (Ok(streamed), Ok(expect)) => assert_eq!(streamed, expect),
            (Err(error), Err(expect)) => {
                assert_eq!(cli::exit::code_of(&error), Code::Data);
                let text = error.to_string();
                assert!(text.starts_with(&expect.replace("DIR", chunks)), "{text}");
            }
            (got, expect) => panic!("got {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn a_chunk_directory_is_this_runs_if_its_data_and_streams_are() {
        let manifest = r#"{"format": 1, "dataset": {"name": "mnist", "digest": "d1"}, "streams": [
            {"name": "sender-1", "first": 11, "end": 16}, {"name": "sender-0", "first": 5, "end": 11}]}"#;
        check(None, Ok(false));
        check(Some(manifest), Ok(true));
        check(Some(&manifest.replace("16", "17")), Err("`DIR` holds the samples of another run; "));
        check(Some(&manifest.replace("sender-1", "b")), Err("`DIR` holds the samples of another run; "));
        check(Some(&manifest.replace("d1", "d2")), Err("`DIR` holds the samples of another run; "));
        check(Some(&manifest[..40]), Err("`DIR/_SUCCESS` is damaged: "));
    }
}
