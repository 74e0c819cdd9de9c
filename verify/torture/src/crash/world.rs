//! A world is a disk as a crash left it and what others count on. A story is what happens in worlds: a run that is to
//! finish in each, whatever was there before it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use anyhow::anyhow;
use store::{Error, Mode};

use super::{
    disk::{Fault, SimulatedDisk},
    life::{self, Life, Promise},
    scenario::Scenario,
    tree::Tree,
};

/// A disk and what others count on.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) promise: Promise,
    /// What led here, step by step.
    pub(super) trail: Arc<str>,
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

/// A run of a receiver that is to finish, whatever happens.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) name: String,
    scenario: Scenario,
    before: Before,
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

    pub(super) fn beginning(&self) -> Result<World, Error> {
        let disk = SimulatedDisk::new(Tree::default(), None);
        match self.before {
            Before::Nothing => {}
            Before::Same | Before::Other => drop(life::live(&disk, &self.earlier, Mode::Continue, Promise::default())),
            Before::Rejected => life::reject(&disk, &self.earlier)?,
        }
        Ok(World { tree: disk.tree(), promise: Promise::default(), trail: "at first".into(), crashes: 0 })
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
    pub(super) fn check_reader(&self, world: &World) -> anyhow::Result<()> {
        match life::read(&SimulatedDisk::new(world.tree.clone(), None)) {
            Ok(read) if world.promise.is_none() && self.earlier.check(&read).is_ok() => Ok(()),
            Ok(read) => self.scenario.check(&read),
            Err(Error::Missing(_) | Error::Incomplete(_)) if !world.promise.complete => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lives on in a world, without a fault if there is none; says what must not be.
    pub(super) fn live(&self, world: &World, mode: Mode, fault: Option<Fault>) -> (Life, anyhow::Result<()>) {
        let disk = SimulatedDisk::new(world.tree.clone(), fault);
        let life = life::live(&disk, &self.scenario, mode, world.promise.clone());
        let nothing_new = mode == Mode::Continue && world.promise.is_none();
        let Err(error) = &life.outcome else { return (life, Ok(())) };
        let may_be = match error.downcast_ref() {
            None | Some(Error::Damaged { .. } | Error::Foreign(_) | Error::Stream { .. }) => false,
            Some(_) if fault.is_some() => true,
            Some(Error::Complete(_)) => true, // What the reader finds was checked.
            Some(Error::OtherDataset { .. }) => nothing_new && self.before == Before::Other,
            Some(Error::Rejected { .. }) => nothing_new && self.before == Before::Rejected,
            Some(_) => false,
        };
        let verdict = if may_be { Ok(()) } else { Err(anyhow!("{error}")) };
        (life, verdict)
    }
}
