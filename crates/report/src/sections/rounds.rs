//! What the rounds brought: accuracy, loss, and the loss of each partition.

use maud::{Markup, html};

use super::{
    figure,
    live::{self, Column},
    numbers,
};
use crate::{
    Report, Round,
    chart::{Line, LineChart},
    number,
};

/// Columns of a table of partitions; `partitions.csv` has them all.
const COLUMNS: usize = 32;

pub(super) fn section(report: &Report) -> Markup {
    let (is_live, rules) = (live::is_live(report), live::rules(report));
    let accuracy = LineChart {
        id: "accuracy",
        title: "Accuracy by round",
        description: &trend("Test accuracy", report, |round| number::percent(round.test_accuracy)),
        x: "round",
        unit: " %",
        rounds: true,
        from_zero: false,
        lines: vec![
            line(report, "test", "s1", |round| Some(100.0 * round.test_accuracy)),
            line(report, "received", "s2", |round| round.received_accuracy.map(|share| 100.0 * share)),
            line(report, "prequential", "s4", |round| Some(100.0 * round.prequential?.accuracy)),
            line(report, "fading", "s3", |round| Some(100.0 * round.prequential?.fading_accuracy)),
        ],
        rules: rules.clone(),
    };
    let loss = LineChart {
        id: "loss",
        title: "Loss by round",
        description: &trend("Test loss", report, |round| number::fixed(round.test_loss, 4)),
        x: "round",
        unit: "",
        rounds: true,
        from_zero: true,
        lines: vec![
            line(report, "test", "s1", |round| Some(round.test_loss)),
            line(report, "train", "s3", |round| Some(round.train_loss)),
            line(report, "prequential", "s4", |round| Some(round.prequential?.loss)),
        ],
        rules,
    };
    let (what, heads, rows) = table(report);
    super::section(
        "rounds",
        "Accuracy and loss, round by round",
        html! {
            div class="pair" {
                figure { figcaption { b { "Accuracy" } ", share recognised; the axis begins where the figures do" } (accuracy.svg()) }
                figure { figcaption { b { "Loss" } ", mean cross-entropy in nats" } (loss.svg()) }
            }
            p class="remark" {
                "Test: the averaged model, on images it never saw. Train: the mean over the samples as they were trained on, each \
                 just before its step, so it lags behind."
                @if is_live { " " (live::REMARK) }
            }
            @if is_live { p class="remark" { (live::drifts(report)) @if !accuracy.rules.is_empty() { " In the charts, a dashed rule." } } }
            (numbers(what, &heads, &rows))
        },
    )
}

/// A line through the rounds of which there is a value.
fn line(report: &Report, name: &str, class: &str, value: impl Fn(&Round) -> Option<f64>) -> Line {
    let points = report.rounds.iter().filter_map(|round| Some((f64::from(round.round), value(round)?)));
    Line { name: name.into(), class: class.into(), points: points.collect() }
}

fn table(report: &Report) -> (&'static str, Vec<String>, Vec<Vec<String>>) {
    let mut columns: Vec<Column> = vec![
        ("round", |round| round.round.to_string()),
        ("train loss", |round| number::fixed(round.train_loss, 4)),
        ("test loss", |round| number::fixed(round.test_loss, 4)),
        ("test accuracy", |round| number::percent(round.test_accuracy)),
    ];
    let is_live = live::is_live(report);
    if is_live {
        columns.extend(live::columns());
    }
    if !is_live || report.rounds.iter().any(|round| round.received_accuracy.is_some()) {
        let cell: fn(&Round) -> String =
            |round| round.received_accuracy.map_or_else(|| "not measured".into(), number::percent);
        columns.push(("received accuracy", cell));
    }
    columns.push(("seconds", |round| number::fixed(round.seconds, 1)));
    let row = |round: &Round| columns.iter().map(|(_, cell)| cell(round)).collect();
    let heads = columns.iter().map(|(head, _)| String::from(*head)).collect();
    ("Accuracy and loss by round", heads, report.rounds.iter().map(row).collect())
}

/// `Test accuracy goes from 96.20 % in round 1 to 98.79 % in round 5.`
fn trend(what: &str, report: &Report, value: impl Fn(&Round) -> String) -> String {
    match report.rounds.as_slice() {
        [] => format!("{what}: no round was trained."),
        [only] => format!("{what} is {} in round {}.", value(only), only.round),
        [first, .., last] => {
            let (from, to) = (value(first), value(last));
            format!("{what} goes from {from} in round {} to {to} in round {}.", first.round, last.round)
        }
    }
}

/// The loss and the samples of every partition.
pub(super) fn partitions(report: &Report) -> Markup {
    let count = report.rounds.iter().map(|round| round.partitions.len()).max().unwrap_or(0);
    if count == 0 {
        return html! {};
    }
    let of = |index: usize| {
        let point = |round: &Round| Some((f64::from(round.round), round.partitions.get(index)?.1));
        report.rounds.iter().filter_map(point).collect()
    };
    let thin = |index| Line { name: String::new(), class: "thin".into(), points: of(index) };
    let mean = report.rounds.iter().map(|round| (f64::from(round.round), round.train_loss)).collect();
    let mean = Line { name: "mean".into(), class: "s3".into(), points: mean };
    let chart = LineChart {
        id: "partitions",
        title: "Train loss of each partition by round",
        description: &format!("{count} thin lines, one for each partition, and their mean."),
        x: "round",
        unit: "",
        rounds: true,
        from_zero: true,
        lines: (0..count).map(thin).chain([mean]).collect(),
        ..LineChart::default()
    };
    let heads = super::row("round", (0..count.min(COLUMNS)).map(|index| format!("partition {index}")));
    let cell = |&(samples, loss): &(u64, f64)| format!("{} ({})", number::fixed(loss, 4), number::count(samples));
    let row = |round: &Round| super::row(round.round, round.partitions.iter().take(COLUMNS).map(cell));
    let rows: Vec<Vec<String>> = report.rounds.iter().map(row).collect();
    super::section(
        "partitions",
        "The partitions",
        html! {
            div class="beside" {
                (figure("Train loss of each partition, in nats", chart.svg(), numbers("Train loss and samples of each partition by round", &heads, &rows)))
                p class="remark" { (samples(report, count)) }
            }
        },
    )
}

/// How the samples are shared out, in a sentence.
fn samples(report: &Report, count: usize) -> String {
    let counts = || report.rounds.iter().flat_map(|round| &round.partitions).map(|&(samples, _)| samples);
    let (fewest, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let each = if fewest == most {
        number::samples(most)
    } else {
        format!("between {} and {}", number::count(fewest), number::samples(most))
    };
    let more = if count > COLUMNS { " The table shows the first of them; partitions.csv has all." } else { "" };
    match count {
        1 => format!("One partition holds {each}, in every round.{more}"),
        _ => format!(
            "{count} partitions hold {each} each. Every one starts its round from the same averaged model and trains on its \
             own samples; a line that leaves the others would be a partition whose data differ.{more}"
        ),
    }
}
