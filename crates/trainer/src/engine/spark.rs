//! Partitions on the executors of an Apache Spark cluster. This process is the driver: it works out where every sample
//! belongs, has Spark read the chunks and bring each partition to one executor, ships the global model there in each round,
//! and has Spark run `trainer worker` over every partition (SQL `TRANSFORM`). The executors keep the partitions of a plain
//! run, and no sample passes through here. In a live run each round has partitions of its own, and the driver reads the
//! samples, too: it tests the model on them, and knows by their digest whether Spark has trained on the same ones.
//!
//! A worker is a pure function, so what Spark runs again after losing an executor comes out the same.

#![expect(clippy::result_large_err, reason = "the client's errors are its own")]

mod cluster;
mod fault;
mod query;
mod shipping;
mod table;
mod ui;
mod wait;

use std::{cell::RefCell, collections::BTreeSet, env, fs, path::Path, rc::Rc, time::Duration};

use anyhow::{Context, anyhow, ensure};
use event::Event;
use model::StateDict;
use process::{
    exit::{Code, OrExit, failure},
    shutdown::{Shutdown, stopped},
};
use spark_connect::DataFrame;
use store::{Held, StreamEntry};
use tempfile::TempDir;
use terminal::shell;

use super::{
    Engine, LiveEngine, RoundSamples,
    placement::Placement,
    worker::{self, Job, Outcome, Reply},
};
use crate::{
    config::{ARCHITECTURE, Config},
    data::digest::Digest,
    output,
    round::local::{LocalUpdate, OnSamples, Updates},
};
use cluster::Cluster;
use query::{News, quoted};
use table::PARTITIONS;
use wait::GoOn;

/// What the driver has of the cluster, whichever samples are trained on.
struct Driver {
    cluster: Cluster,
    /// The chunk directory as executors see it.
    uri: String,
    command: String,
    config: Config,
    /// Tasks that run at the same time.
    cores: u32,
    /// The weights that were shipped last, by SHA-256.
    shipped: RefCell<String>,
    dir: TempDir,
}

/// Partitions that executors train.
pub(super) struct Spark {
    driver: Rc<Driver>,
    /// The partitions, if the executors keep them.
    kept: Option<DataFrame>,
    sizes: Vec<u64>,
    /// What identifies the samples of each partition, if that is known.
    digests: Vec<Digest>,
    /// What identifies all samples.
    data: Digest,
    /// The chunk directory, which executors may have to read again.
    _held: Option<Held>,
}

/// A live run: executors read the chunks of each round's samples.
pub(super) struct Live<'a> {
    driver: Rc<Driver>,
    shutdown: &'a Shutdown,
}

impl Driver {
    fn connect(config: &Config, on_samples: OnSamples<'_>) -> anyhow::Result<Self> {
        let flags = &config.engine.spark;
        let from_environment = || env::var("SPARK_REMOTE").ok().filter(|remote| !remote.is_empty());
        let remote = flags.spark_remote.clone().or_else(from_environment).unwrap_or("sc://127.0.0.1:15002".into());
        let go_on = || on_samples(None, 0);
        let cluster = Cluster::connect(&remote, flags.spark_patience, &go_on)?;
        if let Some(ui) = cluster.ui(&go_on) {
            tracing::info!("Spark UI: {ui}");
            tell(config, || Event::Spark { ui });
        }
        check_result_size(&cluster, config.partitions, &go_on)?;
        let dir = tempfile::tempdir().context("failed to create a directory for temporary files")?;
        let command = match &flags.worker_command {
            Some(command) => command.clone(),
            None if cluster.is_here(&go_on) => shipping::command_here()?,
            None => ship_trainer(&cluster, dir.path(), &go_on)?,
        };
        let uri = match &flags.spark_dir {
            Some(uri) => uri.clone(),
            None => fs::canonicalize(&config.dir)
                .with_context(|| format!("failed to find `{}`", config.dir.display()))?
                .display()
                .to_string(),
        };
        let cores = table::cores(&cluster, &go_on)?;
        Ok(Driver { cluster, uri, command, config: config.clone(), cores, shipped: RefCell::default(), dir })
    }

    /// The samples in their places.
    fn table(
        &self,
        chunks: (&BTreeSet<String>, bool),
        placement: Placement,
        go_on: GoOn<'_>,
    ) -> anyhow::Result<DataFrame> {
        let (partitions, samples) = (placement.ranges.len(), placement.ranges.last().map_or(0, |range| range.end));
        if i32::try_from(samples).is_err() {
            // Places are numbers of 32 bits.
            fail!(Code::Data, "there are {samples} samples; Spark can train on {} here", i32::MAX);
        }
        let epochs = self.config.training.local.local_epochs;
        let tasks = table::tasks(partitions as u32, self.cores, (samples as u64).saturating_mul(epochs.into()));
        table::prepare(&self.cluster, &self.uri, chunks, placement, tasks, go_on).with_context(|| self.reading())
    }

