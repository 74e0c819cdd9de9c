//! Live runs by hand: receiver, senders and trainer are started in any order, work at any speed, and are killed and started
//! again. Some streams have no end, until the receiver is told to stop. Whatever the schedule, the model is that of the
//! replay, which reads the same chunk directory when all is over.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ::process::exit::Code;
use anyhow::{Context, ensure};
use sample::random::Stream;

use super::{Bench, LIMIT, SHAPES, process, verdict};
use crate::{Finding, last_lines, look_for, programs::Killed, samples, try_many};

/// Tries so many schedules, as [`super::run`] kills.
pub fn run(cases: u64, seed: u64, at_once: usize) -> anyhow::Result<Finding> {
    let bench = Bench::new()?;
    Ok(try_many(cases, at_once, |number| {
        let mut finding = Finding { cases: 1, ..Finding::default() };
        if let Err(error) = in_a_folder(&bench, seed, number, &mut finding) {
            finding.violations.push(format!("schedule {number} of seed {seed}: {error:#}"));
        }
        finding
    }))
}

fn in_a_folder(bench: &Bench, seed: u64, number: u64, finding: &mut Finding) -> anyhow::Result<()> {
    let random = Stream::keyed("tributary torture schedules", &[seed, number]);
    let dir = tempfile::tempdir()?;
    let mut schedule = Schedule::new(bench, dir.path(), random)?;
    let result = schedule.run(bench, finding);
    let log = || fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    result.with_context(|| format!("{}; they said:\n{}", schedule.story(), last_lines(&log())))
}

/// What happens when, in one folder.
struct Schedule {
    dir: PathBuf,
    shape: usize,
    /// The receiver, the trainer and the senders.
    members: Vec<Member>,
    /// When somebody is killed, the next one last.
    kills: Vec<Instant>,
    /// When a stream without an end is to be over.
    over: Option<Instant>,
    random: Stream,
}

/// When a receiver is told again to end.
const AGAIN: Duration = Duration::from_secs(2);

const RECEIVER: usize = 0;
const TRAINER: usize = 1;

/// A program of the run.
struct Member {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    /// While it runs.
    process: Option<Killed>,
    /// When it is started: at first, or again. `None` while it runs, and when it is done.
    due: Option<Instant>,
    kills: u32,
}

impl Schedule {
    /// Draws one.
    fn new(bench: &Bench, dir: &Path, mut random: Stream) -> anyhow::Result<Schedule> {
        let live: Vec<usize> = (0..SHAPES.len()).filter(|shape| SHAPES[*shape].live.is_some()).collect();
        let shape = live[random.below(live.len() as u64) as usize];
        let senders = 1 + if random.below(4) == 0 { random.below(50) } else { random.below(5) };
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?; // Free again at once.
        let now = Instant::now();
        let later = |random: &mut Stream, most| now + Duration::from_millis(random.below(most));
        let over = (random.below(3) == 0).then(|| later(&mut random, 3000));

        let (chunks, samples) = (dir.join("chunks"), bench.path().join("samples"));
        let shared = [format!("--key={}", dir.join("key").display())];
        let chunk = 20 + random.below(31);
        let receiver = [
            format!("--listen={address}"),
            format!("--dir={}", chunks.display()),
            format!("--streams={senders}"),
            format!("--samples-per-chunk={chunk}"),
        ];
        let trainer =
            [format!("--dir={}", chunks.display()), format!("--test-data={}", samples.display()), "--wait=100s".into()];
        let mut all = vec![("receiver", [&shared[..], &receiver].concat())];
        all.push(("trainer", [&SHAPES[shape].training()[..], &trainer].concat()));
        for index in 0..senders {
            let stream = [
                format!("--connect={address}"),
                format!("--data={}", samples.display()),
                format!("--share={index}/{senders}"),
                "--samples-per-batch=10".into(),
                format!("--batch-delay={}ms", random.below(60) * senders),
                match over {
                    Some(_) => "--endless".into(),
                    None => format!("--samples={}", SHAPES[shape].samples),
                },
            ];
            all.push(("sender", [&shared[..], &stream].concat()));
        }
        let mut members = Vec::new();
        for (name, arguments) in all {
            let (program, due) = (bench.path().join(name), Some(later(&mut random, 600)));
            members.push(Member { name, program, arguments, process: None, due, kills: 0 });
        }
        let mut kills: Vec<Instant> = (0..random.below(10)).map(|_| later(&mut random, 3000)).collect();
        kills.sort_by(|one, other| other.cmp(one));
        Ok(Schedule { dir: dir.to_owned(), shape, members, kills, over, random })
    }

