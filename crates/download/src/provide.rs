//! Providing is deciding where the data comes from, and making it be there: find, else download, else draw.
//!
//! The rule that shapes this module: what the user named is used as it is or refused. Only our own directories,
//! `data/mnist` and `data/generated`, are ever written to, and digits that are not MNIST are never passed off as
//! MNIST without a notice.

use std::{
    fs::{self, File},
    mem,
    path::{Path, PathBuf},
    time::Duration,
};

use dataset::{Checksums, Place};

use crate::{Error, Mirrors, OnProgress, Progress, fetch};

/// Which dataset the user wants: `--dataset auto|mnist|generated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// MNIST if it can be had, else generated digits and a notice.
    #[default]
    Auto,
    /// MNIST, to the bit, or an error.
    Mnist,
    /// Digits that the program draws itself.
    Generated,
}

/// A directory that holds a whole dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// To be handed to [`load`](dataset::load()).
    pub dir: PathBuf,
    /// Set when MNIST could not be had and generated digits take its place: to be shown where nobody can miss it.
    pub notice: Option<String>,
}

/// What [`Sources::provide`] works with; [`provide`] uses the default.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Our own directory: holds `mnist` and `generated`.
    pub root: PathBuf,
    /// Where to download from, npm included.
    pub mirrors: Mirrors,
    /// What counts as MNIST.
    pub checksums: Checksums,
    /// How many digits to draw for the train and for the test split.
    pub drawn: [usize; 2],
    /// How long to wait for another process that provides the data.
    pub lock_limit: Duration,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            root: PathBuf::from("data"),
            mirrors: Mirrors::default(),
            checksums: Checksums::mnist(),
            drawn: [60_000, 10_000],
            // Four files from a mirror take that long over a poor line only.
            lock_limit: Duration::from_secs(600),
        }
    }
}

/// Finds the dataset that `choice` asks for, or else downloads it, or else (only for [`Choice::Auto`]) draws one.
///
/// The directory is `data` (an explicit `--data`), else `$MNIST_DIR`, else `data/mnist`. The first two
/// are the user's: if such a directory is missing or incomplete, that is an error, and nothing is downloaded into
/// it or put in its place. [`Choice::Generated`] does not look at `$MNIST_DIR`, and refuses `data`.
///
/// [`Choice::Mnist`] checks that the directory holds MNIST; of one that is only called that, [`Choice::Auto`] checks the
/// labels. Whether the content is sound is for [`load`](dataset::load()) to say.
///
/// `progress` may break a download off, which leaves nothing half done; drawing takes a second and is always ended.
///
/// Several processes may call this at once: one does the work, and the others wait for it, though not for ever.
pub fn provide(choice: Choice, data: Option<&Path>, progress: OnProgress<'_>) -> Result<Provided, Error> {
    Sources::default().provide(choice, data, dataset::environment().as_deref(), progress)
}

/// Waits, for as long as `limit`, until no other process writes below `root`; none does until the returned file is closed.
fn lock(root: &Path, limit: Duration) -> Result<File, Error> {
    fs::create_dir_all(root).map_err(dataset::Error::io("create", root))?;
    let path = root.join(".provide.lock");
    let file = File::create(&path).map_err(dataset::Error::io("create", &path))?;
    let mut told = false;
    let tell = || {
        if !mem::replace(&mut told, true) {
            tracing::info!("waiting for another process to provide the data (`{}`)", path.display());
        }
        false
    };
    match process::lock::wait(&file, limit, tell).map_err(dataset::Error::io("lock", &path))? {
        true => Ok(file),
        false => Err(Error::Locked { path, waited: limit }),
    }
}

impl Sources {
    /// As [`provide`], from these sources; `env_dir` stands for `$MNIST_DIR`.
    pub fn provide(
        &self,
        choice: Choice,
        data: Option<&Path>,
        env_dir: Option<&Path>,
        progress: OnProgress<'_>,
    ) -> Result<Provided, Error> {
        if choice == Choice::Generated {
            return match data {
                Some(_) => Err(Error::GeneratedWithData),
                None => Ok(Provided { dir: self.draw(progress)?, notice: None }),
            };
        }
        if let Some(dir) = data.or(env_dir) {
            self.verify(&Place::complete(dir)?, choice)?;
            return Ok(Provided { dir: dir.to_owned(), notice: None });
        }
        match self.fetch(choice, progress) {
            Ok(dir) => Ok(Provided { dir, notice: None }),
            Err(Error::Unavailable { dir: wanted, tried, .. }) if choice == Choice::Auto => {
                let dir = self.draw(progress)?;
                let notice = format!(
                    "this is not MNIST, which could not be downloaded ({tried}), but digits that the program draws \
                     itself; to use MNIST, put its four files in `{}`",
                    wanted.display()
                );
                Ok(Provided { dir, notice: Some(notice) })
            }
            Err(error) => Err(error),
        }
    }

