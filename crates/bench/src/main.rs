//! `bench`: each kind of measurement, and the report.

use std::{fs, io::Write, process::ExitCode};

use anyhow::{Context, ensure};
use bench::{
    Measurement, accuracy, ingest, memory,
    record::{self, Record},
    report::report,
    run as whole_run, scaling, startup, step,
};
use clap::{Parser, ValueEnum};
use torture::record::{checkout, commit};

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
    /// Training steps, against PyTorch and the peak of the machine
    Step,
    /// One sender to fsynced chunks, against raw loopback, raw disk and the codec alone
    Ingest,
    /// What bfloat16 does to the accuracy of the default training, over five seeds
    Accuracy,
    /// The default run from start to end, against the original's algorithm on PySpark
    Run,
    /// Peak memory of trainer, receiver and sender
    Memory,
    /// `--help` of each program
    Startup,
    /// Partitions, samples and senders
    Scaling,
}

fn main() -> ExitCode {
    let flags = match cli::layers::parse::<Flags>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    cli::exit::report("bench", run(&flags))
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    ensure!(!cfg!(debug_assertions), "this is a debug build, which is slow: use scripts/bench");
    let kinds = if flags.kinds.is_empty() { Kind::value_variants() } else { &flags.kinds };
    let (commit, mut failed) = (commit()?, Vec::new());
    for &kind in kinds {
        let load = record::load();
        say(&format!("== {}", name(kind)));
        match measure(kind, flags.repeats) {
            Ok(measurement) => {
                Record::new(measurement, commit.clone(), load).save(&name(kind))?;
                write_report()?; // After each: what comes later may take long.
            }
            Err(error) => {
                say(&format!("{} could not be measured: {error:#}", name(kind)));
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
        Kind::Run => whole_run::measure(turns),
        Kind::Memory => memory::measure(turns),
        Kind::Startup => startup::measure(turns),
        Kind::Scaling => scaling::measure(turns),
    }
}

fn write_report() -> anyhow::Result<()> {
    let path = checkout().join("BENCHMARKS.md");
    fs::write(&path, whole_report()?).with_context(|| format!("failed to write `{}`", path.display()))
}

/// The report of all records that there are.
fn whole_report() -> anyhow::Result<String> {
    Ok(report(&records()?))
}

fn records() -> anyhow::Result<Vec<Record>> {
    let records = Kind::value_variants().iter().map(|&kind| Record::load(&name(kind)));
    records.filter_map(Result::transpose).collect()
}

fn name(kind: Kind) -> String {
    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}"); // Nobody may be watching; the report says it all.
}

#[cfg(test)]
mod tests {
    use bench::report::OBSTACLES;

    use super::*;

    #[test]
    fn the_report_that_is_committed_is_that_of_the_records() -> anyhow::Result<()> {
        let committed = fs::read_to_string(checkout().join("BENCHMARKS.md"))?;
        assert!(whole_report()? == committed, "BENCHMARKS.md is not what its records say");
        Ok(())
    }

    #[test]
    fn the_report_says_what_stands_in_the_way_of_each_target_that_is_missed() -> anyhow::Result<()> {
        let records = records()?;
        let targets = || records.iter().flat_map(|record| &record.measurement.targets);
        for target in targets().filter(|target| target.is_met() == Some(false)) {
            assert!(OBSTACLES.iter().any(|(what, _)| *what == target.what), "nothing explains `{}`", target.what);
        }
        for (what, _) in OBSTACLES {
            assert!(targets().any(|target| target.what == what), "there is no target `{what}`");
        }
        Ok(())
    }
}
