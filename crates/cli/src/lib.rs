//! What the command lines of the four programs share, so that each `main.rs` stays a page.
//!
//! - [`flags`]: the flags themselves, in groups, so that the orchestrator offers the very flags of the programs it starts;
//! - [`layers`]: flag beats file beats preset beats default;
//! - [`event`]: what a program reports on stdout under `--json`, which is how the orchestrator follows it;
//! - [`manual`]: completions for shells, and man pages;
//! - [`bars`]: how progress looks;
//! - [`exit`]: exit codes, and how an error carries one;
//! - [`shell`]: a command as it would be typed;
//! - [`runs`]: where the results of a run go, unless told otherwise;
//! - [`logging`] and [`shutdown`]: stderr logs, signals, and the lifeline to a parent process.

#![forbid(unsafe_code)]

pub mod bars;
pub mod event;
pub mod exit;
pub mod flags;
pub mod layers;
pub mod logging;
pub mod manual;
pub mod runs;
pub mod shell;
pub mod shutdown;
