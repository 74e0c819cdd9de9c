//! Executes a test case in every state that crashes lead to, and crashes those executions in turn, until there is no new
//! state. That ends: however often a receiver is crashed, the directory can only be left in so many ways.

use std::collections::HashSet;

use anyhow::anyhow;
use sample::random::Stream as Random;

use super::{
    disk::{Acknowledged, Fault, Step},
    test_case::{CrashState, Execution, TestCase},
    tree::Tree,
};

/// Ways to lose power that are tried at one step, if there are more, which no sound store gives rise to.
const CUTS: usize = 200;
/// Violations after which a test case is left: where much is lost, there is no end of states.
const ENOUGH: usize = 5;
/// More states than a test case has with a sound store, by far.
const STATES: usize = 10_000;

/// A test case, and where it led so far.
pub(super) struct Explorer {
    pub(super) case: TestCase,
    /// Random ways to tear a file that was not synced.
    torn: usize,
    met: HashSet<u64>,
    pub(super) states: Vec<CrashState>,
    /// How many of the states were executed.
    executed: usize,
    pub(super) violations: Vec<String>,
}

impl Explorer {
    pub(super) fn new(case: TestCase, torn: usize) -> Result<Self, store::Error> {
        let states = vec![case.first_state()?];
        Ok(Explorer { case, torn, met: HashSet::new(), states, executed: 0, violations: Vec::new() })
    }

    /// Executes every state that was met and not executed, with a crash before every operation, until there is none.
    pub(super) fn run(&mut self) {
        while let Some(state) = self.states.get(self.executed).cloned()
            && !self.has_enough()
        {
            self.executed += 1;
            let verdict = self.case.check_reader(&state);
            self.judge(&state, "a reader", verdict);
            for &mode in self.case.modes(&state) {
                let Execution { steps, verdict, .. } = self.case.execute(&state, mode, None);
                let how = format!("{mode:?}");
                self.judge(&state, &how, verdict);
                self.crash(&state, &steps, &how);
            }
        }
        if self.states.len() > STATES {
            self.violations.push(format!("{}: there is no end of what crashes lead to", self.case.name));
        }
    }

    pub(super) fn has_enough(&self) -> bool {
        self.violations.len() >= ENOUGH || self.states.len() > STATES
    }

    /// Executes a state with a fault, and all states to which crashes after it lead.
    pub(super) fn fail(&mut self, state: &CrashState, mode: store::Mode, fault: Fault) {
        let Execution { steps, outcome, verdict } = self.case.execute(state, mode, Some(fault));
        let how = format!("{mode:?} with {fault:?}");
        self.judge(state, &how, verdict);
        let passes = fault.is_passing_want_of_room() && steps.iter().any(|step| step.is_writing(fault.at));
        if let (true, Err(trouble)) = (passes, &outcome) {
            self.judge(state, &how, Err(anyhow!("there is room again, and the receiver gave up: {trouble:?}")));
        }
        let after = steps.partition_point(|step| step.at <= fault.at);
        self.crash(state, &steps[after..], &how);
        self.run();
    }

    /// Meets the states to which crashes before these steps lead.
    fn crash(&mut self, state: &CrashState, steps: &[Step], how: &str) {
        for Step { at, next, tree, acknowledged } in steps {
            let trail = |end: &str| format!("{}; {how}, {end} after {at} operations, before {next}", state.trail);
            let Some(key) = self.meet(state, tree, acknowledged, || trail("killed")) else { continue };
            let mut random = Random::keyed("tributary power cut", &[key]);
            for tree in tree.after_power_cut(CUTS, self.torn, &mut random) {
                self.meet(state, &tree, acknowledged, || trail("out of power"));
            }
        }
    }

    /// Notes the state to which a crash in another led, and returns its key, if it is new.
    fn meet(
        &mut self,
        from: &CrashState,
        tree: &Tree,
        acknowledged: &Acknowledged,
        trail: impl Fn() -> String,
    ) -> Option<u64> {
        let key = tree.key(acknowledged);
        self.met.insert(key).then(|| {
            let (tree, acknowledged, crashes) = (tree.clone(), acknowledged.clone(), from.crashes + 1);
            self.states.push(CrashState { tree, acknowledged, trail: trail().into(), crashes });
            key
        })
    }

    fn judge(&mut self, state: &CrashState, how: &str, verdict: anyhow::Result<()>) {
        if let Err(what) = verdict {
            self.violations.push(format!("{}: {}; {how}: {what}", self.case.name, state.trail));
        }
    }
}
