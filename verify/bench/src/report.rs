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

/// Where a target that is missed is explained at length.
const WHY: &str = "docs/performance.md#what-is-left-and-why";

/// What stands in the way of a target, by what it is of. It is said of those that are missed.
pub(crate) const OBSTACLES: [(&str, &str); 8] = [
    ("ours on one core / PyTorch eager, f32", "it is more than the peak of the core"),
    ("ours on one core / PyTorch eager, bf16", "a third of a step is no product of matrices"),
    ("ours on one core in bf16 / PyTorch eager in f32", "a third of a step is no product of matrices"),
    ("ours on two cores / PyTorch DDP, f32", "it is 88 % of the peak of the cores"),
    ("default run, f32", "at the peak of two cores, the arithmetic alone takes longer"),
    ("default run, bf16", "at the peak of two cores, with tests in f32, the arithmetic alone takes 9 s"),
    ("PySpark / default run, f32, time of all", "both do the same arithmetic; at the peak of two cores it would be 7×"),
    ("start-up, `trainer --help`", "the system loads libtorch before `main`"),
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Unit;

    #[test]
    fn a_report_says_of_each_target_whether_it_is_met_and_what_stands_in_the_way() {
        let series = |values: &[f64]| Series { name: "ours".into(), unit: Unit::Seconds, values: values.into() };
        let targets = vec![
            Target::at_most(14.0, Unit::Seconds, "fast enough", Some(series(&[15.0, 13.0, 14.0]))),
            Target::at_least(15.0, Unit::Seconds, "slow enough", Some(series(&[14.0]))),
            Target::at_most(10.0, Unit::Seconds, "in bf16", None),
            Target::at_most(50.0, Unit::Seconds, "start-up, `trainer --help`", Some(series(&[225.0]))),
        ];
        let measurement = Measurement {
            title: "Runs".into(),
            about: "Whole runs.".into(),
            series: vec![series(&[15.0, 13.0, 14.0])],
            targets,
            notes: vec!["Python 3.11".into()],
        };
        let origin = Origin { commit: "abc".into(), date: "2026-01-01".into(), machine: "2 cores".into() };
        let text = report(&[Record { measurement, origin, load: 0.125 }]);
        let expect = "
| what | target | median | least to most | |
|---|---:|---:|---:|---|
| fast enough | at most 14.00 s | 14.00 s | 13.00 s to 15.00 s | met |
| slow enough | at least 15.00 s | 14.00 s | 14.00 s to 14.00 s | **not met** |
| in bf16 | at most 10.00 s | | | not measured |
| start-up, `trainer --help` | at most 50.00 s | 225.00 s | 225.00 s to 225.00 s | **not met**: the system loads libtorch before `main` ([why](docs/performance.md#what-is-left-and-why)) |

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