    fn reading(&self) -> String {
        format!("failed to read `{}` (--spark-dir) through Spark", self.uri)
    }

    /// Ships weights to every executor; returns their name.
    fn ship(&self, weights: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<String> {
        let sha256 = weights.sha256();
        if *self.shipped.borrow() != sha256 {
            let path = self.dir.path().join(worker::weights_file(&sha256));
            let bytes = weights.to_safetensors(&Default::default());
            fs::write(&path, bytes).context("failed to write a temporary file")?;
            self.cluster.ship(vec![path.clone()], &|| on_samples(None, 0))?;
            fs::remove_file(&path).context("failed to remove a temporary file")?;
            self.shipped.replace(sha256.clone());
            tracing::debug!("the weights are with the server");
        }
        Ok(sha256)
    }
}

impl Spark {
    /// Has the cluster read the chunk directory and keep its partitions.
    pub(super) fn open(config: &Config, held: Held, on_samples: OnSamples<'_>) -> anyhow::Result<Self> {
        let (driver, manifest) = (Driver::connect(config, on_samples)?, &held.manifest);
        let placement = Placement::new(&manifest.streams, config.training.seed, config.partitions as usize);
        let sizes = sizes(&placement);
        let chunks = manifest.chunks.iter().map(|chunk| chunk.name.clone()).collect();
        let go_on = || on_samples(None, 0);
        let table = driver.table((&chunks, true), placement, &go_on)?;
        let kept = Some(table::keep(&driver.cluster, table, &go_on)?);
        let (digests, data) = Default::default();
        let mut spark = Spark { driver: Rc::new(driver), kept, sizes, digests, data, _held: Some(held) };
        // The first query also brings every sample to its executor.
        let replies = spark.ask(&Job::Count, 1, on_samples).with_context(|| spark.driver.reading())?;
        spark.digests = replies.iter().map(|reply| reply.digest).collect();
        spark.data = spark.digests.iter().copied().sum();
        Ok(spark)
    }

    /// Has every partition's worker do the job, in which each sample passes by so often; returns the replies in partition order.
    fn ask(&self, job: &Job, passes: usize, on_samples: OnSamples<'_>) -> anyhow::Result<Vec<Reply>> {
        let columns = Reply::FIELDS.map(|name| format!("{name} STRING")).join(", ");
        let format = r"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t'";
        let Driver { cluster, command, config, .. } = &*self.driver;
        let command = format!("{command} {}", job.arguments());
        let command = quoted(&guarded(&command, config.engine.spark.spark_patience));
        let sql = format!(
            "SELECT TRANSFORM(part, place, seq, label, image) {format} USING {command} AS ({columns}) {format} \
             FROM {PARTITIONS}"
        );
        let mut replies: Vec<Option<Reply>> = vec![None; self.sizes.len()];
        let mut told = 0;
        tracing::debug!("asking {} partitions", self.sizes.len());
        let all: u64 = self.sizes.iter().sum();
        cluster.query(sql, &|| on_samples(None, 0), &mut |news| {
            let done = match news {
                News::Row(row) => return self.take(&row, &mut replies),
                News::Tasks(done, of) => {
                    if let Job::Train { round, .. } = job {
                        tell(config, || tasks(*round, done, of));
                    }
                    share(all, done, of)
                }
            };
            // Stages that begin later make the share smaller for a while; a bar does not run backwards.
            let more = done.saturating_sub(told);
            told += more;
            on_samples(None, more as usize * passes)
        })?;
        let missing = |part| anyhow!("Spark returned nothing for partition {part}; are its chunks all there?");
        let replies = (0..).zip(replies).map(|(part, reply): (usize, _)| reply.ok_or_else(|| missing(part)));
        let replies = replies.collect::<anyhow::Result<Vec<Reply>>>().or_exit(Code::Data)?;
        on_samples(None, (all - told) as usize * passes)?;
        Ok(replies)
    }

