//! Partitions on the executors of an Apache Spark cluster. This process is the driver: it works out from the manifest
//! where every sample belongs, has Spark read the chunk directory and keep each partition on one executor, ships the
//! global model there in each round, and has Spark run `trainer worker` over every partition (SQL `TRANSFORM`). Samples
//! never pass through here.
//!
//! A worker is a pure function, so what Spark runs again after losing an executor comes out the same.

mod cluster;
mod shipping;

use std::{cell::Cell, env, fs, time::Duration};

use anyhow::{Context, anyhow, ensure};
use cli::{
    exit::{Code, OrExit, failure},
    flags,
};
use model::StateDict;
use spark_connect::{
    DataFrame, DataType, SparkSession, StorageLevel, StorageLevelExt, col,
    row::{Row, Value},
};
use spark_connect_core::error::SparkError;
use store::Manifest;
use tempfile::TempDir;

use super::{Engine, placement::Placement};
use crate::{
    config::{Config, Local},
    digest::Digest,
    local::{LocalUpdate, OnSamples},
    worker::{self, Job, Outcome, Reply},
};
use cluster::{Cluster, News};

/// Where Spark keeps the partitions: names of views, which belong to the session.
const CHUNKS: &str = "tributary_chunks";
const PLACES: &str = "tributary_places";
const PARTITIONS: &str = "tributary_partitions";

/// The engine `spark`.
pub(super) struct Spark {
    cluster: Cluster,
    /// The partitions, held by the executors.
    table: DataFrame,
    /// Starts a worker.
    command: String,
    local: Local,
    patience: Duration,
    /// Samples in each partition.
    sizes: Vec<u64>,
    /// What identifies the samples of each partition.
    digests: Vec<Digest>,
    /// Files that are being shipped.
    dir: TempDir,
}

