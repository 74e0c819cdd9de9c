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
    exit::{self, Code, OrExit, failure},
    flags::EngineName,
    shutdown::Shutdown,
};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    chunk_directory::ChunkDirectory,
    commands::{self, Program, Share},
    config::Config,
    console::Console,
    crew::{Crew, News, STOP_LIMIT, gave_up},
    progress::Progress,
    run_dir,
    setup::Setup,
    spark::Starting,
    streaming_log::StreamingLog,
};

/// The receiver verifies what it finds in its directory before it listens.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The sender's own limits on a download are shorter; this one is for a sender that hangs.
const DATA_LIMIT: Duration = Duration::from_secs(15 * 60);
/// On top of the simulated latency of the samples of a chunk, which are acknowledged together.
const STREAM_LIMIT: Duration = Duration::from_secs(5 * 60);
/// One full-batch step over a large partition says nothing for long.
const TRAIN_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How long a trainer that was started ahead waits for the samples before it is started again. It ends with us in any case.
const AHEAD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How long the children may take to end once the chunk directory is complete. A sender that the good news did not reach
/// would look for its receiver for much longer.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// Runs everything.
///
/// # Errors
/// When the set-up or a child fails, or when told to stop; no child is left behind in any case.
pub async fn run(config: &Config, console: Console, shutdown: Shutdown) -> anyhow::Result<()> {
    // Before the set-up, which may take long: whenever this process is killed, there is a run to resume.
    config.run_dir.as_deref().map_or(Ok(()), run_dir::ensure_unicode)?; // Before anything is made.
    let directory = ChunkDirectory::hold(&config.directory.dir)?;
    let run = run_dir::open(config)?;
    directory.name_holder(&run)?;
    let config = &Config { identity: run_dir::identity(&run)?, ..config.clone() };
    let mut progress = Progress::new(console.clone());
    let setup = Setup::begin(&config.engine, &console, &shutdown, progress.phases()).await?;
    let mut crew = Crew::new(&setup.directory, console.clone(), shutdown);
    let mut spark = None;
    let result = phases(config, &run, &setup, &mut crew, &mut spark, &mut progress).await;
    progress.clear();
    crew.stop(STOP_LIMIT).await;
    if let Some(spark) = spark {
        // Who is asked to stop has no use for it.
        let is_failure = |error| !exit::code_of(error).is_stop();
        let keep_log = result.as_ref().is_err_and(is_failure);
        spark.stop(keep_log).await;
        if keep_log {
            console.note(&format!("Spark's log is in `{}`", run.join("spark").display()));
        }
    }
    result?;
    progress.summarise();
    Ok(())
}

async fn phases(
    config: &Config,
    run: &Path,
    setup: &Setup,
    crew: &mut Crew,
    spark: &mut Option<Starting>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut config = config.clone();
    let mut data = None;
    if config.resume.is_none() || !is_streamed(&config, run)? {
        // Before the trainer is built: nobody should wait for minutes to hear that there is no data.
        let start = Instant::now();
        let (dir, digest) = provide_data(&config, crew, progress).await?;
        config = config.with_data(dir);
        data = Some(digest);
        progress.phases().end("data", start);
    }
    setup.build_trainer(progress.phases()).await?;
    // While samples are streamed: a JVM takes its time.
    *spark = setup.spark.clone().map(|home| {
        let partitions = config.training.partitions.unwrap_or(1); // It is always there by now.
        Starting::new(home, run.join("spark"), partitions, setup.console.clone())
    });
    if let Some(digest) = data {
        let start = Instant::now();
        let log = stream(&config, run, &digest, crew, progress).await?;
        progress.phases().end("streaming", start);
        if let Some(log) = log {
            // At once: the trainer, which is at work by now, reads it when it is done.
            if let Err(error) = log.write(run, progress.phases().seconds()) {
                progress.note(&format!("{error:#}; the report will lack the streaming")); // It costs no sample.
            }
            crew.dismiss(&[Program::Sender, Program::Receiver], GOODBYE_LIMIT).await;
        }
    }
    let start = Instant::now();
    if let Some(spark) = spark {
        let environment = crew.wait_for(spark.environment()).await??;
        crew.set_environment(environment);
        progress.phases().end("waiting for Spark", start);
    }
    let start = Instant::now();
    train(&config, run, crew, progress).await?;
    progress.phases().end("training", start);
    Ok(())
}

