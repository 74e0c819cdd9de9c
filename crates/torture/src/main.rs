//! `torture`: each kind of trouble at length, and the report.

use std::{fs, io::Write, process::ExitCode, time::Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use torture::{
    Finding, bugs, crash, damage, forgery, fuzz, kill, load, network,
    record::{self, Record},
};

/// Makes trouble of the kinds named, at length, and writes what it showed into RELIABILITY.md.
///
/// Findings of kinds that are not named are kept from earlier runs.
#[derive(Parser)]
#[command(name = "torture")]
struct Flags {
    /// Kinds of trouble [default: all]
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// Inputs for each fuzz target
    #[arg(long, value_name = "N", default_value = "10000000")]
    inputs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A thousand SIGKILLs of the real programs, in whole runs
    Kill,
    /// Two hundred pairs of runs in one chunk directory
    Pairs,
    /// Power cuts and kills at every operation of the store, simulated
    Crash,
    /// Errors of the disk at every operation of the store
    Errors,
    /// A network that cuts, damages, delays and repeats
    Network,
    /// A hundred thousand handshakes without the key
    Forgery,
    /// Every bit, length and name of the files of a small chunk directory, and of a checkpoint
    Damage,
    /// Every fuzz target; needs a nightly compiler and cargo-fuzz
    Fuzz,
    /// Many senders, slow strangers, connections that come and go
    Load,
    /// Bugs seeded into a scratch copy: the tests must fail
    Bugs,
}

/// Of all that is random.
const SEED: u64 = 42;

fn main() -> ExitCode {
    let flags = match cli::layers::parse::<Flags>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };

    cli::exit::report("torture", run(&flags))
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kinds = if flags.kinds.is_empty() { Kind::value_variants() } else { &flags.kinds };
    let (commit, mut violations) = (record::commit()?, 0);
    for kind in kinds {
        let start = Instant::now();
        let finding = runtime.block_on(torture(*kind, flags.inputs)).unwrap_or_else(|error| Finding {
            title: name(*kind),
            cases: 0,
            seed: SEED,
            took: start.elapsed(),
            figures: Vec::new(),
            violations: vec![format!("it could not be tried: {error:#}")],
        });
        say(&format!("{}: {} cases, {} violations", finding.title, finding.cases, finding.violations.len()));
        finding.figures.iter().for_each(|(name, value)| say(&format!("  {name}: {value}")));
        finding.violations.iter().for_each(|violation| say(&format!("  VIOLATION {violation}")));
        violations += finding.violations.len();
        Record::new(finding, commit.clone()).save(&name(*kind))?;
        write_report()?; // After each: what comes later may take long.
    }
    ensure!(violations == 0, "{violations} violations");
    Ok(())
}

async fn torture(kind: Kind, inputs: u64) -> anyhow::Result<Finding> {
    match kind {
        Kind::Kill => kill::run(kill::Config { kills: 1000, seed: SEED, at_once: 4 }),
        Kind::Pairs => kill::pairs::run(kill::pairs::Config { pairs: 200, seed: SEED, at_once: 4 }),
        Kind::Crash => crash::states(&crash::Config { seed: SEED, cases: 100_000 }),
        Kind::Errors => crash::errors(&crash::Config { seed: SEED, cases: 100_000 }),
        Kind::Network => {
            let all = network::Config { seed: SEED, seeds: 20, cut_step: 1, at_once: 24, only: None };
            network::run(all).await
        }
        Kind::Forgery => forgery::run(forgery::Config { machines: 90_000, sockets: 10_000, seed: SEED }).await,
        Kind::Damage => damage::run(100_000),
        Kind::Fuzz => fuzz::run(inputs, SEED),
        Kind::Load => {
            let (cycles, throughput) = (10_000, 0.8);
            load::run(load::Config { senders: 200, samples: 5000, strangers: 800, cycles, throughput }).await
        }
        Kind::Bugs => bugs::run(),
    }
}

fn write_report() -> anyhow::Result<()> {
    let path = record::checkout().join("RELIABILITY.md");
    fs::write(&path, report()?).with_context(|| format!("failed to write `{}`", path.display()))
}

/// The report of all records that there are.
fn report() -> anyhow::Result<String> {
    let records = Kind::value_variants().iter().map(|kind| Record::load(&name(*kind)));
    let records: Vec<Record> = records.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(record::report(&records))
}

fn name(kind: Kind) -> String {
    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}"); // Nobody may be listening; the report says it all.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_that_is_committed_is_that_of_the_records() -> anyhow::Result<()> {
        let committed = fs::read_to_string(record::checkout().join("RELIABILITY.md"))?;
        assert!(report()? == committed, "RELIABILITY.md is not what its records say");
        Ok(())
    }
}
