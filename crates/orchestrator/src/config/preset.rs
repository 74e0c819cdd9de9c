//! Presets: named sets of values.

use clap::ValueEnum;

/// A named set of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The values of the Python project that this one follows: one full-batch step per partition and round
    Original,
    /// All of MNIST to 99 % test accuracy in the shortest time on two cores
    Fast,
}

impl Preset {
    pub(super) fn layer(self) -> (&'static str, &'static str) {
        match self {
            Preset::Original => ("preset original", ORIGINAL),
            Preset::Fast => ("preset fast", FAST),
        }
    }
}

const ORIGINAL: &str = r#"
samples = 20000
samples-per-batch = 500
batch-delay = "500ms"
samples-per-chunk = 1000
partitions = 12
rounds = 5
local-epochs = 1
batch-size = "full"
learning-rate = 0.0005
optimizer = "adam"
weighting = "uniform"
received-accuracy = "each-round"
"#;

/// `--preset fast`. The partitions are given because they decide the model: with more of them a round learns less.
const FAST: &str = r#"
samples = 60000
batch-delay = "0s"
partitions = 2
rounds = 3
batch-size = 64
learning-rate = 0.002
"#;
