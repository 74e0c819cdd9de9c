//! The phases of a run, and the time that each took.

use std::time::{Duration, Instant};

/// The phases that are over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    /// Notes that a phase which began at `start` is over. The parts of a phase that another comes between are added up.
    pub(crate) fn end(&mut self, name: &'static str, start: Instant) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, time)) => *time += start.elapsed(),
            None => self.0.push((name, start.elapsed())),
        }
    }

    pub(crate) fn seconds(&self) -> Vec<(String, f64)> {
        self.0.iter().map(|(name, time)| ((*name).to_owned(), time.as_secs_f64())).collect()
    }

    /// `set-up 0.2 s, data 1.0 s, total 1.2 s`
    pub(crate) fn line(&self) -> String {
        let seconds = |(name, time): &(&str, Duration)| format!("{name} {:.1} s", time.as_secs_f64());
        let total = ("total", self.0.iter().map(|(_, time)| time).sum());
        self.0.iter().chain([&total]).map(seconds).collect::<Vec<_>>().join(", ")
    }
}