    /// Lets it happen, and looks at what came of it.
    fn run(&mut self, bench: &Bench, finding: &mut Finding) -> anyhow::Result<()> {
        look_for("the run does not end", LIMIT, || {
            self.attend()?;
            Ok((self.is_streamed() && self.members[TRAINER].is_done()).then_some(()))
        })?;
        let senders = self.members.len() - 2;
        for member in self.members.drain(..) {
            for _ in 0..member.kills {
                finding.count(format!("{}s killed", member.name));
            }
        }
        process::wait_for_all_in(&self.dir, LIMIT)?;
        let chunks = self.dir.join("chunks");
        if self.over.is_none() {
            let wrong = samples::check(&chunks, SHAPES[self.shape].samples);
            ensure!(wrong.is_empty(), "{}", wrong[..wrong.len().min(5)].join("; "));
        }
        let model = verdict::model_of(&self.run_folder())?;
        let replayed = bench.replay(self.shape, &chunks)?;
        ensure!(model == replayed, "the model is {model}, that of the replay {replayed}");
        let undisturbed = &bench.models[self.shape];
        ensure!(self.over.is_some() || model == *undisturbed, "the model is {model}, undisturbed {undisturbed}");
        finding.count(if self.over.is_some() { "streams without an end" } else { "streams with an end" });
        finding.count(if senders > 5 { "of more than five senders" } else { "of up to five senders" });
        Ok(())
    }

    /// Does what is due: starts and kills, and notes who has ended.
    fn attend(&mut self) -> anyhow::Result<()> {
        let (now, is_streamed) = (Instant::now(), self.is_streamed());
        for (number, member) in self.members.iter_mut().enumerate() {
            // When all is durable, nobody waits for receiver and senders any more.
            let is_needed = !is_streamed || number == TRAINER;
            member.attend(&self.dir, now, is_needed)?;
        }
        if self.kills.pop_if(|at| *at <= now).is_some() {
            let running: Vec<usize> =
                (0..self.members.len()).filter(|number| self.members[*number].process.is_some()).collect();
            // Of many senders, not all are killed before anybody else is.
            let victim = match self.random.below(3) {
                0 => Some(RECEIVER),
                1 => Some(TRAINER),
                _ => running.get(self.random.below(running.len().max(1) as u64) as usize).copied(),
            };
            let again = now + Duration::from_millis(self.random.below(400));
            if let Some(victim) = victim.filter(|victim| running.contains(victim)) {
                self.members[victim].kill(again);
            }
        }
        // Of less than a slice, nothing can be learnt.
        if let Some(receiver) = self.members[RECEIVER].process.as_ref().filter(|_| !is_streamed && self.has_learnt())
            && self.over.is_some_and(|over| over <= now)
        {
            process::terminate(receiver.0.id());
            // It stays as it was if a sender had not begun, or it was killed. It is told again.
            self.over = Some(now + AGAIN);
        }
        Ok(())
    }

    fn is_streamed(&self) -> bool {
        self.dir.join("chunks/_SUCCESS").exists()
    }

    fn run_folder(&self) -> PathBuf {
        self.dir.join("run")
    }

    fn has_learnt(&self) -> bool {
        fs::read_dir(self.run_folder().join("checkpoints")).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn story(&self) -> String {
        let kills: Vec<String> =
            self.members.iter().map(|member| format!("{} {}", member.name, member.kills)).collect();
        format!("shape {}, without an end: {}, killed: {}", self.shape, self.over.is_some(), kills.join(", "))
    }
}

impl Member {
    /// Starts it if that is due, and notes its end, which must be a good one while it is needed.
    fn attend(&mut self, dir: &Path, now: Instant, is_needed: bool) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.0.try_wait().context("failed to wait for a program")?
        {
            self.process = None;
            // Where it had not begun to listen for signals yet, that was its end.
            let terminated = [status.code(), status.signal().map(|signal| 128 + signal)];
            let is_stopped = terminated.contains(&Some(Code::Terminated as i32));
            ensure!(status.success() || is_stopped || !is_needed, "a {} ended with {status}", self.name);
            self.due = is_stopped.then_some(now + AGAIN / 10);
        }
        if is_needed && self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.process = Some(self.start(dir)?);
        }
        Ok(())
    }

    fn start(&self, dir: &Path) -> anyhow::Result<Killed> {
        let log = File::options().create(true).append(true).open(dir.join("log"))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(dir).env_remove("RUST_LOG").env_remove("MNIST_DIR");
        if self.name == "trainer" {
            // One that was killed goes on where it was.
            let has_begun = dir.join("run/config.toml").exists();
            command.arg(if has_begun { "--resume=run" } else { "--run-dir=run" });
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().map(Killed).with_context(|| format!("failed to start a {}", self.name))
    }

    /// Kills it; it is started again at this time.
    fn kill(&mut self, again: Instant) {
        self.process = None;
        self.due = Some(again);
        self.kills += 1;
    }

    fn is_done(&self) -> bool {
        self.process.is_none() && self.due.is_none()
    }
}
