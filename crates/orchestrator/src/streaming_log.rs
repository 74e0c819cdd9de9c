//! The streaming log is what only the orchestrator sees of a run: its command line, how long each phase before training
//! took, and how many samples were durable when. It is `streaming.json` in the run folder, from which the trainer's
//! report draws the ingest rate.

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::Serialize;

use crate::run_dir;

/// The file's name in the run folder.
pub(crate) const FILE: &str = "streaming.json";

/// More points than a chart can show; beyond it every second one is dropped, however small the chunks are.
const MAX_POINTS: usize = 1024;

/// How many samples were durable when.
#[derive(Debug)]
pub(crate) struct StreamingLog {
    start: Instant,
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Point {
    /// Since the senders were started.
    seconds: f64,
    /// Durable samples.
    samples: u64,
}

#[derive(Debug, Serialize)]
struct Contents<'a> {
    format: u32,
    command: Vec<String>,
    phases: Vec<(&'static str, f64)>,
    points: &'a [Point],
}

impl StreamingLog {
    /// Begins when the senders are about to start. Of a directory that is not fresh, nobody knows yet what it holds.
    pub(crate) fn begin(fresh: bool) -> Self {
        let origin = fresh.then_some(Point { seconds: 0.0, samples: 0 });
        Self { start: Instant::now(), points: origin.into_iter().collect() }
    }

    /// So many samples are durable in all.
    pub(crate) fn stored(&mut self, samples: u64) {
        self.add(self.start.elapsed(), samples);
    }

    fn add(&mut self, time: Duration, samples: u64) {
        self.points.push(Point { seconds: time.as_secs_f64(), samples });
        if self.points.len() > MAX_POINTS {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
    }

    /// Writes the log into the run folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, run: &Path, phases: Vec<(&'static str, f64)>) -> anyhow::Result<()> {
        let command = env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let text = serde_json::to_string(&Contents { format: 1, command, phases, points: &self.points })?;
        let file = run.join(FILE);
        run_dir::write(&file, &text).with_context(|| format!("failed to write `{}`", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_small_and_keeps_its_first_point() {
        let mut log = StreamingLog::begin(true);
        for samples in 1..=5000 {
            log.add(Duration::from_millis(samples), samples);
        }
        assert!(log.points.len() <= MAX_POINTS && log.points.len() > MAX_POINTS / 2 - 1, "{}", log.points.len());
        assert_eq!(log.points[0], Point { seconds: 0.0, samples: 0 });
        assert!(log.points.is_sorted_by(|a, b| a.samples < b.samples));
    }

    #[test]
    fn the_file_names_its_format_phases_and_points() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = StreamingLog::begin(false);
        log.add(Duration::from_millis(500), 1000);
        log.write(dir.path(), vec![("data", 0.25)]).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.starts_with(r#"{"format":1,"command":[""#), "{text}");
        assert!(text.ends_with(r#""phases":[["data",0.25]],"points":[{"seconds":0.5,"samples":1000}]}"#), "{text}");
    }
}
