//! Events: what a program reports on stdout under `--json`, one JSON object a line, so that another program can follow
//! it. The orchestrator follows its children in this way. Fields may be added; unknown ones are to be ignored.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// One line on stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// receiver: ready for senders. Sent once, after the chunk directory is recovered and the port is bound.
    Listening {
        /// The address that was bound; its port is the real one, also when port 0 was asked for.
        address: SocketAddr,
        /// Samples that are already durable from an earlier run.
        samples: u64,
    },
    /// receiver: samples arrive. Sent about ten times a second at most.
    Receiving {
        /// Samples that are here and not durable yet.
        queued: u64,
    },
    /// receiver: a chunk became durable.
    Stored {
        /// Durable samples in the directory.
        samples: u64,
        /// Chunk files in the directory.
        chunks: u64,
    },
    /// receiver: the disk is full, so the senders wait. Said again every few seconds for as long as it holds.
    Paused {
        /// What the operating system says, and of which file.
        reason: String,
    },
    /// receiver: there is room again.
    Resumed,
    /// receiver: every expected stream has ended, or has no end and the receiver was stopped; the directory is complete.
    Complete {
        /// Samples in the directory.
        samples: u64,
        /// Chunk files in the directory.
        chunks: u64,
        /// Seconds from the first sample received by this process to the manifest.
        seconds: f64,
    },
    /// sender: the dataset is being downloaded or drawn.
    Providing {
        /// What is being done, such as `downloading t10k-labels-idx1-ubyte.gz`.
        what: String,
        /// Bytes or images so far.
        done: u64,
        /// Bytes or images in all; 0 if unknown.
        of: u64,
    },
    /// sender: the dataset is there, and holds the samples that were asked for.
    Data {
        /// The directory with its files.
        dir: PathBuf,
        /// The dataset's digest, in hex.
        digest: String,
    },
    /// sender: something that nobody should miss, such as generated digits in place of MNIST.
    Notice {
        /// One sentence.
        text: String,
    },
    /// sender: samples that the receiver has made durable.
    Acknowledged {
        /// Durable samples of this stream.
        samples: u64,
        /// All samples of this stream; 0 if it has no end.
        of: u64,
    },
    /// trainer: a Spark server answers, on which partitions train.
    Spark {
        /// The address of its own pages.
        ui: String,
    },
    /// trainer: the data is read and training begins.
    Training {
        /// Samples in all partitions.
        samples: u64,
        /// Partitions.
        partitions: u64,
        /// The first round to train.
        first_round: u32,
        /// The last round.
        rounds: u32,
        /// The run folder.
        run_dir: PathBuf,
    },
    /// trainer: training on slices begins, while samples may still arrive.
    Live {
        /// Partitions.
        partitions: u64,
        /// The first round to train.
        first_round: u32,
        /// Samples of a slice.
        samples_per_round: u64,
        /// What a round trains on beside its slice, as `--replay` has it.
        replay: String,
        /// The run folder.
        run_dir: PathBuf,
    },
    /// trainer: a slice is durable, and its round begins.
    Slice {
        /// The round, from 1.
        round: u32,
        /// Where the slice ends: one past its last sample's seq.
        position: u64,
        /// Samples that are durable beyond this slice.
        behind_samples: u64,
        /// Seconds since the slice became durable.
        behind_seconds: f64,
    },
    /// trainer: the drift detector saw the prequential errors increase.
    Drift {
        /// The round, from 1.
        round: u32,
        /// The sample at which it was seen, by its seq.
        seq: u64,
    },
    /// trainer: part of a round is trained.
    Progress {
        /// The round, from 1.
        round: u32,
        /// Samples passed through the network in this round so far, all partitions together.
        samples: u64,
        /// Samples of the whole round.
        of: u64,
        /// Those of each partition so far; nothing where that is not known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partitions: Vec<u64>,
    },
    /// trainer: Spark has come further with a round.
    Tasks {
        /// The round, from 1.
        round: u32,
        /// Tasks of Spark that are done.
        done: u64,
        /// Tasks that are known so far; Spark counts those of a stage when it begins.
        of: u64,
    },
    /// trainer: a round is averaged, evaluated and saved.
    Round {
        /// The round, from 1.
        round: u32,
        /// Mean loss over the samples trained on.
        train_loss: f64,
        /// Mean loss on the test set.
        test_loss: f64,
        /// Share of the test set that is right, 0 to 1.
        test_accuracy: f64,
        /// Share of the received data that is right, 0 to 1, where it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        received_accuracy: Option<f64>,
        /// How the model did on the round's slice before it was trained on it; of a live run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prequential: Option<Prequential>,
        /// SHA-256 of the averaged model.
        model_sha256: String,
        /// Seconds that the round took.
        seconds: f64,
    },
    /// trainer: the text of the summary, for people.
    Summary {
        /// Several lines.
        text: String,
    },
}