    /// Takes a reply in, if it is one that is expected.
    fn take(&self, row: &[String], replies: &mut [Option<Reply>]) -> anyhow::Result<()> {
        let text = |index| row.get(index).map_or("", String::as_str);
        let reply = Reply::decode(std::array::from_fn(text), ARCHITECTURE);
        let reply = reply.map_err(|what| anyhow!("a worker's reply is none: {what}")).or_exit(Code::Data)?;
        let part = reply.partition as usize;
        let check = || {
            ensure!(part < replies.len(), "a worker replied for partition {part} of {}", replies.len());
            ensure!(replies[part].is_none(), "two workers replied for partition {part}");
            let (expected, found) = (self.sizes[part], reply.samples);
            ensure!(found == expected, "Spark has {found} samples in partition {part}, not {expected}");
            let is_known = self.digests.get(part).is_none_or(|digest| *digest == reply.digest);
            ensure!(is_known, "partition {part} has other samples in Spark than before");
            Ok(())
        };
        check().or_exit(Code::Data)?;
        replies[part] = Some(reply);
        tracing::debug!("partition {part} has replied");
        Ok(())
    }
}

impl<'a> Live<'a> {
    pub(super) fn open(config: &Config, shutdown: &'a Shutdown) -> anyhow::Result<Self> {
        Ok(Live { driver: Rc::new(Driver::connect(config, &|_, _| go_on(shutdown))?), shutdown })
    }
}

impl LiveEngine for Live<'_> {
    fn partitions<'a>(&'a mut self, given: &RoundSamples<'_>) -> anyhow::Result<Box<dyn Engine + 'a>> {
        let follower = given.slices.follower();
        let chunks = given.ranges().flat_map(|seqs| follower.chunks_of(&seqs)).collect();
        let streams: Vec<StreamEntry> = given.ranges().flat_map(|seqs| follower.streams_of(&seqs)).collect();
        let (seqs, samples) = given.canonical()?;
        let with_seq = seqs.into_iter().zip(samples.as_slice().iter());
        let data = with_seq.map(|(seq, (label, image))| Digest::of(seq, label, image)).sum();
        let placement = Placement::new(&streams, self.driver.config.training.seed, given.partitions as usize);
        let (kept, digests, sizes) = (None, Vec::new(), sizes(&placement));
        self.driver.table((&chunks, false), placement, &|| go_on(self.shutdown))?;
        let driver = Rc::clone(&self.driver);
        Ok(Box::new(Spark { driver, kept, sizes, digests, data, _held: None }))
    }
}

fn go_on(shutdown: &Shutdown) -> anyhow::Result<()> {
    shutdown.requested().map_or(Ok(()), |cause| Err(stopped(cause)))
}

fn sizes(placement: &Placement) -> Vec<u64> {
    placement.ranges.iter().map(|range| range.len() as u64).collect()
}

impl Engine for Spark {
    fn data(&self) -> Digest {
        self.data
    }

    fn train_round(&self, round: u32, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<Updates> {
        let (driver, training) = (&self.driver, &self.driver.config.training);
        let (weights, local) = (driver.ship(global, on_samples)?, training.local.clone());
        let passes = local.local_epochs as usize;
        let replies = self.ask(&Job::Train { weights, seed: training.seed, round, local }, passes, on_samples)?;
        // Where executors do not keep the samples, this is the first that is seen of them.
        if replies.iter().map(|reply| reply.digest).sum::<Digest>() != self.data {
            fail!(Code::Data, "Spark has other samples for round {round} than the chunk directory");
        }
        let update = |reply: Reply| match reply.result {
            Outcome::Trained(train_loss, state_dict) => {
                let Reply { partition, samples: n_samples, .. } = reply;
                Ok(LocalUpdate { partition, state_dict: *state_dict, n_samples, train_loss })
            }
            _ => Err(unexpected()),
        };
        replies.into_iter().map(update).collect()
    }

    fn count_correct(&self, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<u64> {
        let job = Job::Evaluate { weights: self.driver.ship(global, on_samples)? };
        let correct = |reply: Reply| match reply.result {
            Outcome::Evaluated(correct) => Ok(correct),
            _ => Err(unexpected()),
        };
        self.ask(&job, 1, &|_, _| on_samples(None, 0))?.into_iter().map(correct).sum()
    }
}

impl Drop for Spark {
    fn drop(&mut self) {
        // What a session keeps is kept by the server when the session is gone.
        if let Some(table) = self.kept.take() {
            self.driver.cluster.leave(move |_| table.unpersist(false));
        }
    }
}

/// Checks that the server takes the replies of so many partitions: it would only say so after the first round.
fn check_result_size(cluster: &Cluster, partitions: u32, go_on: GoOn<'_>) -> anyhow::Result<()> {
    /// What Spark counts beside a partition's weights, which are base64; measured.
    const OVERHEAD: u64 = 16_140;
    const KEY: &str = "spark.driver.maxResultSize";
    let limit = cluster.setting(KEY, go_on).unwrap_or("1g".into());
    let weights = 4 * (ARCHITECTURE.bytes() as u64).div_ceil(3);
    let replies = u64::from(partitions) * (weights + OVERHEAD);
    // Zero is no limit; what cannot be read is left to Spark.
    if bytes(&limit).is_some_and(|limit| 0 < limit && limit < replies) {
        let gigabytes = replies.div_ceil(1 << 30);
        fail!(
            Code::Unavailable,
            "the Spark server takes replies of {limit} at most, {partitions} partitions send {} MB; start it with \
             {KEY}={gigabytes}g, or take fewer --partitions",
            replies / 1_000_000
        );
    }
    Ok(())
}

/// A size as Spark's settings have it: `512m`, `1g`, or a number of bytes.
fn bytes(size: &str) -> Option<u64> {
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len()));
    let unit = unit.to_ascii_lowercase();
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == unit.trim_end_matches('b'))?;
    number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power as u32))
}

