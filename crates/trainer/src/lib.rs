//! Training: in each round the global model goes to every partition, is trained there, and the partitions' models become
//! the next global model. [`run()`] is the whole of it.
//!
//! - [`config`]: what a run is told; [`data`]: what it trains on and is measured by;
//! - `live`: the loop of a run that learns while data arrives;
//! - [`round`]: the loop, and what happens in it: partitions, local training, strategy, evaluation, and what is kept of it
//!   in the run folder;
//! - [`engine`]: where partitions train: on threads, or on a Spark cluster, whose machines run [`engine::worker`];
//! - [`commands`]: what the trainer does beside training: evaluate, predict, inspect, verify, import, report, page.
//!
//! The same seed, partitions and binary give the same model, bit by bit: nothing here asks a clock, a thread or a global
//! random generator for anything that reaches a weight. Tensors stay inside `model`; the only socket is the engine
//! `spark`'s, to its cluster.

#![forbid(unsafe_code)]

use std::time::Instant;

use anyhow::Context;
use model::StateDict;
use process::{
    exit::failure,
    shutdown::{Shutdown, stopped},
};
use run_folder::Origin;

use crate::{
    commands::model_file::ModelFile,
    config::{ARCHITECTURE, Config},
    data::test_set,
    round::{RunInputs, TrainingLoop, journal::Journal, partition, strategy},
};

/// Ends a function with an error that has this exit code.
macro_rules! fail {
    ($code:expr, $($message:tt)+) => {
        return Err(process::exit::failure($code, anyhow::anyhow!($($message)+)))
    };
}

pub mod commands;
pub mod config;
pub mod data;
pub mod engine;
mod live;
mod output;
pub mod round;

/// Trains as `config` says, until it is done or told to stop.
///
/// # Errors
/// When data, test set, run folder or checkpoint are not what they must be, training diverges, or the run is
/// stopped. Each error carries the exit code for it.
pub fn run(config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    if let Some(live) = &config.live {
        return live::run(config, live, shutdown);
    }
    let held = data::wait(&config.dir, config.run.as_deref(), config.wait, !config.json, shutdown)?;
    let started = Instant::now();
    let manifest = held.manifest.clone();
    let test_set = test_set::load_for(&manifest.dataset, config.training.test_data.as_deref())?;
    partition::check_count(config.partitions, manifest.samples)?;
    let engine = engine::open(config, held, &|_, _| shutdown.requested().map_or(Ok(()), |cause| Err(stopped(cause))))?;

    let (flags, initial) = initial_weights(config)?;
    let origin = Origin { flags, data: engine.data().to_string(), dataset: manifest.dataset.name.clone() };

    let mut journal = Journal::open(config, origin, initial, shutdown)?;
    let earlier = journal.sums().seconds();
    let given = RunInputs { manifest: &manifest, test_set: &test_set };
    journal.start(given)?;
    let rounds = TrainingLoop { config, test_set: &test_set, shutdown };
    let result = rounds.train(&*engine, manifest.samples, &*strategy::chosen(config), &mut journal)?;
    journal.finish(given, &result, earlier + started.elapsed().as_secs_f64())
}

/// The weights to begin with, and the flags that, with the data and these, decide every bit of the model.
fn initial_weights(config: &Config) -> anyhow::Result<(Vec<(String, String)>, StateDict)> {
    let mut flags = config.decisive();
    let Some(path) = &config.training.init else {
        return Ok((flags, ARCHITECTURE.init(config.training.seed)));
    };
    let weights = ModelFile::read(path).context("failed to read the model of --init")?.weights;
    flags.push(("init".into(), weights.sha256()));
    Ok((flags, weights))
}

/// The error with its exit code.
pub fn folder_failure(error: run_folder::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}
