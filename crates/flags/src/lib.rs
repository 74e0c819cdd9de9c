//! The command lines of the four programs. A group of flags that two programs share stands here once; the doc comment of a
//! field is its help text.
//!
//! - [`Streaming`], [`Directory`], [`Identity`], [`Chunking`], [`Training`], [`Local`], [`Live`], [`Engine`], [`Spark`],
//!   [`Security`], [`Listen`], [`Output`], [`Page`]: the groups;
//! - [`layers`]: flag beats file beats preset beats default;
//! - [`address`] and [`path`]: what a flag's value may be;
//! - [`manual`]: completions for shells, and man pages.

#![forbid(unsafe_code)]

pub mod address;
mod connection;
mod directory;
mod engine;
pub mod layers;
mod live;
mod local;
pub mod manual;
mod number;
mod output;
mod page;
pub mod path;
mod strategy;
mod streaming;
mod training;

pub use connection::{Listen, Security};
pub use directory::{Chunking, Directory, Identity};
pub use engine::{Engine, EngineName, Spark, check_spark_remote};
pub use live::{Live, LiveTraining, Replay};
pub use local::{BatchSize, Local, Optimizer, Step};
pub use output::Output;
pub use page::Page;
pub use strategy::{Adaptive, Strategy};
pub use streaming::{Dataset, Streaming};
pub use training::{Training, Weighting, When};
