//! An event file is what TensorBoard shows of a run: scalars, images and histograms by step, and the hyper-parameters that
//! its tab HPARAMS compares runs by.
//!
//! It is a sequence of records, each with checksums around the bytes of one protobuf message, an event. Here a step is one
//! event, so a step is complete or absent, and [`EventFile::open`] can take back the last ones: a run that goes on from
//! an earlier step gives each step once. The same values give the same bytes, but for the wall time of each event.

#![forbid(unsafe_code)]

mod event_file;
mod histogram;
mod message;
mod record;

pub use crate::{
    event_file::EventFile,
    message::{Hyperparameter, Value},
};

#[doc(hidden)] // For those who forge files.
pub use crate::{event_file::kept, record::put as put_record};
