//! The report: `BENCHMARKS.md`, first all targets and whether they are met, then each kind with its figures.

use std::fmt::Write;

use crate::{Bound, Measurement, Target, record::Record, series::Series};

/// The report of these records, in Markdown.
pub fn report(records: &[Record]) -> String {
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

fn row(target: &Target) -> String {
    let Target { what, bound, unit, measured } = target;
    let bound = match bound {
        Bound::AtLeast(bound) => format!("at least {}", unit.show(*bound)),
        Bound::AtMost(bound) => format!("at most {}", unit.show(*bound)),
    };
    let Some(measured) = measured else { return format!("| {what} | {bound} | | | not measured |\n") };
    let verdict = if target.is_met() == Some(true) { "met" } else { "**not met**" };
    format!("| {what} | {bound} | {} | {} | {verdict} |\n", unit.show(measured.median()), spread(measured))
}

fn section(record: &Record) -> String {
    let Record { measurement, commit, date, machine, load } = record;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Unit;

    #[test]
    fn a_report_says_of_each_target_whether_it_is_met() {
        let series = |values: &[f64]| Series { name: "ours".into(), unit: Unit::Seconds, values: values.into() };
        let targets = vec![
            Target::at_most(14.0, Unit::Seconds, "fast enough", Some(series(&[15.0, 13.0, 14.0]))),
            Target::at_least(15.0, Unit::Seconds, "slow enough", Some(series(&[14.0]))),
            Target::at_most(10.0, Unit::Seconds, "in bf16", None),
        ];
        let measurement = Measurement {
            title: "Runs".into(),
            about: "Whole runs.".into(),
            series: vec![series(&[15.0, 13.0, 14.0])],
            targets,
            notes: vec!["Python 3.11".into()],
        };
        let (commit, date, machine) = ("abc".into(), "2026-01-01".into(), "2 cores".into());
        let text = report(&[Record { measurement, commit, date, machine, load: 0.125 }]);
        let expect = "
| what | target | median | least to most | |
|---|---:|---:|---:|---|
| fast enough | at most 14.00 s | 14.00 s | 13.00 s to 15.00 s | met |
| slow enough | at least 15.00 s | 14.00 s | 14.00 s to 14.00 s | **not met** |
| in bf16 | at most 10.00 s | | | not measured |

## Runs

Whole runs.

On 2 cores; commit abc, 2026-01-01; turns: 3; load before: 0.12.

| | median | least to most |
|---|---:|---:|
| ours | 14.00 s | 13.00 s to 15.00 s |

Python 3.11
";
        assert_eq!(text.strip_prefix(INTRODUCTION), Some(expect));
    }
}
