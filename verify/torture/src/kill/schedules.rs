//! Live runs by hand: receiver, senders and trainer are started in any order, work at any speed, and are killed and started
//! again. Some streams have no end, until the receiver is told to stop. Whatever the schedule, the model is that of the
//! replay, which reads the same chunk directory when all is over.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use ::process::exit::Code;
use anyhow::{Context, ensure};
use sample::random::Stream;
use tokio::net::TcpSocket;

use super::{Bench, LIMIT, SHAPES, TRAINING_SAMPLES, process, verdict};
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
    result.with_context(|| schedule.story())
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
    /// Has the receiver's port, and does not listen: so nobody else gets it while the receiver is down.
    _port: TcpSocket,
}

/// When a receiver is told again to end.
const AGAIN: Duration = Duration::from_secs(2);
/// By then receiver and senders have ended, after all was durable: the time that senders have to come back and ask, and more.
const END_LIMIT: Duration = Duration::from_secs(30);

const RECEIVER: usize = 0;
const TRAINER: usize = 1;

/// A program of the run.
struct Member {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    /// What it says.
    log: PathBuf,
    /// Where in the log the last one of its processes begins.
    begun: u64,
    /// While it runs.
    process: Option<Killed>,
    /// When it is started: at first, or again. `None` while it runs, and when it is done.
    due: Option<Instant>,
    kills: u32,
    /// How often the last one of its processes was told to end.
    told: u32,
    /// Whether that was killed, or ended before its work was done, because it was told to.
    is_cut_off: bool,
}

impl Schedule {
    /// Draws one.
    fn new(bench: &Bench, dir: &Path, mut random: Stream) -> anyhow::Result<Schedule> {
        let live: Vec<usize> = (0..SHAPES.len()).filter(|shape| SHAPES[*shape].live.is_some()).collect();
        let shape = live[random.below(live.len() as u64) as usize];
        let senders = 1 + if random.below(4) == 0 { random.below(50) } else { random.below(5) };
        let port = TcpSocket::new_v4()?;
        port.set_reuseaddr(true)?; // The receiver sets it, too.
        port.bind(([127, 0, 0, 1], 0).into())?;
        let address = port.local_addr()?;
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
                // A stream without an end is not to be longer than can be trained on within the limit.
                format!("--batch-delay={}ms", (random.below(60) + if over.is_some() { 5 } else { 0 }) * senders),
                match over {
                    Some(_) => "--endless".into(),
                    None => format!("--samples={}", SHAPES[shape].samples),
                },
            ];
            all.push(("sender", [&shared[..], &stream].concat()));
        }
        let mut members = Vec::new();
        for (number, (name, arguments)) in all.into_iter().enumerate() {
            members.push(Member {
                name,
                program: bench.path().join(name),
                arguments,
                log: dir.join(format!("{name}-{number}.log")),
                begun: 0,
                process: None,
                due: Some(later(&mut random, 600)),
                kills: 0,
                told: 0,
                is_cut_off: false,
            });
        }
        let mut kills: Vec<Instant> = (0..random.below(10)).map(|_| later(&mut random, 3000)).collect();
        kills.sort_by(|one, other| other.cmp(one));
        Ok(Schedule { dir: dir.to_owned(), shape, members, kills, over, random, _port: port })
    }

    /// Lets it happen, and looks at what came of it.
    fn run(&mut self, bench: &Bench, finding: &mut Finding) -> anyhow::Result<()> {
        look_for("the run does not end", LIMIT, || {
            self.attend()?;
            Ok((self.is_streamed() && self.members[TRAINER].is_done()).then_some(()))
        })?;
        look_for("receiver and senders do not end", END_LIMIT, || {
            self.attend()?;
            let mut all = 0..self.members.len();
            Ok(all.all(|number| self.members[number].process.is_none() || !self.is_to_end(number)).then_some(()))
        })?;
        let senders = self.members.len() - 2;
        for member in &mut self.members {
            member.process = None;
            for _ in 0..member.kills {
                finding.count(format!("{}s killed", member.name));
            }
            let said = member.said(0);
            ensure!(!said.contains("panicked at"), "a {} panicked:\n{}", member.name, last_lines(&said));
        }
        process::wait_for_all_in(&self.dir, LIMIT)?;
        let chunks = self.dir.join("chunks");
        let wrong = match self.over {
            None => samples::check(&chunks, SHAPES[self.shape].samples),
            Some(_) => samples::check_repeated(&chunks, TRAINING_SAMPLES),
        };
        ensure!(wrong.is_empty(), "{}", wrong[..wrong.len().min(5)].join("; "));
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
        for number in 0..self.members.len() {
            let member = &mut self.members[number];
            // When all is durable, receiver and senders are not started any more.
            member.start_if_due(&self.dir, now, !is_streamed || number == TRAINER)?;
            if let Some(status) = member.ended(now, is_streamed)? {
                let member = &self.members[number];
                let said = || format!("a {} ended with {status}:\n{}", member.name, last_lines(&member.said(0)));
                ensure!(is_streamed && !self.is_to_end(number), "{}", said());
            }
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
            self.members[RECEIVER].told += 1;
            // It stays as it was if a sender had not begun, or it was killed. It is told again.
            self.over = Some(now + AGAIN);
        }
        Ok(())
    }

    /// Whether a program is to end well when all is durable: receiver and trainer, and the senders that the receiver has spoken
    /// with. If that was cut off before it told them, they cannot know.
    fn is_to_end(&self, number: usize) -> bool {
        let member = &self.members[number];
        let is_told = || !self.members[RECEIVER].is_cut_off && member.said(member.begun).contains("connected to");
        number <= TRAINER || is_told()
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
        let said = |number: usize| last_lines(&self.members[number].said(0));
        format!(
            "shape {}, without an end: {}, killed: {}; the receiver said:\n{}\nthe trainer said:\n{}",
            self.shape,
            self.over.is_some(),
            kills.join(", "),
            said(RECEIVER),
            said(TRAINER)
        )
    }
}

