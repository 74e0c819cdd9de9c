//! A live run learns from a stream while it comes in. Its rounds are cut by position: slice r is the samples with seq in
//! `offset + (r-1)·R .. offset + r·R`. A round begins when its slice is durable. First the model so far predicts the slice,
//! which tells how good it is on what it has never seen (prequential evaluation: test, then train); then it is trained on the
//! slice and on what of the past is replayed.
//!
//! Nothing here depends on when, in which chunks and over how many streams samples arrived, so a run on a directory that is
//! complete is the replay of one that was live, bit by bit.
//!
//! - `slices`: waiting for the next slice, and reading it;
//! - `reservoir`: a random part of the past;
//! - `prequential`: the figures; `adwin`: whether they have changed.

mod adwin;
mod prequential;
pub(crate) mod reservoir;
mod run;
pub(crate) mod slices;

pub(crate) use run::{Tested, run};
