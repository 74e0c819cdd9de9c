//! How receiver and sender come together.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::{address, path};

/// Where the receiver listens.
#[derive(Args, Clone, Debug)]
pub struct Listen {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9999", value_parser = address::to_listen)]
    pub listen: String,
}

/// What receiver and sender must share: receiver, sender and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Security")]
#[serde(rename_all = "kebab-case")]
pub struct Security {
    /// File with the key that receiver and senders share. The first receiver makes it; copy it to senders elsewhere
    #[arg(long, value_name = "FILE", default_value = "data/tributary.key", value_parser = path::parser())]
    pub key: PathBuf,
}
