//! Benchmarks: how fast and how large the programs are, side by side with what a user would take instead and with what
//! the machine can do. Each kind is a module that makes one [`Measurement`]; `scripts/bench` makes them all and writes
//! `BENCHMARKS.md`.
//!
//! Nothing here is compared across time. The contestants of a kind take [`turns`], and a ratio is taken within a turn,
//! so that what slows the machine down for a minute slows both of its sides.

#![forbid(unsafe_code)]

mod accuracy;
mod child;
mod ingest;
mod live;
mod measurement;
mod memory;
mod page;
mod programs;
mod python;
mod record;
mod report;
mod run;
mod scaling;
mod series;
mod startup;
mod step;
mod turns;

use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use torture::{
    progress,
    record::{self as records, Origin, name},
};

use measurement::{Bound, Measurement, STEPS, Target, mnist, mnist_dir};
use record::{RECORDS, Record};

/// Measures the kinds named and writes BENCHMARKS.md.
///
/// Measurements of kinds that are not named are kept from earlier runs. Figures are worth nothing on a machine that has
/// other things to do.
#[derive(Parser)]
#[command(name = "bench")]
struct Flags {
    /// Kinds of measurement [default: all]
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// Turns that each contestant takes
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Training steps, against PyTorch and the dense limit of the machine
    Step,
    /// One sender to fsynced chunks, against raw loopback, raw disk and the codec alone
    Ingest,
    /// The accuracy of the default training by the native step and by libtorch's, over five seeds
    Accuracy,
    /// The default run from start to end, against the original's algorithm on PySpark
    Run,
    /// Live runs: waiting, time of all, and memory of a stream without an end
    Live,
    /// Watchers of a run, and what they cost it
    Page,
    /// Peak memory of trainer, receiver and sender
    Memory,
    /// `--help` of each program
    Startup,
    /// Partitions, samples and senders
    Scaling,
}

fn main() -> ExitCode {
    let flags = match flags::layers::parse::<Flags>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    process::exit::report("bench", measure_all(&flags))
}

fn measure_all(flags: &Flags) -> anyhow::Result<()> {
    ensure!(!cfg!(debug_assertions), "this is a debug build, which is slow: use scripts/bench");
    let kinds = if flags.kinds.is_empty() { Kind::value_variants() } else { &flags.kinds };
    let (origin, mut failed) = (Origin::here()?, Vec::new());
    for kind in kinds {
        let load = record::load();
        progress(&format!("== {}", name(kind)));
        match measure(*kind, flags.repeats) {
            Ok(measurement) => {
                records::save(RECORDS, kind, &Record { measurement, origin: origin.clone(), load })?;
                // After each: what comes later may take long.
                records::write("BENCHMARKS.md", &report::report(&records::load::<Kind, _>(RECORDS)?))?;
            }
            Err(error) => {
                progress(&format!("{} could not be measured: {error:#}", name(kind)));
                failed.push(name(kind));
            }
        }
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

fn measure(kind: Kind, turns: u32) -> anyhow::Result<Measurement> {
    match kind {
        Kind::Step => step::measure(turns),
        Kind::Ingest => ingest::measure(turns),
        Kind::Accuracy => accuracy::measure(),
        Kind::Run => run::measure(turns),
        Kind::Live => live::measure(turns),
        Kind::Page => page::measure(turns),
        Kind::Memory => memory::measure(turns),
        Kind::Startup => startup::measure(turns),
        Kind::Scaling => scaling::measure(turns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        records::load::<Kind, _>(RECORDS).unwrap()
    }

    #[test]
    fn the_report_that_is_committed_is_that_of_the_records() {
        let committed = std::fs::read_to_string(records::checkout().join("BENCHMARKS.md")).unwrap();
        assert!(report::report(&records()) == committed, "BENCHMARKS.md is not what its records say");
    }

    #[test]
    fn the_report_says_what_stands_in_the_way_of_each_target_that_is_missed() {
        let records = records();
        let targets = || records.iter().flat_map(|record| &record.measurement.targets);
        for target in targets().filter(|target| target.is_met() == Some(false)) {
            assert!(report::OBSTACLES.iter().any(|(what, _)| *what == target.what), "why not `{}`?", target.what);
        }
        for (what, _) in report::OBSTACLES {
            assert!(targets().any(|target| target.what == what), "there is no target `{what}`");
        }
    }
}
