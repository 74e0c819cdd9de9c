//! A disk on which the store's operations are counted. The state before each is kept, so that one run shows every step
//! at which the power could go; and any of them can be made to fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::TryLockError,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use store::{FileSystem, Lock, NewFile};

use super::tree::Tree;
use crate::locked;

#[derive(Clone, Debug)]
pub(super) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    tree: Tree,
    acknowledged: Acknowledged,
    operations: usize,
    fault: Option<Fault>,
    steps: Vec<Step>,
    locked: BTreeSet<PathBuf>,
    crime: Option<String>,
}

/// What others were told, and count on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Acknowledged {
    /// By stream: every sample before this one is durable.
    pub(super) durable: BTreeMap<String, u64>,
    pub(super) complete: bool,
}

impl Acknowledged {
    pub(super) fn is_none(&self) -> bool {
        *self == Acknowledged::default()
    }
}

/// The disk just before an operation that changes it, and what was acknowledged by then.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// How many operations came before.
    pub(super) at: usize,
    pub(super) next: String,
    pub(super) tree: Tree,
    pub(super) acknowledged: Acknowledged,
}

impl Step {
    /// Whether operation `at` is next and is a part of writing a file, up to its rename.
    pub(super) fn is_writing(&self, at: usize) -> bool {
        self.at == at && self.next.contains("/.tmp-") && !self.next.starts_with("remove")
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// Which: the number of operations before it.
    pub(super) at: usize,
    /// Whether all that follow fail, too.
    pub(super) for_good: bool,
    /// Whether it takes effect all the same.
    pub(super) takes_effect: bool,
    /// Number of the error.
    pub(super) error: i32,
}

impl Fault {
    /// Whether the disk is full once, and nothing comes of it.
    pub(super) fn is_passing_want_of_room(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.error().kind(), StorageFull | QuotaExceeded) && !self.for_good && !self.takes_effect
    }

    fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.error)
    }
}

/// What the operating system says, by Linux's numbers: EIO, ENOSPC, EDQUOT, EROFS, EMFILE, EACCES.
pub(super) const ERRORS: [i32; 6] = [5, 28, 122, 30, 24, 13];

impl SimulatedDisk {
    pub(super) fn new(tree: Tree, acknowledged: Acknowledged, fault: Option<Fault>) -> Self {
        let (steps, operations, locked, crime) = (Vec::new(), 0, BTreeSet::new(), None);
        SimulatedDisk(Arc::new(Mutex::new(State { tree, acknowledged, operations, fault, steps, locked, crime })))
    }

    /// Whatever is acknowledged here, others count on from the next operation on.
    pub(super) fn acknowledge<T>(&self, act: impl FnOnce(&mut Acknowledged) -> T) -> T {
        act(&mut self.state().acknowledged)
    }

    /// What is on it, as processes see it and as a power cut may leave it.
    pub(super) fn tree(&self) -> Tree {
        self.state().tree.clone()
    }

    /// Every step that changed something, and the end.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut state = self.state();
        state.note_step("the end".into());
        std::mem::take(&mut state.steps)
    }

    /// What no program may ask of a disk, and this one did.
    pub(super) fn crime(&self) -> Option<String> {
        self.state().crime.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0)
    }

    fn change<T>(&self, name: &str, path: &Path, effect: impl FnOnce(&mut Tree) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.note_step(format!("{name} {}", path.display()));
        match state.next_fault() {
            None => effect(&mut state.tree),
            Some(fault) => {
                if fault.takes_effect {
                    effect(&mut state.tree)?;
                }
                Err(fault.error())
            }
        }
    }

    /// An operation that changes nothing, and has no effect if it fails.
    fn look<T>(&self, look: impl FnOnce(&Tree) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.next_fault().map_or_else(|| look(&state.tree), |fault| Err(fault.error()))
    }
}

impl State {
    fn note_step(&mut self, next: String) {
        let (tree, acknowledged) = (self.tree.clone(), self.acknowledged.clone());
        self.steps.push(Step { at: self.operations, next, tree, acknowledged });
    }

    /// Counts an operation, and says whether it fails.
    fn next_fault(&mut self) -> Option<Fault> {
        let at = self.operations;
        self.operations += 1;
        self.fault.filter(|fault| fault.at == at || fault.for_good && fault.at < at)
    }
}

impl FileSystem for SimulatedDisk {
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.look(|tree| Ok(tree.exists(path)))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change("create", dir, |tree| tree.create_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.look(|tree| tree.list(dir))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.look(|tree| tree.bytes(path)).map(|bytes| bytes.to_vec())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        self.change("create", path, |tree| tree.create(path))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change("rename", from, |tree| tree.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change("remove", path, |tree| tree.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change("sync", dir, |tree| tree.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> Result<Lock, TryLockError> {
        self.change("lock", path, |tree| match tree.create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        })
        .map_err(TryLockError::Error)?;
        if !self.state().locked.insert(path.to_owned()) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(Box::new(SimulatedLock { disk: self.clone(), path: path.to_owned() }))
    }
}

struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl NewFile for SimulatedFile {
    /// Writes in two halves, between which a process can be killed or the disk get full.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [first, second]
            .into_iter()
            .try_for_each(|half| self.disk.change("write", &self.path, |tree| tree.append(&self.path, half)))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut is_crime = false;
        let synced = self.disk.change("sync", &self.path, |tree| {
            is_crime = !tree.sync(&self.path)?;
            Ok(())
        });
        let mut state = self.disk.state();
        if is_crime {
            state.crime = Some(format!("`{}` was synced after its sync had failed", self.path.display()));
        }
        if synced.is_err() {
            state.tree.spoil(&self.path)?;
        }
        synced
    }
}
