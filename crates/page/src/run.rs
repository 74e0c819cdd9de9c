//! A run, as it is told to those who watch it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;

use crate::{
    happening::{Happening, Key},
    log::Log,
    model::Model,
};

/// A run, as it is told to those who watch it.
#[derive(Clone, Debug)]
pub struct Run(Arc<Inner>);

/// The runs that a server shows. More may come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Arc<Mutex<Vec<Run>>>);

#[derive(Debug)]
struct Inner {
    name: String,
    folder: PathBuf,
    /// What tells the ids of this run from those of one of the same name that was served before.
    epoch: String,
    log: Mutex<Log<Key>>,
    /// Wakes those who wait for more.
    told: watch::Sender<()>,
    model: Mutex<Option<Model>>,
}

impl Runs {
    /// Shows one more.
    pub(crate) fn add(&self, run: Run) {
        self.all().push(run);
    }

    pub(crate) fn get(&self, number: usize) -> Option<Run> {
        self.all().get(number).cloned()
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all().iter().map(|run| run.name().to_owned()).collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<Run>> for Runs {
    fn from(runs: Vec<Run>) -> Runs {
        Runs(Arc::new(Mutex::new(runs)))
    }
}

impl Run {
    /// A run of which nothing was told yet, with its results in this folder.
    pub fn new(name: &str, folder: &Path) -> Run {
        let epoch = getrandom::u64().unwrap_or_else(|_| {
            // Not a secret: the time will do.
            SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
        });
        Run(Arc::new(Inner {
            name: name.to_owned(),
            folder: folder.to_owned(),
            epoch: format!("{epoch:016x}"),
            log: Mutex::default(),
            told: watch::Sender::new(()),
            model: Mutex::default(),
        }))
    }

    /// Tells what happened, of a child or of the whole run. It waits for nobody who watches.
    pub fn tell(&self, child: Option<&str>, at: SystemTime, what: &Happening<'_>) {
        let Inner { name, folder, epoch, .. } = &*self.0;
        let json = what.json(name, folder, child, at);
        self.log().push(what.key(child), what.keep(), |id| format!("id: {epoch}-{id}\ndata: {json}\n\n"));
        self.0.told.send_replace(());
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Changes when there is more.
    pub(crate) fn told(&self) -> watch::Receiver<()> {
        self.0.told.subscribe()
    }

    /// What is kept after this id, as the lines of Server-Sent Events, and the id of the last of it.
    pub(crate) fn after(&self, id: u64, most: usize) -> (String, u64) {
        self.log().after(id, most)
    }

    /// Where somebody stands who has seen this event last; nothing if it was none of this run.
    pub(crate) fn position(&self, last_event_id: &str) -> Option<u64> {
        let (epoch, id) = last_event_id.rsplit_once('-')?;
        let id = id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten()?;
        (epoch == self.0.epoch && id <= self.log().newest()).then_some(id)
    }

    /// The model that was used last, if there was one. Whoever holds it uses it alone.
    pub(crate) fn model(&self) -> MutexGuard<'_, Option<Model>> {
        self.0.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log<Key>> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_this_run_that_were_given_out_are_positions() {
        let (run, other) = (Run::new("a", Path::new("a")), Run::new("a", Path::new("a")));
        run.tell(None, SystemTime::now(), &Happening::Log("x"));
        let (epoch, other) = (&run.0.epoch, &other.0.epoch);
        assert_ne!(epoch, other);
        for (id, expect) in [
            (format!("{epoch}-0"), Some(0)),
            (format!("{epoch}-1"), Some(1)),
            (format!("{epoch}-2"), None),
            (format!("{epoch}-+1"), None),
            (format!("{epoch}-"), None),
            (format!("{epoch}-99999999999999999999"), None),
            (format!("{other}-1"), None),
            ("1".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(run.position(&id), expect, "{id}");
        }
    }
}
