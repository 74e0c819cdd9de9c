//! The streaming log: how many samples were durable when. [`Streaming`] is the file.

use std::{env, path::Path, time::Instant};

use event::Event;
use run_folder::{Point, STREAMING, Streaming};

use crate::child_event::{ChildEvent, What};

/// More points than a chart can show; beyond it every second one is dropped, however small the chunks are.
const MAX_POINTS: usize = 1024;

/// How many samples were durable when, since the senders were started.
#[derive(Debug, Default)]
pub(crate) struct StreamingLog {
    start: Option<Instant>,
    points: Vec<Point>,
}

impl StreamingLog {
    /// Begins when the senders are about to start. Of a directory that is not fresh, nobody knows yet what it holds.
    pub(crate) fn begin(&mut self, fresh: bool) {
        let origin = fresh.then_some(Point { seconds: 0.0, samples: 0 });
        *self = Self { start: Some(Instant::now()), points: origin.into_iter().collect() };
    }

    /// Writes the log into the run folder, with the phases so far and their seconds.
    pub(crate) fn write(&self, run: &Path, phases: Vec<(String, f64)>) -> anyhow::Result<()> {
        let command = env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let text = serde_json::to_string(&Streaming::new(command, phases, self.points.clone()))?;
        process::file::replace(&run.join(STREAMING), text.as_bytes())
    }

    pub(super) fn hear(&mut self, heard: &ChildEvent) {
        let What::Event(Event::Stored { samples, .. }) = heard.what else { return };
        let Some(start) = self.start else { return };
        let seconds = heard.at.saturating_duration_since(start).as_secs_f64();
        self.points.push(Point { seconds, samples });
        if self.points.len() > MAX_POINTS {
            self.points = self.points.iter().step_by(2).copied().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use setup::siblings::Program;

    use super::*;
    use crate::child_event::Child;

    #[test]
    fn the_log_stays_small_and_keeps_its_first_point() {
        let mut log = StreamingLog::default();
        log.begin(true);
        let child = Child { number: 0, name: "receiver".into(), program: Program::Receiver };
        for samples in 1..=5000 {
            let (at, event) = (Instant::now() + Duration::from_millis(samples), Event::Stored { samples, chunks: 1 });
            log.hear(&ChildEvent { child: child.clone(), at, what: What::Event(event) });
        }
        assert!(log.points.len() <= MAX_POINTS && log.points.len() > MAX_POINTS / 2 - 1, "{}", log.points.len());
        assert_eq!(log.points[0], Point { seconds: 0.0, samples: 0 });
        assert!(log.points.is_sorted_by(|a, b| a.samples < b.samples && a.seconds < b.seconds));
    }
}
