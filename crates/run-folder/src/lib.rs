//! A run folder is what a run leaves behind and goes on from. This crate owns its files: their names, and the types that
//! they are written from and read into.
//!
//! | file | what it holds | type |
//! |---|---|---|
//! | [`CONFIG`] | the effective configuration, by long flag | a TOML table: [`read_config`] |
//! | [`CHECKPOINTS`]`/round-001.safetensors` … | the run after each round | `Checkpoint` |
//! | [`ROUNDS`], [`PARTITIONS`] | the figures of each round | [`Table`] of [`Record`](record::Record)s |
//! | [`EVENTS`] | what the trainer told, one JSON object a line | – |
//! | [`FINAL_MODEL`] | the model after the last round | `seal` |
//! | [`SUMMARY`] | the result | [`Summary`] |
//! | [`REPORT`], [`TENSORBOARD`] | the run for people | – |
//! | [`STREAMING`] | how the samples came in | [`Streaming`] |
//! | [`IDENTITY`], [`DATA`] | which run and which data it is | text: [`identity`] |
//! | [`LOCK`] | held by the trainer at work | – |
//!
//! Checkpoints and models need the feature `checkpoint`. Nothing here links libtorch, so that each reader can be tried with
//! any bytes at all.

#![forbid(unsafe_code)]

#[cfg(feature = "checkpoint")]
pub mod checkpoint;
mod dated;
mod error;
mod older;
mod read;
pub mod record;
#[cfg(feature = "checkpoint")]
pub mod seal;
mod streaming;
mod summary;
#[cfg(feature = "checkpoint")]
mod sums;
mod table;

#[cfg(feature = "checkpoint")]
pub use checkpoint::{Checkpoint, Origin, Position, ServerState};
pub use dated::{LATEST, RUNS, create_dated, point_latest_to};
pub use error::Error;
pub use read::{identity, read_config};
pub use streaming::{Point, Streaming};
pub use summary::{LiveSummary, Provenance, Rates, Seconds, Summary, TestSet};
#[cfg(feature = "checkpoint")]
pub use sums::{Listed, Sums};
pub use table::Table;

/// The effective configuration, in the syntax of a configuration layer.
pub const CONFIG: &str = "config.toml";
/// The directory of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The figures of the rounds, a row each.
pub const ROUNDS: &str = "rounds.csv";
/// The figures of the partitions, a row for each round and partition.
pub const PARTITIONS: &str = "partitions.csv";
/// The trainer's events, each with its time.
pub const EVENTS: &str = "events.jsonl";
/// The model after the last round.
pub const FINAL_MODEL: &str = "final_cnn_model.safetensors";
/// The result, for programs.
pub const SUMMARY: &str = "summary.json";
/// The result, for people.
pub const REPORT: &str = "report.html";
/// The directory of the event files for TensorBoard.
pub const TENSORBOARD: &str = "tensorboard";
/// What the orchestrator saw of the streaming.
pub const STREAMING: &str = "streaming.json";
/// What tells the run from every other. The manifest of its chunk directory names the same.
pub const IDENTITY: &str = "run.id";
/// The digest of the data that the run streams.
pub const DATA: &str = "data.digest";
/// Held by the trainer that writes here.
pub const LOCK: &str = ".lock";
