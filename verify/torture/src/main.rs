//! `torture`: each kind of trouble at length, and the report.

use std::{io::Write, process::ExitCode, time::Instant};

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use torture::{
    Finding, bugs, crash, damage, forgery, fuzz, kill, load, network,
    record::{self, Origin, Record},
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
    /// Only the bugs or fuzz targets with this text, or the network cases of this name or kind; the report stays as it is
    #[arg(long, value_name = "TEXT", requires = "kinds")]
    only: Option<String>,
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
    let flags = match flags::layers::parse::<Flags>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    process::exit::report("torture", run(&flags))
}

/// Where records are kept.
const RECORDS: &str = "verify/torture/records";

fn run(flags: &Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kinds = if flags.kinds.is_empty() { Kind::value_variants() } else { &flags.kinds };
    let has_parts = |kind: &Kind| matches!(kind, Kind::Bugs | Kind::Fuzz | Kind::Network);
    ensure!(flags.only.is_none() || kinds.iter().all(has_parts), "--only goes with bugs, fuzz and network");
    let (origin, mut violations) = (Origin::here()?, 0);
    for kind in kinds {
        let start = Instant::now();
        let finding = runtime.block_on(torture(*kind, flags)).unwrap_or_else(|error| Finding {
            took: start.elapsed(),
            violations: vec![format!("it could not be tried: {error:#}")],
            ..Finding::new(&record::name(kind), SEED)
        });
        say(&format!("{}: {} cases, {} violations", finding.title, finding.cases, finding.violations.len()));
        finding.figures.iter().for_each(|(name, value)| say(&format!("  {name}: {value}")));
        finding.violations.iter().for_each(|violation| say(&format!("  VIOLATION {violation}")));
        violations += finding.violations.len();
        if flags.only.is_none() {
            record::save(RECORDS, kind, &Record { finding, origin: origin.clone() })?;
            record::write("RELIABILITY.md", &report()?)?; // After each: what comes later may take long.
        }
    }
    ensure!(violations == 0, "{violations} violations");
    Ok(())
}

async fn torture(kind: Kind, flags: &Flags) -> anyhow::Result<Finding> {
    let only = flags.only.as_deref();
    match kind {
        Kind::Kill => kill::run(1000, SEED, 4),
        Kind::Pairs => kill::pairs::run(200, SEED, 4),
        Kind::Crash => crash::states(SEED, 100_000),
        Kind::Errors => crash::errors(SEED, 100_000),
        Kind::Network => {
            // A case may be one of a test's, which are of other seeds.
            let (seed, seeds) = if only.is_none() { (SEED, 20) } else { (0, 100) };
            let only = flags.only.clone();
            network::run(network::Config { seed, seeds, cut_step: 1, at_once: 24, only }).await
        }
        Kind::Forgery => forgery::run(90_000, 10_000, SEED).await,
        Kind::Damage => damage::run(100_000),
        Kind::Fuzz => fuzz::run(flags.inputs, SEED, only),
        Kind::Load => {
            let (cycles, throughput) = (10_000, 0.8);
            load::run(load::Config { senders: 200, samples: 5000, strangers: 800, cycles, throughput }).await
        }
        Kind::Bugs => bugs::run(only),
    }
}

/// The report of all records that there are.
fn report() -> anyhow::Result<String> {
    Ok(record::report(&record::load::<Kind, Record>(RECORDS)?))
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}"); // Nobody may be listening; the report says it all.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_that_is_committed_is_that_of_the_records() -> anyhow::Result<()> {
        let committed = std::fs::read_to_string(record::checkout().join("RELIABILITY.md"))?;
        assert!(report()? == committed, "RELIABILITY.md is not what its records say");
        Ok(())
    }
}
