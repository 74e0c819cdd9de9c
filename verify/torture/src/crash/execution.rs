//! An execution of a receiver, from opening the chunk directory to completing it: what it found, what it wrote, and what
//! it acknowledged on the strength of it. An error may end it; the disk remembers where a crash could have.

use std::{collections::HashMap, path::Path, sync::Arc};

use anyhow::{anyhow, ensure};
use sample::Samples;
use store::{Error, Manifest, Mode, Rows, Store};

use super::{disk::SimulatedDisk, scenario::Scenario};

/// The chunk directory. Its parent does not exist at first either.
pub(super) const DIR: &str = "/data/chunks";

const PATIENCE: usize = 3;

/// Opens the directory, goes on where it was left, completes it, and reads it. Fails with an error of the store, or with
/// what must never be.
pub(super) fn receive(disk: &SimulatedDisk, scenario: &Scenario, mode: Mode) -> anyhow::Result<()> {
    let outcome = Receiver { disk, scenario }.run(mode);
    disk.crime().map_or(outcome, |crime| Err(anyhow!(crime)))
}

/// Receives samples that are not what was sent, and gives the directory up.
pub(super) fn reject(disk: &SimulatedDisk, scenario: &Scenario) -> Result<(), Error> {
    let mut store =
        Store::open_on(Arc::new(disk.clone()), Path::new(DIR), Mode::Continue, scenario.samples_per_chunk, |_| {})?;
    for stream in &scenario.streams {
        store.open_stream(&stream.name, &scenario.dataset, stream.declared())?;
        let samples = scenario.samples(stream, stream.first, stream.end);
        store.append(&stream.name, stream.first, samples.as_slice())?;
    }
    while store.has_full_chunk() {
        store.commit()?;
    }
    store.reject("what arrived is not what was sent").map(drop)
}

pub(super) fn read(disk: &SimulatedDisk) -> Result<(Manifest, Rows), Error> {
    store::read_on(Arc::new(disk.clone()), Path::new(DIR))
}

struct Receiver<'a> {
    disk: &'a SimulatedDisk,
    scenario: &'a Scenario,
}

impl Receiver<'_> {
    fn run(&self, mode: Mode) -> anyhow::Result<()> {
        let mut store = self.open(mode)?;
        for &(stream, from, to) in &self.scenario.batches {
            let sent = &self.scenario.streams[stream];
            let name = &sent.name;
            let position = self.position(&mut store, stream)?;
            if from < position {
                // A sender that sends again what is there must be refused.
                let refused = store.append(name, from, self.scenario.samples(sent, from, to).as_slice()).is_err();
                ensure!(refused, "samples {from}..{to} of `{name}` were taken in again");
            }
            if position < to {
                let from = from.max(position);
                store.append(name, from, self.scenario.samples(sent, from, to).as_slice())?;
                self.welcome(&store);
            }
            while store.has_full_chunk() {
                self.commit(&mut store)?;
            }
        }
        while store.has_pending() {
            self.commit(&mut store)?;
        }
        self.patiently(|| store.complete(None, 0.0))?;
        self.disk.acknowledge(|told| told.complete = true);
        self.scenario.check(&read(self.disk)?)
    }

    fn open(&self, mode: Mode) -> anyhow::Result<Store> {
        let mut found: HashMap<String, Samples> = HashMap::new();
        let disk = Arc::new(self.disk.clone());
        let mut store = Store::open_on(disk, Path::new(DIR), mode, self.scenario.samples_per_chunk, |replay| {
            found.entry(replay.stream.to_owned()).or_default().extend(replay.samples);
        })?;
        for (index, stream) in self.scenario.streams.iter().enumerate() {
            let position = self.position(&mut store, index)?;
            let (name, sent) = (&stream.name, self.scenario.samples(stream, stream.first, position));
            ensure!(found.remove(name).unwrap_or_default() == sent, "`{name}` up to {position} is not what was sent");
            let told = self.disk.acknowledge(|told| told.durable.get(name).copied()).unwrap_or(stream.first);
            ensure!(position >= told, "`{name}` was acknowledged to {told} and is there to {position}");
        }
        ensure!(found.is_empty(), "streams {:?} were never sent", found.keys());
        self.welcome(&store);
        Ok(store)
    }

    fn position(&self, store: &mut Store, stream: usize) -> anyhow::Result<u64> {
        let stream = &self.scenario.streams[stream];
        Ok(store.open_stream(&stream.name, &self.scenario.dataset, stream.declared())?)
    }

    /// Senders that come back are told what is durable.
    fn welcome(&self, store: &Store) {
        for stream in &self.scenario.streams {
            if let Some(position) = store.durable(&stream.name).filter(|position| *position > stream.first) {
                self.disk.acknowledge(|told| told.durable.insert(stream.name.clone(), position));
            }
        }
    }

    fn commit(&self, store: &mut Store) -> anyhow::Result<()> {
        let committed = self.patiently(|| store.commit());
        let goes_on = committed.is_err() && store.commit().is_ok_and(|durable| !durable.is_empty());
        ensure!(!goes_on, "a store went on after a write had failed");
        for durable in committed? {
            self.disk.acknowledge(|told| told.durable.insert(durable.stream, durable.position));
        }
        self.welcome(store);
        Ok(())
    }

    /// Tries again while the disk is full, which must leave everything as it was.
    fn patiently<T>(&self, mut act: impl FnMut() -> Result<T, Error>) -> anyhow::Result<T> {
        let names = || self.disk.tree().list(Path::new(DIR));
        let before = names()?;
        for _ in 1..PATIENCE {
            match act() {
                Err(error) if error.is_full() => {}
                done => return Ok(done?),
            }
            ensure!(names()? == before, "a full disk is said to leave nothing, and left something");
        }
        Ok(act()?)
    }
}
