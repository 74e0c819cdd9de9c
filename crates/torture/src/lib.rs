//! Trouble, made on purpose: killed processes, power cuts, full disks, faulty networks, forged handshakes, floods. Each
//! module makes one kind and checks that nothing was lost, nothing doubled and nobody let in. Tests run each briefly;
//! `scripts/torture` runs each at length and writes the figures into `RELIABILITY.md`.

#![forbid(unsafe_code)]

pub mod bugs;
pub mod crash;
pub mod damage;
pub mod forgery;
pub mod fuzz;
#[cfg(target_os = "linux")]
pub mod kill;
pub mod load;
pub mod network;
pub mod panics;
pub mod programs;
pub mod record;
pub mod samples;

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What one kind of trouble showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of trouble, as a heading.
    pub title: String,
    /// Cases tried: crash states, kills, forged handshakes.
    pub cases: u64,
    /// The seed that repeats them.
    pub seed: u64,
    /// How long it took.
    pub took: Duration,
    /// What was measured beside: name and value.
    pub figures: Vec<(String, String)>,
    /// What went wrong, one sentence each: none, if all is well.
    pub violations: Vec<String>,
}

/// Says on stderr how far a kind of trouble that takes long has come.
fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}"); // Nobody may be watching.
}
