//! Power cuts and disk errors, simulated, at every operation of the store.
//!
//! [`states`] executes a run on a simulated disk, crashes it before every operation in every way that a file system may,
//! and goes on from what is left: recovers, finishes, reads; and crashes those executions in turn, until nothing new comes
//! of it. [`errors`] makes every operation fail in every way, with crashes after it. Always: what was acknowledged is there;
//! what is there was sent, and is there once; nothing calls itself damaged; and the run can be finished.

mod disk;
mod execution;
mod explore;
mod file;
mod scenario;
mod test_case;
mod tree;

use std::{collections::HashSet, thread, time::Instant};

use anyhow::{Context, anyhow};
use sample::random::Stream as Random;

use crate::{Finding, Tally};
use disk::{ERRORS, Fault, Step};
use explore::Explorer;
use test_case::{Before, TestCase};

/// Crashes runs before every operation, in every way, and the runs that go on from there, too, until there were so many
/// cases. A case is a distinct state of the disk together with what was acknowledged.
pub fn states(seed: u64, cases: u64) -> anyhow::Result<Finding> {
    repeat("Power cuts and kills, simulated", seed, cases, 1, |_| None)
}

/// Makes every operation of runs fail in every way, and crashes them after that. A case is an injected error.
pub fn errors(seed: u64, cases: u64) -> anyhow::Result<Finding> {
    repeat("Disk errors, injected", seed, cases, 0, |explorer| {
        // The first state, and one in which the receiver finds what a crash left.
        let mut random = Random::keyed("tributary disk errors", &[seed, explorer.states.len() as u64]);
        let crashed = 1 + random.below(explorer.states.len() as u64 - 1) as usize;
        let mut injected = 0;
        for state in [explorer.states[0].clone(), explorer.states[crashed].clone()] {
            for &mode in explorer.case.modes(&state) {
                for fault in faults(&explorer.case.execute(&state, mode, None).steps) {
                    if explorer.has_enough() {
                        break;
                    }
                    explorer.fail(&state, mode, fault);
                    injected += 1;
                }
            }
        }
        Some(injected)
    })
}

/// Every way in which one operation of an execution can fail.
fn faults(steps: &[Step]) -> Vec<Fault> {
    let operations = steps.last().map_or(0, |end| end.at);
    let changes: HashSet<usize> = steps.iter().map(|step| step.at).collect();
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

/// Explores test cases, the four of one seed at a time, with `torn` random ways to tear an unsynced file; and whatever
/// `more` does, which returns how many cases that were, unless states are what is counted.
fn repeat(
    title: &str,
    seed: u64,
    cases: u64,
    torn: usize,
    more: impl Fn(&mut Explorer) -> Option<u64> + Copy + Send,
) -> anyhow::Result<Finding> {
    let (started, mut all, mut most_crashes) = (Instant::now(), Tally::default(), 0);
    let explore = move |seed, before| {
        let mut explorer = Explorer::new(TestCase::new(seed, before), torn)?;
        explorer.run();
        let cases = more(&mut explorer);
        anyhow::Ok((explorer, cases))
    };
    for drawn in seed.. {
        let explored: Vec<anyhow::Result<_>> = thread::scope(|scope| {
            let threads = Before::ALL.map(|before| scope.spawn(move || explore(drawn, before)));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a run panicked")))).collect()
        });
        for result in explored {
            let (Explorer { states, violations, .. }, cases) = result.with_context(|| format!("seed {drawn}"))?;
            let distinct = states.len() as u64;
            let counts = [("runs".into(), 1), ("states, distinct within each run".into(), distinct)].into();
            all.add(Tally { cases: cases.unwrap_or(distinct), counts, violations });
            most_crashes = states.iter().map(|state| state.crashes).fold(most_crashes, u32::max);
        }
        if all.cases >= cases || !all.violations.is_empty() {
            break;
        }
    }
    let mut finding = all.finding(title, seed, started);
    finding.figure("crashes in a row, at most", most_crashes);
    Ok(finding)
}
