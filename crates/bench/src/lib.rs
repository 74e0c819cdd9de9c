//! Benchmarks: how fast and how large the programs are, side by side with what a user would take instead and with what
//! the machine can do. Each kind is a module that makes one [`Measurement`]; `scripts/bench` makes them all and writes
//! `BENCHMARKS.md`.
//!
//! Nothing here is compared across time. The contestants of a kind take [`turns`], and a ratio is taken within a turn,
//! so that what slows the machine down for a minute slows both of its sides.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod child;
pub mod ingest;
pub mod memory;
pub mod peak;
pub mod programs;
pub mod python;
pub mod record;
pub mod report;
pub mod run;
pub mod scaling;
pub mod series;
pub mod startup;
pub mod step;
pub mod turns;

use std::{env, path::PathBuf};

use anyhow::Context;
use dataset::{Dataset, Split};
use serde::{Deserialize, Serialize};
use torture::record::checkout;

use crate::series::{Series, Unit};

/// What one kind showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// The kind, as a heading.
    pub title: String,
    /// What was measured and how, in a few sentences.
    pub about: String,
    /// What the contestants showed, and what follows from it turn by turn.
    pub series: Vec<Series>,
    /// What was to be reached.
    pub targets: Vec<Target>,
    /// Who did not take part, and why; with which versions the others did.
    pub notes: Vec<String>,
}

/// What was to be reached, and what was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Whose what.
    pub what: String,
    /// How much.
    pub bound: Bound,
    /// Of what.
    pub unit: Unit,
    /// What was measured, unless it could not be.
    pub measured: Option<Series>,
}

/// A limit that a median is held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "known by these names")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// A target that more is better for.
    pub fn at_least(bound: f64, unit: Unit, what: impl Into<String>, measured: Option<Series>) -> Target {
        Target { what: what.into(), bound: Bound::AtLeast(bound), unit, measured }
    }

    /// A target that less is better for.
    pub fn at_most(bound: f64, unit: Unit, what: impl Into<String>, measured: Option<Series>) -> Target {
        Target { what: what.into(), bound: Bound::AtMost(bound), unit, measured }
    }

    /// Whether it was met, if it was measured.
    pub fn is_met(&self) -> Option<bool> {
        let median = self.measured.as_ref()?.median();
        Some(match self.bound {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }
}

/// What numbers a model is trained in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "known by these names")]
pub enum Precision {
    F32,
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// As a flag's value.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// The directory of MNIST: `$MNIST_DIR`, else `data/mnist` in the checkout.
pub fn mnist_dir() -> PathBuf {
    let given = env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty());
    given.map_or_else(|| checkout().join("data/mnist"), PathBuf::from)
}

/// The 60,000 samples that MNIST is trained on.
///
/// # Errors
/// When they are not there.
pub fn mnist() -> anyhow::Result<Dataset> {
    let advice = "set MNIST_DIR, or fetch MNIST with `cargo run --bin sender -- --prepare --dataset mnist`";
    dataset::load(&mnist_dir(), Split::Train).context(advice)
}
