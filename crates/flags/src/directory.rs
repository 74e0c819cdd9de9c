//! The chunk directory, and what is in it.

use std::path::PathBuf;

use clap::{Args, builder::RangedU64ValueParser};
use serde::Serialize;

use crate::path;

/// The chunk directory: receiver, trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Chunk directory")]
#[serde(rename_all = "kebab-case")]
pub struct Directory {
    /// The chunk directory
    #[arg(long, value_name = "DIR", default_value = "data/streaming_input", value_parser = path::parser())]
    pub dir: PathBuf,
}

/// Whose samples they are: receiver and trainer.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[command(next_help_heading = "Chunk directory")]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The run that the samples are for, any letters and digits. The receiver writes it down beside them, and a trainer
    /// takes only samples that were received for the same run. The orchestrator makes one up for each run
    #[arg(long, value_name = "ID", value_parser = run_id)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// How samples are cut into chunks: receiver and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Chunk directory")]
#[serde(rename_all = "kebab-case")]
pub struct Chunking {
    /// Samples per chunk file
    #[arg(long, value_name = "N", default_value = "1000", value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub samples_per_chunk: u32,
}

fn run_id(text: &str) -> Result<String, String> {
    match (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(text.into()),
        false => Err("give 1 to 64 letters and digits".into()),
    }
}
