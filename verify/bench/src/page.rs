//! The page: what watchers cost a run, in time and in memory.

mod watcher;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use torture::programs::{self as started, Killed, peak_memory};

use self::watcher::{Kind, Page, Watcher};
use crate::{
    Measurement, Target, mnist, mnist_dir,
    programs::{LIMIT, summary_of},
    record,
    series::{Series, Unit},
    turns::{self, Contestant},
};

const NOBODY: &str = "without a page";
const ONE: &str = "watched by one";
const MANY: &str = "watched by 200, of whom 20 never read";
/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    mnist()?; // A run would fetch it, which is not what is measured.
    let installed = started::install()?;
    let orchestrator = &installed.path().join("orchestrator");
    let contestant = |(name, reading, silent)| Contestant::new(name, move || run(orchestrator, name, reading, silent));
    let mut contestants = [(NOBODY, 0, 0), (ONE, 1, 0), (MANY, 180, 20)].map(contestant);
    let results = turns::take(turns, &mut contestants)?;
    let percent = |name: &str| {
        let more = |watched: f64, alone: f64| (watched / alone - 1.0) * 100.0;
        let name_of_more = format!("{name}, more time");
        Some(results.get(name)?.with(results.get(NOBODY)?, name_of_more, Unit::Percent, more))
    };
    let more_memory = results
        .get(&memory(MANY))
        .zip(results.get(&memory(NOBODY)))
        .map(|(many, nobody)| many.with(nobody, "more memory", Unit::Megabytes, |many, nobody| many - nobody));
    let targets = vec![
        Target::at_most(1.0, Unit::Percent, "default run watched by one, more time of all", percent(ONE)),
        // 32 MiB.
        Target::at_most(
            33.5,
            Unit::Megabytes,
            "200 watchers, 20 of whom never read, more memory of the orchestrator",
            more_memory,
        ),
    ];
    let about = "The orchestrator with its defaults, from its start to its end, and its memory at its peak. Watchers read Server-Sent \
                 Events over TCP, each in a thread, on the same machine; those who never read ask, and leave what comes in the socket. \
                 Every run must end with the same model, and every watcher who reads must be told its end."
        .to_owned();
    Ok(Measurement { title: "Page".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn processor(name: &str) -> String {
    format!("{name}: processor time of the orchestrator")
}

fn memory(name: &str) -> String {
    format!("{name}: memory of the orchestrator")
}

/// The seconds of a run, and the orchestrator's memory.
fn run(orchestrator: &Path, name: &str, reading: usize, silent: usize) -> anyhow::Result<Vec<Series>> {
    let folder = record::scratch()?;
    let mut command = Command::new(orchestrator);
    command.current_dir(folder.path()).args(["--dataset=mnist", "--data"]).arg(mnist_dir());
    if reading + silent > 0 {
        command.arg("--page");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = Killed(command.spawn().context("failed to start the orchestrator")?);
    let (address, lines) = said(&mut child)?;
    let mut watchers = Vec::new();
    if reading + silent > 0 {
        let page = Page::open(&address.recv_timeout(LIMIT).context("no page was served")?)?;
        let kinds = std::iter::repeat_n(Kind::Reads, reading).chain(std::iter::repeat_n(Kind::NeverReads, silent));
        watchers = kinds.map(|kind| Watcher::start(&page, kind)).collect::<anyhow::Result<_>>()?;
    }
    let (mut peak, mut busy) = (0, 0.0);
    let status = loop {
        peak = peak_memory(child.0.id()).map_or(peak, |now| peak.max(now));
        busy = processor_time(child.0.id()).unwrap_or(busy);
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        ensure!(start.elapsed() < LIMIT, "the run was not done within {LIMIT:?}");
        thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    let lines = lines.join().unwrap_or_default();
    ensure!(status.success(), "the run failed ({status}): {}", torture::last_lines(&lines));
    watchers.into_iter().try_for_each(Watcher::end)?;
    check_model(&folder.path().join("runs/latest"))?;
    Ok(vec![
        Series::one(name, Unit::Seconds, seconds),
        Series::one(memory(name), Unit::Megabytes, peak as f64 / 1e6),
        Series::one(processor(name), Unit::Milliseconds, busy * 1e3),
    ])
}

/// Seconds that processors have worked for a process, not for its children; none when it is gone.
fn processor_time(id: u32) -> Option<f64> {
    const TICKS: f64 = 100.0; // A second's, in what Linux tells.
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let of = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((of(11)? + of(12)?) / TICKS).filter(|time| *time > 0.0)
}

/// Where the page is, as soon as that is said, and all that is said on stderr.
fn said(child: &mut Killed) -> anyhow::Result<(mpsc::Receiver<String>, thread::JoinHandle<String>)> {
    let stderr = BufReader::new(child.0.stderr.take().context("there is no stderr")?);
    let (sender, address) = mpsc::channel();
    let lines = thread::spawn(move || {
        let mut all = String::new();
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("watch this run: ") {
                let _ = sender.send(address.to_owned()); // Nobody may be waiting any more.
            }
            all += &line;
            all.push('\n');
        }
        all
    });
    Ok((address, lines))
}

/// Whether a run has the model of those before it.
fn check_model(run: &Path) -> anyhow::Result<()> {
    static MODEL: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let model = summary_of(run)?.model_sha256;
    let first = MODEL.get_or_init(|| model.clone());
    ensure!(model == *first, "a run ended with model {model}, another one with {first}");
    Ok(())
}
