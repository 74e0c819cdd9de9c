//! An engine decides where the partitions train, never how: every engine calls
//! [`train_partition`](crate::local::train_partition), so every engine gives the same bits.

#[cfg(feature = "spark")]
mod placement;
mod rayon;
#[cfg(feature = "spark")]
mod spark;

use model::StateDict;
use store::Held;

pub use self::rayon::Rayon;
use crate::{
    config::{Config, EngineChoice},
    digest::Digest,
    local::{LocalUpdate, OnSamples},
};

/// Somewhere to train partitions. It has the samples of a chunk directory, wherever they are.
pub trait Engine {
    /// The name in the summary.
    fn name(&self) -> &'static str;

    /// What identifies the samples.
    fn data(&self) -> Digest;

    /// Trains every partition on the global model in `round`, and returns the updates in partition order. Calls
    /// `on_samples` as samples are trained on, as far as the engine can see that, and now and then with none.
    ///
    /// # Errors
    /// That of `on_samples`, and when the machinery that runs the partitions fails.
    fn train_round(
        &self,
        round: u32,
        global: &StateDict,
        on_samples: OnSamples<'_>,
    ) -> anyhow::Result<Vec<LocalUpdate>>;

    /// How many of the samples the model recognises.
    ///
    /// # Errors
    /// Those of [`train_round`](Engine::train_round).
    fn recognised(&self, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<u64>;
}

/// Opens the engine that was chosen, with the samples of the chunk directory, which it holds for as long as it reads there.
///
/// # Errors
/// When the samples cannot be read, or the engine is not there.
pub fn open(config: &Config, held: Held, on_samples: OnSamples<'_>) -> anyhow::Result<Box<dyn Engine>> {
    match &config.engine {
        EngineChoice::Rayon => Ok(Box::new(Rayon::open(config, &held.manifest)?)),
        #[cfg(feature = "spark")]
        EngineChoice::Spark(cluster) => Ok(Box::new(spark::Spark::open(config, cluster, held, on_samples)?)),
        #[cfg(not(feature = "spark"))]
        EngineChoice::Spark(_) => {
            let _ = on_samples;
            let error = anyhow::anyhow!(
                "this trainer was built without Spark; build one with it (needs protoc): \
                 cargo build -p trainer --features spark"
            );
            Err(cli::exit::failure(cli::exit::Code::Usage, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use cli::flags::{BatchSize, Optimizer, Precision, Weighting};
    use dataset::{PIXELS, random::Stream};
    use model::Learner;

    use super::*;
    use crate::{average::average, config::Local, data::Samples};

    #[test]
    fn one_partition_equals_plain_training() {
        const N: usize = 50;
        let config = Local {
            seed: 42,
            local_epochs: 1,
            batch_size: BatchSize::Samples(16),
            learning_rate: 0.001,
            optimizer: Optimizer::Sgd,
            precision: Precision::F32,
        };
        let samples = Samples::example(N);
        let engine = Rayon::new(samples.clone(), Digest::default(), 1, config.clone());
        let mut global = StateDict::init(config.seed);
        // Plain training is one learner that passes over all samples, three times; SGD has no memory to start afresh.
        let mut learner = Learner::new(&global, model::Optimizer::Sgd, config.learning_rate, model::Precision::F32);
        let mut data: Vec<usize> = (0..N).collect();
        Stream::keyed("tributary partitions", &[42]).shuffle(&mut data);
        for round in 1..=3 {
            global = average(&engine.train_round(round, &global, &|_, _| Ok(())).unwrap(), Weighting::Samples);

            let mut order = data.clone();
            Stream::keyed("tributary minibatches", &[42, round.into(), 0, 0]).shuffle(&mut order);
            for indices in order.chunks(16) {
                let labels: Vec<u8> = indices.iter().map(|&i| samples.labels[i]).collect();
                let images: Vec<u8> =
                    indices.iter().flat_map(|&i| &samples.images[i * PIXELS..][..PIXELS]).copied().collect();
                learner.step(&images, &labels, |_| anyhow::Ok(())).unwrap();
            }
            assert_eq!(global.sha256(), learner.state_dict().sha256(), "round {round}");
        }
    }

    #[test]
    fn training_breaks_off_when_it_is_told_to() {
        let config = Local {
            seed: 1,
            local_epochs: 1000,
            batch_size: BatchSize::Samples(1),
            learning_rate: 0.001,
            optimizer: Optimizer::Adam,
            precision: Precision::F32,
        };
        let engine = Rayon::new(Samples::example(31), Digest::default(), 2, config);
        let stop = |_, _| Err(anyhow::anyhow!("enough"));
        assert_eq!(engine.train_round(1, &StateDict::init(1), &stop).unwrap_err().to_string(), "enough");
    }

    #[test]
    fn updates_come_in_partition_order_and_count_every_sample_once() {
        let config = Local {
            seed: 1,
            local_epochs: 1,
            batch_size: BatchSize::Full,
            learning_rate: 0.001,
            optimizer: Optimizer::Adam,
            precision: Precision::F32,
        };
        let engine = Rayon::new(Samples::example(31), Digest::default(), 7, config);
        let updates = engine.train_round(1, &StateDict::init(1), &|_, _| Ok(())).unwrap();
        assert_eq!(updates.iter().map(|update| update.partition).collect::<Vec<_>>(), (0..7).collect::<Vec<_>>());
        assert_eq!(updates.iter().map(|update| update.n_samples).collect::<Vec<_>>(), [5, 5, 5, 4, 4, 4, 4]);
    }
}
