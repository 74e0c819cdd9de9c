//! A life of a receiver, from opening the chunk directory to completing it: what it found, what it wrote, and what it
//! told others on the strength of it. It may be cut short by an error; the disk remembers all the moments at which it
//! could have been cut short by a crash.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use anyhow::{anyhow, ensure};
use sample::Samples;
use store::{Error, Manifest, Mode, Rows, Store};

use super::{
    disk::{Moment, SimulatedDisk},
    scenario::Scenario,
};

/// The chunk directory. Its parent does not exist at first either.
pub(super) const DIR: &str = "/data/chunks";

/// How often a receiver tries again when the disk is full.
const PATIENCE: usize = 3;

/// What others were told, and count on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Promise {
    /// By stream: every sample before this one is durable.
    durable: BTreeMap<String, u64>,
    /// The directory is complete.
    pub(super) complete: bool,
}

impl Promise {
    pub(super) fn is_none(&self) -> bool {
        *self == Promise::default()
    }
}

/// What came of a life.
#[derive(Debug)]
pub(super) struct Life {
    /// Every moment at which it could have ended, with what had been promised by then.
    pub(super) moments: Vec<(Moment, Promise)>,
    /// An error of the store, or what must never be.
    pub(super) outcome: anyhow::Result<()>,
}

/// Opens the directory, goes on where it was left, completes it, and reads it.
pub(super) fn live(disk: &SimulatedDisk, scenario: &Scenario, mode: Mode, promised: Promise) -> Life {
    // Who asks for a fresh start is not owed what was there.
    let promised = if mode == Mode::Fresh { Promise::default() } else { promised };
    let mut receiver = Receiver { disk, scenario, told: vec![(0, promised.clone())], promised };
    let mut outcome = receiver.run(mode);
    if let Some(crime) = disk.crimes().pop() {
        outcome = Err(anyhow!(crime));
    }
    let told_by = |at| receiver.told.iter().take_while(|(since, _)| *since <= at).last().map(|(_, told)| told.clone());
    let moments = disk.moments().into_iter().map(|moment| {
        let told = told_by(moment.at).unwrap_or_default();
        (moment, told)
    });
    Life { moments: moments.collect(), outcome }
}

/// Receives samples that are not what was sent, and gives the directory up.
pub(super) fn reject(disk: &SimulatedDisk, scenario: &Scenario) -> Result<(), Error> {
    let mut store =
        Store::open_on(Arc::new(disk.clone()), Path::new(DIR), Mode::Continue, scenario.samples_per_chunk, |_| {})?;
    for stream in &scenario.streams {
        store.open_stream(&stream.name, &scenario.dataset, stream.first, stream.end)?;
        let samples = scenario.samples(stream.first, stream.end);
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
    promised: Promise,
    /// Since which operation what was promised.
    told: Vec<(usize, Promise)>,
}

impl Receiver<'_> {
    fn run(&mut self, mode: Mode) -> anyhow::Result<()> {
        let mut store = self.open(mode)?;
        for &(stream, from, to) in &self.scenario.batches {
            let name = &self.scenario.streams[stream].name;
            let position = self.position(&mut store, stream)?;
            if from < position {
                self.repeat(&mut store, name, from, to)?;
            }
            if position < to {
                let from = from.max(position);
                store.append(name, from, self.scenario.samples(from, to).as_slice())?;
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
        self.promised.complete = true;
        self.tell();
        self.scenario.check(&read(self.disk)?)
    }

    fn open(&mut self, mode: Mode) -> anyhow::Result<Store> {
        let mut found: HashMap<String, Samples> = HashMap::new();
        let disk = Arc::new(self.disk.clone());
        let mut store = Store::open_on(disk, Path::new(DIR), mode, self.scenario.samples_per_chunk, |replay| {
            found.entry(replay.stream.to_owned()).or_default().extend(replay.samples);
        })?;
        for (index, stream) in self.scenario.streams.iter().enumerate() {
            let position = self.position(&mut store, index)?;
            let (name, sent) = (&stream.name, self.scenario.samples(stream.first, position));
            ensure!(found.remove(name).unwrap_or_default() == sent, "`{name}` up to {position} is not what was sent");
            let told = self.promised.durable.get(name).copied().unwrap_or(stream.first);
            ensure!(position >= told, "`{name}` was acknowledged to {told} and is there to {position}");
        }
        ensure!(found.is_empty(), "streams {:?} were never sent", found.keys());
        self.welcome(&store);
        Ok(store)
    }

    fn position(&self, store: &mut Store, stream: usize) -> anyhow::Result<u64> {
        let stream = &self.scenario.streams[stream];
        Ok(store.open_stream(&stream.name, &self.scenario.dataset, stream.first, stream.end)?)
    }

    /// A sender that sends again what is there must be refused.
    fn repeat(&self, store: &mut Store, name: &str, from: u64, to: u64) -> anyhow::Result<()> {
        let refused = store.append(name, from, self.scenario.samples(from, to).as_slice()).is_err();
        ensure!(refused, "samples {from}..{to} of `{name}` were taken in again");
        Ok(())
    }

    /// Senders that come back are told what is durable.
    fn welcome(&mut self, store: &Store) {
        for stream in &self.scenario.streams {
            if let Some(position) = store.durable(&stream.name).filter(|position| *position > stream.first) {
                self.promised.durable.insert(stream.name.clone(), position);
            }
        }
        self.tell();
    }

    fn commit(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let committed = self.patiently(|| store.commit());
        let goes_on = committed.is_err() && store.commit().is_ok_and(|durable| !durable.is_empty());
        ensure!(!goes_on, "a store went on after a write had failed");
        for durable in committed? {
            self.promised.durable.insert(durable.stream, durable.position);
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

    /// From here on, others count on what is promised.
    fn tell(&mut self) {
        self.told.push((self.disk.operations(), self.promised.clone()));
    }
}
