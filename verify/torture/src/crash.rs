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

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
};

use sample::random::Stream as Random;

use crate::{Finding, try_many};
use disk::{ERRORS, Fault, Step};
use explore::Explorer;
use test_case::{Before, TestCase};

/// Crashes runs before every operation, in every way, and the runs that go on from there, too, until there were so many
/// cases. A case is a distinct state of the disk together with what was acknowledged.
pub fn states(seed: u64, cases: u64) -> anyhow::Result<Finding> {
    explore(seed, cases, 1, |explorer| explorer.states.len() as u64)
}

/// Makes every operation of runs fail in every way, and crashes them after that. A case is an injected error.
pub fn errors(seed: u64, cases: u64) -> anyhow::Result<Finding> {
    explore(seed, cases, 0, |explorer| {
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
        injected
    })
}

/// Explores test cases, the four of one seed at a time, with `torn` random ways to tear an unsynced file; and whatever
/// `more` does, which returns how many cases there were.
fn explore(seed: u64, cases: u64, torn: usize, more: impl Fn(&mut Explorer) -> u64 + Sync) -> anyhow::Result<Finding> {
    let most_crashes = AtomicU32::new(0);
    let mut all = try_many(cases, Before::ALL.len(), |number| {
        let (which, drawn) = (number as usize % Before::ALL.len(), seed + number / Before::ALL.len() as u64);
        let mut explorer = match Explorer::new(TestCase::new(drawn, Before::ALL[which]), torn) {
            Ok(explorer) => explorer,
            Err(error) => return Finding { violations: vec![format!("seed {drawn}: {error}")], ..Finding::default() },
        };
        explorer.run();
        let cases = more(&mut explorer);
        let Explorer { states, violations, .. } = explorer;
        most_crashes.fetch_max(states.iter().map(|state| state.crashes).max().unwrap_or(0), Ordering::Relaxed);
        let counts = [("runs".into(), 1), ("states, distinct within each run".into(), states.len() as u64)].into();
        Finding { cases, counts, violations, ..Finding::default() }
    });
    all.figure("crashes in a row, at most", most_crashes.into_inner());
    Ok(all)
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
