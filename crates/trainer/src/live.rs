//! A live run learns from a stream while it comes in. Its rounds are cut by position: slice r is the samples with seq in
//! `offset + (r-1)·R .. offset + r·R`. A round begins when its slice is durable. First the model so far predicts the slice,
//! which tells how good it is on what it has never seen (prequential evaluation: test, then train); then it is trained on the
//! slice and on what of the past is replayed.
//!
//! Nothing here depends on when, in which chunks and over how many streams samples arrived, so a run on a directory that is
//! complete is the replay of one that was live, bit by bit.
//!
//! - `run`: the loop; `slices`: waiting for the next slice, and reading it;
//! - `prequential`: how the model does on each slice before it is trained on it; `adwin`: whether it begins to do worse;
//!   `figures`: what the two go on from;
//! - `reservoir`: a random sample of the past, of a fixed size;
//! - `text`: the figures of all that, as people read them.

mod adwin;
mod figures;
mod prequential;
pub(crate) mod reservoir;
#[cfg(test)]
mod river;
mod run;
pub(crate) mod slices;
pub(crate) mod text;

pub(crate) use run::{Tested, run};