impl Member {
    /// Starts it if that is due.
    fn start_if_due(&mut self, dir: &Path, now: Instant, is_needed: bool) -> anyhow::Result<()> {
        if is_needed && self.due.is_some_and(|due| due <= now) {
            self.begun = fs::metadata(&self.log).map_or(0, |log| log.len());
            (self.due, self.told, self.is_cut_off) = (None, 0, false);
            self.process = Some(self.start(dir)?);
        }
        Ok(())
    }

    /// Notes its end. Returns what it ended with if that was neither good nor of our doing.
    fn ended(&mut self, now: Instant, is_streamed: bool) -> anyhow::Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let Some(status) = process.0.try_wait().context("failed to wait for a program")? else { return Ok(None) };
        self.process = None;
        if status.success() {
            return Ok(None);
        }
        // Where it had not begun to listen for signals yet, that was its end.
        let terminated = [status.code(), status.signal().map(|signal| 128 + signal)];
        // Told once, it ends well if it has made the directory complete; told again, it ends at once.
        self.is_cut_off = terminated.contains(&Some(Code::Terminated as i32)) && self.told > u32::from(is_streamed);
        self.due = self.is_cut_off.then_some(now + AGAIN / 10);
        Ok((!self.is_cut_off).then_some(status))
    }

    fn start(&self, dir: &Path) -> anyhow::Result<Killed> {
        let log = File::options().create(true).append(true).open(&self.log)?;
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
        self.is_cut_off = true;
    }

    /// What it has said from this place of its log on.
    fn said(&self, from: u64) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(from as usize..).unwrap_or_default()).into_owned()
    }

    fn is_done(&self) -> bool {
        self.process.is_none() && self.due.is_none()
    }
}
