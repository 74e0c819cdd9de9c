//! Where partitions train.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

/// Where partitions train: trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Engine")]
#[serde(rename_all = "kebab-case")]
pub struct Engine {
    /// Where partitions train: on the threads of the trainer, or on the executors of an Apache Spark cluster. The model
    /// is the same, bit by bit
    #[arg(long, value_enum, default_value = "rayon")]
    pub engine: EngineName,
    #[command(flatten)]
    #[serde(flatten)]
    /// The cluster.
    pub spark: Spark,
}

/// `--engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "known by these names")]
pub enum EngineName {
    Rayon,
    Spark,
}

/// An Apache Spark cluster: trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Engine")]
#[serde(rename_all = "kebab-case")]
pub struct Spark {
    /// Spark Connect server, such as sc://host:15002 [default: $SPARK_REMOTE; the orchestrator starts one]. Its token, if
    /// it wants one, is read from the environment variable SPARK_CONNECT_AUTHENTICATE_TOKEN
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spark_remote: Option<String>,
    /// The chunk directory as Spark's executors see it, any path or URI that they can read [default: --dir]
    #[arg(long, value_name = "URI")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spark_dir: Option<String>,
    /// Shell command that starts this trainer on an executor, such as /opt/tributary/trainer. Without it, the trainer and
    /// its libtorch (some 480 MB) are shipped to the executors once a run; a Spark in local mode uses them where they are
    #[arg(long, value_name = "COMMAND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_command: Option<String>,
    /// How long Spark may take to finish another task before the run is given up; also, how long a task may take on an
    /// executor
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub spark_patience: Duration,
}

/// Whether `--spark-remote` or `$SPARK_REMOTE` can be used. What is wrong is said without repeating secrets.
///
/// # Errors
/// When it is no address of a Spark Connect server, or says what belongs elsewhere.
pub fn check_spark_remote(remote: &str) -> Result<(), String> {
    if remote.contains("token=") {
        return Err(
            "a token in --spark-remote can be seen by every user of this machine; put it into the environment \
                    variable SPARK_CONNECT_AUTHENTICATE_TOKEN"
                .into(),
        );
    }
    // The client would tell only some of its requests to be this user's.
    if remote.contains("user_id=") {
        return Err("--spark-remote with a user_id is not supported".into());
    }
    if !remote.starts_with("sc://") {
        let remote = remote.escape_debug();
        return Err(format!("--spark-remote `{remote}` is no address of a Spark server, such as sc://host:15002"));
    }
    Ok(())
}
