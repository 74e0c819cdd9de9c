//! An engine decides where the partitions train, never how: every engine calls
//! [`train_partition`](crate::round::local::train_partition), so every engine gives the same bits.
//!
//! - `rayon`: on the threads of this process;
//! - `spark`: on the executors of an Apache Spark cluster, which run [`worker`].

#[cfg(feature = "spark")]
mod placement;
mod rayon;
#[cfg(feature = "spark")]
mod spark;
pub mod worker;

use std::ops::Range;

use flags::EngineName;
use model::StateDict;
use process::shutdown::Shutdown;
use sample::{SampleSlice, Samples};
use store::Held;

use self::rayon::Rayon;
use crate::{
    config::Config,
    data::digest::Digest,
    live::{reservoir::Reservoir, slices::Slices},
    round::local::{OnSamples, Updates},
};

/// Somewhere to train partitions. It has the samples of a chunk directory, wherever they are.
pub trait Engine {
    /// What identifies the samples.
    fn data(&self) -> Digest;

    /// Trains every partition on the global model in `round`, and returns the updates in partition order. Calls
    /// `on_samples` as samples are trained on, as far as the engine can see that, and now and then with none.
    ///
    /// # Errors
    /// That of `on_samples`, and when the machinery that runs the partitions fails.
    fn train_round(&self, round: u32, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<Updates>;

    /// How many of the samples the model recognises.
    ///
    /// # Errors
    /// Those of [`train_round`](Engine::train_round).
    fn count_correct(&self, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<u64>;
}

/// Opens the engine that was chosen, with the samples of the chunk directory, which it holds for as long as it reads there.
pub(crate) fn open(config: &Config, held: Held, on_samples: OnSamples<'_>) -> anyhow::Result<Box<dyn Engine>> {
    match config.engine.engine {
        EngineName::Rayon => Ok(Box::new(Rayon::open(config, &held)?)),
        #[cfg(feature = "spark")]
        EngineName::Spark => Ok(Box::new(spark::Spark::open(config, held, on_samples)?)),
        #[cfg(not(feature = "spark"))]
        EngineName::Spark => {
            let _ = on_samples;
            Err(without_spark())
        }
    }
}

/// Makes an engine of the samples of each round of a live run.
pub(crate) trait LiveEngine {
    /// Has the samples in their partitions.
    ///
    /// # Errors
    /// When a chunk is damaged, and when the machinery fails.
    fn partitions<'a>(&'a mut self, given: &RoundSamples<'_>) -> anyhow::Result<Box<dyn Engine + 'a>>;
}

/// What a round of a live run trains on: the reservoir, then consecutive samples, of which the last are its slice.
pub(crate) struct RoundSamples<'a> {
    pub(crate) slices: &'a Slices<'a>,
    pub(crate) reservoir: Option<&'a Reservoir>,
    pub(crate) seqs: Range<u64>,
    /// The last of them.
    pub(crate) slice: &'a Samples,
    pub(crate) partitions: u32,
}

impl RoundSamples<'_> {
    pub(crate) fn len(&self) -> u64 {
        self.reservoir.map_or(0, Reservoir::len) + self.seqs.end - self.seqs.start
    }

    /// Ranges of their seqs, in order.
    #[cfg(feature = "spark")]
    fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (seq, ..) in self.reservoir.iter().flat_map(|reservoir| reservoir.samples()) {
            match ranges.last_mut() {
                Some(range) if range.end == seq => range.end += 1,
                _ => ranges.push(seq..seq + 1),
            }
        }
        ranges.into_iter().chain([self.seqs.clone()])
    }

    /// All of them, in canonical order, and the seq of each.
    fn canonical(&self) -> anyhow::Result<(Vec<u64>, Samples)> {
        let (mut seqs, mut samples) = (Vec::new(), Samples::default());
        for (seq, label, image) in self.reservoir.iter().flat_map(|reservoir| reservoir.samples()) {
            seqs.push(seq);
            samples.extend(SampleSlice { labels: &[label], images: image });
        }
        seqs.extend(self.seqs.clone());
        samples.extend(self.slices.read(self.seqs.start..self.seqs.end - self.slice.len() as u64)?.as_slice());
        samples.extend(self.slice.as_slice());
        Ok((seqs, samples))
    }
}

