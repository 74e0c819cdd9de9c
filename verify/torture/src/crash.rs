//! Power cuts and disk errors, simulated, at every operation of the store.
//!
//! [`states`] lives through a run on a simulated disk, crashes it before every operation in every way that a file system
//! may, and goes on from what is left: recovers, finishes, reads; and crashes those lives in turn, until nothing new comes
//! of it. [`errors`] makes every operation fail in every way, with crashes after it. Always: what was acknowledged is there;
//! what is there was sent, and is there once; nothing calls itself damaged; and the run can be finished.

mod disk;
mod explore;
mod file;
mod life;
mod scenario;
mod tree;
mod world;

use std::{collections::HashSet, thread, time::Instant};

use anyhow::{Context, anyhow};
use sample::random::Stream as Random;

use crate::{Finding, Tally};
use disk::{ERRORS, Fault};
use explore::Explorer;
use life::Life;
use world::{Before, Story};

/// How much trouble to make.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Repeats a run.
    pub seed: u64,
    /// Cases to try at least: crash states, or injected errors.
    pub cases: u64,
}

/// Random ways in which an unsynced file is torn, beside the usual ones.
const TORN: usize = 1;

/// Crashes runs before every operation, in every way, and the runs that go on from there, too. A case is a distinct
/// state of the disk together with what was promised.
pub fn states(config: &Config) -> anyhow::Result<Finding> {
    repeat("Power cuts and kills, simulated", config, |story| {
        let mut explorer = Explorer::new(story, TORN)?;
        explorer.run();
        Ok(tally(explorer, None))
    })
}

/// Makes every operation of runs fail in every way, and crashes them after that. A case is an injected error.
pub fn errors(config: &Config) -> anyhow::Result<Finding> {
    repeat("Disk errors, injected", config, |story| {
        let mut explorer = Explorer::new(story, 0)?;
        explorer.run();
        // The first world, and one in which the receiver finds what a crash left.
        let mut random = Random::keyed("tributary disk errors", &[config.seed, explorer.worlds.len() as u64]);
        let crashed = 1 + random.below(explorer.worlds.len() as u64 - 1) as usize;
        let mut cases = 0;
        for world in [explorer.worlds[0].clone(), explorer.worlds[crashed].clone()] {
            for &mode in explorer.story.modes(&world) {
                let (life, _) = explorer.story.live(&world, mode, None);
                for fault in faults(&life) {
                    if explorer.has_enough() {
                        break;
                    }
                    explorer.fail(&world, mode, fault);
                    cases += 1;
                }
            }
        }
        Ok(tally(explorer, Some(cases)))
    })
}

/// Every way in which one operation of a life can fail.
fn faults(life: &Life) -> Vec<Fault> {
    let operations = life.moments.last().map_or(0, |(end, _)| end.at);
    let changes: HashSet<usize> = life.moments.iter().map(|(moment, _)| moment.at).collect();
    let mut faults = Vec::new();
    for at in 0..operations {
        for error in ERRORS {
            let once = Fault { at, error, for_good: false, takes_effect: false };
            faults.extend([once, Fault { for_good: true, ..once }]);
            if changes.contains(&at) {
                faults.push(Fault { takes_effect: true, ..once });
            }
        }
    }
    faults
}

/// What came of a story, and the most crashes in a row.
fn tally(explorer: Explorer, cases: Option<u64>) -> (Tally, u32) {
    let states = explorer.worlds.len() as u64;
    let crashes = explorer.worlds.iter().map(|world| world.crashes).max().unwrap_or_default();
    let counts = [("runs".into(), 1), ("states, distinct within each run".into(), states)].into();
    (Tally { cases: cases.unwrap_or(states), counts, violations: explorer.violations }, crashes)
}

/// Tells stories, the four of one seed at a time, until there were enough cases.
fn repeat(
    title: &str,
    config: &Config,
    tell: impl Fn(Story) -> anyhow::Result<(Tally, u32)> + Copy + Send,
) -> anyhow::Result<Finding> {
    let started = Instant::now();
    let (mut all, mut most_crashes) = (Tally::default(), 0);
    for seed in config.seed.. {
        let told: Vec<anyhow::Result<_>> = thread::scope(|scope| {
            let threads = Before::ALL.map(|before| scope.spawn(move || tell(Story::new(seed, before))));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a run panicked")))).collect()
        });
        for result in told {
            let (tally, crashes) = result.with_context(|| format!("seed {seed}"))?;
            all.add(tally);
            most_crashes = most_crashes.max(crashes);
        }
        if all.cases >= config.cases || !all.violations.is_empty() {
            break;
        }
    }
    let mut finding = all.finding(title, config.seed, started);
    finding.figure("crashes in a row, at most", most_crashes);
    Ok(finding)
}
