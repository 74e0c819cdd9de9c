//! The history of a run, told again: what its folder keeps, as events in the order of their times.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use event::Event;
use page::Happening;
use run_folder::{Summary, record::Record};
use serde::Deserialize;

use crate::commands::kept::Kept;

/// More than any run has; a folder may say anything.
const MAX_SENDERS: u64 = 256;

const RECEIVER: &str = "receiver";
pub(super) const TRAINER: &str = "trainer";

/// When rounds ended, each known by its number and the hash of its model.
pub(super) type Times = BTreeMap<(u32, String), SystemTime>;

pub(super) struct History {
    pub(super) begin: SystemTime,
    pub(super) end: SystemTime,
    pub(super) plan: Happening<'static>,
    pub(super) told: Vec<Told>,
}

/// What a program told, and when.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) at: SystemTime,
    pub(super) child: &'static str,
    pub(super) event: Event,
}

/// The times in `events.jsonl`. Half a line, after a power cut, is no event.
pub(super) fn times(events: &[u8]) -> Times {
    #[derive(Deserialize)]
    struct Timed {
        time: String,
        round: u32,
        model_sha256: String,
    }
    let lines = events.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let timed = |Timed { time, round, model_sha256 }| {
        Some(((round, model_sha256), time.parse::<jiff::Timestamp>().ok()?.into()))
    };
    lines.filter_map(timed).collect()
}

impl History {
    /// Of a run whose newest checkpoint was written at `last`.
    pub(super) fn new(kept: &Kept<Option<Summary>>, times: &Times, last: SystemTime) -> History {
        let number = |key: &str| kept.config.get(key).and_then(toml::Value::as_integer).and_then(|n| n.try_into().ok());
        let is = |key: &str| kept.config.get(key).and_then(toml::Value::as_bool).unwrap_or(false);
        let (summary, live) = (kept.summary.as_ref(), is("live"));
        let points = kept.streaming.as_ref().map_or(&[][..], |streaming| &streaming.points);
        let streamed = points.last().map_or(0, |point| point.samples);
        let samples = summary.map_or(streamed, |summary| summary.n_samples);
        let partitions = number("partitions").unwrap_or(0);
        let rounds = u32::try_from(number("rounds").unwrap_or(0)).unwrap_or(u32::MAX);

        let rounds_at = rounds_at(&kept.checkpoint.history, times, last);
        let first = kept.checkpoint.history.first();
        let training = match (first, rounds_at.first()) {
            (Some(record), Some(at)) => before(*at, record.seconds()),
            _ => last,
        };
        // In a live run, a round begins when the samples of its slice are durable; else, when all are.
        let slice = first.and_then(|record| record.prequential).map(|slice| slice.position);
        let needed = slice.map_or(u64::MAX, |position| position.saturating_sub(number("offset").unwrap_or(0)));
        let arrival = points.iter().find(|point| point.samples >= needed).or(points.last());
        let streaming = before(training, arrival.map_or(0.0, |point| point.seconds));

        let mut told = Vec::new();
        let per_chunk = number("samples-per-chunk").unwrap_or(1000).max(1);
        for point in points.iter().filter(|point| point.samples > 0) {
            let event = Event::Stored { samples: point.samples, chunks: point.samples.div_ceil(per_chunk) };
            told.push(Told { at: after(streaming, point.seconds), child: RECEIVER, event });
        }
        if let Some(Summary { n_samples, n_chunks, seconds, .. }) = summary {
            let event = Event::Complete { samples: *n_samples, chunks: *n_chunks, seconds: seconds.send };
            let at = after(streaming, points.last().map_or(0.0, |point| point.seconds));
            told.push(Told { at, child: RECEIVER, event });
        }
        let (first_round, run_dir) = (first.map_or(1, |record| record.round), kept.folder.clone());
        let event = if live {
            let replay = kept.config.get("replay").and_then(toml::Value::as_str).unwrap_or("none").to_owned();
            let samples_per_round = number("samples-per-round").unwrap_or(0);
            Event::Live { partitions, first_round, samples_per_round, replay, run_dir }
        } else {
            Event::Training { samples, partitions, first_round, rounds, run_dir }
        };
        told.push(Told { at: training, child: TRAINER, event });
        for (record, at) in kept.checkpoint.history.iter().zip(rounds_at) {
            let drift = |seq: &u64| Event::Drift { round: record.round, seq: *seq };
            let events = record.drifts.iter().map(drift).chain([record.event()]);
            told.extend(events.map(|event| Told { at, child: TRAINER, event }));
        }
        told.sort_by_key(|told| told.at); // What has the same time stays as it is.
        let plan = Happening::Plan {
            senders: number("senders")
                .or(summary.and_then(|summary| summary.n_streams))
                .map_or(1, |n| n.min(MAX_SENDERS) as u32),
            samples: if is("endless") { 0 } else { number("samples").unwrap_or(samples) },
            partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
            rounds: if live { 0 } else { rounds },
            live,
        };
        let [begin, end] = [told.first(), told.last()].map(|told| told.map_or(last, |told| told.at));
        History { begin, end, plan, told }
    }
}

/// When each round ended. One that nobody noted ended when the next began, and the last at `last`.
fn rounds_at(history: &[Record], times: &Times, last: SystemTime) -> Vec<SystemTime> {
    let mut next = last;
    let mut ends: Vec<SystemTime> = history
        .iter()
        .rev()
        .map(|record| {
            let at = times.get(&(record.round, record.model_sha256.clone())).copied().unwrap_or(next);
            next = before(at, record.seconds());
            at
        })
        .collect();
    ends.reverse();
    ends
}

