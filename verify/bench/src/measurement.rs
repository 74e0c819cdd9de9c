//! A measurement: what the contestants of a kind showed, and the targets that it is held against.

use std::{env, path::PathBuf};

use anyhow::Context;
use dataset::{Dataset, Split};
use flags::Step;
use serde::{Deserialize, Serialize};
use torture::record::checkout;

use crate::series::{Series, Unit};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) series: Vec<Series>,
    pub(crate) targets: Vec<Target>,
    /// Who did not take part, and why; with which versions the others did.
    pub(crate) notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) unit: Unit,
    pub(crate) measured: Option<Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn at_least(bound: f64, unit: Unit, what: impl Into<String>, measured: Option<Series>) -> Target {
        Target { what: what.into(), bound: Bound::AtLeast(bound), unit, measured }
    }

    pub(crate) fn at_most(bound: f64, unit: Unit, what: impl Into<String>, measured: Option<Series>) -> Target {
        Target { what: what.into(), bound: Bound::AtMost(bound), unit, measured }
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        let median = self.measured.as_ref()?.median();
        Some(match self.bound {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }
}

pub(crate) const STEPS: [Step; 2] = [Step::Native, Step::Libtorch];

/// The directory of MNIST: `$MNIST_DIR`, else `data/mnist` in the checkout.
pub(crate) fn mnist_dir() -> PathBuf {
    let given = env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty());
    given.map_or_else(|| checkout().join("data/mnist"), PathBuf::from)
}

pub(crate) fn mnist() -> anyhow::Result<Dataset> {
    let advice = "set MNIST_DIR, or fetch MNIST with `cargo run --bin sender -- --prepare --dataset mnist`";
    dataset::load(&mnist_dir(), Split::Train).context(advice)
}
