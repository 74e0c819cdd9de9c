//! A training step of SimpleCnn that skips what is zero, and gives the same bits on every processor.
//!
//! # What is skipped
//!
//! A dense step multiplies mostly zeros. Max-pooling passes its gradient on to one position of four, and ReLU stops more than
//! half of what is left: of the gradient at conv2's output, some tenth is not zero. The sums here are those of a dense step without
//! its zero terms:
//!
//! - **Gradients of conv2** (`conv2`): what lives, channel by channel and position by position, is a set of bits (`living`).
//!   Maps lie channels last with a border of zeros, so the three columns that a kernel row meets are 96 consecutive numbers. They
//!   stay in registers while the living terms pass by, each one number times 96.
//! - **Linear layers** (`linear`): the same loop, over inputs that ReLU let pass.
//! - **Forward pass of conv2** (`winograd`): it has no zeros to skip, but Winograd's algorithm needs 2.25 times fewer products.
//!   Its tile of four outputs is a pooling window.
//! - **Blank parts of images** (`ink`): the same numbers for all samples, computed once.
//!
//! # Why the bits are the same
//!
//! Addition, multiplication, division, square root and fused multiply-add are rounded exactly, by IEEE 754, on every processor.
//! Neither the compiler nor this crate changes the order of a sum: where there are several sums side by side, their number is
//! part of the source. `exp` and `ln` are Rust code of the crate `libm`. So the instructions (`isa`), which are chosen when the
//! program runs, decide nothing but the speed.
//!
//! # Where it stands
//!
//! libtorch defines the network. The tests of the crate `model` compare scores, gradients and optimizers with PyTorch's, and a
//! run begins by comparing the gradients of a minibatch with libtorch's.

#![deny(unsafe_code)]

mod conv1;
mod conv2;
mod inference;
mod ink;
mod isa;
mod layout;
mod learner;
mod linear;
mod living;
mod loss;
mod network;
mod optimizer;
pub mod peak;
mod pooling;
mod softmax;
mod winograd;

pub use inference::Scorer;
pub use isa::Isa;
pub use learner::{Learner, gradients};
pub use optimizer::Optimizer;
pub use softmax::{best, cross_entropy, probabilities};
