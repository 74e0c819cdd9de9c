//! The orchestrator provides what a run needs, starts receiver, sender and trainer in order, follows them, starts those
//! again that die, and stops them all when one fails or when it is told to stop.
//!
//! - [`command_line`]: a run, or something else to do; [`config`]: the flags of all programs in one, over files and presets;
//! - [`listing`]: those flags as a configuration file, with where each value comes from or what it means;
//! - [`doctor`]: what this machine has and lacks for a run;
//! - [`manual`]: completions and man pages of all four programs;
//! - [`setup`]: libtorch and the sibling programs, in a checkout that lacks them;
//! - [`commands`]: the command lines of the children; [`crew`]: the children, started, heard and stopped;
//! - [`run`]: the phases of a run; [`progress`]: how its events are shown, as a live view on a terminal; [`run_dir`]: where its results go;
//! - `streaming_log`: what only this process sees of the streaming, for the report;
//! - [`console`]: everything that is printed.
//!
//! A child is never waited for with a sleep: it reports events on its stdout, and ends when its stdin ends. So no child
//! outlives this process, however it dies.

#![forbid(unsafe_code)]

mod chunk_directory;
pub mod command_line;
pub mod commands;
pub mod config;
pub mod console;
pub mod crew;
pub mod doctor;
pub mod listing;
pub mod manual;
mod platform;
pub mod progress;
pub mod run;
pub mod run_dir;
pub mod setup;
mod spark;
mod streaming_log;
mod view;
