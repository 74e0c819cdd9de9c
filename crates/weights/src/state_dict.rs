//! A state dict is the weights of one network as plain numbers, under the names that PyTorch gives them.
//!
//! It is what rounds pass around: it can be cloned, averaged element by element, hashed, compared and sent to another
//! thread or machine, none of which a libtorch tensor does safely.

use std::sync::OnceLock;

use sample::random::Stream;
use sha2::{Digest, Sha256};

use crate::{Architecture, architecture::NamedShape};

/// The weights of one network.
#[derive(Clone, Debug)]
pub struct StateDict {
    architecture: &'static Architecture,
    /// All tensors end to end, in the architecture's order, each row-major.
    values: Vec<f32>,
    /// The identity, once it was asked for.
    sha256: OnceLock<String>,
}

impl PartialEq for StateDict {
    fn eq(&self, other: &Self) -> bool {
        self.architecture == other.architecture && self.values == other.values
    }
}

impl Architecture {
    /// Fresh weights, as PyTorch initialises such layers by default: every weight and bias uniform in ±1/√fan_in
    /// (for weights that is `kaiming_uniform_(a=sqrt(5))`). The same seed gives the same bits on every machine; they are
    /// not the bits that PyTorch's own generator gives.
    pub fn init(&'static self, seed: u64) -> StateDict {
        let mut random = Stream::keyed("tributary initial weights", &[seed]);
        let mut values = Vec::with_capacity(self.weights());
        let mut fan_in = 0;
        for (_, shape) in self.tensors {
            // A bias follows its layer's weight and shares its fan-in.
            if shape.len() > 1 {
                fan_in = shape[1..].iter().product::<usize>();
            }
            let bound = 1.0 / (fan_in as f32).sqrt();
            let count = shape.iter().product();
            values.extend((0..count).map(|_: usize| (2.0 * random.unit_f32() - 1.0) * bound));
        }
        self.state_dict(values)
    }

    /// Every weight zero: the start of a sum.
    pub fn zeros(&'static self) -> StateDict {
        self.state_dict(vec![0.0; self.weights()])
    }

    /// The weights from all tensors' values end to end. Readers have compared every shape before they come here.
    pub(crate) fn state_dict(&'static self, values: Vec<f32>) -> StateDict {
        assert_eq!(values.len(), self.weights());
        StateDict { architecture: self, values, sha256: OnceLock::new() }
    }
}

impl StateDict {
    /// The kind of network whose weights these are.
    pub fn architecture(&self) -> &'static Architecture {
        self.architecture
    }

    /// Every tensor's name, shape and values, in PyTorch's order.
    pub fn tensors(&self) -> impl Iterator<Item = (&'static str, &'static [usize], &[f32])> {
        let mut rest = self.values.as_slice();
        self.architecture.tensors.iter().map(move |&(name, shape): &NamedShape| {
            let (tensor, tail) = rest.split_at(shape.iter().product());
            rest = tail;
            (name, shape, tensor)
        })
    }

    /// All weights end to end, in the order of [`StateDict::tensors`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All weights end to end, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.sha256.take();
        &mut self.values
    }

    /// The identity of the model: 64 hexadecimal digits.
    ///
    /// The SHA-256 of the tensors in PyTorch's order, each as its name in UTF-8, a zero byte, the number of
    /// dimensions and then every dimension as a 64-bit little-endian integer, and the values as 32-bit little-endian
    /// floats. It depends on every bit of every weight and on no file format. It is computed once, and again after a change.
    pub fn sha256(&self) -> String {
        self.sha256.get_or_init(|| self.hash()).clone()
    }

    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut bytes = Vec::new();
        for (name, shape, values) in self.tensors() {
            bytes.clear();
            bytes.extend(name.as_bytes());
            bytes.push(0);
            bytes.extend((shape.len() as u64).to_le_bytes());
            bytes.extend(shape.iter().flat_map(|&dim| (dim as u64).to_le_bytes()));
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            hash.update(&bytes);
        }
        hex::encode(hash.finalize())
    }

    /// The first tensor with a weight that is infinite or not a number, as they become when the learning rate is far too high.
    pub fn not_finite(&self) -> Option<&'static str> {
        let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        self.tensors().find(|(_, _, values)| !is_finite(values)).map(|(name, ..)| name)
    }
}

#[cfg(test)]
mod tests {
    use crate::SIMPLE_CNN;

    #[test]
    fn initial_weights_fill_pytorchs_interval_and_nothing_more() {
        let fan_in = [9, 9, 288, 288, 3136, 3136, 128, 128];
        for ((name, _, values), fan_in) in SIMPLE_CNN.init(7).tensors().zip(fan_in) {
            let bound = 1.0 / (fan_in as f32).sqrt();
            let (min, max) = values.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &v| (lo.min(v), hi.max(v)));
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            assert!(-bound <= min && max < bound, "{name}: {min} to {max}, bound {bound}");
            assert!(min < -0.6 * bound && max > 0.6 * bound, "{name}: {min} to {max} do not fill ±{bound}");
            // Four standard errors of the mean of a uniform distribution.
            assert!(mean.abs() < 4.0 * bound / (3.0 * values.len() as f32).sqrt(), "{name}: mean {mean}");
        }
    }

    #[test]
    fn the_seed_decides_the_initial_weights() {
        assert_eq!(SIMPLE_CNN.init(42), SIMPLE_CNN.init(42));
        assert_ne!(SIMPLE_CNN.init(42), SIMPLE_CNN.init(43));
    }

    #[test]
    fn the_hash_follows_its_description_and_sees_every_bit() {
        // From hashlib, over the documented bytes of a dict whose i-th weight is i.
        let mut counting = SIMPLE_CNN.zeros();
        counting.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
        assert_eq!(counting.sha256(), "415bc15fb9667bbe9df00b016000ef2e83d4cb3d0f6925b18191e5fd24aef335");

        let mut zeros = SIMPLE_CNN.zeros();
        let before = zeros.sha256();
        *zeros.values_mut().last_mut().unwrap() = -0.0;
        assert_ne!(zeros.sha256(), before);
    }

    #[test]
    fn one_weight_that_is_not_finite_is_noticed() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut dict = SIMPLE_CNN.init(1);
            assert_eq!(dict.not_finite(), None);
            *dict.values_mut().last_mut().unwrap() = bad;
            assert_eq!(dict.not_finite(), Some("fc2.bias"));
        }
    }
}