/// Ships this program and its libraries; returns the shell command that starts it.
fn ship_trainer(cluster: &Cluster, dir: &Path, go_on: GoOn<'_>) -> anyhow::Result<String> {
    let name = format!("tributary-trainer-{}", cluster.id());
    let files = shipping::files(dir, &name)?;
    let sizes = files.iter().map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()));
    tracing::info!("shipping the trainer and libtorch to Spark, {} MB", sizes.sum::<u64>() / 1_000_000);
    cluster.ship(files, go_on)?;
    fs::remove_file(dir.join(&name)).context("failed to remove a temporary file")?;
    Ok(shipping::command(&name))
}

/// The shell command, killed when it takes longer than patience lasts: Spark lets the process of a cancelled task go on,
/// and its core is busy until it ends. What it does not read is read after it, for a worker that ends early is otherwise
/// reported as a broken pipe instead of by what it said.
fn guarded(command: &str, patience: Duration) -> String {
    // The driver is to give up first, and to say why.
    const GRACE: Duration = Duration::from_secs(5);
    let seconds = patience.saturating_add(GRACE).as_secs();
    let command = shell::command_line([command.as_ref()]);
    format!("timeout -k 5 {seconds} bash -c {command}; status=$?; cat > /dev/null; exit $status")
}

/// Tells an event to whoever started this program; people have a bar.
fn tell(config: &Config, event: impl FnOnce() -> Event) {
    if config.json {
        output::show(true, &event(), "");
    }
}

fn tasks(round: u32, done: i64, of: i64) -> Event {
    let of = of.max(0);
    Event::Tasks { round, done: done.clamp(0, of) as u64, of: of as u64 }
}

/// What so many tasks `done` are of `all` samples. Spark counts a task twice that it had to run again.
fn share(all: u64, done: i64, of: i64) -> u64 {
    let of = of.max(1);
    all * done.clamp(0, of) as u64 / of as u64
}

fn unexpected() -> anyhow::Error {
    failure(Code::Data, anyhow!("a worker did something else with its partition than it was asked to"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn sizes_are_read_as_spark_reads_them() {
        let sizes = ["0", "1g", "4G", "512mb", "17", "17b", "3kB", "many", "", "9999999999999t"].map(bytes);
        let expect = [Some(0), Some(1 << 30), Some(4 << 30), Some(512 << 20), Some(17), Some(17), Some(3072)];
        assert_eq!(sizes[..7], expect);
        assert_eq!(sizes[7..], [None; 3]);
    }

    #[test]
    fn progress_never_exceeds_the_whole() {
        let shares = [(0, 0), (-1, 4), (1, 4), (4, 4), (5, 4)].map(|(done, of)| share(100, done, of));
        assert_eq!(shares, [0, 0, 25, 100, 100]);
    }

    #[test]
    fn tasks_that_are_done_are_never_more_than_there_are() {
        for ((done, of), expect) in [((0, 0), (0, 0)), ((-1, 4), (0, 4)), ((3, 4), (3, 4)), ((5, 4), (4, 4))] {
            assert_eq!(tasks(2, done, of), Event::Tasks { round: 2, done: expect.0, of: expect.1 });
        }
    }

    #[test]
    fn a_guarded_command_keeps_its_quotes_and_its_exit_status_and_leaves_nothing_unread() {
        let command = guarded(r#"printf '%s|' "it's" 'a "b"' >&2; exit 7;"#, Duration::from_secs(60));
        // The writer on the left would be told of a reader that went early.
        let pipe = format!("set -o pipefail; {{ seq 100000 || echo broken >&2; }} | {{ {command}; }}");
        let output = Command::new("bash").args(["-c", &pipe]).output().unwrap();
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), r#"it's|a "b"|"#);
    }

    #[test]
    fn a_guarded_command_is_killed_with_what_it_started_after_patience_is_over() {
        let command = guarded("sleep 1000; sleep 1000", Duration::ZERO);
        let output = Command::new("bash").args(["-c", &command]).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(124));
    }
}