/// Opens the engine that was chosen for a live run.
pub(crate) fn open_live<'a>(config: &'a Config, shutdown: &'a Shutdown) -> anyhow::Result<Box<dyn LiveEngine + 'a>> {
    match config.engine.engine {
        EngineName::Rayon => Ok(Box::new(rayon::Live(config))),
        #[cfg(feature = "spark")]
        EngineName::Spark => Ok(Box::new(spark::Live::open(config, shutdown)?)),
        #[cfg(not(feature = "spark"))]
        EngineName::Spark => {
            let _ = shutdown;
            Err(without_spark())
        }
    }
}

#[cfg(not(feature = "spark"))]
fn without_spark() -> anyhow::Error {
    let text = "this trainer was built without Spark; build one with it (needs protoc): \
                cargo build -p trainer --features spark";
    process::exit::failure(process::exit::Code::Usage, anyhow::anyhow!(text))
}

#[cfg(test)]
mod tests {
    use flags::{BatchSize, Local, Optimizer, Weighting};
    use model::{Learner, SIMPLE_CNN, Settings, Step};
    use run_folder::ServerState;
    use sample::{Samples, random::Stream};

    use super::*;
    use crate::{
        data::{Received, example},
        round::{
            local::tests::LOCAL,
            strategy::{FedAvg, Strategy},
        },
    };

    fn rayon(samples: Samples, seed: u64, partitions: usize, local: Local) -> Rayon {
        Rayon::new(&Received::of(samples), seed, partitions, local)
    }

    #[test]
    fn one_partition_equals_plain_training() {
        const N: usize = 50;
        let local = Local { optimizer: Optimizer::Sgd, local_epochs: 2, ..LOCAL };
        let samples = example(N);
        let engine = rayon(samples.clone(), 42, 1, local);
        let mut global = SIMPLE_CNN.init(42);
        // Plain training is one learner that passes over all samples, two times a round; SGD has no memory to start afresh.
        let settings = Settings { step: Step::Native, optimizer: model::Optimizer::Sgd, learning_rate: 0.001 };
        let mut learner = Learner::new(&global, settings);
        let mut data: Vec<usize> = (0..N).collect();
        Stream::keyed("tributary partitions", &[42]).shuffle(&mut data);
        for round in 1..=3 {
            let updates = engine.train_round(round, &global, &|_, _| Ok(())).unwrap();
            global = FedAvg { weighting: Weighting::Samples }.step(&mut ServerState::default(), &global, &updates);

            for epoch in 0..2 {
                let mut order = data.clone();
                Stream::keyed("tributary minibatches", &[42, round.into(), 0, epoch]).shuffle(&mut order);
                for indices in order.chunks(16) {
                    let labels: Vec<u8> = indices.iter().map(|&i| samples.labels[i]).collect();
                    let images: Vec<u8> = indices.iter().flat_map(|&i| samples.image(i)).copied().collect();
                    learner.step(&images, &labels, |_| anyhow::Ok(())).unwrap();
                }
            }
            assert_eq!(global.sha256(), learner.state_dict().sha256(), "round {round}");
        }
    }

    #[test]
    fn training_breaks_off_when_it_is_told_to() {
        let local = Local { local_epochs: 1000, batch_size: BatchSize::Samples(1), ..LOCAL };
        let engine = rayon(example(31), 1, 2, local);
        let stop = |_, _| Err(anyhow::anyhow!("enough"));
        assert_eq!(engine.train_round(1, &SIMPLE_CNN.init(1), &stop).unwrap_err().to_string(), "enough");
    }

    #[test]
    fn updates_come_in_partition_order_and_count_every_sample_once() {
        let engine = rayon(example(31), 1, 7, Local { batch_size: BatchSize::Full, ..LOCAL });
        let updates = engine.train_round(1, &SIMPLE_CNN.init(1), &|_, _| Ok(())).unwrap();
        assert_eq!(updates.iter().map(|update| update.partition).collect::<Vec<_>>(), (0..7).collect::<Vec<_>>());
        assert_eq!(updates.iter().map(|update| update.n_samples).collect::<Vec<_>>(), [5, 5, 5, 4, 4, 4, 4]);
    }
}
