//! What is told of the queue: how many samples are here and not durable yet, ten times a second at most.

use std::time::{Duration, Instant};

use event::Event;

const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) samples: u64,
    /// What was told last, and when.
    told: Option<(u64, Instant)>,
}

impl Queue {
    /// When the queue is to be told of, if it is not as it was told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.told.filter(|(told, _)| *told != self.samples).map(|(_, at)| at + EVERY)
    }

    /// What is to be told now. An empty queue is the beginning, and is not told of.
    pub(super) fn news(&mut self, now: Instant) -> Option<Event> {
        let is_due = match self.told {
            Some(_) => self.due().is_some_and(|due| due <= now),
            None => self.samples > 0,
        };
        is_due.then(|| {
            self.told = Some((self.samples, now));
            Event::Receiving { queued: self.samples }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_told_of_when_it_has_changed_and_ten_times_a_second_at_most() {
        let start = Instant::now();
        let mut queue = Queue::default();
        for (millis, samples, told, due) in [
            (0, 0, None, None),
            (10, 500, Some(500), None),
            (20, 1000, None, Some(110)),
            (90, 500, None, None), // As it was told.
            (109, 0, None, Some(110)),
            (110, 0, Some(0), None),
            (5000, 0, None, None),
            (6000, 7, Some(7), None),
        ] {
            queue.samples = samples;
            let news = queue.news(start + Duration::from_millis(millis));
            assert_eq!(news, told.map(|queued| Event::Receiving { queued }), "at {millis} ms");
            assert_eq!(queue.due().map(|at| (at - start).as_millis()), due, "at {millis} ms");
        }
    }
}
