//! The run beside others.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::numbers;
use crate::{
    Report, Round,
    chart::{Line, LineChart},
    number,
};

/// Colours that can be told apart, with any eyes, on both grounds.
const COLOURS: usize = 6;

pub(super) fn section(report: &Report) -> Markup {
    if report.others.is_empty() {
        return html! {};
    }
    let runs: Vec<&Report> = [report].into_iter().chain(&report.others).collect();
    let accuracy =
        chart(&runs, "compared-accuracy", "Test accuracy of each run by round", " %", |r| 100.0 * r.test_accuracy);
    let loss = chart(&runs, "compared-loss", "Test loss of each run by round", "", |r| r.test_loss);
    super::section(
        "comparison",
        &format!("{} runs side by side", runs.len()),
        html! {
            (super::table("Final figures of each run", &heads(), &runs.iter().enumerate().map(row).collect::<Vec<_>>()))
            div class="pair" {
                figure { figcaption { b { "Test accuracy" } ", runs by letter" } (accuracy) }
                figure { figcaption { b { "Test loss" } ", in nats" } (loss) }
            }
            (by_round(&runs))
            (differences(&runs))
            p class="remark" { "All that follows is of run A, " (report.name) "." }
        },
    )
}

fn heads() -> Vec<String> {
    ["run", "name", "rounds", "test accuracy", "test loss", "seconds"].map(String::from).into()
}

fn row((index, run): (usize, &&Report)) -> Vec<String> {
    let last = |value: &dyn Fn(&Round) -> String| run.rounds.last().map_or_else(|| "–".into(), value);
    vec![
        letter(index),
        run.name.clone(),
        run.rounds.len().to_string(),
        last(&|round| number::percent(round.test_accuracy)),
        last(&|round| number::fixed(round.test_loss, 4)),
        number::fixed(run.seconds, 1),
    ]
}

/// A, B, …, Z, 27, …: names of runs are too long for the end of a line.
fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(index @ 0..26) => char::from(b'A' + index).to_string(),
        _ => (index + 1).to_string(),
    }
}

fn chart(runs: &[&Report], id: &str, title: &str, unit: &str, value: impl Fn(&Round) -> f64) -> Markup {
    let line = |(index, run): (usize, &&Report)| Line {
        name: letter(index),
        class: format!("s{}", index % COLOURS + 1),
        points: run.rounds.iter().map(|round| (f64::from(round.round), value(round))).collect(),
    };
    let lines = runs.iter().enumerate().map(line).collect();
    let description = format!("One line for each of {} runs, named by its letter.", runs.len());
    let description = &description;
    LineChart { id, title, description, x: "round", unit, rounds: true, lines, ..LineChart::default() }.svg()
}

fn by_round(runs: &[&Report]) -> Markup {
    let figures = |index| ["accuracy", "loss"].map(|figure| format!("{} {figure}", letter(index)));
    let heads = super::row("round", (0..runs.len()).flat_map(figures));
    let rounds: BTreeSet<u32> = runs.iter().flat_map(|run| &run.rounds).map(|round| round.round).collect();
    let cells = |round: u32, run: &Report| match run.rounds.iter().find(|record| record.round == round) {
        Some(record) => [number::percent(record.test_accuracy), number::fixed(record.test_loss, 4)],
        None => ["–".to_owned(), "–".to_owned()],
    };
    let row = |round: u32| super::row(round, runs.iter().flat_map(|run| cells(round, run)));
    numbers("Test accuracy and loss of each run by round", &heads, &rounds.into_iter().map(row).collect::<Vec<_>>())
}

fn differences(runs: &[&Report]) -> Markup {
    let names: BTreeSet<&String> = runs.iter().flat_map(|run| &run.settings).map(|(name, _)| name).collect();
    let value = |run: &Report, name: &String| {
        run.settings.iter().find(|(key, _)| key == name).map_or_else(|| "–".to_owned(), |(_, value)| value.clone())
    };
    let rows: Vec<Vec<String>> = names
        .into_iter()
        .map(|name| (name, runs.iter().map(|run| value(run, name)).collect::<Vec<_>>()))
        .filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]))
        .map(|(name, values)| super::row(name, values))
        .collect();
    let heads = super::row("setting", (0..runs.len()).map(letter));
    html! {
        h3 { "Settings that differ" }
        @if rows.is_empty() { p class="remark" { "None." } } @else { (super::table("Settings that differ", &heads, &rows)) }
    }
}
