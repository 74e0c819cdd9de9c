//! The report: `BENCHMARKS.md`, first all targets and whether they are met, then each kind with its figures.

use std::fmt::Write;

use torture::record::Origin;

use crate::{Bound, Measurement, Target, record::Record, series::Series};

pub(crate) fn report(records: &[Record]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text += "\n| what | target | median | least to most | |\n|---|---:|---:|---:|---|\n";
    for target in records.iter().flat_map(|record| &record.measurement.targets) {
        text += &row(target);
    }
    for record in records {
        text += &section(record);
    }
    text
}

const INTRODUCTION: &str = "\
# Benchmarks

Written by `scripts/bench`: figures, not prose. The contestants of a kind take turns, in one run; a ratio is taken within
each turn, and what is shown is the median over the turns with its spread. Read it for ratios: speeds are those of one
machine.
";

const WHY: &str = "docs/performance.md#what-is-left-and-why";

/// What stands in the way of a target, by what it is of. It is said of those that are missed.
pub(crate) const OBSTACLES: [(&str, &str); 1] =
    [("start-up, `trainer --help`", "the system loads libtorch before `main`")];

fn row(target: &Target) -> String {
    let Target { what, bound, unit, measured } = target;
    let bound = match bound {
        Bound::AtLeast(bound) => format!("at least {}", unit.show(*bound)),
        Bound::AtMost(bound) => format!("at most {}", unit.show(*bound)),
    };
    let Some(measured) = measured else { return format!("| {what} | {bound} | | | not measured |\n") };
    let verdict = match OBSTACLES.iter().find(|(of, _)| of == what) {
        _ if target.is_met() == Some(true) => "met".to_owned(),
        Some((_, obstacle)) => format!("**not met**: {obstacle} ([why]({WHY}))"),
        None => "**not met**".to_owned(),
    };
    format!("| {what} | {bound} | {} | {} | {verdict} |\n", unit.show(measured.median()), spread(measured))
}

fn section(record: &Record) -> String {
    let Record { measurement, origin: Origin { commit, date, machine }, load } = record;
    let Measurement { title, about, series, notes, .. } = measurement;
    let turns = series.first().map_or(0, |series| series.values.len());
    let mut text = format!("\n## {title}\n\n{about}\n\n");
    let _ = writeln!(text, "On {machine}; commit {commit}, {date}; turns: {turns}; load before: {load:.2}.\n");
    text += "| | median | least to most |\n|---|---:|---:|\n";
    for series in series {
        let (name, median) = (&series.name, series.unit.show(series.median()));
        let _ = writeln!(text, "| {name} | {median} | {} |", spread(series));
    }
    for note in notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

fn spread(series: &Series) -> String {
    format!("{} to {}", series.unit.show(series.least()), series.unit.show(series.most()))
}