    fn fetch(&self, choice: Choice, progress: OnProgress<'_>) -> Result<PathBuf, Error> {
        let dir = self.root.join("mnist");
        match Place::complete(&dir) {
            Ok(place) => self.verify(&place, choice)?,
            Err(_) => {
                let _lock = lock(&self.root, self.lock_limit)?;
                fetch(&dir, &self.checksums, &self.mirrors, progress)?;
            }
        }
        Ok(dir)
    }

    /// Fails if a dataset that is complete is not the MNIST that was asked for or that its name promises.
    fn verify(&self, place: &Place, choice: Choice) -> Result<(), dataset::Error> {
        if choice == Choice::Mnist {
            self.checksums.verify_all(place)
        } else if dataset::is_mnist(&place.name()?) {
            self.checksums.verify_labels(place)
        } else {
            Ok(())
        }
    }

    fn draw(&self, progress: OnProgress<'_>) -> Result<PathBuf, Error> {
        let dir = self.root.join("generated");
        if Place::complete(&dir).is_err() {
            let _lock = lock(&self.root, self.lock_limit)?;
            dataset::draw_all(&dir, self.drawn, &mut |done, total| {
                let _ = progress(Progress::Drawing { done, total }); // It takes seconds, and is not broken off.
            })?;
        }
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use dataset::{FILES, Split, load, write_idx};

    use super::*;
    use crate::fake_mirror::{FakeMirror, Manner, assert_unusable, checksums, dead_url, mirrors, packed};

    /// Sources below a fresh directory, from one mirror of this manner, or from none.
    fn sources(manner: Option<Manner>) -> (tempfile::TempDir, Sources, Option<FakeMirror>) {
        let root = tempfile::tempdir().unwrap();
        let mirror = manner.map(FakeMirror::start);
        let mut mirrors = mirrors(&mirror.iter().collect::<Vec<_>>());
        if mirror.is_none() {
            mirrors.urls = vec![dead_url()];
        }
        let root_dir = root.path().join("data");
        let lock_limit = Duration::from_secs(20);
        let sources = Sources { root: root_dir, mirrors, checksums: checksums(), drawn: [30, 20], lock_limit };
        (root, sources, mirror)
    }

    fn get(sources: &Sources, choice: Choice, data: Option<&Path>, env_dir: Option<&Path>) -> Result<Provided, Error> {
        sources.provide(choice, data, env_dir, &mut |_| ControlFlow::Continue(()))
    }

    fn some_dataset(dir: PathBuf) -> PathBuf {
        write_idx(&dir, Split::Train, &[], &[]).unwrap();
        write_idx(&dir, Split::Test, &[], &[]).unwrap();
        dir
    }

    #[test]
    fn an_absent_default_directory_is_downloaded_into_once() {
        for choice in [Choice::Auto, Choice::Mnist] {
            let (_root, sources, mirror) = sources(Some(Manner::Good));
            let expect = Provided { dir: sources.root.join("mnist"), notice: None };
            assert_eq!(get(&sources, choice, None, None).unwrap(), expect);
            assert_eq!(get(&sources, choice, None, None).unwrap(), expect);
            assert_eq!(mirror.unwrap().requests().len(), 4);
        }
    }

    #[test]
    fn without_mirrors_auto_draws_digits_with_a_notice_and_mnist_stops() {
        let (_root, sources, _) = sources(None);
        let error = get(&sources, Choice::Mnist, None, None).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");

        for _ in 0..2 {
            let provided = get(&sources, Choice::Auto, None, None).unwrap();
            assert_eq!(provided.dir, sources.root.join("generated"));
            let notice = provided.notice.unwrap();
            assert!(notice.starts_with("this is not MNIST, ") && notice.contains(&sources.mirrors.urls[0]), "{notice}");
            assert_eq!(load(&provided.dir, Split::Train).unwrap().samples.len(), 30);
        }
    }

    #[test]
    fn generated_digits_that_were_asked_for_need_no_network_and_no_notice() {
        let (_root, sources, mirror) = sources(Some(Manner::Good));
        let provided = get(&sources, Choice::Generated, None, Some(Path::new("/nowhere"))).unwrap();
        assert_eq!(provided, Provided { dir: sources.root.join("generated"), notice: None });
        assert_eq!(mirror.as_ref().unwrap().requests().len(), 0);
        let error = get(&sources, Choice::Generated, Some(&provided.dir), None).unwrap_err();
        assert!(matches!(error, Error::GeneratedWithData), "{error:?}");
        // They do not keep auto from MNIST.
        assert_eq!(get(&sources, Choice::Auto, None, None).unwrap().dir, sources.root.join("mnist"));
    }

    #[test]
    fn a_directory_of_the_users_is_used_as_it_is_or_refused_and_never_written_to() {
        let (root, sources, mirror) = sources(Some(Manner::Good));
        let [absent, explicit, ambient] = ["absent", "explicit", "ambient"].map(|name| root.path().join(name));
        let (explicit, ambient) = (some_dataset(explicit), some_dataset(ambient));
        let incomplete = some_dataset(root.path().join("incomplete"));
        fs::remove_file(incomplete.join(FILES[3])).unwrap();

        let dir_for = |data, env_dir| get(&sources, Choice::Auto, data, env_dir).map(|provided| provided.dir);
        assert_eq!(dir_for(Some(&explicit), Some(&ambient)).unwrap(), explicit);
        assert_eq!(dir_for(None, Some(&ambient)).unwrap(), ambient);
        for (data, env_dir, missing) in [
            (Some(&*absent), Some(&*ambient), &absent),
            (None, Some(&*absent), &absent),
            (None, Some(&*incomplete), &incomplete.join(FILES[3])),
        ] {
            assert_unusable(dir_for(data, env_dir), missing);
        }
        assert!(!absent.exists() && !sources.root.exists());
        assert_eq!(mirror.unwrap().requests().len(), 0);
    }

    #[test]
    fn asking_for_mnist_refuses_another_dataset_wherever_it_lies() {
        let (root, sources, _mirror) = sources(Some(Manner::Good));
        let other = some_dataset(root.path().join("other"));
        assert_unusable(get(&sources, Choice::Mnist, Some(&other), None), &other.join(FILES[0]));

        let good = get(&sources, Choice::Mnist, None, None).unwrap().dir;
        assert_eq!(get(&sources, Choice::Mnist, Some(&good), None).unwrap().dir, good);
        let last = good.join(format!("{}.gz", FILES[3]));
        fs::write(&last, packed(3, 2)).unwrap();
        assert_unusable(get(&sources, Choice::Mnist, None, None), &last);
    }

    #[test]
    fn a_directory_that_is_only_called_mnist_is_refused_at_once() {
        let (root, sources, _mirror) = sources(None);
        for (data, ambient, dir) in [(true, false, root.path().join("MNIST")), (false, true, root.path().join("mnist"))]
        {
            let dir = some_dataset(dir);
            let named = |wanted: bool| wanted.then_some(&*dir);
            assert_unusable(get(&sources, Choice::Auto, named(data), named(ambient)), &dir.join(FILES[1]));
        }
        let dir = some_dataset(sources.root.join("mnist"));
        assert_unusable(get(&sources, Choice::Auto, None, None), &dir.join(FILES[1]));
    }

    #[test]
    fn a_process_that_never_lets_go_of_the_lock_is_not_waited_for_for_ever() {
        let (_root, sources, mirror) = sources(Some(Manner::Good));
        let sources = Sources { lock_limit: Duration::from_millis(1), ..sources };
        let lock = lock(&sources.root, sources.lock_limit).unwrap();
        for choice in [Choice::Auto, Choice::Mnist, Choice::Generated] {
            let error = get(&sources, choice, None, None).unwrap_err();
            let name = sources.root.join(".provide.lock").display().to_string();
            assert!(error.to_string().starts_with(&format!("`{name}` is still locked")), "{error}");
            assert_eq!(error.exit_code(), 69);
        }
        assert_eq!(mirror.unwrap().requests().len(), 0);
        drop(lock);
        get(&sources, Choice::Generated, None, None).unwrap();
    }

    #[test]
    fn processes_that_start_together_download_each_file_once() {
        let (_root, sources, mirror) = sources(Some(Manner::Good));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| get(&sources, Choice::Auto, None, None).unwrap());
            }
        });
        assert_eq!(mirror.unwrap().requests().len(), 4);
    }
}
