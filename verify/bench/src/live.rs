//! Live runs: how long a slice waits for its round, what a live run takes against one that streams first and trains then, and
//! whether memory grows with a stream that has no end.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use event::Event;
use torture::programs::{self as started, Killed, Receiver, peak_memory};

use crate::{
    Measurement, Target, child, mnist, mnist_dir,
    programs::{self, LIMIT},
    record,
    series::{Series, Unit},
    turns::{self, Contestant},
};

const SAMPLES: u64 = 20_000;
const LIVE: &str = "live, time of all";
const AFTER: &str = "streaming, then training on the same slices, time of all";
const WAIT: &str = "from a durable slice to its round, the longest";
/// Samples of the stream without an end, when memory is looked at.
const EARLY: u64 = 200_000;
const LATE: u64 = 2_000_000;
const SLICE: u64 = 50_000;

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    mnist()?; // A run would fetch it, which is not what is measured.
    let installed = started::install()?;
    let orchestrator = &installed.path().join("orchestrator");
    let mut contestants = [
        Contestant::of(LIVE, Unit::Seconds, || Ok(live(orchestrator, "50ms")?.0)),
        Contestant::of(AFTER, Unit::Seconds, stream_then_train),
        // Slices that come more slowly than they are trained on.
        Contestant::of(WAIT, Unit::Seconds, || Ok(live(orchestrator, "500ms")?.1)),
    ];
    let mut results = turns::take(turns, &mut contestants)?;
    let growth = turns::take(1, &mut [Contestant::new("a stream without an end", endless)])?;
    results.series.extend(growth.series);
    let ratio = |name: &str| results.ratio(&at(name, LATE), &at(name, EARLY));
    let targets = vec![
        Target::at_most(1.0, Unit::Times, "live / streaming, then training, time of all", results.ratio(LIVE, AFTER)),
        Target::at_most(0.5, Unit::Seconds, WAIT, results.get(WAIT).cloned()),
        Target::at_most(1.1, Unit::Times, "memory at 2,000,000 samples / at 200,000, sender", ratio("sender")),
        Target::at_most(1.1, Unit::Times, "memory at 2,000,000 samples / at 200,000, receiver", ratio("receiver")),
        Target::at_most(1.1, Unit::Times, "memory at 2,000,000 samples / at 200,000, trainer", ratio("trainer")),
    ];
    let about = format!(
        "{SAMPLES} samples in slices of 2,000, one sender. Live: the orchestrator with its defaults. Streaming, then training: \
         the same programs by hand, one after the other. A slice's waiting is measured where batches come every half second, so \
         that the trainer has nothing else to do; it begins when the last chunk of the slice is written. The stream without an \
         end is of drawn digits at 10,000 a second, so that all programs are at the same sample, in slices of {SLICE} and minibatches of 500; memory is at its peak so far, when the trainer has \
         come to the sample named, and of one turn."
    );
    Ok(Measurement { title: "Live runs".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn at(name: &str, samples: u64) -> String {
    format!("{name}, memory at {samples} samples")
}

/// The seconds of a live run, and the longest that a slice waited for its round.
fn live(orchestrator: &Path, delay: &str) -> anyhow::Result<(f64, f64)> {
    let folder = record::scratch()?;
    let mut command = Command::new(orchestrator);
    command.current_dir(folder.path()).args(["--live", "--dataset=mnist", "--data"]).arg(mnist_dir());
    command.args([format!("--samples={SAMPLES}"), format!("--batch-delay={delay}")]);
    let start = Instant::now();
    child::output(command, LIMIT)?;
    let seconds = start.elapsed().as_secs_f64();
    let waits = events(&folder.path().join("runs/latest"))?.into_iter().filter_map(|event| match event {
        Event::Slice { behind_seconds, .. } => Some(behind_seconds),
        _ => None,
    });
    Ok((seconds, waits.fold(0.0, f64::max)))
}

fn stream_then_train() -> anyhow::Result<f64> {
    let (dir, start) = (record::scratch()?, Instant::now());
    let chunks = dir.path().join("chunks");
    programs::ingest(&chunks, SAMPLES, "50ms")?;
    programs::train(&chunks, &["--live".into()])?;
    Ok(start.elapsed().as_secs_f64())
}

/// The peak memory of each process of a stream without an end, early and late.
fn endless() -> anyhow::Result<Vec<Series>> {
    let dir = record::scratch()?;
    let (chunks, run) = (dir.path().join("chunks"), dir.path().join("run"));
    let (receiver, address) = Receiver::start(&chunks, &[])?;
    let mut sender = programs::command("sender")?;
    sender.current_dir(dir.path()).args(["--endless", "--dataset=generated"]);
    sender.arg(format!("--connect={address}")).arg("--key").arg(started::key(&chunks));
    let mut trainer = programs::command("trainer")?;
    trainer.current_dir(dir.path()).args([
        "--live",
        "--batch-size=500",
        "--partitions=2",
        "--test-data=data/generated",
    ]);
    trainer.arg(format!("--samples-per-round={SLICE}")).arg("--dir").arg(&chunks).arg("--run-dir").arg(&run);
    let [mut sender, mut trainer] = [start(sender)?, start(trainer)?];
    let processes = [("sender", sender.0.id()), ("receiver", receiver.id()), ("trainer", trainer.0.id())];
    let mut series = Vec::new();
    for samples in [EARLY, LATE] {
        wait_for(&run, samples, &mut trainer)?;
        for (name, id) in processes {
            let peak = peak_memory(id).with_context(|| format!("the {name} ended before {samples} samples"))?;
            series.push(Series::one(at(name, samples), Unit::Megabytes, peak as f64 / 1e6));
        }
    }
    ensure!(
        Command::new("kill").arg(receiver.id().to_string()).status()?.success(),
        "the receiver cannot be told to end"
    );
    receiver.follow(|| ())?;
    let status = sender.0.wait()?;
    ensure!(status.success(), "the sender did not end well when the stream was over: {status}");
    drop(trainer); // What it has not come to yet shows nothing more.
    Ok(series)
}

fn start(mut command: Command) -> anyhow::Result<Killed> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(Killed(command.spawn().context("failed to start a program")?))
}

/// Waits until the trainer has trained on so many samples.
fn wait_for(run: &Path, samples: u64, trainer: &mut Killed) -> anyhow::Result<()> {
    const POLL: Duration = Duration::from_millis(100);
    let start = Instant::now();
    let is_there =
        |event: &Event| matches!(event, Event::Round { prequential: Some(slice), .. } if slice.position >= samples);
    while !run.join(run_folder::EVENTS).exists() || !events(run)?.iter().any(is_there) {
        ensure!(trainer.0.try_wait()?.is_none(), "the trainer ended before {samples} samples");
        ensure!(start.elapsed() < LIMIT, "the trainer has not come to {samples} samples within {LIMIT:?}");
        thread::sleep(POLL);
    }
    Ok(())
}

/// What a run's trainer has reported. Half a line is none.
fn events(run: &Path) -> anyhow::Result<Vec<Event>> {
    let path = run.join(run_folder::EVENTS);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
