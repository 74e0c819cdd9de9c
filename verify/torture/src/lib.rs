//! Trouble, made on purpose: killed processes, power cuts, full disks, faulty networks, forged handshakes, hostile requests, floods. Each
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
pub mod intruders;
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
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// What one kind of trouble showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Finding {
    /// Cases tried: crash states, kills, forged handshakes.
    pub cases: u64,
    /// What was counted: how often there was what.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// What was measured beside: name and value.
    pub figures: Vec<(String, String)>,
    /// What went wrong, one sentence each: none, if all is well.
    pub violations: Vec<String>,
    /// Time that went into what was tried before and need not be tried again.
    #[serde(skip)]
    pub spared: Duration,
}

impl Finding {
    fn count(&mut self, name: impl Into<String>) {
        *self.counts.entry(name.into()).or_default() += 1;
    }

    fn figure(&mut self, name: impl Into<String>, value: impl ToString) {
        self.figures.push((name.into(), value.to_string()));
    }

    fn hold(&mut self, good: bool, violation: impl FnOnce() -> String) {
        if !good {
            self.violations.push(violation());
        }
    }

    fn add(&mut self, other: Finding) {
        self.cases += other.cases;
        for (name, count) in other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.figures.extend(other.figures);
        self.violations.extend(other.violations);
        self.spared += other.spared;
    }
}

/// So many violations are enough to know that something is wrong.
const ENOUGH: usize = 3;

/// Makes an attempt again and again, each with the next number, in so many threads, until there were enough cases or
/// something is clearly wrong. Attempts that are under way then are finished.
fn try_many(cases: u64, at_once: usize, attempt: impl Fn(u64) -> Finding + Sync) -> Finding {
    let (all, next) = (Mutex::new(Finding::default()), AtomicU64::new(0));
    let is_enough = |found: &Finding| found.cases >= cases || found.violations.len() >= ENOUGH;
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while !is_enough(&locked(&all)) {
                    let found = attempt(next.fetch_add(1, Ordering::Relaxed));
                    locked(&all).add(found);
                }
            });
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks at processes and files, for whose changes nobody can wait.
const LOOK: Duration = Duration::from_micros(300);

/// Looks again and again until there is something to be seen; fails after `limit`, and says that it is `missing`.
pub fn look_for<T>(
    missing: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        ensure!(start.elapsed() < limit, "{missing} within {limit:?}");
        thread::sleep(LOOK);
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
