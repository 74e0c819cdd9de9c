//! A world is a disk as a crash left it and what others count on. A story is what happens in worlds: a run that is to
//! finish in each, whatever was there before it.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use store::{Error, Mode};

use super::{
    disk::{Fault, SimulatedDisk},
    life::{self, Life, Promise, Trouble},
    scenario::Scenario,
    tree::Tree,
};

/// A disk and what others count on.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) promise: Promise,
    /// What led here.
    pub(super) trail: Trail,
    /// How many crashes did.
    pub(super) crashes: u32,
}

/// Worlds of the same key are the same, whatever led there.
pub(super) fn key(tree: &Tree, promise: &Promise) -> u64 {
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    promise.hash(&mut hasher);
    hasher.finish()
}

/// What led to a world, the last step first.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail(Option<Arc<(String, Trail)>>);

impl Trail {
    pub(super) fn then(&self, step: String) -> Trail {
        Trail(Some(Arc::new((step, self.clone()))))
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            Some((step, before)) => write!(f, "{before}; {step}"),
            None => f.write_str("at first"),
        }
    }
}

/// What the directory held before the run that is tortured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// There was no directory.
    Nothing,
    /// The same samples, complete.
    Same,
    /// Samples of another dataset, complete.
    Other,
    /// Samples that were not what was sent, given up.
    Rejected,
}

impl Before {
    pub(super) const ALL: [Before; 4] = [Before::Nothing, Before::Same, Before::Other, Before::Rejected];
}

/// A run of a receiver that is to finish, whatever happens.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) name: String,
    scenario: Scenario,
    before: Before,
    /// What was there before.
    earlier: Scenario,
}

impl Story {
    pub(super) fn new(seed: u64, before: Before) -> Self {
        let scenario = Scenario::drawn(seed);
        let digest = scenario.dataset.digest.clone();
        let earlier = match before {
            Before::Nothing | Before::Same => scenario.clone(),
            Before::Other => scenario.of("01", 1),
            Before::Rejected => scenario.of(&digest, 1),
        };
        Story { name: format!("seed {seed}, {before:?} before"), scenario, before, earlier }
    }

    /// The world before the first life.
    pub(super) fn beginning(&self) -> Result<World, Error> {
        let disk = SimulatedDisk::new(Tree::default(), None);
        match self.before {
            Before::Nothing => {}
            Before::Same | Before::Other => drop(life::live(&disk, &self.earlier, Mode::Continue, Promise::default())),
            Before::Rejected => life::reject(&disk, &self.earlier)?,
        }
        Ok(World { tree: disk.tree(), promise: Promise::default(), trail: Trail::default(), crashes: 0 })
    }

    /// How a receiver may be started in a world: the first as its user wants it, one after a crash in every way.
    pub(super) fn modes(&self, world: &World) -> &'static [Mode] {
        match self.before {
            Before::Nothing => &[Mode::Continue],
            _ if world.crashes == 0 => &[Mode::Fresh],
            _ => &[Mode::Continue, Mode::Fresh],
        }
    }

    /// What a reader finds must be all of one run, and complete if that was promised.
    pub(super) fn check_reader(&self, world: &World) -> Result<(), String> {
        match life::read(&SimulatedDisk::new(world.tree.clone(), None)) {
            Ok(read) => self.scenario.check(&read).or_else(|what| {
                let is_earlier = world.promise.is_none() && self.earlier.check(&read).is_ok();
                if is_earlier { Ok(()) } else { Err(what) }
            }),
            Err(Error::Missing(_) | Error::Incomplete(_)) if !world.promise.complete => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Lives on in a world, without a fault if there is none; says what must not be.
    pub(super) fn live(&self, world: &World, mode: Mode, fault: Option<Fault>) -> (Life, Result<(), String>) {
        let disk = SimulatedDisk::new(world.tree.clone(), fault);
        let life = life::live(&disk, &self.scenario, mode, world.promise.clone());
        let nothing_new = mode == Mode::Continue && world.promise.is_none();
        let verdict = match &life.outcome {
            Ok(()) => Ok(()),
            Err(Trouble::Violation(what)) => Err(what.clone()),
            Err(Trouble::Store(_)) if fault.is_some() => Ok(()),
            // What the reader finds was checked.
            Err(Trouble::Store(Error::Complete(_))) => Ok(()),
            Err(Trouble::Store(Error::OtherDataset { .. })) if nothing_new && self.before == Before::Other => Ok(()),
            Err(Trouble::Store(Error::Rejected { .. })) if nothing_new && self.before == Before::Rejected => Ok(()),
            Err(Trouble::Store(error)) => Err(error.to_string()),
        };
        (life, verdict)
    }
}
