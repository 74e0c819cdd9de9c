//! `torture`: each kind of trouble at length, and the report.

use std::{io::Write, process::ExitCode, time::Instant};

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use torture::{
    Finding, bugs, crash, damage, forgery, fuzz, intruders, kill, load, network, programs,
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
    /// Two hundred live runs whose programs are started by hand in any order, work at any speed, and are killed
    Schedules,
    /// Power cuts and kills at every operation of the store, simulated
    Crash,
    /// Errors of the disk at every operation of the store
    Errors,
    /// A network that cuts, damages, delays and repeats
    Network,
    /// Thirty thousand handshakes without the key, at a receiver's sockets
    Forgery,
    /// A hundred thousand hostile requests at a page that is watched
    Page,
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
        if matches!(kind, Kind::Kill | Kind::Pairs | Kind::Schedules | Kind::Forgery | Kind::Load) {
            programs::path("receiver")?; // It may have to be built, which is not part of the time.
        }
        let start = Instant::now();
        let (title, seed, finding) = runtime.block_on(torture(*kind, flags));
        let finding = finding.unwrap_or_else(|error| Finding {
            violations: vec![format!("it could not be tried: {error:#}")],
            ..Finding::default()
        });
        let took = start.elapsed() + finding.spared;
        let Finding { cases, counts, figures, violations: wrong, .. } = &finding;
        say(&format!("{title}: {cases} cases, {} violations", wrong.len()));
        counts.iter().for_each(|(name, count)| say(&format!("  {name}: {count}")));
        figures.iter().for_each(|(name, value)| say(&format!("  {name}: {value}")));
        wrong.iter().for_each(|violation| say(&format!("  VIOLATION {violation}")));
        violations += wrong.len();
        if flags.only.is_none() {
            let record = Record { title: title.into(), seed, took, finding, origin: origin.clone() };
            record::save(RECORDS, kind, &record)?;
            record::write("RELIABILITY.md", &report()?)?; // After each: what comes later may take long.
        }
    }
    ensure!(violations == 0, "{violations} violations");
    Ok(())
}

/// Makes one kind of trouble: its heading in the report, its seed if it has one, and what it showed.
async fn torture(kind: Kind, flags: &Flags) -> (&'static str, u64, anyhow::Result<Finding>) {
    let only = flags.only.as_deref();
    match kind {
        Kind::Kill => ("Kills", SEED, kill::run(1000, SEED, 4)),
        Kind::Pairs => ("Two runs in one directory", SEED, kill::pairs::run(200, SEED, 4)),
        Kind::Schedules => ("Live runs by hand", SEED, kill::schedules::run(1000, SEED, 8)),
        Kind::Crash => ("Power cuts and kills, simulated", SEED, crash::states(SEED, 100_000)),
        Kind::Errors => ("Disk errors, injected", SEED, crash::errors(SEED, 100_000)),
        Kind::Network => {
            // A case may be one of a test's, which are of other seeds.
            let (seed, seeds) = if only.is_none() { (SEED, 20) } else { (0, 100) };
            let config = network::Config { seed, seeds, cut_step: 1, at_once: 24, only: flags.only.clone() };
            ("Faulty network", seed, network::run(config).await)
        }
        Kind::Forgery => ("Forged handshakes", SEED, forgery::run(30_000, SEED).await),
        Kind::Page => ("Hostile requests at the page", SEED, intruders::run(100_000, SEED).await),
        Kind::Damage => ("Damaged files", 0, damage::run(100_000)),
        Kind::Fuzz => ("Hostile bytes", SEED, fuzz::run(flags.inputs, SEED, only)),
        Kind::Load => {
            let (cycles, throughput) = (10_000, 0.8);
            let config = load::Config { senders: 200, samples: 5000, strangers: 800, cycles, throughput };
            ("Load", 0, load::run(config).await)
        }
        Kind::Bugs => ("Seeded bugs", 0, bugs::run(only)),
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
