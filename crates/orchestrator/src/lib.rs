//! The orchestrator provides what a run needs, starts receiver, sender and trainer in order, follows them, starts those
//! again that die, and stops them all when one fails or when it is told to stop.
//!
//! - [`command_line`]: a run, or something else to do; [`config`]: the flags of all programs in one, over files and presets;
//! - [`listing`]: those flags as a configuration file, with where each value comes from or what it means;
//! - [`manual`]: completions and man pages of all four programs;
//! - [`run`]: the phases of a run; `phases`: the time that each takes;
//! - `invocation`: the command lines of the children; `supervisor`: the children, started, heard and stopped; `child_event`:
//!   what they tell; `observers`: who hears of it, in the same order;
//! - `folder`: where the run's results go; `chunk_directory`: whose the samples are; `spark`: a server for one
//!   run.
//!
//! A child is never waited for with a sleep: it reports events on its stdout, and ends when its stdin ends. So no child
//! outlives this process, however it dies.

#![forbid(unsafe_code)]

mod child_event;
mod chunk_directory;
pub mod command_line;
pub mod config;
mod folder;
mod invocation;
pub mod listing;
pub mod manual;
mod observers;
mod phases;
mod random;
pub mod run;
mod spark;
mod supervisor;