impl Spark {
    /// Has the cluster read the chunk directory and keep its partitions.
    ///
    /// # Errors
    /// When the cluster cannot be reached, does not see the directory, or reads other samples there than the manifest says.
    pub(super) fn open(
        config: &Config,
        flags: &flags::Spark,
        manifest: &Manifest,
        on_samples: OnSamples<'_>,
    ) -> anyhow::Result<Self> {
        let from_environment = || env::var("SPARK_REMOTE").ok().filter(|remote| !remote.is_empty());
        let remote = flags.spark_remote.clone().or_else(from_environment);
        let cluster = Cluster::connect(remote.as_deref().unwrap_or("sc://127.0.0.1:15002"))?;
        let dir = tempfile::tempdir().context("failed to create a directory for temporary files")?;
        let command = match &flags.worker_command {
            Some(command) => command.clone(),
            None if cluster.is_here() => shipping::command_here()?,
            None => {
                let name = format!("tributary-trainer-{}", cluster.id());
                let files = shipping::files(dir.path(), &name)?;
                let sizes = files.iter().map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()));
                tracing::info!("shipping the trainer and libtorch to Spark, {} MB", sizes.sum::<u64>() / 1_000_000);
                cluster.ship(files, flags.spark_patience, &|| on_samples(0))?;
                shipping::command(&name)
            }
        };
        let placement = Placement::new(&manifest.streams, config.local.seed, config.partitions as usize);
        let sizes = placement.ranges.iter().map(|range| range.len() as u64).collect();
        let uri = match &flags.spark_dir {
            Some(uri) => uri.clone(),
            None => fs::canonicalize(&config.dir)
                .with_context(|| format!("failed to find `{}`", config.dir.display()))?
                .display()
                .to_string(),
        };
        let chunks = uri.clone();
        let table = cluster
            .call("prepare the partitions", move |session| partitions(session, &chunks, placement))
            .with_context(|| format!("failed to read `{uri}` through Spark"))
            .or_exit(Code::Unavailable)?;
        let (local, patience) = (config.local.clone(), flags.spark_patience);
        let mut spark = Spark { cluster, table, command, local, patience, sizes, digests: Vec::new(), dir };
        // The first query also brings every sample to its executor.
        let replies =
            spark.ask(&Job::count(), on_samples).with_context(|| format!("failed to read `{uri}` through Spark"))?;
        spark.digests = replies.iter().map(|reply| reply.digest).collect();
        Ok(spark)
    }

    /// Has every partition's worker do the job; returns the replies in partition order.
    fn ask(&self, job: &Job, on_samples: OnSamples<'_>) -> anyhow::Result<Vec<Reply>> {
        let columns = Reply::FIELDS.map(|name| format!("{name} STRING")).join(", ");
        let format = r"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t'";
        let command = format!("{} {}", self.command, job.arguments());
        let command = command.replace('\\', r"\\").replace('\'', r"\'");
        let sql = format!(
            "SELECT TRANSFORM(part, place, seq, label, image) {format} USING '{command}' AS ({columns}) {format} \
             FROM {PARTITIONS}"
        );
        let mut replies: Vec<Option<Reply>> = vec![None; self.sizes.len()];
        let told = Cell::new(0);
        let all: u64 = self.sizes.iter().sum();
        self.cluster.query(sql, self.patience, &|| on_samples(0), &mut |news| {
            let done = match news {
                News::Row(row) => {
                    self.take(&row, &mut replies)?;
                    return Ok(());
                }
                News::Tasks(done, of) => all * done.max(0) as u64 / of.max(1) as u64,
                News::End(_) => return Ok(()),
            };
            // Stages that begin later make the share smaller for a while; a bar does not run backwards.
            let more = done.saturating_sub(told.get());
            told.set(told.get() + more);
            on_samples(more as usize * job.local_epochs as usize)
        })?;
        let missing = |part| anyhow!("Spark returned nothing for partition {part}");
        let replies = (0..).zip(replies).map(|(part, reply): (usize, _)| reply.ok_or_else(|| missing(part)));
        let replies = replies.collect::<anyhow::Result<Vec<Reply>>>().or_exit(Code::Data)?;
        on_samples((all - told.get()) as usize * job.local_epochs as usize)?;
        Ok(replies)
    }

    /// Takes a reply in, if it is one that is expected.
    fn take(&self, row: &Row, replies: &mut [Option<Reply>]) -> anyhow::Result<()> {
        let text = |index| row.get(index).and_then(Value::as_str).unwrap_or_default();
        let reply = Reply::decode(std::array::from_fn(text));
        let reply = reply.map_err(|what| anyhow!("a worker's reply is none: {what}")).or_exit(Code::Data)?;
        let part = reply.partition as usize;
        let check = || {
            ensure!(part < replies.len(), "a worker replied for partition {part} of {}", replies.len());
            ensure!(replies[part].is_none(), "two workers replied for partition {part}");
            let (expected, found) = (self.sizes[part], reply.samples);
            ensure!(found == expected, "partition {part} has {found} samples on its executor, not {expected}");
            let is_known = self.digests.get(part).is_none_or(|digest| *digest == reply.digest);
            ensure!(is_known, "partition {part} has other samples on its executor than before");
            Ok(())
        };
        check().or_exit(Code::Data)?;
        replies[part] = Some(reply);
        Ok(())
    }

    /// Ships weights to every executor; returns their name.
    fn ship(&self, weights: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<String> {
        let sha256 = weights.sha256();
        let path = self.dir.path().join(worker::weights_file(&sha256));
        if !path.exists() {
            fs::write(&path, weights.to_safetensors(&Default::default()))
                .context("failed to write a temporary file")?;
            self.cluster.ship(vec![path], self.patience, &|| on_samples(0))?;
        }
        Ok(sha256)
    }
}

