//! A report is a run as one HTML page: the figures, drawn and as tables, and the digits that it got wrong. The page is
//! one file that needs no network, no script and nothing beside it, and reads well on paper, on a phone, in the dark
//! and aloud.
//!
//! [`Report`] is plain data, and [`Report::html`] all that this crate does. [`chart`] draws SVG whose colours are the
//! style sheet's variables; `sections` is the page from top to bottom.

#![forbid(unsafe_code)]

pub mod chart;
mod number;
mod sections;

/// How a report looks, as a style sheet, for other pages that are to look like it. What only a report has is not in it.
pub const STYLE: &str = include_str!("style.css");

/// Classes that a sample can be of.
pub const CLASSES: usize = 10;

/// Everything that a page says.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The run's name, such as its folder's.
    pub name: String,
    /// What was run, as pairs of a name and a value.
    pub facts: Vec<(String, String)>,
    /// What nobody should miss, such as that the digits are not MNIST's.
    pub notes: Vec<String>,
    /// Samples received and trained on.
    pub n_samples: u64,
    /// Share of the received samples that the final model gets right, 0 to 1, where it was measured.
    pub received_accuracy: Option<f64>,
    /// Share of all samples that was predicted right before they were trained on, 0 to 1; of a live run.
    pub prequential_accuracy: Option<f64>,
    /// The rounds, in order.
    pub rounds: Vec<Round>,
    /// Where the time went: names and seconds.
    pub phases: Vec<(String, f64)>,
    /// How samples became durable, if anybody saw it.
    pub ingest: Vec<Point>,
    /// Bytes of one sample without what surrounds it on the wire.
    pub bytes_per_sample: u64,
    /// What the final model made of the test set.
    pub test: Option<Test>,
    /// The weights of the first layer, one row for each filter of three by three.
    pub filters: Vec<[f32; 9]>,
    /// Other runs to compare with. Of these, no more is shown than name, rounds, settings and seconds.
    pub others: Vec<Report>,
    /// The flags of this run, for the comparison.
    pub settings: Vec<(String, String)>,
    /// Seconds in all.
    pub seconds: f64,
}

/// The figures of a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// From 1.
    pub round: u32,
    /// Mean loss over the samples trained on.
    pub train_loss: f64,
    /// Mean loss on the test set.
    pub test_loss: f64,
    /// Share of the test set that is right, 0 to 1.
    pub test_accuracy: f64,
    /// Share of the received samples that is right, 0 to 1, where it was measured.
    pub received_accuracy: Option<f64>,
    /// How the model did on the round's slice before it was trained on it; of a live run.
    pub prequential: Option<Prequential>,
    /// The samples of the slice at which the errors were seen to become more, by their place in the stream.
    pub drifts: Vec<u64>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Each partition's number of samples and mean loss, in partition order; empty if nobody kept them.
    pub partitions: Vec<(u64, f64)>,
}

/// How a model did on a slice of the stream before it was trained on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prequential {
    /// Where the slice ends in the stream.
    pub position: u64,
    /// Share of the slice that was predicted right, 0 to 1.
    pub accuracy: f64,
    /// Mean loss.
    pub loss: f64,
    /// Cohen's kappa.
    pub kappa: f64,
    /// Share of all samples so far, older ones counting less, that was predicted right, 0 to 1.
    pub fading_accuracy: f64,
}

/// So many samples were durable at this time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the senders were started.
    pub seconds: f64,
    /// Durable samples in all.
    pub samples: u64,
}

/// What a model made of a test set.
#[derive(Clone, Debug, Default)]
pub struct Test {
    /// How many samples of each class (first index) were taken for each class (second index).
    pub confusion: [[u64; CLASSES]; CLASSES],
    /// Samples taken for another class, the surest first.
    pub wrong: Vec<Wrong>,
}

/// A sample taken for another class.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// Its place in the test set, from 0.
    pub index: usize,
    /// 28 by 28 grey pixels, 255 ink.
    pub pixels: Vec<u8>,
    /// What it is.
    pub label: u8,
    /// What it was taken for.
    pub predicted: u8,
    /// How sure the model was of that, 0 to 1.
    pub probability: f64,
}

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        sections::page(self).into_string()
    }
}

#[cfg(test)]
mod tests;
