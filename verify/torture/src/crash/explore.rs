//! Lives in every world that crashes lead to, and crashes those lives in turn, until there is no new world. That ends:
//! however often a receiver is crashed, the directory can only be left in so many ways.

use std::collections::HashSet;

use anyhow::anyhow;
use sample::random::Stream as Random;

use super::{
    disk::Fault,
    life::{Life, Promise},
    tree::Tree,
    world::{self, Story, World},
};

/// Ways to lose power that are tried at one moment, if there are more, which no sound store gives rise to.
const CUTS: usize = 200;

/// Violations after which a story is told no further: where much is lost, there is no end of worlds.
const ENOUGH: usize = 5;

/// More worlds than there are in any story of a sound store, by far.
const WORLDS: usize = 10_000;

/// A story, and where it led so far.
#[derive(Debug)]
pub(super) struct Explorer {
    pub(super) story: Story,
    /// Random ways to tear a file that was not synced.
    torn: usize,
    met: HashSet<u64>,
    /// Every world that was met.
    pub(super) worlds: Vec<World>,
    /// How many of them were lived in.
    lived: usize,
    pub(super) violations: Vec<String>,
}

impl Explorer {
    pub(super) fn new(story: Story, torn: usize) -> Result<Self, store::Error> {
        let worlds = vec![story.beginning()?];
        Ok(Explorer { story, torn, met: HashSet::new(), worlds, lived: 0, violations: Vec::new() })
    }

    /// Lives in every world that was met and not lived in, with a crash before every operation, until there is none.
    pub(super) fn run(&mut self) {
        while let Some(world) = self.worlds.get(self.lived).cloned()
            && !self.has_enough()
        {
            self.lived += 1;
            let verdict = self.story.check_reader(&world);
            self.judge(&world, "a reader", verdict);
            for &mode in self.story.modes(&world) {
                let (life, verdict) = self.story.live(&world, mode, None);
                let how = format!("{mode:?}");
                self.judge(&world, &how, verdict);
                self.crash(&world, &life, &how, 0);
            }
        }
        if self.worlds.len() > WORLDS {
            self.violations.push(format!("{}: there is no end of what crashes lead to", self.story.name));
        }
    }

    /// Whether there is no point in going on.
    pub(super) fn has_enough(&self) -> bool {
        self.violations.len() >= ENOUGH || self.worlds.len() > WORLDS
    }

    /// Lives in a world with a fault, and in all worlds to which crashes after it lead.
    pub(super) fn fail(&mut self, world: &World, mode: store::Mode, fault: Fault) {
        let (life, verdict) = self.story.live(world, mode, Some(fault));
        let how = format!("{mode:?} with {fault:?}");
        self.judge(world, &how, verdict);
        let passes =
            fault.is_passing_want_of_room() && life.moments.iter().any(|(moment, _)| moment.is_writing(fault.at));
        if let (true, Err(trouble)) = (passes, &life.outcome) {
            self.judge(world, &how, Err(anyhow!("there is room again, and the receiver gave up: {trouble:?}")));
        }
        self.crash(world, &life, &how, fault.at + 1);
        self.run();
    }

    /// Meets the worlds to which crashes in a life, from operation `from` on, lead.
    fn crash(&mut self, world: &World, life: &Life, how: &str, from: usize) {
        for (moment, promise) in life.moments.iter().filter(|(moment, _)| moment.at >= from) {
            let step = |end: &str| format!("{how}, {end} after {} operations, before {}", moment.at, moment.next);
            let Some(key) = self.meet(world, &moment.tree, promise, || step("killed")) else { continue };
            let mut random = Random::keyed("tributary power cut", &[key]);
            for tree in moment.tree.after_power_cut(CUTS, self.torn, &mut random) {
                self.meet(world, &tree, promise, || step("out of power"));
            }
        }
    }

    /// Notes the world to which a step from another led, and returns its key, if it is new.
    fn meet(&mut self, from: &World, tree: &Tree, promise: &Promise, step: impl Fn() -> String) -> Option<u64> {
        let key = world::key(tree, promise);
        self.met.insert(key).then(|| {
            let (trail, crashes) = (format!("{}; {}", from.trail, step()).into(), from.crashes + 1);
            self.worlds.push(World { tree: tree.clone(), promise: promise.clone(), trail, crashes });
            key
        })
    }

    fn judge(&mut self, world: &World, how: &str, verdict: anyhow::Result<()>) {
        if let Err(what) = verdict {
            self.violations.push(format!("{}: {}; {how}: {what}", self.story.name, world.trail));
        }
    }
}
