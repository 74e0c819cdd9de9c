//! Trouble, made on purpose: killed processes, power cuts, full disks, faulty networks, forged handshakes, floods. Each
//! module makes one kind and checks that nothing was lost, nothing doubled and nobody let in. Tests run each briefly;
//! `scripts/torture` runs each at length and writes the figures into `RELIABILITY.md`.
//!
//! Each module has a function that returns a [`Finding`]. An error of it means that the trouble could not be made; what
//! went wrong under it is among the finding's violations.

#![forbid(unsafe_code)]

pub mod bugs;
pub mod crash;
pub mod damage;
pub mod forgery;
pub mod fuzz;
mod kept;
#[cfg(target_os = "linux")]
pub mod kill;
pub mod load;
pub mod network;
mod panics;
pub mod programs;
pub mod record;
pub mod samples;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
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

impl Finding {
    /// A finding in which nothing was tried yet.
    pub fn new(title: &str, seed: u64) -> Finding {
        let (title, took) = (title.to_owned(), Duration::ZERO);
        Finding { title, cases: 0, seed, took, figures: Vec::new(), violations: Vec::new() }
    }

    fn figure(&mut self, name: impl Into<String>, value: impl ToString) {
        self.figures.push((name.into(), value.to_string()));
    }
}

/// What is counted while trouble is made.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    counts: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Tally {
    fn count(&mut self, name: impl Into<String>) {
        *self.counts.entry(name.into()).or_default() += 1;
    }

    fn hold(&mut self, good: bool, violation: impl FnOnce() -> String) {
        if !good {
            self.violations.push(violation());
        }
    }

    fn add(&mut self, other: Tally) {
        self.cases += other.cases;
        for (name, count) in other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.violations.extend(other.violations);
    }

    fn finding(self, title: &str, seed: u64, start: Instant) -> Finding {
        let Tally { cases, counts, violations } = self;
        let figures = counts.into_iter().map(|(name, count)| (name, count.to_string())).collect();
        Finding { cases, took: start.elapsed(), figures, violations, ..Finding::new(title, seed) }
    }
}

/// Whoever panicked with the lock has left nothing by halves.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of what a program has said.
pub fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Says on stderr how far a kind of trouble that takes long has come.
pub fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}"); // Nobody may be watching.
}
