//! A test case is a run that is to finish from whatever state its crashes leave, and whatever was there before it.

use std::sync::Arc;

use anyhow::anyhow;
use store::{Error, Mode};

use super::{
    disk::{Acknowledged, Fault, SimulatedDisk, Step},
    execution,
    scenario::Scenario,
    tree::Tree,
};

/// A disk as a crash left it, and what others count on.
#[derive(Clone)]
pub(super) struct CrashState {
    pub(super) tree: Tree,
    pub(super) acknowledged: Acknowledged,
    /// What led here, crash by crash.
    pub(super) trail: Arc<str>,
    pub(super) crashes: u32,
}

pub(super) struct Execution {
    pub(super) steps: Vec<Step>,
    pub(super) outcome: anyhow::Result<()>,
    /// What must not be.
    pub(super) verdict: anyhow::Result<()>,
}

/// What the directory held before the run that is tortured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,  // There was no directory.
    Same,     // The same samples, complete.
    Other,    // Samples of another dataset, complete.
    Rejected, // Samples that were not what was sent, given up.
}

impl Before {
    pub(super) const ALL: [Before; 4] = [Before::Nothing, Before::Same, Before::Other, Before::Rejected];
}

pub(super) struct TestCase {
    pub(super) name: String,
    scenario: Scenario,
    before: Before,
    earlier: Scenario,
}

impl TestCase {
    pub(super) fn new(seed: u64, before: Before) -> Self {
        let scenario = Scenario::drawn(seed);
        let earlier = match before {
            Before::Nothing | Before::Same => scenario.clone(),
            Before::Other => scenario.of("01", 1),
            Before::Rejected => scenario.of(&scenario.dataset.digest, 1),
        };
        TestCase { name: format!("seed {seed}, {before:?} before"), scenario, before, earlier }
    }

    pub(super) fn first_state(&self) -> Result<CrashState, Error> {
        let acknowledged = Acknowledged::default();
        let disk = SimulatedDisk::new(Tree::default(), acknowledged.clone(), None);
        match self.before {
            Before::Nothing => {}
            Before::Same | Before::Other => drop(execution::receive(&disk, &self.earlier, Mode::Continue)),
            Before::Rejected => execution::reject(&disk, &self.earlier)?,
        }
        Ok(CrashState { tree: disk.tree(), acknowledged, trail: "at first".into(), crashes: 0 })
    }

    /// How a receiver may be started: the first as its user wants it, one after a crash in every way.
    pub(super) fn modes(&self, state: &CrashState) -> &'static [Mode] {
        match self.before {
            Before::Nothing => &[Mode::Continue],
            _ if state.crashes == 0 => &[Mode::Fresh],
            _ => &[Mode::Continue, Mode::Fresh],
        }
    }

    /// What a reader finds must be all of one run, and complete if that was acknowledged.
    pub(super) fn check_reader(&self, state: &CrashState) -> anyhow::Result<()> {
        let CrashState { tree, acknowledged, .. } = state;
        match execution::read(&SimulatedDisk::new(tree.clone(), acknowledged.clone(), None)) {
            Ok(read) if acknowledged.is_none() && self.earlier.check(&read).is_ok() => Ok(()),
            Ok(read) => self.scenario.check(&read),
            Err(Error::Missing(_) | Error::Incomplete(_)) if !acknowledged.complete => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on from a state, without a fault if there is none.
    pub(super) fn execute(&self, state: &CrashState, mode: Mode, fault: Option<Fault>) -> Execution {
        // Who asks for a fresh start is not owed what was there.
        let owed = if mode == Mode::Fresh { Acknowledged::default() } else { state.acknowledged.clone() };
        let disk = SimulatedDisk::new(state.tree.clone(), owed, fault);
        let outcome = execution::receive(&disk, &self.scenario, mode);
        let nothing_new = mode == Mode::Continue && state.acknowledged.is_none();
        let verdict = outcome.as_ref().or_else(|error| match error.downcast_ref() {
            None | Some(Error::Damaged { .. } | Error::Newer { .. } | Error::Foreign(_) | Error::Stream { .. }) => {
                Err(anyhow!("{error}"))
            }
            Some(_) if fault.is_some() => Ok(&()),
            Some(Error::Complete(_)) => Ok(&()), // What the reader finds was checked.
            Some(Error::OtherDataset { .. }) if nothing_new && self.before == Before::Other => Ok(&()),
            Some(Error::Rejected { .. }) if nothing_new && self.before == Before::Rejected => Ok(&()),
            Some(_) => Err(anyhow!("{error}")),
        });
        Execution { steps: disk.steps(), verdict: verdict.copied(), outcome }
    }
}