fn before(at: SystemTime, seconds: f64) -> SystemTime {
    Duration::try_from_secs_f64(seconds).ok().and_then(|time| at.checked_sub(time)).unwrap_or(at)
}

fn after(at: SystemTime, seconds: f64) -> SystemTime {
    Duration::try_from_secs_f64(seconds).ok().and_then(|time| at.checked_add(time)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use event::Prequential;
    use run_folder::{Checkpoint, Origin, Point, ServerState, Streaming, Sums};

    use super::*;

    fn at(seconds: f64) -> SystemTime {
        after(SystemTime::UNIX_EPOCH, 1000.0 + seconds)
    }

    /// A run of rounds that took two seconds each, streamed in three points a second apart.
    fn kept(config: &str, history: Vec<Record>) -> Kept<Option<Summary>> {
        let point = |chunks: u64| Point { seconds: chunks as f64, samples: chunks * 1000 };
        let origin = Origin { flags: Vec::new(), data: String::new(), dataset: "mnist".into() };
        let (global, unlisted) = (model::SIMPLE_CNN.zeros(), Sums::default());
        Kept {
            folder: "runs/x".into(),
            name: "x".into(),
            config: config.parse().unwrap(),
            summary: None,
            checkpoint: Checkpoint {
                origin,
                history,
                unlisted,
                global,
                position: None,
                server: ServerState::default(),
            },
            path: "runs/x/checkpoints/round-002.safetensors".into(),
            streaming: Some(Streaming::new(Vec::new(), Vec::new(), (0..3).map(point).collect())),
            damage: None,
        }
    }

    fn words(history: &History) -> Vec<(SystemTime, String)> {
        let words = |told: &Told| match &told.event {
            Event::Stored { samples, chunks } => format!("stored {samples} in {chunks}"),
            Event::Training { samples, first_round, rounds, .. } => {
                format!("training {samples}, {first_round} to {rounds}")
            }
            Event::Live { first_round, replay, .. } => format!("live from {first_round}, replay {replay}"),
            Event::Drift { round, seq } => format!("drift {seq} in {round}"),
            Event::Round { round, .. } => format!("round {round}"),
            event => format!("{event:?}"),
        };
        history.told.iter().map(|told| (told.at, words(told))).collect()
    }

    #[test]
    fn a_run_is_told_from_its_streaming_to_its_last_round_as_it_was_noted_or_must_have_been() {
        let kept = kept(
            "rounds = 3\npartitions = 4\nsamples = 2000\nsenders = 2",
            vec![Record::example(1), Record { model_sha256: "b".into(), ..Record::example(2) }],
        );
        let expect = |offset: f64| {
            [(0.0, "stored 1000 in 1"), (1.0, "stored 2000 in 2"), (1.0, "training 2000, 1 to 3"), (3.0, "round 1")]
                .map(|(seconds, text)| (at(offset + seconds), text.to_owned()))
        };
        let history = History::new(&kept, &Times::new(), at(10.0));
        assert_eq!(words(&history)[..4], expect(5.0));
        assert_eq!(words(&history)[4..], [(at(10.0), "round 2".into())]);
        assert_eq!((history.begin, history.end), (at(5.0), at(10.0)));
        let Happening::Plan { senders: 2, samples: 2000, partitions: 4, rounds: 3, live: false } = history.plan else {
            panic!("{:?}", history.plan)
        };
        // There was a break between the rounds.
        let line = |round: u32, sha: &str, time: &str| {
            format!("{{\"time\":\"{time}\",\"event\":\"round\",\"round\":{round},\"model_sha256\":\"{sha}\"}}\n")
        };
        let sha = "0123456789abcdef".repeat(4);
        let log = line(1, &sha, "1970-01-01T00:16:41Z") + &line(2, "a", "1970-01-01T00:16:45Z") + "{\"time\":";
        assert_eq!(times(log.as_bytes()).len(), 2);
        let history = History::new(&kept, &times(log.as_bytes()), at(10.0));
        assert_eq!(words(&history)[..4], expect(-2.0));
        assert_eq!(words(&history)[4..], [(at(10.0), "round 2".into())]);
    }

    #[test]
    fn rounds_of_a_live_run_are_told_between_what_arrives() {
        let slice = |round: u32| Record {
            drifts: if round == 2 { vec![1500] } else { Vec::new() },
            prequential: Some(Prequential {
                position: 500 + u64::from(round) * 1000,
                accuracy: 0.5,
                loss: 0.5,
                kappa: 0.5,
                fading_accuracy: 0.5,
            }),
            train_seconds: 0.25,
            evaluate_seconds: 0.25,
            ..Record::example(round)
        };
        let config = "live = true\nendless = true\noffset = 500\nreplay = \"landmark\"\nsamples-per-round = 1000";
        let history = History::new(&kept(config, vec![slice(1), slice(2)]), &Times::new(), at(1.0));
        let expect = [
            (0.0, "stored 1000 in 1"),
            (0.0, "live from 1, replay landmark"),
            (0.5, "round 1"),
            (1.0, "stored 2000 in 2"),
            (1.0, "drift 1500 in 2"),
            (1.0, "round 2"),
        ];
        assert_eq!(words(&history), expect.map(|(seconds, text)| (at(seconds), text.to_owned())));
        assert!(
            matches!(history.plan, Happening::Plan { samples: 0, rounds: 0, live: true, .. }),
            "{:?}",
            history.plan
        );
    }

    #[test]
    fn times_that_are_none_move_nothing() {
        for seconds in [f64::NAN, -1.0, f64::INFINITY, 1e300] {
            assert_eq!((before(at(0.0), seconds), after(at(0.0), seconds)), (at(0.0), at(0.0)));
        }
    }
}
