//! Training: in each round the global model goes to every partition, is trained there, and the partitions' models are
//! averaged into the next global model (FedAvg). [`run()`] is the whole of it.
//!
//! - [`data`], [`digest`] and [`partition`]: who gets which samples, whatever way they arrived;
//! - [`local`], [`average`](mod@average) and [`engine`]: what happens in a partition, what becomes of the results, and
//!   where it all takes place; [`worker`] is the part of it that runs on the machines of a cluster;
//! - [`checkpoint`] and [`run_folder`]: what a run leaves behind and goes on from;
//! - [`reporting`]: the run as a page for people; [`provenance`]: which command and machine it was.
//!
//! The same seed, partitions and binary give the same model, bit by bit: nothing here asks a clock, a thread or a global
//! random generator for anything that reaches a weight. Tensors stay inside `model`; the only socket is the engine
//! `spark`'s, to its cluster.

#![forbid(unsafe_code)]

use std::{path::Path, time::Instant};

use anyhow::{Context, anyhow};
use checkpoint::{
    Origin,
    record::{PartitionRecord, Record},
};
use cli::{
    count,
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use model::{StateDict, logits, measure};

use crate::{
    average::{average, mean_train_loss},
    config::Config,
    local::LocalUpdate,
    model_file::ModelFile,
    output::Progress,
    run::Run,
    summary::{Results, Summary},
};

pub mod average;
mod board;
pub mod config;
pub mod data;
pub mod digest;
mod disk;
pub mod engine;
pub mod evaluation;
mod explanation;
pub mod import;
pub mod inspection;
pub mod local;
mod model_file;
mod output;
pub mod partition;
pub mod prediction;
pub mod provenance;
pub mod reporting;
mod run;
pub mod run_folder;
pub mod summary;
pub mod test_set;
pub mod worker;

/// Trains as `config` says, until it is done or told to stop.
///
/// # Errors
/// When data, test set, run folder or checkpoint are not what they must be, training diverges, or the run is
/// stopped. Each error carries the exit code for it.
pub fn run(config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let held = data::wait(&config.dir, config.run.as_deref(), config.wait, !config.json, shutdown)?;
    let started = Instant::now();
    let manifest = held.manifest.clone();
    let test_set = test_set::load_for(&manifest.dataset, config.test_data.as_deref())?;
    check_partitions(config.partitions, manifest.samples)?;
    let stopped = || shutdown.requested().map_or(Ok(()), |cause| Err(stopped(cause)));
    let engine = engine::open(config, held, &|_, _| stopped())?;
    let initial = config.init.as_deref().map(initial_weights).transpose()?;
    let mut flags = config.decisive();
    flags.extend(initial.as_ref().map(|weights| ("init".into(), weights.sha256())));
    let origin = Origin { flags, data: engine.data().to_string(), dataset: manifest.dataset.name.clone() };
    let received = |global: &StateDict| -> anyhow::Result<f64> {
        Ok(engine.recognised(global, &|_, _| stopped())? as f64 / manifest.samples as f64)
    };

    let initial = initial.unwrap_or_else(|| StateDict::init(config.local.seed));
    let mut run = Run::open(config, origin, initial, shutdown)?;
    let earlier: f64 = run.history().iter().map(Record::seconds).sum();
    run.start(&manifest, &test_set, engine.name())?;
    let mut last_scores = None;
    for round in run.next_round()..=config.rounds {
        let training = Instant::now();
        let of = manifest.samples * u64::from(config.local.local_epochs);
        let progress = Progress::new(config.json, round, of, config.partitions);
        let go_on = || shutdown.requested().map_or(Ok(()), |cause| Err(run.stopped(cause)));
        let on_samples = |partition, samples| {
            progress.advance(partition, samples);
            go_on()
        };
        let updates = engine.train_round(round, run.global(), &on_samples)?;
        drop(progress);
        check_finite(round, &updates, config.local.learning_rate)?;
        let global = average(&updates, config.weighting);
        let train_seconds = training.elapsed().as_secs_f64();

        let evaluating = Instant::now();
        let scores = logits(&global, &test_set.images);
        let test = measure(&scores, &test_set.labels);
        if !test.loss.is_finite() {
            return Err(diverged(&format!("round {round}, seen on the test set"), config.local.learning_rate));
        }
        go_on()?;
        let record = Record {
            round,
            train_loss: mean_train_loss(&updates),
            test_loss: test.loss,
            test_accuracy: test.accuracy(),
            received_accuracy: config.measures_received(round).then(|| received(&global)).transpose()?,
            model_sha256: global.sha256(),
            train_seconds,
            evaluate_seconds: evaluating.elapsed().as_secs_f64(),
            partitions: updates.iter().map(partition_record).collect(),
        };
        last_scores = Some(scores);
        run.record(record, global, &test.confusion)?; // Every round: a late failure must not cost earlier results.
    }
    let last = run.history().last().context("there is no round to sum up: --rounds is 0")?;
    let results = Results {
        engine: engine.name(),
        test_set: &test_set,
        history: run.history(),
        last,
        received_accuracy: last.received_accuracy.map_or_else(|| received(run.global()), Ok)?,
        seconds: earlier + started.elapsed().as_secs_f64(),
    };
    let summary = Summary::new(config, &manifest, &results);
    // A run that had all its rounds already has not been evaluated by this process.
    let scores = last_scores.unwrap_or_else(|| logits(run.global(), &test_set.images));
    run.finish(&summary, &test_set, &scores)
}

/// All of a round's updates are in memory until they are averaged, at 1.69 MB of weights each: 1.7 GB for this many.
const MAX_PARTITIONS: u32 = 1024;

fn stopped(cause: Cause) -> anyhow::Error {
    failure(cause.code(), anyhow!("stopped by {}", cause.as_str()))
}

fn initial_weights(path: &Path) -> anyhow::Result<StateDict> {
    Ok(ModelFile::read(path).context("failed to read the model of --init")?.weights)
}

fn partition_record(update: &LocalUpdate) -> PartitionRecord {
    PartitionRecord { n_samples: update.n_samples, train_loss: update.train_loss }
}

fn check_partitions(partitions: u32, samples: u64) -> anyhow::Result<()> {
    let error = if partitions > MAX_PARTITIONS {
        anyhow!(
            "the models of {partitions} partitions do not fit into memory together; give --partitions {MAX_PARTITIONS} \
             or fewer"
        )
    } else if u64::from(partitions) > samples {
        anyhow!(
            "{} cannot fill {partitions} partitions; give --partitions {samples} or fewer",
            count(samples, "sample")
        )
    } else {
        return Ok(());
    };
    Err(failure(Code::Usage, error))
}

fn check_finite(round: u32, updates: &[LocalUpdate], learning_rate: f64) -> anyhow::Result<()> {
    let diverged_in = |update: &&LocalUpdate| !update.train_loss.is_finite() || !update.state_dict.is_finite();
    match updates.iter().find(diverged_in) {
        Some(update) => Err(diverged(&format!("round {round}, partition {}", update.partition), learning_rate)),
        None => Ok(()),
    }
}

/// Divergence ends a run at once, as a usage error: the cure is another flag, and going on would only hide where it began.
fn diverged(place: &str, learning_rate: f64) -> anyhow::Error {
    let error = anyhow!(
        "training diverged in {place}: a loss or weight is not finite; try a smaller --learning-rate than {learning_rate}"
    );
    failure(Code::Usage, error)
}