/// Whether the chunk directory is complete, with the streams and the data of this very run.
fn is_streamed(config: &Config, run: &Path) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Manifest {
        dataset: Dataset,
        run: Option<String>,
        streams: Vec<Share>,
    }
    #[derive(Deserialize)]
    struct Dataset {
        digest: String,
    }
    let Some(data) = run_dir::data(run)? else { return Ok(false) }; // It holds an earlier run's samples, if any.
    let dir = config.directory.dir.display();
    let bytes = match fs::read(config.directory.dir.join("_SUCCESS")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        bytes => bytes.with_context(|| format!("failed to read `{dir}/_SUCCESS`"))?,
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).with_context(|| format!("`{dir}/_SUCCESS` is damaged")).or_exit(Code::Data)?;
    let (streams, shares) = (BTreeSet::from_iter(manifest.streams), BTreeSet::from_iter(commands::shares(config)));
    if streams == shares && manifest.dataset.digest == data && manifest.run == config.identity.run_id {
        return Ok(true);
    }
    let advice = "name this run's own with --dir, or start a new run without --resume";
    Err(failure(Code::Data, anyhow!("`{dir}` holds the samples of another run; {advice}")))
}

/// Where the data is, and its digest.
async fn provide_data(config: &Config, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<(PathBuf, String)> {
    crew.start(commands::prepare(config)?)?;
    let mut data = None;
    loop {
        match crew.next(DATA_LIMIT, "providing the data").await? {
            News::Event { event: Event::Data { dir, digest }, .. } => data = Some((dir, digest)),
            News::Event { child, event } => progress.show(child, event),
            News::Ended { status, .. } if status.success() => break,
            News::Ended { child, status, .. } => crew.revive(child, status)?,
        }
    }
    progress.clear();
    data.context("the sender ended without saying where the data is")
}

/// Streams until the chunk directory is complete. What it logged, unless there was nothing left to stream.
async fn stream(
    config: &Config,
    run: &Path,
    digest: &str,
    crew: &mut Crew,
    progress: &mut Progress,
) -> anyhow::Result<Option<StreamingLog>> {
    // What is in the directory before the first sample of this run was sent is an earlier run's.
    let fresh = run_dir::data(run)?.is_none();
    let receiver = crew.start(commands::receiver(config, &config.listen, fresh)?)?;
    let Some(address) = listening(config, run, crew, progress).await? else { return Ok(None) };
    crew.instruct(receiver, commands::receiver(config, address, false)?);
    run_dir::remember_data(run, digest)?;
    progress.note(&format!("the receiver listens on {address}"));
    let mut log = StreamingLog::begin(fresh);
    for sender in commands::senders(config, address)? {
        crew.start(sender)?;
    }
    if config.engine.engine == EngineName::Rayon {
        // Loading libtorch takes longer than all else that a program does before its work. (Spark must be there first.)
        crew.start_ahead(commands::trainer(config, run, AHEAD_LIMIT)?)?;
    }
    progress.sending(config.streaming.samples);
    completion(config, run, crew, progress, &mut log).await?;
    is_streamed(config, run)?; // The receiver's word is good; what counts is what a trainer will find.
    progress.clear();
    Ok(Some(log))
}

/// Waits until the chunk directory is complete.
async fn completion(
    config: &Config,
    run: &Path,
    crew: &mut Crew,
    progress: &mut Progress,
    log: &mut StreamingLog,
) -> anyhow::Result<()> {
    let limit = STREAM_LIMIT + chunk_delay(config);
    let mut complete = false;
    while !complete {
        match crew.next(limit, "streaming").await? {
            News::Event { child, event } => {
                complete = matches!(event, Event::Complete { .. });
                if let Event::Stored { samples, .. } = event {
                    crew.progressed();
                    log.stored(samples);
                }
                progress.show(child, event);
            }
            News::Ended { program, status, .. } if status.success() => {
                if program == Program::Receiver {
                    bail!("the receiver ended before the chunk directory was complete");
                }
            }
            // It may have been killed between the last of its work and saying so.
            News::Ended { program: Program::Receiver, .. } if is_streamed(config, run)? => complete = true,
            News::Ended { child, status, .. } => crew.revive(child, status)?,
        }
    }
    Ok(())
}

/// Waits for the receiver's address; `None` if it finds the chunk directory complete: the receiver of an orchestrator that
/// was killed may have finished its work meanwhile.
async fn listening(
    config: &Config,
    run: &Path,
    crew: &mut Crew,
    progress: &mut Progress,
) -> anyhow::Result<Option<SocketAddr>> {
    let doing = "waiting for the receiver to listen";
    let listening = async {
        loop {
            match crew.next(READY_LIMIT, doing).await? {
                News::Event { event: Event::Listening { address, .. }, .. } => return Ok(Some(address)),
                News::Event { child, event } => progress.show(child, event),
                News::Ended { .. } if is_streamed(config, run)? => return Ok(None),
                News::Ended { status, .. } if status.success() => bail!("the receiver ended before it listened"),
                News::Ended { child, status, .. } => crew.revive(child, status)?,
            }
        }
    };
    // However much it has to say meanwhile.
    timeout(READY_LIMIT, listening).await.unwrap_or_else(|_| Err(gave_up(READY_LIMIT, doing)))
}

async fn train(config: &Config, run: &Path, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    if !crew.heed() {
        crew.start(commands::trainer(config, run, Duration::ZERO)?)?;
    }
    let mut rounds = 0;
    loop {
        match crew.next(TRAIN_LIMIT, "training").await? {
            // A trainer that was started again repeats what is in its checkpoint.
            News::Event { event: Event::Round { round, .. }, .. } if round <= rounds => {}
            News::Event { child, event } => {
                if let Event::Round { round, .. } = event {
                    rounds = round;
                    crew.progressed();
                }
                progress.show(child, event);
            }
            News::Ended { program: Program::Trainer, status, .. } if status.success() => return Ok(()),
            News::Ended { child, program: Program::Trainer, status } => crew.revive(child, status)?,
            News::Ended { .. } => {} // One that was slow to end.
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
    fn check(data: Option<&str>, manifest: Option<&str>, expect: Result<bool, &str>) {
        let dir = tempfile::tempdir().unwrap();
        let chunks = dir.path().to_str().unwrap();
        let arguments = ["x", "--samples=11", "--offset=5", "--senders=2", "--dir", chunks].map(OsString::from);
        let config = Config::load(&arguments).unwrap();
        if let Some(manifest) = manifest {
            fs::write(dir.path().join("_SUCCESS"), manifest).unwrap();
        }
        if let Some(data) = data {
            run_dir::remember_data(dir.path(), data).unwrap();
        }
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
        let check_data = |manifest: Option<&str>, expect| check(Some("d1"), manifest, expect);
        check_data(None, Ok(false));
        check_data(Some(manifest), Ok(true));
        check_data(Some(&manifest.replace("16", "17")), Err("`DIR` holds the samples of another run; "));
        check_data(Some(&manifest.replace("sender-1", "b")), Err("`DIR` holds the samples of another run; "));
        check_data(Some(&manifest.replace("d1", "d2")), Err("`DIR` holds the samples of another run; "));
        let other = manifest.replace("\"format\": 1", "\"format\": 1, \"run\": \"1f\"");
        check_data(Some(&other), Err("`DIR` holds the samples of another run; "));
        check_data(Some(&manifest[..40]), Err("`DIR/_SUCCESS` is damaged: "));
    }

    #[test]
    fn what_is_there_before_the_first_sample_is_sent_is_an_earlier_runs() {
        check(None, Some("whatever it holds"), Ok(false));
    }
}
