//! The self-check: before a process trains by the native step, one minibatch goes through that and through libtorch. So a
//! processor on which the native step is wrong is found before it spoils a model.

use anyhow::ensure;
use flags::{Local, Step};
use model::{ISA, gradient_distance};
use sample::SampleSlice;

use crate::config::ARCHITECTURE;

/// Samples of the minibatch.
const SAMPLES: usize = 16;
/// How far the gradients may be apart. Rounding makes some 1e-6; of a few samples, where it decides who wins a pooling window,
/// up to 1e-2.
const TOLERANCE: f64 = 5e-2;

/// Compares the two on the first of these samples, with the initial weights of the run's seed: of a sample that a model has
/// learnt well, little but rounding is left in the gradient.
///
/// # Errors
/// When the native step is to train, and is wrong here.
pub(crate) fn check(local: &Local, seed: u64, samples: SampleSlice<'_>) -> anyhow::Result<()> {
    if local.step == Step::Libtorch || samples.is_empty() {
        return Ok(());
    }
    let SampleSlice { labels, images } = samples.slice(0..samples.len().min(SAMPLES));
    if ISA.is_slow() {
        tracing::warn!("this processor has no AVX2 with multiply-add: --step libtorch is faster here");
    }
    judge(ISA.name(), gradient_distance(&ARCHITECTURE.init(seed), images, labels))
}

fn judge(isa: &str, distance: f64) -> anyhow::Result<()> {
    ensure!(
        distance <= TOLERANCE,
        "the native step ({isa}) is wrong on this processor: its gradients are {distance:.1e} from libtorch's; train with \
         --step libtorch, and please report this"
    );
    tracing::debug!("native step ({isa}): its gradients are {distance:.1e} from libtorch's");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_is_wrong_is_told_of_with_the_way_out() {
        assert!(judge("AVX2", 1e-6).is_ok());
        for distance in [0.5, f64::INFINITY, f64::NAN] {
            let error = judge("AVX2", distance).unwrap_err();
            assert_eq!(process::exit::code_of(&error), process::exit::Code::Software);
            assert!(error.to_string().contains("train with --step libtorch"), "{error}");
        }
    }
}
