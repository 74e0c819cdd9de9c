//! Partitions on the executors of an Apache Spark cluster. This process is the driver: it works out from the manifest
//! where every sample belongs, has Spark read the chunk directory and keep each partition on one executor, ships the
//! global model there in each round, and has Spark run `trainer worker` over every partition (SQL `TRANSFORM`). Samples
//! never pass through here.
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

use std::{cell::RefCell, env, fs, path::Path, time::Duration};

use anyhow::{Context, anyhow, ensure};
use model::StateDict;
use process::exit::{Code, OrExit, failure};
use spark_connect::DataFrame;
use store::Held;
use tempfile::TempDir;
use terminal::shell;

use super::{
    Engine,
    placement::Placement,
    worker::{self, Job, Outcome, Reply},
};
use crate::{
    config::{ARCHITECTURE, Config},
    data::digest::Digest,
    round::local::{Local, LocalUpdate, OnSamples, Updates},
};
use cluster::Cluster;
use query::{News, quoted};
use table::PARTITIONS;
use wait::GoOn;

pub(super) struct Spark {
    cluster: Cluster,
    /// The partitions, held by the executors.
    table: DataFrame,
    command: String,
    seed: u64,
    local: Local,
    patience: Duration,
    sizes: Vec<u64>,
    /// What identifies the samples of each partition.
    digests: Vec<Digest>,
    /// The weights that were shipped last, by SHA-256.
    shipped: RefCell<String>,
    dir: TempDir,
    /// The chunk directory, which executors may have to read again.
    _held: Held,
}

impl Spark {
    /// Has the cluster read the chunk directory and keep its partitions.
    pub(super) fn open(config: &Config, held: Held, on_samples: OnSamples<'_>) -> anyhow::Result<Self> {
        let (flags, manifest) = (&config.engine.spark, &held.manifest);
        if i32::try_from(manifest.samples).is_err() {
            // Places are numbers of 32 bits.
            fail!(Code::Data, "there are {} samples; Spark can train on {} here", manifest.samples, i32::MAX);
        }
        let from_environment = || env::var("SPARK_REMOTE").ok().filter(|remote| !remote.is_empty());
        let remote = flags.spark_remote.clone().or_else(from_environment).unwrap_or("sc://127.0.0.1:15002".into());
        let go_on = || on_samples(None, 0);
        let cluster = Cluster::connect(&remote, flags.spark_patience, &go_on)?;
        check_result_size(&cluster, config.partitions, &go_on)?;
        let dir = tempfile::tempdir().context("failed to create a directory for temporary files")?;
        let command = match &flags.worker_command {
            Some(command) => command.clone(),
            None if cluster.is_here(&go_on) => shipping::command_here()?,
            None => ship_trainer(&cluster, dir.path(), &go_on)?,
        };
        let placement = Placement::new(&manifest.streams, config.training.seed, config.partitions as usize);
        let sizes = placement.ranges.iter().map(|range| range.len() as u64).collect();
        let uri = match &flags.spark_dir {
            Some(uri) => uri.clone(),
            None => fs::canonicalize(&config.dir)
                .with_context(|| format!("failed to find `{}`", config.dir.display()))?
                .display()
                .to_string(),
        };
        let reading = || format!("failed to read `{uri}` (--spark-dir) through Spark");
        let epochs = config.training.local.local_epochs;
        let table = table::prepare(&cluster, &uri, manifest, placement, epochs, &go_on).with_context(reading)?;
        let (seed, local, patience) = (config.training.seed, config.training.local.clone(), flags.spark_patience);
        let (digests, shipped) = Default::default();
        let mut spark =
            Spark { cluster, table, command, seed, local, patience, sizes, digests, shipped, dir, _held: held };
        // The first query also brings every sample to its executor.
        let replies = spark.ask(&Job::Count, 1, on_samples).with_context(reading)?;
        spark.digests = replies.iter().map(|reply| reply.digest).collect();
        Ok(spark)
    }

    /// Has every partition's worker do the job, in which each sample passes by so often; returns the replies in partition order.
    fn ask(&self, job: &Job, passes: usize, on_samples: OnSamples<'_>) -> anyhow::Result<Vec<Reply>> {
        let columns = Reply::FIELDS.map(|name| format!("{name} STRING")).join(", ");
        let format = r"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t'";
        let command = format!("{} {}", self.command, job.arguments());
        let command = quoted(&guarded(&command, self.patience));
        let sql = format!(
            "SELECT TRANSFORM(part, place, seq, label, image) {format} USING {command} AS ({columns}) {format} \
             FROM {PARTITIONS}"
        );
        let mut replies: Vec<Option<Reply>> = vec![None; self.sizes.len()];
        let mut told = 0;
        tracing::debug!("asking {} partitions", self.sizes.len());
        let all: u64 = self.sizes.iter().sum();
        self.cluster.query(sql, &|| on_samples(None, 0), &mut |news| {
            let done = match news {
                News::Row(row) => return self.take(&row, &mut replies),
                News::Tasks(done, of) => share(all, done, of),
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

impl Engine for Spark {
    fn data(&self) -> Digest {
        self.digests.iter().copied().sum()
    }

    fn train_round(&self, round: u32, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<Updates> {
        let weights = self.ship(global, on_samples)?;
        let job = Job::Train { weights, seed: self.seed, round, local: self.local.clone() };
        let update = |reply: Reply| match reply.result {
            Outcome::Trained(train_loss, state_dict) => {
                let Reply { partition, samples: n_samples, .. } = reply;
                Ok(LocalUpdate { partition, state_dict: *state_dict, n_samples, train_loss })
            }
            _ => Err(unexpected()),
        };
        self.ask(&job, self.local.local_epochs as usize, on_samples)?.into_iter().map(update).collect()
    }

    fn count_correct(&self, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<u64> {
        let job = Job::Evaluate { weights: self.ship(global, on_samples)? };
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
        let table = self.table.clone();
        self.cluster.leave(move |_| table.unpersist(false));
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
