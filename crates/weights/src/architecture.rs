//! An architecture is a kind of network, as far as its weights tell: the names and shapes of its tensors. It makes and
//! reads [`StateDict`]s, so each of these fits the architecture that it came from. Sizes are computed from the list.

pub(crate) type NamedShape = (&'static str, &'static [usize]);

/// A kind of network.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The name for people.
    pub name: &'static str,
    /// Its tensors in PyTorch's order. A convolution's weight is `[out, in, height, width]`, a linear layer's `[out, in]`; a
    /// layer's bias follows its weight.
    pub tensors: &'static [NamedShape],
}

/// The Python original's network. The inputs of `fc1` are numbered `(channel, row, column)`: 64 maps of 7 by 7.
pub static SIMPLE_CNN: Architecture = Architecture {
    name: "SimpleCnn",
    tensors: &[
        ("conv1.weight", &[32, 1, 3, 3]),
        ("conv1.bias", &[32]),
        ("conv2.weight", &[64, 32, 3, 3]),
        ("conv2.bias", &[64]),
        ("fc1.weight", &[128, 64 * 7 * 7]),
        ("fc1.bias", &[128]),
        ("fc2.weight", &[10, 128]),
        ("fc2.bias", &[10]),
    ],
};

impl Architecture {
    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// The bytes of all weights as f32.
    pub fn bytes(&self) -> usize {
        self.weights() * size_of::<f32>()
    }
}
