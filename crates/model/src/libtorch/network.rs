//! The network itself: raw pixels in, one score per class out.
//!
//! Every tensor is kept in the order in which the convolutions run fastest: channels last, `[n, height, width, channels]`.
//! ATen's functions want to see `[n, channels, height, width]`, for which [`nchw`] gives a view without moving a number.
//! Both convolutions and the pooling between them then take about a third less time than in PyTorch's own order.

use std::cell::Cell;

use sample::{COLS, PIXELS, ROWS};
use tch::{Kind, Tensor};

use weights::{Architecture, SIMPLE_CNN, StateDict};

/// Mean and standard deviation of the pixels of MNIST's training set, on a scale from 0 to 1; the numbers of PyTorch's
/// own MNIST example.
const MEAN: f32 = 0.1307;
const STANDARD_DEVIATION: f32 = 0.3081;

/// A network with its weights as tensors, all channels last.
pub(crate) struct Network {
    pub(crate) architecture: &'static Architecture,
    /// In the architecture's order.
    pub(crate) weights: Vec<Tensor>,
}

impl Network {
    /// For computing scores only.
    ///
    /// # Panics
    /// If the weights are of another architecture than SimpleCnn, the one whose [`forward`](Self::forward) stands here.
    pub(crate) fn new(weights: &StateDict) -> Self {
        let architecture = weights.architecture();
        assert_eq!(architecture, &SIMPLE_CNN, "a forward pass of this architecture");
        let tensor = |(_, shape, values): (_, &[usize], &[f32])| {
            let tensor = Tensor::from_slice(values);
            match image_shape(shape) {
                Some(oihw) => tensor.reshape(oihw).permute([0, 2, 3, 1]).contiguous(),
                None => tensor.reshape(shape.iter().map(|&dim| dim as i64).collect::<Vec<_>>()),
            }
        };
        Self { architecture, weights: weights.tensors().map(tensor).collect() }
    }

    /// For training: libtorch follows how the scores depend on every weight.
    pub(crate) fn trainable(self) -> Self {
        let weights = self.weights.into_iter().map(|weight| weight.set_requires_grad(true)).collect();
        Self { weights, ..self }
    }

    /// A copy of the weights in PyTorch's order.
    pub(crate) fn state_dict(&self) -> StateDict {
        let mut copy = self.architecture.zeros();
        let mut rest = copy.values_mut();
        for ((_, shape), weight) in self.architecture.tensors.iter().zip(&self.weights) {
            let (values, tail) = rest.split_at_mut(shape.iter().product());
            match image_shape(shape) {
                Some(_) => nchw(weight).contiguous().copy_data(values, values.len()),
                None => weight.copy_data(values, values.len()),
            }
            rest = tail;
        }
        copy
    }

    /// The scores of `input` for every class, before any softmax: `[n, 28, 28, 1]` to `[n, 10]`, in the weights' precision.
    pub(crate) fn forward(&self, input: &Tensor) -> Tensor {
        let [w1, b1, w2, b2, w3, b3, w4, b4] = &self.weights[..] else {
            unreachable!("`new` has checked the architecture")
        };
        let x = nchw(input).to_kind(w1.kind()); // [n, 1, 28, 28]
        // Pooling before ReLU gives the same numbers, since both keep the order of their inputs, from a quarter of the work.
        let x = pool(&convolve(&x, w1, b1)).relu(); // [n, 32, 14, 14]
        let x = pool(&convolve(&x, w2, b2)).relu(); // [n, 64, 7, 7]
        let x = x.permute([0, 2, 3, 1]).flatten(1, 3); // [n, 3136], channels last
        let x = x.linear(&w3.flatten(1, 3), Some(b3)).relu(); // [n, 128]
        x.linear(w4, Some(b4)) // [n, 10]
    }
}

/// Raw pixels, 784 per image, as the network's input `(x / 255 - 0.1307) / 0.3081`: `[n, 28, 28, 1]`, f32.
pub(crate) fn preprocess(images: &[u8]) -> Tensor {
    let mut table = [0.0; 256];
    for (pixel, value) in table.iter_mut().enumerate() {
        *value = (pixel as f32 / 255.0 - MEAN) / STANDARD_DEVIATION;
    }
    let values: Vec<f32> = images.iter().map(|&pixel| table[usize::from(pixel)]).collect();
    Tensor::from_slice(&values).reshape([(images.len() / PIXELS) as i64, ROWS as i64, COLS as i64, 1])
}

/// Labels as cross-entropy wants them: `[n]`, i64.
pub(crate) fn targets(labels: &[u8]) -> Tensor {
    Tensor::from_slice(labels).to_kind(Kind::Int64)
}

/// Keeps libtorch from starting threads of its own for what this thread asks of it: one partition or one batch per
/// thread uses the cores better, and the numbers stay the same whatever the number of cores.
pub(crate) fn use_one_thread() {
    thread_local!(static DONE: Cell<bool> = const { Cell::new(false) });
    if !DONE.replace(true) {
        tch::set_num_threads(1);
        keep_memory();
    }
}

/// Has glibc's allocator keep the memory that a step frees, some 40 MB, for the next one, instead of returning it to the
/// system and asking for it again: that costs a fifth of the time of a step. It learns from the largest block that it ever
/// took back, up to 32 MiB (`M_MMAP_THRESHOLD` in mallopt(3)); other allocators do not mind.
fn keep_memory() {
    const NEARLY_32_MIB: usize = 31 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(NEARLY_32_MIB)));
}

/// The maps that `fc1` sees as one row: channels, height, width.
const MAPS: [usize; 3] = [64, 7, 7];

/// The shape `[out, channels, height, width]` of a weight that meets an image: the convolutions' own, and for `fc1` that of
/// its maps.
fn image_shape(shape: &[usize]) -> Option<[i64; 4]> {
    let (out, [channels, height, width]) = match *shape {
        [out, channels, height, width] => (out, [channels, height, width]),
        [out, inputs] if inputs == MAPS.iter().product::<usize>() => (out, MAPS),
        _ => return None,
    };
    Some([out, channels, height, width].map(|dim| dim as i64))
}

/// A channels-last tensor as ATen's functions want to see it.
fn nchw(nhwc: &Tensor) -> Tensor {
    nhwc.permute([0, 3, 1, 2])
}

/// A 3 by 3 convolution that keeps height and width.
fn convolve(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    x.conv2d(&nchw(weight), Some(bias), [1, 1], [1, 1], [1, 1], 1)
}

/// The largest value of every 2 by 2 square.
fn pool(x: &Tensor) -> Tensor {
    x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_survive_the_way_through_channels_last() {
        let weights = SIMPLE_CNN.init(3);
        assert_eq!(Network::new(&weights).trainable().state_dict(), weights);
    }

    #[test]
    fn pixels_are_normalised_to_mnists_mean_and_deviation() {
        let mut image = [0u8; PIXELS];
        image[783] = 255;
        let input = preprocess(&image);
        assert_eq!(input.size(), [1, 28, 28, 1]);
        // (0 - 0.1307) / 0.3081 and (1 - 0.1307) / 0.3081.
        assert!((input.double_value(&[0, 0, 0, 0]) + 0.424_212_9).abs() < 1e-6);
        assert!((input.double_value(&[0, 27, 27, 0]) - 2.821_486_9).abs() < 1e-6);
    }
}
