//! How fast samples became durable, and where the time went.

use maud::{Markup, html};

use super::numbers;
use crate::{
    Point, Report,
    chart::{Line, LineChart, stacked_bar},
    number,
};

/// Rates are means over so many spans of the streaming: single chunks come too unevenly to read.
const SPANS: usize = 24;

/// Samples per second, from one time to another.
struct Rate {
    from: f64,
    seconds: f64,
    samples: u64,
    rate: f64,
}

pub(super) fn section(report: &Report) -> Markup {
    let phases: Vec<Vec<String>> =
        report.phases.iter().map(|(name, seconds)| vec![name.clone(), number::fixed(*seconds, 2)]).collect();
    super::section(
        "time",
        "Time and throughput",
        html! {
            @if !report.phases.is_empty() {
                figure {
                    figcaption { b { "Time by phase" } ", " (number::seconds(report.phases.iter().map(|(_, s)| s).sum())) " in all" }
                    (stacked_bar("phases", "Time by phase", &report.phases))
                    (numbers("Seconds by phase", &["phase", "seconds"].map(String::from), &phases))
                }
            }
            (ingest(report))
        },
    )
}

fn ingest(report: &Report) -> Markup {
    let rates = rates(&report.ingest);
    if rates.is_empty() {
        return html! {
            p class="remark" {
                "How fast the samples arrived was not recorded: only the orchestrator sees it, in a run that it starts itself."
            }
        };
    }
    let megabytes = |rate: f64| rate * report.bytes_per_sample as f64 / 1e6;
    let mean = report
        .ingest
        .first()
        .zip(report.ingest.last())
        .map(|(first, last)| (last.samples.saturating_sub(first.samples)) as f64 / (last.seconds - first.seconds));
    let mean = mean.unwrap_or(f64::NAN);
    let chart = LineChart {
        id: "ingest",
        title: "Durable samples per second over time",
        description: &format!(
            "On average {} samples, or {} megabytes, became durable in a second.",
            number::fixed(mean, 0),
            number::fixed(megabytes(mean), 2)
        ),
        x: "seconds since the senders were started",
        unit: "",
        from_zero: true,
        lines: vec![Line {
            name: "samples/s".into(),
            class: "s1".into(),
            // Steps: a rate is the mean of its span.
            points: rates.iter().flat_map(|rate| [(rate.from, rate.rate), (rate.seconds, rate.rate)]).collect(),
        }],
        ..LineChart::default()
    };
    let row = |rate: &Rate| {
        let megabytes = number::fixed(megabytes(rate.rate), 2);
        vec![number::fixed(rate.seconds, 2), number::count(rate.samples), number::fixed(rate.rate, 0), megabytes]
    };
    let heads = ["seconds", "durable samples", "samples/s", "MB/s"].map(String::from);
    html! {
        div class="beside" {
            figure {
                figcaption { b { "Ingest" } ", durable samples per second" }
                (chart.svg())
                (numbers("Ingest over time", &heads, &rates.iter().map(row).collect::<Vec<_>>()))
            }
            p class="remark" {
                "On average " b { (number::fixed(mean, 0)) " samples/s" } ", " b { (number::fixed(megabytes(mean), 2)) " MB/s" }
                " of pixels and labels (" (report.bytes_per_sample) " bytes a sample), simulated latency included. A sample \
                 counts when its chunk is written, synced and renamed into place."
            }
        }
    }
}

/// The rate of every span between two points, spans being joined until there are few enough to draw.
fn rates(points: &[Point]) -> Vec<Rate> {
    let step = points.len().div_ceil(SPANS).max(1);
    let mut kept: Vec<Point> = points.iter().copied().step_by(step).collect();
    if let Some(last) = points.last().filter(|last| kept.last() != Some(last)) {
        kept.push(*last);
    }
    let rate = |pair: &[Point]| {
        let (time, samples) = (pair[1].seconds - pair[0].seconds, pair[1].samples.checked_sub(pair[0].samples)?);
        let rate = samples as f64 / time;
        (time > 0.0 && rate.is_finite()).then_some(Rate {
            from: pair[0].seconds,
            seconds: pair[1].seconds,
            samples: pair[1].samples,
            rate,
        })
    };
    kept.windows(2).filter_map(rate).collect()
}