impl Engine for Spark {
    fn name(&self) -> &'static str {
        "spark"
    }

    fn data(&self) -> Digest {
        self.digests.iter().copied().sum()
    }

    fn train_round(
        &self,
        round: u32,
        global: &StateDict,
        on_samples: OnSamples<'_>,
    ) -> anyhow::Result<Vec<LocalUpdate>> {
        let job = Job::train(self.ship(global, on_samples)?, round, &self.local);
        let update = |reply: Reply| match reply.result {
            Outcome::Trained(train_loss, state_dict) => {
                let Reply { partition, samples: n_samples, .. } = reply;
                Ok(LocalUpdate { partition, state_dict: *state_dict, n_samples, train_loss })
            }
            other => Err(unexpected(&other)),
        };
        self.ask(&job, on_samples)?.into_iter().map(update).collect()
    }

    fn recognised(&self, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<u64> {
        let job = Job::evaluate(self.ship(global, on_samples)?);
        let correct = |reply: Reply| match reply.result {
            Outcome::Evaluated(correct) => Ok(correct),
            other => Err(unexpected(&other)),
        };
        self.ask(&job, &|_| on_samples(0))?.into_iter().map(correct).sum()
    }
}

impl Drop for Spark {
    fn drop(&mut self) {
        // What a session keeps is kept by the server when the session is gone.
        let table = self.table.clone();
        let _ = self.cluster.call("forget the partitions", move |_| table.unpersist(false));
    }
}

fn unexpected(result: &Outcome) -> anyhow::Error {
    let what = match result {
        Outcome::Counted => "counted",
        Outcome::Evaluated(_) => "evaluated",
        Outcome::Trained(..) => "trained",
    };
    failure(Code::Data, anyhow!("a worker {what} its partition, which it was not asked to do"))
}

/// Reads the chunks at `uri`, brings every sample to its partition, and keeps them there. Images are kept as the workers
/// get them.
fn partitions(session: &SparkSession, uri: &str, placement: Placement) -> Result<DataFrame, SparkError> {
    let (count, smaller) = (placement.ranges.len(), placement.ranges.last().map_or(1, ExactSizeIterator::len));
    let larger = placement.ranges.iter().filter(|range| range.len() > smaller).count();
    let border = larger * (smaller + 1);
    session.read().parquet(uri).create_or_replace_temp_view(CHUNKS)?;
    places(session, placement)?.create_or_replace_temp_view(PLACES)?;
    // Base64 of Spark may break lines.
    let table = session.sql(&format!(
        "SELECT CAST(IF(slot < {border}, slot DIV {large}, {larger} + (slot - {border}) DIV {smaller}) AS INT) AS part,
                CAST(IF(slot < {border}, slot % {large}, (slot - {border}) % {smaller}) AS INT) AS place,
                c.seq, c.label, translate(base64(c.image), concat(char(13), char(10)), '') AS image
         FROM {CHUNKS} AS c JOIN
              (SELECT stream, first + offset AS seq, slot
               FROM {PLACES} LATERAL VIEW posexplode(slots) AS offset, slot) AS p
         ON c.stream = p.stream AND c.seq = p.seq",
        large = smaller + 1,
    ))?;
    let table = table.repartition_by_id(count as i32, col("part"));
    let table = table.persist(StorageLevel::memory_and_disk())?;
    table.create_or_replace_temp_view(PARTITIONS)?;
    Ok(table)
}

/// The places as a table: stream, index of a first sample, and the places of the samples from there.
fn places(session: &SparkSession, placement: Placement) -> Result<DataFrame, SparkError> {
    /// Samples a row; enough rows for Spark to share out.
    const SAMPLES: usize = 4096;
    let names = || ["stream", "first", "slots"].map(str::to_owned).to_vec();
    let mut rows = Vec::new();
    for (stream, places) in placement.streams {
        for (index, places) in places.chunks(SAMPLES).enumerate() {
            let first = stream.first + (index * SAMPLES) as u64;
            let places = places.iter().map(|&place| Value::Integer(place as i32)).collect();
            rows.push(Row::new(
                names(),
                vec![Value::String(stream.name.clone()), Value::Long(first as i64), Value::List(places)],
            ));
        }
    }
    session.create_dataframe(rows, DataType::from_ddl("stream string, first bigint, slots array<int>")?)
}