/// Figures of prequential evaluation: each sample is predicted before it is trained on (Gama, Sebastião and Rodrigues, "On
/// evaluating stream learning algorithms", 2013).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prequential {
    /// Where the slice ends: one past its last sample's seq.
    pub position: u64,
    /// Share of the slice that was predicted right, 0 to 1.
    pub accuracy: f64,
    /// Mean loss on the slice.
    pub loss: f64,
    /// Cohen's kappa of the predictions for the slice: 1 is perfect, 0 as good as chance.
    pub kappa: f64,
    /// Share of all samples so far that was predicted right, where older ones count less by the fading factor for each
    /// later one.
    pub fading_accuracy: f64,
}

/// Writes one event as a line on stdout.
///
/// # Errors
/// When stdout is gone.
pub fn emit(event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// One of each, in the order of the documentation: what comes after an event, so that the compiler sees that none is
    /// missing.
    fn after(event: Option<&Event>) -> Option<Event> {
        let (samples, chunks, text) = (1, 1, String::new());
        Some(match event {
            None => Event::Listening { address: ([127, 0, 0, 1], 1).into(), samples },
            Some(Event::Listening { .. }) => Event::Receiving { queued: samples },
            Some(Event::Receiving { .. }) => Event::Stored { samples, chunks },
            Some(Event::Stored { .. }) => Event::Paused { reason: text },
            Some(Event::Paused { .. }) => Event::Resumed,
            Some(Event::Resumed) => Event::Complete { samples, chunks, seconds: 0.0 },
            Some(Event::Complete { .. }) => Event::Providing { what: text, done: 0, of: 0 },
            Some(Event::Providing { .. }) => Event::Data { dir: PathBuf::new(), digest: text },
            Some(Event::Data { .. }) => Event::Notice { text },
            Some(Event::Notice { .. }) => Event::Acknowledged { samples, of: 1 },
            Some(Event::Acknowledged { .. }) => Event::Spark { ui: text },
            Some(Event::Spark { .. }) => {
                Event::Training { samples, partitions: 1, first_round: 1, rounds: 1, run_dir: PathBuf::new() }
            }
            Some(Event::Training { .. }) => Event::Live {
                partitions: 1,
                first_round: 1,
                samples_per_round: samples,
                replay: text,
                run_dir: PathBuf::new(),
            },
            Some(Event::Live { .. }) => {
                Event::Slice { round: 1, position: samples, behind_samples: 0, behind_seconds: 0.0 }
            }
            Some(Event::Slice { .. }) => Event::Drift { round: 1, seq: 0 },
            Some(Event::Drift { .. }) => Event::Progress { round: 1, samples, of: 1, partitions: vec![samples] },
            Some(Event::Progress { .. }) => Event::Tasks { round: 1, done: 1, of: 1 },
            Some(Event::Tasks { .. }) => Event::Round {
                round: 1,
                train_loss: 0.0,
                test_loss: 0.0,
                test_accuracy: 0.0,
                received_accuracy: Some(0.0),
                prequential: Some(Prequential {
                    position: 1,
                    accuracy: 0.0,
                    loss: 0.0,
                    kappa: 0.0,
                    fading_accuracy: 0.0,
                }),
                model_sha256: text,
                seconds: 0.0,
            },
            Some(Event::Round { .. }) => Event::Summary { text },
            Some(Event::Summary { .. }) => return None,
        })
    }

    #[test]
    fn docs_events_md_has_every_event_with_every_field_and_no_other() {
        let documented = include_str!("../../../docs/events.md");
        let rows = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let rows: Vec<(&str, &str)> = rows.collect();
        let names: Vec<_> = rows.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut expect = Vec::new();
        for event in std::iter::successors(after(None), |event| after(Some(event))) {
            let serde_json::Value::Object(mut fields) = serde_json::to_value(&event).unwrap() else { panic!() };
            let name = fields.remove("event").unwrap().as_str().unwrap().to_owned();
            let (_, row) = rows.iter().find(|(row, _)| *row == name).unwrap_or_else(|| panic!("no row of {name}"));
            let column = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let told: BTreeSet<_> = column.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            assert_eq!(told, fields.keys().cloned().collect(), "{name}");
            expect.push(name);
        }
        assert_eq!(names, expect);
    }

    #[test]
    fn an_event_is_one_flat_json_object() {
        let event = Event::Stored { samples: 2000, chunks: 2 };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"event":"stored","samples":2000,"chunks":2}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
